"""One subject as a web process holds it: its last frames, and the state they fold into.

What is held always is a whole piece of the subject's history. Pure but for its lock-free flags: the hub, whose
lock guards a topic, decides what may be appended.
"""

import threading
import time
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from headway import events, sse, values
from headway.events import ENDED, Finished, Gap, State, Subject, TaskStatus
from headway.feed import Message
from headway.journal import Reading
from headway.keys import seq_of
from headway.leases import LEASE_SECONDS, Sign, Worker

SILENT_SECONDS = 1.0  # a lease must be missing: it may be a beat late
ABSENT_SECONDS = 5.0  # a worker must not know of its task: it may not have said so yet
RING = 256  # frames held per subject; a viewer further behind is served from the journal

EMITTED = b'{"type":"emitted"'
FINISHED = b'{"type":"finished"'

Phase = Literal["waiting", "running", "neither"]
_PHASES: dict[TaskStatus, Phase] = {"queued": "waiting", "running": "running"}
_TURNS: dict[bytes, Phase] = {
    b'{"type":"queued"': "waiting",
    b'{"type":"started"': "running",
    b'{"type":"retrying"': "neither",
    FINISHED: "neither",
}


class Frame(Struct, frozen=True, gc=False):
    """An event as its viewers get it."""

    id: str
    data: bytes
    ends: bool
    emitted: bool  # it is in no state
    phase: Phase | None  # that its task enters with it


class Topic:
    """One subject as this process holds it. The hub's lock guards it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.wakers: set[Callable[[], None]] = set()
        self.ready = threading.Event()  # it has been read at least once
        # The last id held; "0" while there is no journal; None before the first read.
        self.cursor: str | None = None
        self.base = "0"  # the id before the ring's first
        self.ring: list[Frame] = []
        self.generation = 0  # raised when history forked: who saw an earlier one needs a snapshot
        self.gap: Gap | None = None  # why it was raised last
        self.gone = False  # its journal vanished while it was watched
        self.acknowledged = False
        self.live = False  # heard without a hole since it was last read
        self.heard: list[Message] = []  # came while it was not
        self.doubted: str | None = None  # a message's id that no read has confirmed yet
        self.missing_since: float | None = None  # Redis has less than was seen; it may come back
        self.idle_since = time.monotonic()
        self.phase: Phase = "neither"
        self.turns = 0  # how often that has changed
        self.worker: Worker | None = None  # of a running task; None until the hub has asked
        self.stalled: str | None = None  # why
        self.queue: str | None = None  # of a waiting task; None until the hub has asked, "" if none
        self.position: int | None = None
        self._silent_since: float | None = None
        self._absent_since: float | None = None
        self._over = False
        self._state: State | None = None
        self._unfolded: list[bytes] = []

    def state(self) -> State:
        """The state at `cursor`; folded only when somebody asks."""
        state = self._state or State(task=self.subject.id)
        for payload in self._unfolded:
            event = events.decode(payload)
            state = events.fold(state, event) if event else state
        self._unfolded.clear()
        self._state = state
        return state

    def ended(self) -> bool:
        return self._over

    def begin(self, reading: Reading) -> None:
        """Hold what was read and nothing before it."""
        self.cursor = self.base = reading.last
        self.ring = []
        self._state, self._unfolded = reading.state(self.subject), []
        self._over = self._state is not None and self._state.status in ENDED
        self._turn(_PHASES.get(self._state.status, "neither") if self._state else "neither")

    def append(self, id: str, payload: bytes) -> None:
        last = frame(self.subject, id, payload)
        self.ring.append(last)
        self._unfolded.append(payload)
        if last.phase:
            self._over = last.ends
            self._turn(last.phase)
        if len(self.ring) > 2 * RING:
            self.base = self.ring[-RING - 1].id
            del self.ring[:-RING]
            self.state()
        self.cursor, self.missing_since, self.gone = id, None, False

    def _turn(self, phase: Phase) -> None:
        self.phase = phase
        self.turns += 1
        self.worker = self.queue = self.position = None
        self.stalled = self._silent_since = self._absent_since = None

    def judge(self, sign: Sign, now: float, read_since: float) -> bool:
        """Whether somebody works on it, now that this was seen; says whether that is news.

        After an outage a lease may have expired because nobody could renew it.
        """
        silent, absent = sign.alive is False, sign.alive is True and not sign.active
        self._silent_since = (self._silent_since or now) if silent else None
        self._absent_since = (self._absent_since or now) if absent else None
        patient = SILENT_SECONDS if read_since < now - 2 * LEASE_SECONDS else LEASE_SECONDS
        was, self.stalled = self.stalled, None
        if self._silent_since is not None and (was or now - self._silent_since >= patient):
            self.stalled = "Its worker gives no sign of life."
        if self._absent_since is not None and (was or now - self._absent_since >= ABSENT_SECONDS):
            self.stalled = "Its worker does not work on it any more."
        if self.stalled and sign.late:
            self.stalled += " It will be delivered again."
        return was != self.stalled

    def stands(self, position: int | None) -> bool:
        """It has this place among those that wait; says whether that is news."""
        was, self.position = self.position, position
        return was != position

    def holds(self, id: str) -> bool:
        """Whether everything that followed this id is here."""
        return self.after(id) is not None

    def after(self, id: str) -> list[Frame] | None:
        """The frames that followed this id; None if they are not all here."""
        ring = self.ring
        if id == self.cursor:
            return []
        if len(ring) > 1 and ring[-2].id == id:  # as nearly always
            return ring[-1:]
        if id == self.base:
            return ring[:]
        at = seq_of(id) - seq_of(self.base)
        return ring[at:] if 0 < at <= len(ring) and ring[at - 1].id == id else None


def frame(subject: Subject, id: str, payload: bytes) -> Frame:
    """The frame of one event, the same bytes for all its viewers."""
    name, ends, kind = None, False, payload[: payload.find(b",")]
    if kind in (EMITTED, FINISHED):
        event = events.decode(payload)
        if isinstance(event, events.Emitted) and values.may_be_emitted(event.name):
            name = event.name
        ends = isinstance(event, Finished) and event.status in ENDED
    data = sse.frame(payload, id=f"{subject.id}/{id}", event=name)
    return Frame(id, data, ends, kind == EMITTED, _TURNS.get(kind))
