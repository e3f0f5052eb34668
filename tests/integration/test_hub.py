"""The hub against a real Redis: one connection, one read, and whatever is repeated, forged or lost is made good."""

from collections.abc import Callable

import pytest
import redis

from headway import hub as hubs
from headway.errors import JournalUnavailable
from headway.events import Subject
from headway.hub import Hub
from headway.journal import Journal
from headway.keys import key, seq_of
from headway.topics import RING
from tests.hubs import Counting, MakeHub, Viewer, cut, silence, subscribers
from tests.processes import RedisServer, wait_until
from tests.producers import TASK, Producer, execution, finished, log, said, started, state

OwnRedis = Callable[..., RedisServer]


# -- many viewers ----------------------------------------------------------------------------------------------


def test_any_number_of_viewers_cost_one_subscription_and_one_read(
    hub: Hub, counting: Counting, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    viewers = [Viewer(hub) for _ in range(50)]
    producer.say(said("a"), finished())
    for viewer in viewers:
        viewer.catches_up(journal)
    assert [id for id, _ in log(journal)][-2:] == [frame.id for frame in viewers[0].frames]
    assert all(viewer.frames == viewers[0].frames for viewer in viewers)
    assert counting.reads == [(TASK, None)]
    assert len(client.client_list(_type="pubsub")) == 1
    assert subscribers(client) == 1


def test_a_viewer_may_come_before_the_task_does(hub: Hub, journal: Journal) -> None:
    viewer = Viewer(hub)
    assert viewer.topic.cursor == "0"
    Producer(journal, execution("one")).say(started(), said("a"))
    viewer.catches_up(journal)
    assert [seq_of(frame.id) for frame in viewer.frames] == [1, 2]
    assert viewer.gaps == 0


def test_many_subjects_share_the_connection(
    hub: Hub, journal: Journal, client: redis.Redis
) -> None:
    subjects = [Subject("task", f"t{i}") for i in range(300)]
    topics = [hub.attach(subject, lambda: None) for subject in subjects]
    for subject in subjects:
        one = execution("one", task=subject.id)
        Producer(journal, one).say(started(task=subject.id))
    wait_until(lambda: all(topic.cursor not in (None, "0") for topic in topics), what="all of them")
    assert [topic.cursor for topic in topics] == journal.lasts(subjects)
    assert len(client.client_list(_type="pubsub")) == 1


def test_a_subject_whose_keys_are_somebody_elses_holds_up_no_other(
    hub: Hub, journal: Journal, client: redis.Redis, producer: Producer
) -> None:
    other = Subject("task", "other")
    client.set(f"{key(other)}:state", "somebody else's")
    hub.attach(other, lambda: None)
    viewer = Viewer(hub)
    cut(client)
    producer.say(said("a"))
    viewer.catches_up(journal)


def test_a_subject_nobody_watches_is_dropped_and_can_be_watched_again(
    hub: Hub,
    journal: Journal,
    client: redis.Redis,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "AUDIT_SECONDS", 0.0)
    monkeypatch.setattr(hubs, "IDLE_SECONDS", 0.3)
    first, other = Viewer(hub), Viewer(hub, Subject("task", "other"))
    first.leave()
    wait_until(lambda: subscribers(client) == 0, what="the end of the subscription")
    assert subscribers(client, Subject("task", "other")) == 1
    producer.say(said("meanwhile"))
    again = Viewer(hub)
    assert again.topic is not first.topic
    producer.say(said("a"))
    again.catches_up(journal)
    assert len(again.frames) == 1
    other.leave()


# -- what is heard ---------------------------------------------------------------------------------------------


def test_a_message_heard_twice_is_given_once(
    hub: Hub, counting: Counting, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    viewer = Viewer(hub)
    producer.say(said("a"), said("b"))
    (previous, _), *news = log(journal)[-3:]
    for id, payload in news * 3:
        client.publish(key(TASK), f"{previous} {id} ".encode() + payload)
    producer.say(said("c"))
    viewer.catches_up(journal)
    assert len(viewer.frames) == 3
    assert counting.reads == [(TASK, None)]


@pytest.mark.parametrize(
    "forged",
    ["9-9 10-10", "0 1-1", "2-1 3-1", "0 999999999999999-1"],
    ids=["from nowhere", "from the beginning", "beside the last", "far ahead"],
)
def test_a_message_that_does_not_follow_the_last_is_looked_up_and_not_believed(
    hub: Hub,
    counting: Counting,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
    forged: str,
) -> None:
    viewer = Viewer(hub)
    client.publish(key(TASK), f'{forged} {{"type":"finished","task":"t","at":1,"status":"failed"}}')
    wait_until(lambda: len(counting.reads) > 1, what="the look")
    producer.say(said("a"))
    viewer.catches_up(journal)
    assert len(counting.reads) < 10, "it looks again and again"
    assert [frame.id for frame in viewer.frames] == [log(journal)[-1][0]]
    assert viewer.gaps == 0


def test_what_was_believed_and_is_in_no_log_is_taken_back_by_the_audit(
    hub: Hub,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only who may write to Redis can say what follows the last id; still it does not last."""
    viewer = Viewer(hub)
    forged = f"{viewer.cursor} 3-7 " + '{"type":"message","task":"t","at":1,"message":"forged"}'
    client.publish(key(TASK), forged)
    wait_until(lambda: viewer.cursor == "3-7", what="the forged event")
    monkeypatch.setattr(hubs, "AUDIT_SECONDS", 0.0)
    viewer.catches_up(journal)
    assert viewer.gaps == 1
    producer.say(said("a"))
    viewer.catches_up(journal)
    assert viewer.gaps == 1


@pytest.mark.parametrize("missed", [1, 40, RING - 1, RING, 700])
def test_a_hole_is_filled_before_anything_after_it_is_given(
    hub: Hub, journal: Journal, producer: Producer, missed: int
) -> None:
    viewer = Viewer(hub)
    with silence():
        for _ in range(missed // 50):
            producer.say(*(said("x") for _ in range(50)))
        producer.say(*(said("x") for _ in range(missed % 50)))
    producer.say(said("heard"))
    viewer.catches_up(journal)
    assert len(viewer.frames) == missed + 1
    assert viewer.gaps == 0


def test_a_loss_without_a_sound_is_caught_by_the_audit(
    hub: Hub, journal: Journal, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Viewer(hub)
    monkeypatch.setattr(hubs, "AUDIT_SECONDS", 0.2)
    with silence():
        producer.say(said("a"), finished())
    viewer.catches_up(journal)
    assert (len(viewer.frames), viewer.gaps) == (2, 0)
    assert viewer.topic.ended()


# -- connections -----------------------------------------------------------------------------------------------


def test_nothing_is_lost_however_often_the_connection_is_cut(
    hub: Hub, counting: Counting, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    viewer = Viewer(hub)
    for i in range(200):
        producer.say(said(str(i)))
        if i % 20 == 10:
            cut(client)
            wait_until(lambda i=i: counting.follows > i // 20 + 1, what="a new connection")  # type: ignore[misc]
    viewer.catches_up(journal)
    assert [frame.id for frame in viewer.frames] == [id for id, _ in log(journal)[-200:]]
    assert viewer.gaps == 0


def test_what_was_read_before_the_connection_was_cut_does_not_count_after(
    hub: Hub, counting: Counting, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    """The reading is overtaken: the link breaks, an event is missed, and the link is up again before it is used."""
    viewer = Viewer(hub)

    def overtake() -> None:
        counting.after_read = lambda: None
        counting.before_follow = lambda: producer.say(said("missed"))
        cut(client)
        wait_until(lambda: hub._feed is None or counting.follows > 1, what="the cut")
        wait_until(lambda: counting.follows > 1, what="a new connection")
        wait_until(lambda: viewer.topic.acknowledged, what="its acknowledgement")
        counting.before_follow = lambda: None

    counting.after_read = overtake
    with silence():
        producer.say(said("a"))
    producer.say(said("b"))  # makes it read
    viewer.catches_up(journal)
    assert viewer.gaps == 0


def test_a_quiet_connection_is_asked_for_a_sign_of_life_and_kept(
    hub: Hub,
    counting: Counting,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "PING_SECONDS", 0.05)
    viewer = Viewer(hub)

    def pings() -> int:
        return int(client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"])

    before = pings()
    wait_until(lambda: pings() > before + 5, what="pings")
    assert counting.follows == 1
    producer.say(said("a"))
    viewer.catches_up(journal)


def test_viewers_are_told_of_a_redis_that_is_away_and_of_its_return(
    own_redis: OwnRedis, make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "LINK_GRACE", 0.2)
    server = own_redis(appendonly="yes")
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started())
    hub = make_hub(Journal(server.url, timeout=1))
    viewer = Viewer(hub)
    wait_until(lambda: hub.link, what="the link")
    told: list[bool] = []
    hub.attach(TASK, lambda: told.append(hub.link))
    server.kill()
    wait_until(lambda: told[-1:] == [False], what="the bad news")
    server.start()
    wait_until(lambda: told[-1:] == [True], what="the good news")
    producer.say(said("a"))
    viewer.catches_up(journal)
    assert viewer.gaps == 0


def test_a_redis_that_hangs_is_noticed_and_nothing_is_lost(
    own_redis: OwnRedis, make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "PING_SECONDS", 0.2)
    monkeypatch.setattr(hubs, "LINK_GRACE", 0.2)
    server = own_redis()
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started())
    hub = make_hub(Journal(server.url, timeout=0.5))
    viewer = Viewer(hub)
    server.pause()
    try:
        wait_until(lambda: not hub.link, what="the bad news")
    finally:
        server.resume()
    producer.say(said("a"))
    viewer.catches_up(journal)
    wait_until(lambda: hub.link, what="the good news")
    assert (len(viewer.frames), viewer.gaps) == (1, 0)


def test_a_viewer_who_comes_while_redis_is_away_is_served_when_it_is_back(
    own_redis: OwnRedis, make_hub: MakeHub
) -> None:
    server = own_redis(appendonly="yes")
    journal = Journal(server.url, timeout=5)
    Producer(journal, execution("one")).say(started())
    server.kill()
    hub = make_hub(Journal(server.url, timeout=1))
    topic = hub.attach(TASK, lambda: None)
    with pytest.raises(JournalUnavailable):
        hub.unknown([TASK])
    server.start()
    wait_until(topic.ready.is_set, what="the first reading")
    assert topic.state() == state(journal)
    assert hub.unknown([TASK, Subject("task", "other")]) == [Subject("task", "other")]


def test_one_read_finds_a_task_unknown(
    redis_url: str, make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(redis_url, timeout=5)
    hub, asked, lasts = make_hub(journal), [], journal.lasts
    monkeypatch.setattr(journal, "lasts", lambda cold: asked.append(cold) or lasts(cold))
    assert hub.unknown([TASK]) == [TASK]
    assert asked == [[TASK]]
