"""Designs that Headway rejects. Each is the real one with one thing left out, and breaks a promise for it."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from headway import journal as journals
from headway.events import Subject
from headway.feed import Acknowledged, Feed, Message
from headway.hub import Hub
from headway.journal import READ_COUNT, Reading
from headway.keys import seq_of
from headway.topics import Topic
from tests.hubs import Counting


class Unaudited(Hub):
    """Nothing is looked at that was not announced."""

    def _audit(self) -> None:
        pass


class Blind(Hub):
    """Whatever is published is passed on as it comes."""

    def _hear(self, message: Message | Acknowledged) -> None:
        topic = self._topics.get(message.subject)
        if topic is not None and topic.live and isinstance(message, Message):
            topic.append(message.id, message.payload)
            self._wake(topic)
        else:
            super()._hear(message)

    def _take_heard(self, topic: Topic) -> None:
        heard, topic.heard = topic.heard, []
        for message in heard:
            topic.append(message.id, message.payload)


class ReadsFirst(Unaudited):
    """A subject is read as soon as its subscription is sent, not when it is acknowledged."""

    def attach(self, subject: Subject, wake):  # type: ignore[no-untyped-def]
        topic = super().attach(subject, wake)
        if not topic.live:
            topic.acknowledged = True
            self._refill(topic)
        return topic

    def _hear(self, message: Message | Acknowledged) -> None:
        if isinstance(message, Message):
            super()._hear(message)


class Counts(Hub):
    """A message follows if its number does."""

    def _hear(self, message: Message | Acknowledged) -> None:
        topic = self._topics.get(message.subject)
        if topic is not None and isinstance(message, Message):
            (message,) = _counted(topic.cursor, [message])
        super()._hear(message)

    def _take_heard(self, topic: Topic) -> None:
        topic.heard = _counted(topic.cursor, topic.heard)
        super()._take_heard(topic)


def _counted(cursor: str | None, messages: list[Message]) -> list[Message]:
    counted: list[Message] = []
    for message in messages:
        if seq_of(message.id) == seq_of(cursor or "") + 1:
            counted.append(replace(message, previous=cursor or "0"))
            cursor = message.id
        else:
            counted.append(message)
    return counted


class Deaf(Unaudited):
    """After a reconnect it subscribes again and goes on, as redis-py does by itself."""

    def _connected(self, feed: Feed) -> None:
        with self.lock:
            self._feed = feed
            feed.subscribe(list(self._topics))

    def _hear(self, message: Message | Acknowledged) -> None:
        topic = self._topics.get(message.subject)
        if not (topic and topic.live and isinstance(message, Acknowledged)):
            super()._hear(message)


class Trusting(Counting):
    """A cursor is believed for its number: an epoch that a replica shares would say no more."""

    def read(  # type: ignore[no-untyped-def]
        self, wanted, count=READ_COUNT
    ) -> list[Reading]:
        all_held = [(subject, cursor and "0") for subject, cursor in wanted]
        readings = super().read(all_held, count)
        return [
            _trusted(reading, cursor) for reading, (_, cursor) in zip(readings, wanted, strict=True)
        ]


def _trusted(reading: Reading, cursor: str | None) -> Reading:
    if cursor in (None, "0") or reading.past == "gone":
        return reading
    seq = seq_of(cursor or "")
    if seq > seq_of(reading.last):
        return reading._replace(past="ahead", entries=[])
    following = [entry for entry in reading.entries if seq_of(entry[0]) > seq]
    return reading._replace(past="same", entries=following)


BY_ARRIVAL = {
    "if older then return {'FENCED'} end": "",
    "if held.nonce ~= A[1] then return {'BEGIN'} end": (
        "if held.nonce ~= A[1] then return {held.nonce and 'FENCED' or 'BEGIN'} end"
    ),
}


class Design(NamedTuple):
    """`schedule` is the shortest that shows what is wrong: after it the execution ends, all that is on its way
    arrives, and fifteen seconds pass.
    """

    name: str
    breaks: str
    schedule: str
    kinds: frozenset[str]  # of violations, then
    hub: type[Hub] = Hub
    journal: type[Counting] = Counting
    script: Mapping[str, str] = {}  # what stands there, and what takes its place


REJECTED = [
    Design(
        "nothing is audited",
        "the last message is lost without a sound, and nobody ever looks",
        "open reach hear read end drop",
        frozenset({"not converged"}),
        hub=Unaudited,
    ),
    Design(
        "published messages are passed on blindly",
        "a message is lost, and the next one passed on as if nothing were missing",
        "open reach hear read integrate take write drop",
        frozenset({"lost", "undetected"}),
        hub=Blind,
    ),
    Design(
        "read before the subscription is acknowledged",
        "what is said between the read and the subscription is in neither",
        "open read",
        frozenset({"not converged"}),
        hub=ReadsFirst,
    ),
    Design(
        "the next number follows",
        "after a failover the numbers are used again: another history, and it fits",
        "open reach hear read write hear fail rival drop",
        frozenset({"undetected"}),
        hub=Counts,
    ),
    Design(
        "attempts are numbered as they arrive",
        "an old execution cut off from Redis comes last, and the one that runs is fenced",
        "late",
        frozenset({"not converged"}),
        script=BY_ARRIVAL,
    ),
    Design(
        "a cursor is believed for its number",
        "after a failover it is a place in another history",
        "open reach hear read write fail rival",
        frozenset({"undetected"}),
        journal=Trusting,
    ),
    Design(
        "a reconnect goes on where it was",
        "what was said meanwhile is in no message",
        "open reach hear read integrate cut",
        frozenset({"not converged"}),
        hub=Deaf,
    ),
]
HEADWAY = Design("headway", "", "", frozenset())


@contextmanager
def scripted(design: Design) -> Iterator[None]:
    """Journals are written by the design's script meanwhile."""
    lua = journals._LUA
    for old, new in design.script.items():
        assert old in lua
        lua = lua.replace(old, new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals, "_LUA", lua)
        patch.setattr(journals, "_SHA", hashlib.sha1(lua.encode()).hexdigest())
        yield
