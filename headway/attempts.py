"""One execution of a task in this process: its live stages, and the sampler that tells what has changed.

A change of status is sent as an event at once, from the thread that made it. Counts and messages are only
stored; the sampler sends what has changed, so a loop pays one attribute store per item and a loop that turns
slow is never stale. Knows nothing of Redis, nor of what receives its events.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from celery.exceptions import Ignore, Reject

from headway import events, usual, values
from headway.errors import Failure, InvalidReport
from headway.sampler import sampler
from headway.signals import reported
from headway.usual import Usual

logger = logging.getLogger(__name__)

T = TypeVar("T")


class LiveStage:
    """A stage of a running task. Its verbs may be called from any thread; without an attempt they only store."""

    __slots__ = (
        "_attempt",
        "_counted",
        "_depth",
        "_own_lock",
        "_said",
        "current",
        "data",
        "declared",
        "finished_at",
        "key",
        "label",
        "message",
        "needs",
        "runs",
        "started_at",
        "status",
        "total",
        "unit",
        "weight",
    )

    def __init__(self, key: str, attempt: "Attempt | None" = None) -> None:
        self.key = key
        self.declared: object = None  # what it was last declared by
        self.label: str | None = None
        self.unit: str | None = None
        self.weight: float = 1.0
        self.needs: tuple[str, ...] = ()
        self.status: events.StageStatus = "waiting"
        self.current: float | int | None = None
        self.total: float | int | None = None
        self.message: str | None = None
        self.data: Any = None
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.runs = 0
        self._attempt = attempt
        self._counted = False
        self._depth = 0  # how often it is entered right now
        self._own_lock = None if attempt else threading.RLock()
        self._said: tuple[object, ...] = (None, None, None, None)

    @property
    def _lock(self) -> Any:
        return self._attempt.lock if self._attempt else self._own_lock

    def report(
        self,
        message: str | None = None,
        *,
        current: float | None = None,
        total: float | None = None,
        data: Any = None,
    ) -> None:
        """Say where the stage is. What is left out stays as it was. Never blocks, never raises unless strict."""
        with _mended(self._attempt), self._lock:
            if current is not None:
                self.current = values.number(current)
            if total is not None:
                self.total = values.number(total)
            if message is not None:
                self.message = values.text(message)
            if data is not None:
                self.data = values.data(data)

    def weigh(self, weight: float | None) -> None:
        with _mended(self._attempt):
            weighed = values.number(weight)
            self.weight = self.weight if weighed is None else weighed

    def advance(self, by: float = 1) -> None:
        """Count `by` more. Safe from any number of threads at once."""
        with _mended(self._attempt), self._lock:
            step = values.step(by)
            self.current = values.number((self.current or 0) + step)

    def track(self, items: Iterable[T], *, total: float | None = None) -> Iterator[T]:
        """Yield the items and count them. The stage is done when they are exhausted.

        When the loop is left early (a generator cannot tell `break` from an exception) the stage stays open;
        the next stage or the task's end settles it.
        """
        count: Any = self.current or 0
        if total is not None:
            self.report(total=total)
        elif self.total is None or self._counted:
            length = _length(items)
            self.total = None if length is None else count + length
            self._counted = True  # by us: another loop over this stage may count on
        return self._tracked(items, count)

    def _tracked(self, items: Iterable[T], count: Any) -> Iterator[T]:
        self._open()
        self.current = count
        try:
            for item in items:
                yield item
                count += 1
                self.current = count
        except GeneratorExit:
            self._leave(None)
            raise
        except BaseException as error:
            self._leave(_outcome_of(error), error)
            raise
        self._leave("done")

    def skip(self, reason: str | None = None) -> None:
        """Say that this stage will not be done, and why."""
        with self._lock:
            self.report(reason)
            self.status = "skipped"
            self.finished_at = time.time()
            self._tell()

    def __enter__(self) -> "LiveStage":
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave("done" if error is None else _outcome_of(error), error)

    def _open(self) -> None:
        attempt, stack = here.get()
        here.set((attempt, (*stack, self)))
        with self._lock:
            self._depth += 1
            if self.status == "running":
                return
            if self._attempt:
                self._attempt.settle_left_open()
            self.status = "running"
            self.started_at = self.started_at or time.time()
            self.finished_at = None
            self.runs += 1
            self._tell()

    def _leave(self, status: events.StageStatus | None, error: BaseException | None = None) -> None:
        # Not a reset by token: a generator may be closed in another context, or out of order.
        attempt, stack = here.get()
        if self in stack:
            last = len(stack) - 1 - stack[::-1].index(self)
            here.set((attempt, stack[:last] + stack[last + 1 :]))
        with self._lock:
            self._depth -= 1
            if self._depth > 0 or status is None or self.status != "running":
                return
            if isinstance(error, Failure):
                with suppress(Exception):  # its __str__ is anybody's code
                    self.message = values.text(str(error))
            if error is not None and stage_of(error) is None:
                error.__dict__[_STAGE] = self.key
            self.close(status)

    def close(self, status: events.StageStatus) -> None:
        """End the stage and tell. The caller holds the lock."""
        self.status = status
        self.finished_at = time.time()
        self._tell()

    def _tell(self) -> None:
        self._said = (self.current, self.total, self.message, self.data)
        if self._attempt:
            self._attempt.tell_stage(self)

    def sample(self) -> None:
        """Tell what has changed since it was last told. The caller holds the lock."""
        if self._said != (self.current, self.total, self.message, self.data):
            self._tell()

    def record(self) -> events.Stage:
        known = self._attempt.learned.get(self.key) if self._attempt else None
        return events.Stage(
            key=self.key,
            label=self.label,
            status=self.status,
            current=self.current,
            total=self.total,
            unit=self.unit,
            message=self.message,
            data=self.data,
            needs=self.needs,
            started_at=self.started_at,
            finished_at=self.finished_at,
            expected=(known.low, known.high) if known else None,
            runs=self.runs,
        )


_STAGE = "__headway_stage__"  # on an exception: the innermost stage that it has failed


def stage_of(error: BaseException) -> str | None:
    """The stage that this exception has failed, or the one it was made of."""
    seen: BaseException | None = error
    for _ in range(10):  # chains may be made into rings
        if seen is None:
            return None
        if stage := seen.__dict__.get(_STAGE):
            return str(stage)
        seen = seen.__cause__
    return None


def _length(items: Iterable[Any]) -> int | None:
    """How many there are, if they know: a hint may be a guess, and is not shown as a total."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except Exception:
        return None  # whatever it is, the loop is the place to find out


