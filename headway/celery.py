"""Celery's own signals made into events: queued, started, succeeded, failed, retrying, cancelled.

`install(app)` is all a worker or a sender needs. Importing this module connects nothing.
"""

import datetime
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from celery import Celery, signals

from headway import attempts, events, stages, values
from headway.attempts import Attempt
from headway.errors import ConfigurationError, Failure, InvalidReport
from headway.journal import Journal
from headway.publisher import EXIT_SECONDS, Publisher
from headway.settings import TaskSettings, load
from headway.signals import reported

logger = logging.getLogger(__name__)

MOST_SECONDS = 2**53  # of a moment since 1970; what is later is nonsense
MOST_NAME = 255  # characters of a name, a title, an owner
BOOT = "HEADWAY_BOOT"  # in the environment, so that a worker's children inherit it


class Lifecycle:
    """What this process knows of its tasks: which are tracked, and the attempt of each that runs here."""

    def __init__(self, app: Celery, arguments: Mapping[str, Any]) -> None:
        self._app = app
        self._arguments = arguments
        self._warned = False

    @cached_property
    def settings(self) -> TaskSettings:
        """Read when first needed: an app may be configured after `install`."""
        configured = {
            name: self._app.conf.get(f"headway_{name}") for name in TaskSettings.__struct_fields__
        }
        return load(TaskSettings, self._arguments, configured, broker=self._app.conf.broker_url)

    @cached_property
    def publisher(self) -> Publisher:
        journal = Journal(
            self.settings.redis_url, retention=self.settings.retention(), connections=1
        )
        publisher = Publisher(journal)
        reported.connect(publisher, weak=False, dispatch_uid="headway.publisher")
        return publisher

    def connect(self) -> None:
        for signal, name in _HANDLERS:
            signal.connect(
                getattr(self, name), weak=False, dispatch_uid=f"headway.{name}.{id(signal)}"
            )

    def disconnect(self) -> None:
        reported.disconnect(dispatch_uid="headway.publisher")
        for signal, name in _HANDLERS:
            signal.disconnect(dispatch_uid=f"headway.{name}.{id(signal)}")

    def booted(self, **_: Any) -> None:
        """A worker starts; its children will inherit what tells this start from every other."""
        os.environ[BOOT] = uuid.uuid4().hex[:12]

    # -- before ----------------------------------------------------------------------------------------------

    def queued(self, sender: Any = None, headers: Any = None, **_: Any) -> None:
        """The sender's side. Written before the task is sent, so that it precedes everything."""
        name, headers = str(sender), {} if headers is None else headers
        task, about = headers.get("id"), headers.get(stages.HEADER)
        if not task or headers.get("retries"):
            return
        if not self._tracked(name, task, about, self._app.tasks.get(name)):
            return
        about = dict(about) if isinstance(about, Mapping) else {}
        now = time.time()
        about |= {"queued_at": now, "due_at": _due_at(headers.get("eta"))}
        headers[stages.HEADER] = {key: value for key, value in about.items() if value is not None}
        source = events.Sender(task=task, owner=_owner(about))
        facts = _facts(name, about)
        del facts["queued_at"]  # it is the event's own time
        reported.send(sender=name, source=source, event=events.Queued(task=task, at=now, **facts))
        self.publisher.flusher.wait(source)

    def _tracked(self, name: str, task: str, about: Any, registered: Any) -> bool:
        if name.startswith("celery."):
            return False
        marked = registered is not None and stages.declared_by(registered) is not None
        try:
            chosen = (
                about is not None
                or marked
                or any(fnmatchcase(name, glob) for glob in self.settings.tasks)
            )
            if not chosen:
                return False
            if events.SUBJECT_ID.fullmatch(task):
                return bool(self.publisher)
            self._warn(
                "Task id %.200r is not tracked: an id is 1 to 128 of A-Z a-z 0-9 . _ : -", task
            )
        except ConfigurationError as error:
            self._warn("No task is tracked. %s", error)
        return False

    def _warn(self, message: str, detail: object) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(message, detail)

    # -- running ---------------------------------------------------------------------------------------------

    def begun(self, task_id: str, task: Any, **_: Any) -> None:
        request = task.request
        about = _about(request)
        if not self._tracked(task.name, task_id, about, task):
            return
        about = about if isinstance(about, Mapping) else {}
        execution = events.Execution(
            task=task_id,
            nonce=uuid.uuid4().hex,
            retries=request.retries or 0,
            boot=_boot(),
            began=time.monotonic(),
            owner=_owner(about),
        )
        attempt = Attempt(
            execution,
            sender=task,
            worker=values.text(request.hostname or socket.gethostname(), MOST_NAME),
            facts=_facts(task.name, about),
            learned=self.publisher.flusher.learned(task.name),
            strict=self.settings.strict,
        )
        stages.declare(attempt, stages.declared_by(task) or ())
        attempts.enter(attempt)
        attempt.start()

    def succeeded(self, sender: Any, result: Any = None, **_: Any) -> None:
        if attempt := _running(sender.request.id):
            result = self._sendable(result)
            self._finish(
                attempt, events.Finished(**_now(attempt), status="succeeded", result=result)
            )

    def failed(self, sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
        """In the process that ran the task, or in the worker's main process when that one died."""
        if attempt := _running(task_id):
            # Celery sends this while it handles the exception, of which it may show a picklable substitute.
            self._fail(attempt, sys.exc_info()[1] or exception)
        elif sender.request.id == task_id:
            self._supervise(sender, sender.request, "failed", self._error(exception, None))

    def retrying(self, sender: Any, request: Any, reason: Any, **_: Any) -> None:
        if attempt := _running(request.id):
            cause = getattr(reason, "exc", None)
            error = self._error(cause, attempt) if isinstance(cause, BaseException) else None
            delay = _delay(getattr(reason, "when", None))
            self._finish(attempt, events.Retrying(**_now(attempt), error=error, delay=delay))

    def revoked(self, sender: Any, request: Any, expired: bool = False, **_: Any) -> None:
        """Always in the main process, which stopped the task or would not let it begin."""
        self._supervise(sender, request, "expired" if expired else "cancelled", None)

    def ended(self, task_id: str, task: Any, **_: Any) -> None:
        """Whatever became of it: it does not run here any more. This is no verdict.

        Except of an eager task whose exception is let through: Celery says no more of that.
        """
        if attempt := _running(task_id):
            exception = sys.exc_info()[1]
            if attempt.alive and task.request.is_eager and isinstance(exception, Exception):
                self._fail(attempt, exception)
            attempt.close()
            attempts.leave(attempt)
            self.publisher.flusher.end(attempt.execution)

    def leaving(self, **_: Any) -> None:
        """The process ends in an orderly way."""
        if "publisher" in vars(self):
            self.publisher.flush(EXIT_SECONDS)

    def cancel(self, task: str) -> None:
        publisher = self.publisher  # connected, before anything is sent
        self._app.control.revoke(task, terminate=True)
        source = events.Supervisor(task=task, retries=-1, boot="")
        event = events.Finished(task=task, at=time.time(), status="cancelled")
        reported.send(sender=None, source=source, event=event)
        publisher.flusher.wait(source)

    # -- saying it -------------------------------------------------------------------------------------------

    def _finish(self, attempt: Attempt, event: events.Finished | events.Retrying) -> None:
        with attempt.lock:
            if attempt.alive:
                attempt.finish(event)

    def _supervise(self, task: Any, request: Any, status: Any, error: events.Error | None) -> None:
        if not self._tracked(task.name, request.id, _about(request), task):
            return
        retries = getattr(request, "retries", None)
        if retries is None:
            retries = getattr(request, "request_dict", {}).get("retries", 0)
        reported.send(
            sender=task,
            source=events.Supervisor(task=request.id, retries=retries or 0, boot=_boot()),
            event=events.Finished(task=request.id, at=time.time(), status=status, error=error),
        )

    def _fail(self, attempt: Attempt, exception: BaseException) -> None:
        error = self._error(exception, attempt)
        self._finish(attempt, events.Finished(**_now(attempt), status="failed", error=error))

    def _error(self, exception: BaseException, attempt: Attempt | None) -> events.Error:
        message = None
        if self.settings.show_errors or isinstance(exception, Failure):
            with suppress(Exception):  # its __str__ is anybody's code
                message = values.text(str(exception))
        stage = attempt.stage_failed_by(exception) if attempt else None
        return events.Error(
            type=values.text(type(exception).__name__), message=message, stage=stage
        )

    def _sendable(self, result: Any) -> Any:
        try:
            return values.data(result)
        except InvalidReport as error:
            logger.info("A result is not shown to viewers: %s", error)
            return None


_HANDLERS = (
    (signals.worker_init, "booted"),
    (signals.before_task_publish, "queued"),
    (signals.task_prerun, "begun"),
    (signals.task_success, "succeeded"),
    (signals.task_failure, "failed"),
    (signals.task_retry, "retrying"),
    (signals.task_revoked, "revoked"),
    (signals.task_postrun, "ended"),
    (signals.worker_process_shutdown, "leaving"),
    (signals.worker_shutdown, "leaving"),
)

_installed: Lifecycle | None = None


def install(app: Celery, **settings: Any) -> None:
    """Make this process report: a worker, a sender of tasks, or both. `TaskSettings` says what can be set.

    There is one configuration per process; a second call replaces it. Nothing is read and nothing connects
    to Redis until there is something to say.
    """
    global _installed
    known = TaskSettings.__struct_fields__
    if unknown := set(settings) - set(known):
        raise TypeError(
            f"install() has no setting {', '.join(sorted(unknown))}. It has {', '.join(known)}."
        )
    if _installed:
        _installed.disconnect()
    _installed = Lifecycle(app, settings)
    _installed.connect()


def cancel(task: str) -> None:
    """Have Celery stop the task. Give it to `Headway(app, cancel=headway.celery.cancel)`.

    One that has not begun is cancelled at once. For one that runs, its worker says so when it has stopped;
    in the threads and solo pools nothing can stop it, and it runs on. Raises what Celery raises when the
    broker cannot be reached.
    """
    if _installed is None:
        raise ConfigurationError(
            "Call headway.celery.install(app) in this process before cancel()."
        )
    _installed.cancel(task)


def _running(task_id: str) -> Attempt | None:
    attempt, _ = attempts.here.get()
    return attempt if attempt and attempt.execution.task == task_id else None


def _boot() -> str:
    return (
        os.environ.get(BOOT) or f"{socket.gethostname()}:{os.getpid()}"
    )  # no worker: an eager task


def _facts(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the sender says of a task. The header comes from outside: whatever it holds is mended or left out."""

    def text(key: str) -> str | None:
        return None if about.get(key) is None else values.text(about[key], MOST_NAME)

    def moment(key: str) -> float | None:
        said = about.get(key)
        return float(said) if isinstance(said, int | float) and abs(said) < MOST_SECONDS else None

    return {
        "name": values.text(name, MOST_NAME),
        "title": text("title"),
        "workflow": text("workflow"),
        "queued_at": moment("queued_at"),
        "due_at": moment("due_at"),
    }


def _about(request: Any) -> Any:
    """Our header: beside a message's id, or, of an eager task, among the headers."""
    beside = request.get(stages.HEADER) if hasattr(request, "get") else None
    return (request.headers or {}).get(stages.HEADER) if beside is None else beside


def _owner(about: Mapping[str, Any]) -> str | None:
    return None if about.get("owner") is None else values.text(about["owner"], MOST_NAME)


def _now(attempt: Attempt) -> dict[str, Any]:
    return {"task": attempt.execution.task, "at": time.time()}


def _due_at(eta: object) -> float | None:
    try:
        return datetime.datetime.fromisoformat(str(eta)).timestamp() if eta else None
    except ValueError:
        return None


def _delay(when: object) -> float | None:
    if isinstance(when, datetime.datetime):
        return max(0.0, when.timestamp() - time.time())
    return float(when) if isinstance(when, int | float) else None
