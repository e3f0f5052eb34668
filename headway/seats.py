"""Where one viewer of one subject is, and what it gets next.

A seat holds no queue, only a cursor: it takes what follows from the hub's ring. A viewer who fell out of the ring
is served from the journal; one whose cursor is in nobody's history gets a snapshot that says so.
"""

import time
from collections.abc import Callable
from functools import partial

from msgspec import UNSET
from msgspec.structs import replace

from headway import sse
from headway.events import Gap, Position, Snapshot, Stalled, Subject, encode
from headway.hub import AHEAD_SECONDS, Hub
from headway.journal import READ_COUNT, Reading
from headway.keys import CURSOR, seq_of
from headway.topics import Frame, frame

STALE = 20  # frames: who lags by more is better served with a snapshot, if all is in there
AT_ONCE = 65536  # bytes of frames given at once, or one frame: a viewer may not read them
UNKNOWN = ""  # a cursor that is none: the viewer was here, nobody can tell where


def cursor_of(said: str | None, subject: Subject) -> str | None:
    """The cursor for this subject in what a client says; UNKNOWN for anything else, None if it says nothing.

    `<subject>/<cursor>` is what streams send as `id:`; a bare cursor is taken too, and 0 for the beginning.
    """
    if not said:
        return None
    cursor = said.removeprefix(f"{subject.id}/")
    return cursor if cursor == "0" or CURSOR.fullmatch(cursor) else UNKNOWN


class Seat:
    """Where the viewer of one subject is."""

    def __init__(
        self, hub: Hub, subject: Subject, cursor: str | None, stir: Callable[["Seat"], None]
    ) -> None:
        self.cursor = cursor
        self.placed = False  # it has had its first frames
        self._stalled: object = UNSET  # what it was told last
        self._position: int | None = None
        self.over = False
        self.lags = False  # its viewer was slow, and needs no ticks that newer ones have overtaken
        self.waits_until: float | None = None  # its cursor is ahead of the log
        self._generation = 0
        self.wake = partial(stir, self)  # there is news for it
        self.topic = hub.attach(subject, self.wake)

    def take(self) -> list[bytes] | None:
        """What is due, from memory; the hub's lock is held. None if it must be read first: see `catch_up`."""
        topic = self.topic
        if self.over or topic.cursor is None:
            return []
        if self.placed and self._generation != topic.generation:
            return [self._snapshot(self._torn(topic.gap))]
        if self.cursor is None:
            return [self._snapshot(None)]
        frames = topic.after(self.cursor)
        if frames is None:
            return None
        if self.lags and len(frames) > STALE and not any(f.emitted or f.ends for f in frames):
            return [self._snapshot(None)]
        self.lags = False
        frames = _first(frames)
        if frames and frames[-1].id != topic.cursor:
            self._place(frames[-1].id)
            self.wake()
            return [each.data for each in frames]
        self._place(topic.cursor)
        self.over = topic.ended()
        return [each.data for each in frames] + self._flags()

    def _flags(self) -> list[bytes]:
        """What the server itself knows of its task and no event says, as far as it is news."""
        topic = self.topic
        if self._stalled == topic.stalled and self._position == topic.position:
            return []
        task, now = topic.subject.id, time.time()
        flags: list[Stalled | Position] = []
        if not self.over and self._stalled != topic.stalled:
            stalled, reason = topic.stalled is not None, topic.stalled
            flags.append(Stalled(task=task, at=now, stalled=stalled, reason=reason))
        if topic.phase == "waiting" and self._position != topic.position:
            flags.append(Position(task=task, at=now, position=topic.position))
        self._stalled, self._position = topic.stalled, topic.position
        return [sse.frame(encode(flag)) for flag in flags]

    def catch_up(self, hub: Hub) -> list[bytes]:
        """What follows the cursor, from the journal: one read. Nothing while `waits_until` lies ahead."""
        cursor = UNKNOWN if self.cursor is None else self.cursor
        nowhere = Reading("fork", "0", {}, [], 0)
        reading = nowhere if cursor == UNKNOWN else hub.replay(self.topic.subject, cursor)
        if reading.past != "ahead":
            self.waits_until = None  # a later loss is given as much time again
        elif time.monotonic() < self._ahead_until():
            return []
        with hub.lock:
            if cursor == "0" and reading.past == "trimmed":
                snapshot = self._snapshot(self._gap(reading), identified=False)
                return [snapshot, *self._replayed(reading)]
            if reading.past == "same" and (reading.entries or reading.last == cursor):
                return self._replayed(reading)
            if seq_of(reading.last) > seq_of(self.topic.cursor or ""):
                hub.look_again(self.topic)  # its snapshot may be older than what the viewer has
                return []
            return [self._snapshot(self._gap(reading))]

    def _ahead_until(self) -> float:
        """Until when what Redis has lost may come back. Its producer sending it again wakes the seat."""
        self.waits_until = self.waits_until or time.monotonic() + AHEAD_SECONDS
        return self.waits_until

    def _replayed(self, reading: Reading) -> list[bytes]:
        frames = [
            frame(self.topic.subject, id, payload) for id, payload in reading.entries[:READ_COUNT]
        ]
        if frames:
            self._place(frames[-1].id)
            self.over = frames[-1].ends
        return [each.data for each in frames]

    def _torn(self, gap: Gap | None) -> Gap | None:
        """The topic's gap as it is for this viewer, who may have been further behind."""
        return replace(gap, first=seq_of(self.cursor or "") + 1) if gap and gap.first else gap

    def _gap(self, reading: Reading) -> Gap:
        if self.cursor == UNKNOWN:
            return Gap(reason="unknown")
        if reading.past == "trimmed":
            # Up to where it is told on from: what the log still holds, or the snapshot.
            last = reading.first - 1 if self.cursor == "0" else seq_of(self.topic.cursor or "")
            return Gap(
                reason="trimmed",
                first=seq_of(self.cursor or "") + 1,
                last=last if reading.first else None,
            )
        return Gap(reason="fork")

    def _snapshot(self, gap: Gap | None, *, identified: bool = True) -> bytes:
        """The whole state, from which the viewer goes on. Without an id it leaves the viewer's cursor alone."""
        topic = self.topic
        self._stalled, self._position = topic.stalled, topic.position
        stalled = topic.stalled is not None
        state = replace(topic.state(), stalled=stalled, position=topic.position)
        snapshot = Snapshot(task=topic.subject.id, at=time.time(), state=state, gap=gap or UNSET)
        self._place(topic.cursor or "0")
        self.lags = False
        self.over = topic.gone or topic.ended()
        exists = topic.cursor != "0" and identified
        return sse.frame(
            encode(snapshot), id=f"{topic.subject.id}/{topic.cursor}" if exists else None
        )

    def _place(self, cursor: str) -> None:
        self.placed = True
        self.waits_until = None
        self.cursor = cursor
        self._generation = self.topic.generation

    def beside(self, other: "Seat") -> bool:
        """Whether the viewers of both, of one topic, have been told the same."""
        return self._told() == other._told()

    def sit_beside(self, other: "Seat") -> None:
        """Go on from where another seat of the same topic is."""
        self.placed, self.over = other.placed, other.over
        self.cursor, self._generation, self._stalled, self._position = other._told()

    def _told(self) -> tuple[str | None, int, object, int | None]:
        return self.cursor, self._generation, self._stalled, self._position


def _first(frames: list[Frame]) -> list[Frame]:
    """As many as may be given at once."""
    size = 0
    for count, each in enumerate(frames):
        size += len(each.data)
        if count and size > AT_ONCE:
            return frames[:count]
    return frames
