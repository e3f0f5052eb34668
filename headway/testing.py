"""Doubles for tests: hear what tasks report, and be a task, without a worker, a broker or a Redis.

Our own tests use them. Both are for the thread that enters them; what is reported from others is heard too.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.exceptions import Ignore, Reject, Retry
from msgspec.structs import replace

from headway import attempts, values
from headway.attempts import Attempt
from headway.errors import Failure
from headway.events import (
    ENDED,
    Error,
    Event,
    Execution,
    Finished,
    Queued,
    Retrying,
    Source,
    Started,
    State,
    fold,
)
from headway.signals import reported
from headway.stages import AnyStage, declare, stage


class Recorder:
    """What has been reported since it began to listen: `events`, in order, of all tasks of this process."""

    def __init__(self, task: str | None = None) -> None:
        self.events: list[Event] = []
        self._task = task
        self._sources: list[Source] = []
        self._heard = threading.Condition()

    def __call__(self, *, event: Event, source: Source, **_: Any) -> None:
        with self._heard:
            self._sources.append(source)
            self.events.append(event)
            self._heard.notify_all()

    def state(self, task_id: str | None = None) -> State:
        """The state a viewer of the task would see: its events folded, less those a journal would refuse.

        Without an id it is the task of `run()`, else the only one heard of. Raises LookupError when nothing
        was heard of the task, or of several and none is named.
        """
        events = list(self.events)
        task = task_id or self._task or _only({event.task for event in events})
        heard = [
            (event, source)
            for event, source in zip(events, list(self._sources), strict=False)
            if event.task == task
        ]
        if not heard:
            raise LookupError(f"Nothing was reported by a task {task!r}.")
        return _as_in_a_journal(State(task=task), heard)

    def wait_for(self, predicate: Callable[["Recorder"], object], seconds: float = 5.0) -> None:
        """Return once the predicate holds for this recorder: it is asked now and after every event.

        Counts and messages are sampled, ten times a second, so a test that looks for one has to wait for it.
        Raises AssertionError, naming what was heard, when that takes longer than `seconds`.

            with run() as heard, stage("count") as count:
                count.report(current=2)
                heard.wait_for(lambda heard: heard.state().stages[0].current == 2)
        """
        deadline = time.monotonic() + seconds
        while True:
            known = len(self.events)
            if predicate(self):  # asked without the lock: it may report something itself
                return
            with self._heard:
                left = deadline - time.monotonic()
                if not self._heard.wait_for(lambda known=known: len(self.events) > known, left):  # type: ignore[misc]
                    raise AssertionError(f"Not so within {seconds:g} s. Heard: {self.events}")


@contextmanager
def capture() -> Iterator[Recorder]:
    """Hear all that tasks report, here or in any other thread of this process, until the block is left.

        app.conf.task_always_eager = True
        with capture() as heard:
            process.delay("report.pdf")
        assert heard.state().status == "succeeded"

    It replaces nothing: other receivers of `reported`, the publisher among them, hear the same.
    """
    recorder = Recorder()
    with _listening(recorder):
        yield recorder


@contextmanager
def run(*stages: AnyStage, task: str = "test", strict: bool = False) -> Iterator[Recorder]:
    """Be a task for the length of the block, as if a worker ran it, marked with these stages.

        with run("read", "score") as heard:
            read_pages(path)                  # reports stages, counts, messages
        assert [stage.status for stage in heard.state().stages] == ["done", "skipped"]

    The end of the block is the task's: succeeded; by an exception failed, or retrying for Celery's Retry, or
    nothing at all for what is no verdict (Ignore, Reject, KeyboardInterrupt); the exception goes on its way.
    With `strict` a report that cannot be sent as it is raises InvalidReport. Blocks nest as eager tasks do.
    """
    recorder, attempt = Recorder(task), _attempt(task, strict)
    declare(attempt, [which if isinstance(which, stage) else stage(which) for which in stages])
    with _listening(recorder):
        attempts.enter(attempt)
        try:
            attempt.start()
            yield recorder
            attempt.finish(Finished(task=task, at=time.time(), status="succeeded"))
        except (Ignore, Reject):
            raise
        except Exception as error:
            attempt.finish(_verdict(attempt, error))
            raise
        finally:
            attempt.close()
            attempts.leave(attempt)


def _attempt(task: str, strict: bool) -> Attempt:
    execution = Execution(
        task=task, nonce=uuid.uuid4().hex, retries=0, boot="test", began=time.monotonic()
    )
    return Attempt(execution, sender=task, worker="test", facts={"name": task}, strict=strict)


def _verdict(attempt: Attempt, error: Exception) -> Retrying | Finished:
    now: dict[str, Any] = {"task": attempt.execution.task, "at": time.time()}
    if isinstance(error, Retry):
        return Retrying(**now, delay=error.when if isinstance(error.when, int | float) else None)
    said = Error(
        type=type(error).__name__,
        message=values.text(str(error)) if isinstance(error, Failure) else None,
        stage=attempt.stage_failed_by(error),
    )
    return Finished(**now, status="failed", error=said)


@contextmanager
def _listening(recorder: Recorder) -> Iterator[None]:
    reported.connect(recorder, weak=False)
    try:
        yield
    finally:
        reported.disconnect(recorder)


def _only(tasks: set[str]) -> str:
    if len(tasks) == 1:
        return tasks.pop()
    raise LookupError(f"{len(tasks)} tasks have reported. Name one: {sorted(tasks)}")


def _as_in_a_journal(state: State, heard: list[tuple[Event, Source]]) -> State:
    """Fold as the journal's script does: it numbers attempts, and refuses what comes from an older one or too late."""
    current: Execution | None = None
    for event, source in heard:
        if state.status in ENDED or (isinstance(event, Queued) and current):
            continue
        if not isinstance(source, Execution) or source is current:
            state = fold(state, event)
        elif isinstance(event, Started) and (not current or source.retries >= current.retries):
            current = source
            state = fold(state, replace(event, attempt=state.attempt + 1))
    return state
