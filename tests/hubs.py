"""A hub's surroundings: the shortest thing that watches, a journal that counts, and ways to lose what is published."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from headway import journal as journals
from headway.events import Subject
from headway.feed import Feed
from headway.hub import Hub
from headway.journal import Journal, Reading
from headway.keys import key, seq_of
from headway.topics import Frame
from tests.processes import wait_until
from tests.producers import TASK, state

MakeHub = Callable[[Journal], Hub]
NEVER = 3600.0
LOUD = "if news then redis.call('PUBLISH', channel, news) end"


class Counting(Journal):
    """Counts what it is asked for; a test may make a read wait."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=5)
        self.reads: list[tuple[Subject, str | None]] = []
        self.follows = 0
        self.before_follow: Callable[[], object] = lambda: None
        self.after_read: Callable[[], object] = lambda: None

    def read(  # type: ignore[no-untyped-def]
        self, wanted, count=journals.READ_COUNT
    ) -> list[Reading]:
        self.reads += wanted
        readings = super().read(wanted, count)
        self.after_read()
        return readings

    def follow(self) -> Feed:
        self.before_follow()
        self.follows += 1
        return super().follow()


class Viewer:
    """Watches one subject, and fails the test when an id does not follow the last one.

    What it was given is `frames`; `gaps` counts the times its history was torn.
    """

    def __init__(self, hub: Hub, subject: Subject = TASK) -> None:
        self.hub = hub
        self.frames: list[Frame] = []
        self.gaps = 0
        self.cursor: str | None = None
        self.generation = 0
        self.topic = hub.attach(subject, self.wake)
        wait_until(self.topic.ready.is_set, what="the first reading")
        with hub.lock:
            self.wake()

    def wake(self) -> None:
        topic = self.topic
        if not topic.ready.is_set():
            return
        if self.cursor is None or self.generation != topic.generation:
            self.gaps += self.generation != topic.generation
            self.cursor, self.generation = topic.cursor, topic.generation
            return
        frames = topic.after(self.cursor)
        assert frames is not None, "it fell out of the ring"
        for frame in frames:
            assert seq_of(frame.id) == seq_of(self.cursor) + 1, "an id is missing"
            self.cursor = frame.id
            self.frames.append(frame)

    def sees(self, journal: Journal) -> bool:
        """Whether it is where the journal is, and its topic's state is the journal's."""
        (last,) = journal.lasts([self.topic.subject])
        if self.cursor != last:
            return False
        with self.hub.lock:
            return self.topic.state() == state(journal, self.topic.subject)

    def catches_up(self, journal: Journal, seconds: float = 5) -> None:
        wait_until(lambda: self.sees(journal), seconds, "the truth at the viewer")

    def leave(self) -> None:
        self.hub.detach(self.topic, self.wake)


@contextmanager
def silence() -> Iterator[None]:
    """What is written meanwhile is published to nobody."""
    lua = journals._LUA.replace(LOUD, "")
    assert lua != journals._LUA
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals, "_LUA", lua)
        patch.setattr(journals, "_SHA", hashlib.sha1(lua.encode()).hexdigest())
        yield


def cut(client: redis.Redis) -> None:
    client.client_kill_filter(_type="pubsub")


def subscribers(client: redis.Redis, subject: Subject = TASK) -> int:
    return int(client.pubsub_numsub(key(subject))[0][1])
