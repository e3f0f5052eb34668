"""Where a task stands among those that wait."""

import redis

from headway import events, queues
from headway.events import Subject
from headway.journal import OVERTAKEN_SECONDS, Journal, Retention
from headway.keys import line_of
from tests.hubs import MakeHub, Viewer
from tests.processes import wait_until
from tests.producers import Producer, execution, finished, queued, started, supervisor


def send(journal: Journal, task: str, at: float, queue: str | None = "docs") -> None:
    sender = Producer(journal, events.Sender(task=task, queue=queue))
    assert sender.say(queued(at, task=task)) == ["OK"]


def begin(journal: Journal, task: str, at: float, queue: str = "docs") -> Producer:
    producer = Producer(journal, execution(task, task=task, queue=queue))
    producer.say(started(at + 1, task=task, queued_at=at))
    return producer


def places(journal: Journal, *tasks: str) -> list[int | None]:
    found = queues.queues(journal, tasks)
    return queues.positions(journal, list(zip(tasks, found, strict=True)))


def test_it_stands_where_it_was_sent_and_moves_up_as_others_begin(journal: Journal) -> None:
    for at, task in enumerate("abc", 1000):
        send(journal, task, at)
    send(journal, "x", 1000, "videos")
    assert places(journal, "a", "b", "c", "x") == [1, 2, 3, 1]
    begin(journal, "a", 1000)
    assert places(journal, "a", "b", "c", "x") == [None, 1, 2, 1]


def test_a_line_that_nobody_joins_any_more_is_forgotten(
    journal: Journal, client: redis.Redis
) -> None:
    send(journal, "a", 1000)
    assert 0 < client.ttl(line_of("docs")) <= Retention().queued


def test_what_ends_without_having_begun_makes_room(journal: Journal) -> None:
    send(journal, "a", 1000)
    send(journal, "b", 1001)
    Producer(journal, supervisor(task="a", queue="docs")).say(finished(task="a", status="expired"))
    assert places(journal, "b") == [1]


def test_what_is_not_told_a_queue_stands_nowhere(journal: Journal) -> None:
    send(journal, "a", 1000, None)
    assert places(journal, "a", "unknown") == [None, None]


def test_what_was_purged_does_not_stand_before_others_for_ever(
    journal: Journal, client: redis.Redis
) -> None:
    send(journal, "purged", 1000)
    later = 1001 + OVERTAKEN_SECONDS
    send(journal, "a", later)
    send(journal, "b", later + 1)
    assert places(journal, "b") == [3]
    begin(journal, "a", later)
    assert places(journal, "purged", "b") == [None, 1]
    begin(journal, "b", later + 1)
    assert not client.exists(line_of("docs"))


def test_a_hub_tells_those_who_wait(journal: Journal, make_hub: MakeHub) -> None:
    send(journal, "a", 1000)
    send(journal, "b", 1001)
    hub = make_hub(journal)
    viewer = Viewer(hub, Subject("task", "b"))
    wait_until(lambda: viewer.topic.position == 2, what="its place")
    state = hub.state(Subject("task", "b"))
    assert state is not None
    assert state.position == 2
    begin(journal, "a", 1000)
    wait_until(lambda: viewer.topic.position == 1, what="its new place")
    begin(journal, "b", 1001)
    wait_until(lambda: viewer.topic.position is None, what="its beginning")


def test_a_flushed_redis_is_survived(
    journal: Journal, client: redis.Redis, make_hub: MakeHub
) -> None:
    send(journal, "a", 1000)
    viewer = Viewer(make_hub(journal), Subject("task", "a"))
    wait_until(lambda: viewer.topic.position == 1, what="its place")
    client.delete(line_of("docs"))
    wait_until(lambda: viewer.topic.position is None, what="nothing to be told")
