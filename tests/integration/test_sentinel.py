"""A journal behind Sentinel: the primary dies, and what it alone had comes back from its producer, or is announced."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from headway import publisher
from headway.events import Event
from headway.hub import Hub
from headway.journal import Journal
from headway.publisher import Publisher
from tests.hubs import Viewer
from tests.processes import HOST, RedisSentinel, RedisServer, wait_until
from tests.producers import execution, finished, log, said, started, state

FAILOVER = 20  # seconds; it takes about three


class Guarded(NamedTuple):
    primary: RedisServer
    replica: RedisServer
    sentinel: RedisSentinel

    def journal(self) -> Journal:
        return Journal(self.sentinel.url, timeout=1)

    def cut_off(self) -> None:
        """From now on the replica gets nothing of what the primary takes."""
        self.replica.cli("REPLICAOF", HOST, 1)

    def fail_over(self) -> Journal:
        """Returns the journal as the new primary has it."""
        self.primary.kill()
        wait_until(lambda: "+switch-master" in self.sentinel.log, FAILOVER, "the new primary")
        return Journal(self.replica.url, timeout=5)


class Task:
    """One execution and its publisher."""

    def __init__(self, guarded: Guarded) -> None:
        self.published = Publisher(guarded.journal())
        self.source = execution("n")

    def report(self, *events: Event) -> None:
        for event in events:
            self.published(event=event, source=self.source)

    def is_heard(self, *events: Event) -> None:
        self.report(*events)
        assert self.published.flush(10)


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with RedisServer() as primary, RedisServer() as replica:
        replica.cli("REPLICAOF", HOST, primary.port)
        wait_until(lambda: replica.cli("ROLE")[3] == "connected", FAILOVER, "the copy")
        with RedisSentinel(primary) as sentinel:
            yield Guarded(primary, replica, sentinel)


@pytest.fixture
def task(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 0.5)
    task = Task(guarded)
    task.is_heard(started(), said("both have this"))
    copied = "headway:t:{t}:log"
    wait_until(lambda: guarded.replica.cli("XLEN", copied) == 2, what="the copy")
    guarded.cut_off()
    return task


def test_what_a_failover_lost_comes_back_with_the_same_ids(guarded: Guarded, task: Task) -> None:
    viewer, journal = Viewer(Hub(guarded.journal())), guarded.journal()
    task.is_heard(said("one has this"), said("and this"))
    seen = log(journal)
    wait_until(lambda: viewer.cursor == seen[-1][0], what="all of it at the viewer")
    saved = guarded.fail_over()
    wait_until(lambda: log(saved) == seen, FAILOVER, "all of it in the log")
    task.is_heard(said("and now this"), finished())
    viewer.catches_up(saved, FAILOVER)
    assert (viewer.gaps, len(viewer.frames)) == (0, 4)


def test_an_end_that_a_failover_lost_is_said_again(guarded: Guarded, task: Task) -> None:
    task.is_heard(finished())
    task.published.flusher.end(task.source)
    saved = guarded.fail_over()
    wait_until(lambda: state(saved).status == "succeeded", FAILOVER, "the end again")


def test_what_is_lost_with_its_producer_is_announced(guarded: Guarded, task: Task) -> None:
    viewer = Viewer(Hub(guarded.journal()))
    task.is_heard(said("one has this"))
    wait_until(lambda: len(viewer.frames) == 1, what="it at the viewer")
    task.published.flusher._journal.close()
    task.published.flusher._outboxes.clear()  # its process has died
    viewer.catches_up(guarded.fail_over(), FAILOVER)
    assert viewer.gaps == 1
