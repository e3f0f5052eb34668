"""One viewer: from a cursor to frames, then whatever comes, until it ends.

A stream holds no queue. For each subject it remembers where its viewer is and takes what follows from the hub's
ring; a viewer who fell out of the ring is served from the journal, or gets a snapshot that says what is missing.
Whoever drives it calls `due()` when the alarm rings or `seconds()` have passed: here that is a generator, one
thread or greenlet per viewer.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from msgspec import UNSET

from headway import sse
from headway.errors import JournalUnavailable
from headway.events import Ended, Gap, Link, Snapshot, Stalled, Subject, encode
from headway.hub import AHEAD_SECONDS, Hub
from headway.journal import CURSOR, READ_COUNT, Reading, seq_of
from headway.settings import WebSettings
from headway.topics import frame

UNKNOWN = ""  # a cursor that is none: the viewer was here, nobody can tell where
OPEN_SECONDS = 2.0  # a stream opens without its first snapshot if Redis takes longer
RETRY_MS = (
    1000,
    3000,
)  # when to come back; drawn for each stream, so that a crowd does not return at once
TRY_AGAIN = 0.5  # seconds until a seat that Redis could not serve asks again
RETRY_AHEAD = 0.25  # seconds between looks for events that Redis has lost and may get again


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
        self.resumed = False  # and they were exactly what it had missed
        self.greeted = False  # it has been told the flags no snapshot told it
        self.over = False
        self._generation = 0
        self._stir = stir
        self.topic = hub.attach(subject, self.wake)

    def wake(self) -> None:
        self._stir(self)

    def take(self) -> list[bytes]:
        """What is due, from memory; the hub's lock is held. Nothing while it must be read first: see `behind`."""
        topic = self.topic
        if self.over or not topic.ready.is_set():
            return []
        if self.placed and self._generation != topic.generation:
            return [self._snapshot(topic.gap)]
        if self.cursor is None:
            return [self._snapshot(None)]
        if self.behind():
            return []
        frames = topic.after(seq_of(self.cursor))
        self._place(topic.cursor or "0", resumed=True)
        self.over = topic.ended()
        return [each.data for each in frames]

    def behind(self) -> bool:
        """Whether what follows the cursor is not held in memory."""
        topic, cursor = self.topic, self.cursor
        if not topic.ready.is_set() or self.over or cursor is None:
            return False
        if self.placed and self._generation != topic.generation:
            return False
        return not topic.holds(cursor)

    def catch_up(self, hub: Hub) -> list[bytes]:
        """What follows the cursor, from the journal: waits for Redis."""
        cursor = self.cursor or "0"
        reading = self._read(hub, cursor)
        with hub.lock:
            if cursor == "0" and reading.past == "trimmed":
                gap = Gap(reason="trimmed", first=1, last=reading.first - 1)
                return [self._snapshot(gap, identified=False), *self._replayed(reading)]
            if reading.past == "same" and (reading.entries or reading.last == cursor):
                return self._replayed(reading)
            return [self._snapshot(self._gap(reading))]

    def _read(self, hub: Hub, cursor: str) -> Reading:
        if cursor == UNKNOWN:
            return Reading("fork", "0", {}, [], 0)
        deadline = time.monotonic() + AHEAD_SECONDS
        while True:
            reading = hub.replay(self.topic.subject, cursor)
            if reading.past != "ahead" or time.monotonic() > deadline:
                return reading
            time.sleep(RETRY_AHEAD)

    def _replayed(self, reading: Reading) -> list[bytes]:
        frames = [
            frame(self.topic.subject, id, payload) for id, payload in reading.entries[:READ_COUNT]
        ]
        if frames:
            self._place(frames[-1].id, resumed=True)
            self.over = frames[-1].ends
        return [each.data for each in frames]

    def _gap(self, reading: Reading) -> Gap:
        if self.cursor == UNKNOWN:
            return Gap(reason="unknown")
        first = seq_of(self.cursor or "") + 1
        if reading.past == "trimmed":
            return Gap(
                reason="trimmed", first=first, last=reading.first - 1 if reading.first else None
            )
        return Gap(reason="fork")

    def _snapshot(self, gap: Gap | None, *, identified: bool = True) -> bytes:
        """The whole state, from which the viewer goes on. Without an id it leaves the viewer's cursor alone."""
        topic = self.topic
        snapshot = Snapshot(
            task=topic.subject.id, at=time.time(), state=topic.state(), gap=gap or UNSET
        )
        self._place(topic.cursor or "0", resumed=False)
        self.over = topic.gone or topic.ended()
        exists = topic.cursor != "0" and identified
        return sse.frame(
            encode(snapshot), id=f"{topic.subject.id}/{topic.cursor}" if exists else None
        )

    def _place(self, cursor: str, *, resumed: bool) -> None:
        if not self.placed:
            self.resumed = resumed
        self.placed = True
        self.cursor = cursor
        self._generation = self.topic.generation


