"""What viewers in one place are sent: opening, frames, heartbeats, and when it ends.

Whoever drives a stream calls `due()` when it was woken, and when it is `due_at()`. Here that is a generator, one
thread or greenlet per viewer, for any server; in `writer.py` one writer drives them all.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from headway import sse
from headway.errors import JournalUnavailable
from headway.events import Ended, Link, Subject, encode
from headway.hub import Hub
from headway.seats import Seat
from headway.settings import WebSettings
from headway.topics import Topic

OPEN_SECONDS = 1.0  # a stream opens without its first snapshot if Redis takes longer
# When to come back; drawn for each stream, so that a crowd does not return at once.
RETRY_MS = (1000, 3000)
TRY_AGAIN = 0.5  # seconds until a seat that Redis could not serve asks again


class Stay(NamedTuple):
    """How long a viewer is kept: when it came, and when it is to come back at the latest."""

    since: float
    until: float


def _nobody() -> None:
    """Nobody drives it yet."""


class Stream:
    """What its viewers are sent. `stir` may be called from any thread; the rest belongs to its driver."""

    __slots__ = (
        "_hub",
        "_left",
        "_link",
        "_many",
        "_moved_at",
        "_read",
        "_seats",
        "_stirred",
        "_try_again_at",
        "_wrote_at",
        "behind",
        "expired",
        "over",
        "sent",
        "settings",
        "wake",
        "writing_since",
    )

    def __init__(
        self,
        hub: Hub,
        wanted: Mapping[Subject, str | None],
        settings: WebSettings,
        *,
        many: bool = False,
    ) -> None:
        self.over = self.expired = False
        self.sent = 0  # bytes, by the generator
        self.settings = settings
        self.wake: Callable[[], object] = _nobody  # its driver's, called when there is news
        # The viewer has not taken yet what was written then.
        self.writing_since: float | None = None
        self.behind: dict[Seat, None] = {}  # what follows them must be read: see `catch_up`
        self._hub = hub
        self._many = many
        self._link: bool | None = None
        self._moved_at = self._wrote_at = time.monotonic()
        self._try_again_at: float | None = None
        self._read: list[bytes] = []  # and not yet due
        self._stirred: dict[Seat, None] = {}  # in order, each once
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
        self.wake()

    def __iter__(self) -> Iterator[bytes]:
        """One viewer per thread or greenlet: waits between frames. Ends when the stream is over."""
        alarm = threading.Event()
        self.wake = alarm.set
        stay = self.stay()
        opening = self.opening()
        self.sent += len(opening)
        yield opening
        while not self.over:
            alarm.clear()
            self.catch_up()
            data = self.due()
            if not self.over and (self.expired or time.monotonic() >= self.leaves_at(stay)):
                self.over = True
                data += sse.closing(random.randint(*RETRY_MS))
            if data:
                self.writing_since = time.monotonic()
                self.sent += len(data)
                yield data
                self.writing_since = None
            if not self.over and not self.behind:
                alarm.wait(min(self.due_at(), self.leaves_at(stay)) - time.monotonic())

    def opening(self) -> bytes:
        """Before anything that is due."""
        return sse.opening(random.randint(*RETRY_MS), self.settings.heartbeat)

    def stay(self) -> Stay:
        """That of a viewer who comes now."""
        now = time.monotonic()
        return Stay(now, now + self.settings.lifetime * random.uniform(0.9, 1.1))

    def leaves_at(self, stay: Stay) -> float:
        """When a viewer is to come back who has been here for too long, or for too long without an event."""
        return min(stay.until, max(stay.since, self._moved_at) + self.settings.idle)

    def due(self) -> bytes:
        """Everything that is to be written now, as far as it is in memory. The rest is for `catch_up` to read."""
        parts = self._taken()
        if self._left:
            parts += self._flags()
        now = time.monotonic()
        if parts:
            self._moved_at = self._wrote_at = now
        if not self._left:
            self.over = True
            parts.append(self._end())
        elif now - self._wrote_at >= self.settings.heartbeat:
            self._wrote_at = now
            parts.append(sse.HEARTBEAT)
        return b"".join(parts)

    def catch_up(self) -> None:
        """Read, with one read each, what follows the seats that are behind. Waits for Redis."""
        behind, self.behind = self.behind, {}
        for seat in behind:
            self._read += self._caught_up(seat)

    def due_at(self) -> float:
        """When `due` is to be called if nobody wakes its driver before."""
        at = self._wrote_at + self.settings.heartbeat
        return min(at, self._try_again_at or at)

    @property
    def topic(self) -> Topic:
        """That of its first subject."""
        return self._seats[0].topic

    def place(self) -> Topic | None:
        """The one topic it is at the head of, for others who are there to be told the rest together with it.

        None if it is not: it watches many, is behind, or is over.
        """
        restless = self._stirred or self.behind or self._read or self._try_again_at
        settled = not (self._many or self.over or restless) and self._seats[0].placed
        return self.topic if settled else None

    def beside(self, other: "Stream") -> bool:
        """Whether the viewers of both, which are each in a `place`, have been told the same."""
        return self._link == other._link and self._seats[0].beside(other._seats[0])

    def lag(self) -> None:
        """Its viewer takes no more at the moment. What it can do without will not be kept for it."""
        for seat in self._seats:
            seat.lags = True

    def twin(self) -> "Stream":
        """Another that goes on from where this one is; it must have a `place`, or be over."""
        seat = self._seats[0]
        twin = Stream(self._hub, {seat.topic.subject: seat.cursor}, self.settings)
        twin._seats[0].sit_beside(seat)
        twin._link = self._link
        twin.over = self.over
        return twin

    def expire(self) -> None:
        """Its viewer is to come back, now. For one whom the generator serves."""
        self.expired = True
        self.wake()

    def leave(self) -> None:
        """Its viewers have gone."""
        self.over = True
        self.wake()

    def close(self) -> None:
        """Free everything. Closing twice is harmless."""
        self.over = True
        for seat in self._seats:
            self._hub.detach(seat.topic, seat.wake)
        # It and its seats know one another: they would be freed when the garbage is collected.
        self.wake, self._seats = _nobody, []
        self._left, self._stirred, self.behind = set(), {}, {}

    def _taken(self) -> list[bytes]:
        if self._try_again_at and time.monotonic() >= self._try_again_at:
            self._try_again_at = None
            self._stirred |= dict.fromkeys(self._seats)
        parts, self._read = self._read, []
        with self._hub.lock:
            stirred, self._stirred = self._stirred, {}
            for seat in stirred:
                taken = seat.take()
                if taken is None:
                    self.behind[seat] = None
                else:
                    parts += taken
                    self._note_end(seat)
        return parts

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
