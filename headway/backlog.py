"""What one source has said and Redis has not confirmed. Pure: no thread, no clock, no Redis.

An event gets its number when it is first sent. What was sent stays in a ring, so that Redis can ask for it
again after it lost it. Only what was never sent is ever dropped, the oldest first (ticks replace one another, so
they take no room), and that is announced: the source then says its whole state anew, with a gap.
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Hashable, Sequence

from msgspec.structs import replace

from headway.events import (
    FACTS,
    Emitted,
    Event,
    Execution,
    Finished,
    MessageReported,
    Retrying,
    Source,
    StageReported,
    Started,
    State,
    encode,
    fold,
)
from headway.fields import changes
from headway.journal import Answer, Letter

logger = logging.getLogger(__name__)

PATIENCE = 0.05  # seconds a task may be held in all, per attempt
RING = 1000  # sent events kept for Redis to ask again
RING_BYTES = 4 * 1024 * 1024
RING_ENDED = 16  # of them, when all has been confirmed and no more will come
UNSENT = 1000  # events that wait for Redis; over it the oldest go
BATCH = 100  # events per round trip


class Outbox:
    """The backlog of one source. Its caller holds a lock."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.empty = threading.Event()
        self.patience = PATIENCE
        self.state = State(task=source.task)  # folded from all that was numbered or dropped
        self._unsent: dict[Hashable, Event] = {}  # in order; a tick stands under its stage's key
        self._ring: deque[Letter] = deque()
        self._ring_bytes = 0
        self._statuses: dict[str, tuple[str, int]] = {}
        self._number = 0  # of the newest letter
        self._confirmed = 0  # of the newest letter that Redis has
        self._attempt = 0
        self._gap = False
        self._stateless: list[Event] = []  # to be said again: the state does not hold it
        self._end: Event | None = None
        self._ended = False
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether its source will say no more."""
        return self._ended or self._end is not None or not isinstance(self.source, Execution)

    @property
    def over(self) -> bool:
        """Nothing more will come of it: its source has ended and Redis has it, or wants no more."""
        return self.ended and self.empty.is_set()

    def end(self) -> None:
        """Its source says no more, whether or not it has said how it ended."""
        self._ended = True

    def put(self, event: Event) -> bool:
        """Add an event; says whether it is a transition, as opposed to a tick."""
        if isinstance(event, Finished | Retrying):
            self._end = event
        if self._closed:
            return False
        self.empty.clear()
        tick = self._tick_of(event)
        if isinstance(event, StageReported):
            # The newest wins, and a transition says all a tick did.
            self._unsent.pop(event.stage.key, None)
        elif tick is not None:
            self._unsent.pop(tick, None)
        self._unsent[next(_unique) if tick is None else tick] = event
        if len(self._unsent) > UNSENT:
            self._drop_oldest()
        return tick is None

    def _tick_of(self, event: Event) -> Hashable | None:
        """The name under which a tick replaces an older one; None for a transition."""
        if isinstance(event, MessageReported):
            return MessageReported
        if not isinstance(event, StageReported):
            return None
        status = (event.stage.status, event.stage.runs)
        same = self._statuses.get(event.stage.key) == status
        self._statuses[event.stage.key] = status
        return event.stage.key if same else None

    def _drop_oldest(self) -> None:
        """Make room. Not a tick further back: what it says would then be older than the state that is said anew."""
        self.state = fold(self.state, self._unsent.pop(next(iter(self._unsent))))
        self._gap = True

    def doubt(self) -> None:
        """Have the last letter sent once more: Redis may have lost what it had confirmed."""
        if self.empty.is_set() and self._ring:
            self._ring[-1] = replace(self._ring[-1], doubted=True)
            self._confirmed = self._number - 1
            self.empty.clear()

    def shrink(self) -> None:
        """Keep no more than may be lost in a moment."""
        while len(self._ring) > RING_ENDED:
            self._ring_bytes -= len(self._ring.popleft().payload)

    def letters(self) -> list[Letter]:
        """What is to be sent next: what Redis has not confirmed, then what was never sent."""
        batch = self._unconfirmed()[:BATCH]
        if self._gap and not batch:
            batch = self._say_anew()
        while self._unsent and not self._gap and len(batch) < BATCH:
            event = self._unsent.pop(next(iter(self._unsent)))
            try:
                batch.append(self._number_it(event, begins=isinstance(event, Started)))
            except Exception:  # it must not hold up what others have to say
                logger.exception("An event of task %s cannot be sent: left out.", event.task)
        if not batch:
            self.empty.set()
        return [
            replace(letter, attempt=self._attempt) if letter.begins else letter for letter in batch
        ]

    def _unconfirmed(self) -> list[Letter]:
        """From the ring's end: what has been confirmed is most of it."""
        newest = itertools.takewhile(
            lambda each: each.number > self._confirmed, reversed(self._ring)
        )
        return list(newest)[::-1]

    def _number_it(self, event: Event, *, begins: bool) -> Letter:
        before = State(task=self.source.task) if begins else self.state
        after = fold(self.state, event)
        told = changes(event, before, after)
        # Only now: what cannot be encoded must not leave a hole among the numbers.
        letter = Letter(event, self.source, self._number + 1, encode(event), told, begins=begins)
        self.state, self._number = after, letter.number
        self._ring.append(letter)
        self._ring_bytes += len(letter.payload)
        while len(self._ring) > 1 and self._ring[0].number <= self._confirmed and self._too_large():
            self._ring_bytes -= len(self._ring.popleft().payload)
        return letter

    def _too_large(self) -> bool:
        return len(self._ring) > RING or self._ring_bytes > RING_BYTES

    def _say_anew(self) -> list[Letter]:
        """Put the whole state in the place of all that was lost; an end that is part of it is said again."""
        self._gap = False
        if not isinstance(self.source, Execution):
            return []
        state, ended = self.state, self.state.status not in ("queued", "running")
        started = Started(
            task=state.task,
            at=state.updated_at or 0.0,
            worker=state.worker,
            started_at=state.started_at,
            progress=state.progress,
            remaining=state.remaining,
            message=state.message,
            data=state.data,
            stages=state.stages,
            gap=True,
            **{fact: getattr(state, fact) for fact in FACTS},
        )
        again, self._stateless = self._stateless, []
        if ended and self._end:
            again.append(self._end)
        said = [self._number_it(started, begins=True)]
        return said + [self._number_it(event, begins=False) for event in again]

    def hear(self, answers: Sequence[tuple[Letter, Answer, str]]) -> None:
        """Learn what became of a batch. After the first letter that must be sent again the rest means nothing."""
        for letter, answer, value in answers:
            match answer:
                case "OK" | "DUP":
                    self._confirmed = max(self._confirmed, letter.number)
                    if letter.begins:
                        self._attempt = int(value)
                case "KNOWN" if not value:
                    self._confirmed = letter.number
                case "RESEND":
                    self._send_again(int(value))
                    break
                case "BEGIN":
                    self._send_again(0)
                    break
                case _:
                    self._close(answer, value)
                    break
        if not self._unsent and self._confirmed == self._number and not self._gap:
            self.empty.set()

    def _send_again(self, number: int) -> None:
        oldest = self._ring[0] if self._ring else None
        if oldest and (oldest.begins or 0 < oldest.number <= number):
            self._confirmed = max(number, oldest.number) - 1
        else:
            unconfirmed = (letter.event for letter in self._unconfirmed())
            self._stateless += [event for event in unconfirmed if isinstance(event, Emitted)]
            self._ring.clear()
            self._ring_bytes = 0
            self._confirmed = self._number
            self._gap = True

    def _close(self, answer: Answer, value: str) -> None:
        """Redis wants no more of this source."""
        self._closed = True
        self._gap = False
        self._unsent.clear()
        self._ring.clear()
        self._ring_bytes = 0
        self._number = self._confirmed
        if answer == "KNOWN" and value:
            logger.warning(
                "Task %s was sent again while its end is still remembered: its progress will not be shown. "
                "Send it under a new id.",
                self.source.task,
            )
        elif answer == "REFUSED":
            logger.warning("Redis refuses the progress of task %s: %s", self.source.task, value)
        else:
            logger.info(
                "The progress of task %s is not taken any more: %s", self.source.task, answer
            )


_unique = itertools.count()