class Stream:
    """What one viewer is sent. `stir` may be called from any thread; the rest belongs to its driver."""

    def __init__(
        self,
        hub: Hub,
        wanted: Mapping[Subject, str | None],
        settings: WebSettings,
        *,
        many: bool = False,
    ) -> None:
        self.over = False
        self.writing_since: float | None = (
            None  # the viewer has not taken yet what was written then
        )
        self._hub = hub
        self._settings = settings
        self._many = many
        self._alarm = threading.Event()
        self._stirred: set[Seat] = set()
        self._link: bool | None = None
        now = time.monotonic()
        self._ends_at = now + settings.lifetime * random.uniform(0.9, 1.1)
        self._moved_at = self._wrote_at = now
        self._try_again_at: float | None = None
        self._seats = [Seat(hub, subject, cursor, self.stir) for subject, cursor in wanted.items()]
        self._stirred.update(self._seats)

    def open(self, seconds: float = OPEN_SECONDS) -> None:
        """Wait until every subject has been read; a Redis that does not answer is not waited for long."""
        deadline = time.monotonic() + seconds
        for seat in self._seats:
            if not seat.topic.ready.wait(max(0.0, deadline - time.monotonic())):
                return

    def finished_before(self, said: str | None) -> bool:
        """Whether the viewer has had the end of everything already, and need not come back."""
        with self._hub.lock:
            if not all(seat.topic.ready.is_set() and seat.topic.ended() for seat in self._seats):
                return False
            return (
                said == self._digest()
                if self._many
                else self._seats[0].cursor == self._seats[0].topic.cursor
            )

    def stir(self, seat: Seat) -> None:
        """There is news for this seat."""
        self._stirred.add(seat)
        self._alarm.set()

    def __iter__(self) -> Iterator[bytes]:
        """One viewer per thread or greenlet: waits between frames. Ends when the stream is over."""
        yield sse.opening(random.randint(*RETRY_MS), self._settings.heartbeat)
        while not self.over:
            self._alarm.clear()
            if data := self.due():
                self.writing_since = time.monotonic()
                yield data
                self.writing_since = None
            if not self.over:
                self._alarm.wait(self.seconds())

    def due(self) -> bytes:
        """Everything that is to be written now. Waits for Redis only if a seat is behind what memory holds."""
        parts, behind = self._taken()
        for seat in behind:
            parts += self._caught_up(seat)
        parts += self._flags()
        now = time.monotonic()
        if parts:
            self._moved_at = self._wrote_at = now
        if all(seat.over for seat in self._seats):
            self.over = True
            parts.append(self._end())
        elif now >= self._ends_at or now - self._moved_at >= self._settings.idle:
            self.over = True
            parts.append(sse.closing(random.randint(*RETRY_MS)))
        elif now - self._wrote_at >= self._settings.heartbeat:
            self._wrote_at = now
            parts.append(sse.HEARTBEAT)
        return b"".join(parts)

    def seconds(self) -> float:
        """How long `due` need not be called if the alarm is silent."""
        settings = self._settings
        times = [self._wrote_at + settings.heartbeat, self._moved_at + settings.idle, self._ends_at]
        if self._try_again_at:
            times.append(self._try_again_at)
        return max(0.0, min(times) - time.monotonic())

    def leave(self) -> None:
        """The viewer has gone."""
        self.over = True
        self._alarm.set()

    def close(self) -> None:
        """Free everything. Closing twice is harmless."""
        self.over = True
        for seat in self._seats:
            self._hub.detach(seat.topic, seat.wake)

    def _taken(self) -> tuple[list[bytes], list[Seat]]:
        if self._try_again_at and time.monotonic() >= self._try_again_at:
            self._try_again_at = None
            self._stirred.update(self._seats)
        parts: list[bytes] = []
        with self._hub.lock:
            stirred, self._stirred = self._stirred, set()
            for seat in stirred:
                parts += self._greeted(seat, seat.take())
            return parts, [seat for seat in stirred if seat.behind()]

    def _caught_up(self, seat: Seat) -> list[bytes]:
        try:
            frames = seat.catch_up(self._hub)
            self.stir(seat)  # there may be more
            return self._greeted(seat, frames)
        except JournalUnavailable:
            self._try_again_at = time.monotonic() + TRY_AGAIN
            return []

    def _greeted(self, seat: Seat, frames: list[bytes]) -> list[bytes]:
        """A viewer who goes on where it was has no snapshot to tell it whether its task is stalled."""
        if seat.resumed and not seat.greeted:
            seat.greeted = True
            stalled = Stalled(
                task=seat.topic.subject.id, at=time.time(), stalled=seat.topic.state().stalled
            )
            frames = [*frames, sse.frame(encode(stalled))]
        return frames

    def _flags(self) -> list[bytes]:
        link = self._hub.link
        if link == self._link:
            return []
        self._link = link
        return [sse.frame(encode(Link(at=time.time(), live=link)))]

    def _end(self) -> bytes:
        with self._hub.lock:
            if not all(seat.topic.ended() for seat in self._seats):
                return sse.closing(random.randint(*RETRY_MS))
            if not self._many:
                return b""
            return sse.frame(
                encode(Ended(at=time.time(), tasks=len(self._seats))), id=self._digest()
            )

    def _digest(self) -> str:
        ends = sorted(f"{seat.topic.subject.id}/{seat.topic.cursor}" for seat in self._seats)
        return "*/" + hashlib.sha1(" ".join(ends).encode()).hexdigest()[:16]
