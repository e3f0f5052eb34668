"""Watching straight from the journal: some tasks as the web would serve them, all tasks by one pattern."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from headway import direct, viewer
from headway.direct import DirectWatch, Everything
from headway.errors import JournalUnavailable
from headway.events import Emitted, Snapshot
from headway.feed import EVERYTHING, Acknowledged, Message
from headway.journal import Journal
from headway.told import Told
from headway.viewer import LinkState, Refused
from tests.hubs import MakeHub, silence
from tests.processes import HOST, RedisServer, free_port, wait_until
from tests.producers import Producer, execution, finished, said, started


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, make_hub: MakeHub) -> None:
    """Nobody waits, and no hub outlives its test: elsewhere it ends with its process."""
    monkeypatch.setattr(direct, "Hub", make_hub)
    monkeypatch.setattr(viewer, "MIN_SECONDS", 0.01)
    monkeypatch.setattr(direct, "LOOK_SECONDS", 0.02)


def producer(journal: Journal, task: str) -> Producer:
    made = Producer(journal, execution(f"nonce of {task}", task=task))
    made.say(started(task=task))
    return made


def emitted(told: list[Told]) -> list[Any]:
    return [each.event.data for each in told if isinstance(each.event, Emitted)]


class Listener:
    """What `Everything` tells, in a thread of its own."""

    def __init__(self, everything: Everything) -> None:
        self.everything = everything
        self.told: list[Told] = []
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        wait_until(lambda: everything.live, what="the first look")

    def _listen(self) -> None:
        for told in self.everything.events(0.02):
            if self._ended:
                return
            if told:
                self.told.append(told)

    def end(self) -> None:
        self._ended = True
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.everything.close()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def listen(url: str, **options: Any) -> Listener:
        made.append(Listener(Everything(url, **options)))
        return made[-1]

    yield listen
    for listener in made:
        listener.end()


# -- the journal's part ------------------------------------------------------------------------------


def test_subjects_are_those_that_have_a_journal(journal: Journal, client: redis.Redis) -> None:
    for n in range(25):
        producer(journal, f"t{n}")
    client.set("headway:t:{t{}:state", "foreign")
    client.set("headway:t:{x y}:state", "foreign")
    client.set("headway:u:{name}:state", "foreign")
    client.mset({f"filling:{n}": n for n in range(3000)})
    assert {subject.id for subject in journal.subjects(1000)} == {f"t{n}" for n in range(25)}
    assert 1 <= len(journal.subjects(1)) <= 25


def test_one_subscription_hears_every_task(journal: Journal) -> None:
    feed = journal.follow()
    feed.subscribe_all()
    assert feed.read(5) == [Acknowledged(EVERYTHING)]
    for task in ("a", "b"):
        producer(journal, task)
    heard: list[Any] = []
    wait_until(lambda: heard.extend(feed.read(0.1)) or len(heard) == 2)
    assert [(type(each), each.subject.id, each.previous) for each in heard] == [
        (Message, "a", "0"),
        (Message, "b", "0"),
    ]
    feed.close()


# -- some tasks --------------------------------------------------------------------------------------


def test_a_task_is_watched_from_its_state_to_its_end(journal: Journal, redis_url: str) -> None:
    task = producer(journal, "t")
    watching = DirectWatch(redis_url, "t", timeout=20)
    told = watching.events()
    first = next(told)
    assert isinstance(first.event, Snapshot)
    task.say(said("x"), said("y"), finished(result=7))
    assert emitted(list(told)) == ["x", "y"]
    assert (watching.states["t"].status, watching.states["t"].result) == ("succeeded", 7)
    assert watching.link.status == "closed"


def test_several_tasks_are_watched_until_the_last_has_ended(
    journal: Journal, redis_url: str
) -> None:
    tasks = [producer(journal, task) for task in ("a", "b")]
    watching = DirectWatch(redis_url, "a", "b", timeout=20)
    for told in watching.events():
        if told.event and told.task and isinstance(told.event, Snapshot):
            tasks["ab".index(told.task)].say(finished(task=told.task))
    assert [state.status for state in watching.states.values()] == ["succeeded"] * 2


def test_what_is_unknown_is_refused_the_rest_goes_on(journal: Journal, redis_url: str) -> None:
    producer(journal, "a").say(finished(task="a"))
    watching = DirectWatch(redis_url, "a", "nope", timeout=20)
    with pytest.raises(Refused, match="no such task"):
        list(watching.events())
    assert watching.refused.keys() == {"nope"}
    assert watching.states["a"].status == "succeeded"


def test_a_redis_that_was_never_there_is_told_at_once() -> None:
    nowhere = f"redis://{HOST}:{free_port()}/0"
    for ask in (
        DirectWatch(nowhere, "t").events(),
        Everything(nowhere).events(),
        (direct.get(nowhere, "t") for _ in "once"),
    ):
        with pytest.raises(JournalUnavailable):
            next(iter(ask))


def test_a_deadline_is_kept(journal: Journal, redis_url: str) -> None:
    producer(journal, "t")
    with pytest.raises(TimeoutError):
        list(DirectWatch(redis_url, "t", timeout=0.3).events())


def test_a_redis_that_goes_and_comes_back_is_waited_for_and_said(
    own_redis: Callable[..., RedisServer],
) -> None:
    server = own_redis(appendonly="yes", appendfsync="always")
    journal = Journal(server.url, timeout=5)
    task = producer(journal, "t")
    links: list[LinkState] = []
    watching = DirectWatch(server.url, "t", timeout=60, on_link=links.append)
    told = watching.events()
    next(told)
    server.kill()
    for each in told:
        if not watching.link.server_live:
            break
        assert each
    assert watching.link.lost_at is not None
    server.start()
    task.say(said("x"), finished())
    assert emitted(list(told)) == ["x"]
    assert [link.status for link in links if link.status == "connecting"]
    assert watching.link.status == "closed"
    journal.close()


def test_the_state_alone(journal: Journal, redis_url: str) -> None:
    producer(journal, "t")
    assert direct.get(redis_url, "t").status == "running"
    for odd in ("nope", "a/b", ""):
        with pytest.raises(Refused) as refused:
            direct.get(redis_url, odd)
        assert refused.value.status == 404


# -- all tasks ---------------------------------------------------------------------------------------


def test_all_events_of_all_tasks_are_told_and_states_follow(
    journal: Journal, redis_url: str, listen: Callable[..., Listener]
) -> None:
    before = producer(journal, "before")
    listener = listen(redis_url)
    assert listener.everything.states.keys() == {"before"}
    before.say(said("x", task="before"))
    producer(journal, "after").say(said("y", task="after"), finished(task="after"))
    wait_until(lambda: len(listener.told) == 4)
    assert sorted(emitted(listener.told)) == ["x", "y"]
    assert list(listener.everything.states) == ["before", "after"]  # heard of last comes last
    assert listener.everything.states["after"].status == "succeeded"


def test_what_was_not_heard_is_read(
    journal: Journal, client: redis.Redis, redis_url: str, listen: Callable[..., Listener]
) -> None:
    task = producer(journal, "t")
    listener = listen(redis_url)
    with silence():
        task.say(*[said(str(n)) for n in range(300)])
        task.settle()
    task.say(said("end"))
    wait_until(lambda: emitted(listener.told) == [*map(str, range(300)), "end"])


def test_what_was_said_while_the_link_was_down_is_read_tasks_that_began_included(
    journal: Journal, client: redis.Redis, redis_url: str, listen: Callable[..., Listener]
) -> None:
    task = producer(journal, "t")
    quiet = producer(journal, "quiet")
    assert quiet
    listener = listen(redis_url)
    with silence():
        task.say(said("x"))
        producer(journal, "new").say(said("y", task="new"))
    client.client_kill_filter(_type="pubsub")
    wait_until(lambda: sorted(emitted(listener.told)) == ["x", "y"])
    task.say(said("z"))
    wait_until(lambda: emitted(listener.told)[-1] == "z")
    assert len({(told.task, told.cursor) for told in listener.told}) == len(listener.told)


def test_a_loss_is_announced_and_the_true_state_follows(
    own_redis: Callable[..., RedisServer], listen: Callable[..., Listener]
) -> None:
    server = own_redis()
    journal = Journal(server.url, timeout=5)
    producer(journal, "t").say(said("x"))
    gone = producer(journal, "gone")
    assert gone
    listener = listen(server.url)
    server.kill()
    wait_until(lambda: not listener.everything.live, 20, "the loss")
    server.start()  # it comes back empty
    again = Producer(journal, execution("another", task="t"))
    again.say(started(task="t"), said("y"))
    wait_until(lambda: any(isinstance(told.event, Snapshot) for told in listener.told), 20)
    snapshot = next(told.event for told in listener.told if isinstance(told.event, Snapshot))
    assert snapshot.gap
    wait_until(lambda: listener.everything.states.keys() == {"t"})
    again.say(said("z"))
    wait_until(lambda: emitted(listener.told)[-1:] == ["z"])
    journal.close()


def test_a_task_that_was_not_found_at_first_is_told_from_its_next_event(
    journal: Journal, client: redis.Redis, redis_url: str, listen: Callable[..., Listener]
) -> None:
    listener = listen(redis_url)
    with silence():
        task = producer(journal, "t")
    task.say(said("x"), said("y"))
    wait_until(lambda: emitted(listener.told) == ["x", "y"])
    assert listener.everything.states["t"].status == "running"


def test_so_many_are_held_and_no_more(
    journal: Journal, redis_url: str, listen: Callable[..., Listener]
) -> None:
    listener = listen(redis_url, most=3)
    for n in range(10):
        producer(journal, f"t{n}")
    wait_until(lambda: len(listener.told) == 10)
    assert list(listener.everything.states) == ["t7", "t8", "t9"]


def test_a_redis_that_is_silent_is_asked_and_then_given_up(
    own_redis: Callable[..., RedisServer],
    monkeypatch: pytest.MonkeyPatch,
    listen: Callable[..., Listener],
) -> None:
    monkeypatch.setattr(direct, "PING_SECONDS", 0.3)
    monkeypatch.setattr(direct, "TIMEOUT", 0.5)
    server = own_redis()
    listener = listen(server.url)
    server.pause()
    wait_until(lambda: not listener.everything.live, 20, "the loss")
    server.resume()
    wait_until(lambda: listener.everything.live, 20, "the return")


def test_a_quiet_redis_is_not_given_up(
    client: redis.Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    listen: Callable[..., Listener],
) -> None:
    monkeypatch.setattr(direct, "PING_SECONDS", 0.5)
    listen(redis_url)
    before = [each["id"] for each in client.client_list(_type="pubsub")]
    time.sleep(1.5)  # a silence in which it is asked, and would be given up
    assert [each["id"] for each in client.client_list(_type="pubsub")] == before