def _outcome_of(error: BaseException) -> events.StageStatus | None:
    """What leaving a stage by this exception makes of it; None leaves it open, for whoever ends the task."""
    if isinstance(error, Ignore | Reject) or not isinstance(error, Exception):
        return None
    return "failed"


class Attempt:
    """What this process knows of one execution. Its events are sent one at a time, under its lock."""

    def __init__(
        self,
        execution: events.Execution,
        *,
        sender: Any = None,
        worker: str | None = None,
        facts: Mapping[str, Any] | None = None,
        learned: Mapping[str, Usual] | None = None,
        strict: bool = False,
    ) -> None:
        self.execution = execution
        self.sender = sender
        self.worker = worker and values.text(worker)
        self.facts: dict[str, Any] = {
            fact: values.text(said) if isinstance(said, str) else said
            for fact, said in (facts or {}).items()
        }
        self.learned = learned or {}
        self.strict = strict
        self.alive = True
        self.goes_on = False  # its task has been sent again under the same id
        self.outer: tuple[Attempt | None, tuple[LiveStage, ...]] = (None, ())
        self.lock = threading.RLock()
        self.stages: dict[str, LiveStage] = {}
        self.message: str | None = None
        self.data: Any = None
        self.progress: float | None = None
        self.remaining: float | None = None
        self._said: tuple[object, ...] = (None, None, None)

    def start(self) -> None:
        now = time.time()
        if self.heard:
            self.send(
                events.Started(
                    task=self.execution.task,
                    at=now,
                    started_at=now,
                    worker=self.worker,
                    stages=tuple(stage.record() for stage in self.stages.values()),
                    progress=self._reckon(now),
                    remaining=self.remaining,
                    **self.facts,
                )
            )
        sampler.watch(self)

    @property
    def heard(self) -> bool:
        """Whether anybody would hear an event: if not, none is made."""
        return self.alive and bool(reported.receivers)

    def finish(self, event: events.Retrying | events.Finished) -> None:
        """Send what is not told yet, then the attempt's last event; what it is told afterwards is ignored."""
        with self.lock:
            self.sample()
            self.send(event)
            self.close()

    def close(self) -> None:
        """Send what is not told yet; what it is told afterwards is ignored."""
        with self.lock:
            self.sample()
            self.alive = False
        sampler.forget(self)

    def forked(self) -> None:
        """This is a copy in a child process: inert, and its lock may be held by a thread that is not here."""
        self.alive = False
        self.lock = threading.RLock()

    def stage(self, key: str) -> LiveStage:
        """The stage of that key; one that nobody declared is appended."""
        with self.lock:
            return self.stages.get(key) or self.stages.setdefault(key, LiveStage(key, self))

    def report(
        self, message: str | None, current: float | None, total: float | None, data: Any
    ) -> None:
        """Say where the task as a whole is; its count matters only while it has no stages."""
        with _mended(self), self.lock:
            if message is not None:
                self.message = values.text(message)
            if data is not None:
                self.data = values.data(data)
            counted, whole = values.number(current), values.number(total)
            if counted is not None and whole and not self.stages:
                self.progress = max(self.progress or 0.0, min(1.0, counted / whole))

    def emit(self, name: str, data: Any) -> None:
        with _mended(self):
            name, data, now = values.emit_name(name), values.data(data), time.time()
            if self.heard:
                self.send(events.Emitted(task=self.execution.task, at=now, name=name, data=data))

    def tell_stage(self, stage: LiveStage) -> None:
        with self.lock:
            if not self.heard:
                return
            now = time.time()
            self.send(
                events.StageReported(
                    task=self.execution.task,
                    at=now,
                    stage=stage.record(),
                    progress=self._reckon(now),
                    remaining=self.remaining,
                )
            )

    def sample(self) -> None:
        with self.lock:
            for stage in list(self.stages.values()):
                stage.sample()
            said = (self.message, self.data, None if self.stages else self.progress)
            if self._said != said and self.heard:
                self._said = said
                self.send(
                    events.MessageReported(
                        task=self.execution.task,
                        at=time.time(),
                        message=self.message,
                        data=self.data,
                        progress=self.progress,
                    )
                )

    def settle_left_open(self) -> None:
        """End the stages whose loop was left early: another stage begins."""
        for stage in self.stages.values():
            if stage.status == "running" and not stage._depth:
                stage.close("done")

    def stage_failed_by(self, error: BaseException) -> str | None:
        """The stage an exception that ends the task came out of: one it has failed, or whose loop it left open."""
        if (failed := stage_of(error)) in self.stages:  # it may have failed another task before
            return failed
        left_open = [stage.key for stage in self.stages.values() if stage.status == "running"]
        return left_open[-1] if left_open else None

    def _reckon(self, now: float) -> float | None:
        """Bring `progress` and `remaining` up to date. Within an attempt progress never goes back."""
        stages = self.stages.values()
        weights = usual.weights(self.learned, {stage.key: stage.weight for stage in stages})
        done = usual.progress(stages, weights)
        if done is not None:
            self.progress = max(self.progress or 0.0, round(done, 4))
        self.remaining = usual.remaining(self.learned, stages, now)
        return self.progress

    def send(self, event: events.Event) -> None:
        with self.lock:
            if self.heard:
                reported.send(sender=self.sender, event=event, source=self.execution)


#: Where this thread, greenlet or asyncio task is: the attempt, and the stages entered, innermost last.
here: contextvars.ContextVar[tuple[Attempt | None, tuple[LiveStage, ...]]] = contextvars.ContextVar(
    "headway", default=(None, ())
)


def enter(attempt: Attempt) -> None:
    """Make the attempt current in this thread. They nest: an eager task runs inside another."""
    attempt.outer = here.get()
    here.set((attempt, ()))


def leave(attempt: Attempt) -> None:
    here.set(attempt.outer)


@contextmanager
def _mended(attempt: Attempt | None) -> Iterator[None]:
    """Reporting never fails a task: what cannot be sent is logged and left out. `strict` raises instead."""
    try:
        yield
    except InvalidReport as error:
        if attempt and attempt.strict:
            raise
        logger.warning("Left out of a report: %s", error)
