"""The receiver of `reported` that carries events to the journal, and what happens when Redis fails.

The receiver only adds to the backlog. One flusher per process (a thread; a greenlet under gevent) does all the
I/O, one round trip for whatever has gathered.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from typing import Any

from headway import usual
from headway.backlog import Outbox
from headway.errors import JournalUnavailable
from headway.events import Event, Source, State
from headway.greenlets import threads_are_greenlets
from headway.journal import Journal, Letter
from headway.usual import Usual

logger = logging.getLogger(__name__)

MOST_OUTBOXES = 5000  # sources that wait for Redis; over it the oldest that ended is forgotten
AT_ONCE = 500  # events per round trip, or a few more
PAUSE = 0.5  # seconds between tries while Redis is away
CHECK_SECONDS = 2.0  # between looks whether Redis still has what it confirmed
KEEP_SECONDS = 60.0  # what has ended is kept, to be said again by whoever still can
MOST_KEPT = 500  # of what has ended; over it the oldest is forgotten
LEARNED_FRESH = 60.0  # seconds before a task's usual durations are asked for again
EXIT_SECONDS = 1.0  # an orderly exit waits this long for what is still unsent


class Publisher:
    """Connect it to `reported`. It never raises; what it is told it passes to the flusher of this very process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._flushers: dict[str, Flusher] = {}  # at most one
        # A thread does not survive a fork, and a backlog copied with it would be sent twice.
        os.register_at_fork(after_in_child=self._flushers.clear)
        atexit.register(self.flush, EXIT_SECONDS)

    @property
    def flusher(self) -> "Flusher":
        """Made when it is first needed, without a lock: gevent may patch threads until then."""
        here = self._flushers.get("here")
        return here or self._flushers.setdefault("here", Flusher(self._journal))

    def __call__(self, *, event: Event, source: Source, **_: Any) -> None:
        self.flusher.put(event, source)

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is left to send; False when that took too long."""
        return not self._flushers or self.flusher.flush(seconds)


class Flusher:
    """A process's backlog, and the thread that sends it. Only `wait`, `end` and `flush` hold their caller."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._outboxes: dict[Source, Outbox] = {}
        self._started = False
        self._away = False  # Redis is: nobody waits for it meanwhile
        self._learned: dict[str, tuple[dict[str, Usual], float]] = {}
        self._curious: set[str] = set()
        self._lessons: deque[State] = deque(maxlen=100)
        self._kept: dict[Outbox, float] = {}  # what has ended, and until when it is kept
        self._checked_at = 0.0
        self._incarnation: str | None = None  # of the Redis that has confirmed it all

    def put(self, event: Event, source: Source) -> None:
        with self._lock:
            outbox = self._outboxes.get(source) or self._new_outbox(source)
            urgent = outbox.put(event)
            self._forget_if_over(outbox)
        self._stir()
        # A greenlet that computes and never yields would keep the flusher from running.
        if urgent and threads_are_greenlets():
            self.wait(source)

    def _stir(self) -> None:
        """Have the thread look; start it if nobody has."""
        with self._lock:
            starts, self._started = not self._started, True
        if starts:
            threading.Thread(target=self._run, name="headway-flusher", daemon=True).start()
        self._wake.set()

    def wait(self, source: Source) -> None:
        """Hold the caller until Redis has all this source said, within what is left of the source's patience."""
        with self._lock:
            outbox = self._outboxes.get(source)
        if outbox is None or self._away or outbox.patience <= 0:
            return
        start = time.monotonic()
        outbox.empty.wait(outbox.patience)
        outbox.patience -= time.monotonic() - start

    def end(self, source: Source) -> None:
        """The source says no more. Holds the caller as `wait` does."""
        self.wait(source)
        with self._lock:
            if outbox := self._outboxes.get(source):
                outbox.end()
                self._forget_if_over(outbox)

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is left to send; False when that took too long."""
        deadline = time.monotonic() + seconds
        with self._lock:
            waiting = list(self._outboxes.values())
        return all(outbox.empty.wait(max(0.0, deadline - time.monotonic())) for outbox in waiting)

    def learned(self, name: str) -> dict[str, Usual]:
        """How long this task's stages usually take: filled in later if it is not known yet, and kept fresh."""
        learned, age = self._learned.get(name) or ({}, 0.0)
        self._learned[name] = (learned, age)
        if time.monotonic() - age > LEARNED_FRESH:
            self._curious.add(name)
            self._stir()
        return learned

    def _new_outbox(self, source: Source) -> Outbox:
        if len(self._outboxes) >= MOST_OUTBOXES:
            # One that still runs stays: what it says later would be numbered anew and taken for a repetition.
            oldest = next((old for old, box in self._outboxes.items() if box.ended), None)
            if oldest is not None:
                del self._outboxes[oldest]
                logger.warning(
                    "The backlog is full: the progress of task %s is dropped.", oldest.task
                )
        return self._outboxes.setdefault(source, Outbox(source))

    def _forget_if_over(self, outbox: Outbox) -> None:
        if not outbox.over or outbox.source not in self._outboxes:
            return
        del self._outboxes[outbox.source]
        if outbox not in self._kept:
            self._lessons.append(outbox.state)
            outbox.shrink()
            self._kept[outbox] = time.monotonic() + KEEP_SECONDS
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]

    def _run(self) -> None:
        while True:
            self._wake.wait(CHECK_SECONDS if self._outboxes or self._kept else None)
            self._wake.clear()
            try:
                while self._flush_once():
                    self._note_back()
                if self._study():
                    self._note_back()
                self._check()
            except JournalUnavailable as error:
                self._note_away(error)
                time.sleep(PAUSE)
                self._wake.set()
            except Exception:
                logger.exception("Progress could not be sent.")
                time.sleep(PAUSE)

    def _flush_once(self) -> bool:
        """One round trip for what there is; False when there was nothing."""
        with self._lock:
            batches = self._next_batches()
        letters = [letter for _, batch in batches for letter in batch]
        if not letters:
            return False
        answers = iter(self._journal.write(letters))
        with self._lock:
            for outbox, batch in batches:
                outbox.hear([(letter, *next(answers)) for letter in batch])
                self._forget_if_over(outbox)
        return True

    def _check(self) -> None:
        """Doubt what Redis has confirmed: of what runs now and then, for it may be silent for long; of all that
        has ended when another Redis answers than the one that confirmed it.
        """
        now = time.monotonic()
        if now - self._checked_at < CHECK_SECONDS or not (self._outboxes or self._kept):
            return
        before, self._incarnation = self._incarnation, self._journal.incarnation()
        self._checked_at = now
        if before is None:
            return  # it has only just confirmed all that
        with self._lock:
            for outbox in [box for box, until in self._kept.items() if until < now]:
                del self._kept[outbox]
            if self._incarnation != before:
                self._outboxes |= {box.source: box for box in self._kept}
            for outbox in self._outboxes.values():
                outbox.doubt()
        self._wake.set()

    def _next_batches(self) -> list[tuple[Outbox, list[Letter]]]:
        """What goes into one round trip. Bounded: whoever reports meanwhile waits for the lock."""
        batches: list[tuple[Outbox, list[Letter]]] = []
        room = AT_ONCE
        for outbox in self._outboxes.values():
            if room > 0 and not outbox.empty.is_set():
                batches.append((outbox, outbox.letters()))
                room -= len(batches[-1][1])
        return batches

    def _study(self) -> bool:
        """Give the durations of what succeeded to the next runs, and learn those of earlier ones.

        What an outage interrupts is done the next time. Says whether Redis was asked anything.
        """
        asked = False
        while self._lessons:
            state = self._lessons[0]
            if durations := usual.durations(state):
                self._journal.learn(state.name or "", durations)
                asked = True
            self._lessons.popleft()
        while self._curious:
            name = next(iter(self._curious))
            learned, _ = self._learned[name]
            learned.update(self._journal.learned(name))
            self._learned[name] = (learned, time.monotonic())
            self._curious.discard(name)
            asked = True
        return asked

    def _note_away(self, error: JournalUnavailable) -> None:
        if not self._away:
            self._away = True
            logger.warning(
                "%s Tasks go on; their progress is kept and sent when Redis is back.", error
            )

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            logger.warning("Redis is back; the progress kept for it has been sent.")
