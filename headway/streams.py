"""One viewer's stream: opening, frames, heartbeats, and when it ends.

Whoever drives it calls `due()` when the alarm rings or `seconds()` have passed: here that is a generator, one
thread or greenlet per viewer.
"""

import hashlib
import random
import threading
import time
from collections.abc import Iterator, Mapping

from headway import sse
from headway.errors import JournalUnavailable
from headway.events import Ended, Link, Subject, encode
from headway.hub import Hub
from headway.seats import Seat
from headway.settings import WebSettings

OPEN_SECONDS = 1.0  # a stream opens without its first snapshot if Redis takes longer
RETRY_MS = (
    1000,
    3000,
)  # when to come back; drawn for each stream, so that a crowd does not return at once
TRY_AGAIN = 0.5  # seconds until a seat that Redis could not serve asks again


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
        self._stirred: dict[Seat, None] = {}  # in order, each once
        self._link: bool | None = None
        now = time.monotonic()
        self._ends_at = now + settings.lifetime * random.uniform(0.9, 1.1)
        self._moved_at = self._wrote_at = now
        self._try_again_at: float | None = None
        self._seats = [Seat(hub, subject, cursor, self.stir) for subject, cursor in wanted.items()]
        self._stirred = dict.fromkeys(self._seats)
        self._left = set(self._seats)  # whose subjects have not ended

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
        self._stirred[seat] = None
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
        if self._left:
            parts += self._flags()
        now = time.monotonic()
        if parts:
            self._moved_at = self._wrote_at = now
        if not self._left:
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
            self._stirred |= dict.fromkeys(self._seats)
        parts: list[bytes] = []
        with self._hub.lock:
            stirred, self._stirred = self._stirred, {}
            for seat in stirred:
                parts += seat.take()
                self._note_end(seat)
            return parts, [seat for seat in stirred if seat.behind()]

    def _caught_up(self, seat: Seat) -> list[bytes]:
        try:
            frames = seat.catch_up(self._hub)
        except JournalUnavailable:
            self._try_again(time.monotonic() + TRY_AGAIN)
            return []
        if frames:
            self.stir(seat)  # there may be more
        else:  # not yet: the hub wakes the seat when it hears of more, or time tells
            self._try_again(seat.waits_until or time.monotonic() + TRY_AGAIN)
        self._note_end(seat)
        return frames

    def _try_again(self, at: float) -> None:
        self._try_again_at = min(at, self._try_again_at or at)

    def _note_end(self, seat: Seat) -> None:
        if seat.over:
            self._left.discard(seat)

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
