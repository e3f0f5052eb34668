"""Celery's own signals made into events: queued, started, succeeded, failed, retrying, cancelled."""

import atexit
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
from weakref import WeakSet

from celery import Celery, signals
from celery.app.task import Context
from celery.exceptions import Ignore, Reject
from msgspec.structs import replace

from headway import attempts, events, messages, stages, values
from headway.attempts import Attempt
from headway.errors import ConfigurationError, Failure, InvalidReport
from headway.journal import Journal
from headway.leases import Lease
from headway.monitors import Monitors
from headway.publisher import EXIT_SECONDS, Publisher
from headway.settings import TaskSettings, load
from headway.signals import reported

logger = logging.getLogger(__name__)

BOOT = "HEADWAY_BOOT"  # in the environment, so that a worker's children inherit it


class Lifecycle:
    """What this process knows of its tasks: which are tracked, and the attempt of each that runs here."""

    def __init__(self, app: Celery, arguments: Mapping[str, Any]) -> None:
        self._app = app
        self._arguments = arguments
        self._warned = False
        self._main = 0  # a worker's process, of which the prefork pool's are children
        self._begun: set[events.Execution] = set()  # here, and not ended as far as is known
        # What this worker has been sent, as long as it deals with it: Celery does not always say of whom it speaks.
        self._requests: WeakSet[Any] = WeakSet()

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
        atexit.register(self.abandon)
        return publisher

    @cached_property
    def lease(self) -> Lease:
        """Started when there is a tracked task: a worker without any costs nothing."""
        return Lease(
            lambda: Journal(self.settings.redis_url, connections=1),
            _boot(),
            self._active,
            self.settings.lost_after,
        )

    def ready(self, **_: Any) -> None:
        """A worker takes tasks from now on. One that may track some is known to live from the beginning."""
        if any(self._tracked(name, "any", None, task) for name, task in self._app.tasks.items()):
            self.lease.start()

    def _active(self) -> set[str]:
        """The tasks this worker has in hand, asked from the lease's thread."""
        while True:
            with suppress(RuntimeError):  # it changed meanwhile
                return {request.id for request in self._requests}

    @cached_property
    def monitors(self) -> Monitors:
        return Monitors(self._app, page=lambda: self.settings.page)

    def connect(self) -> None:
        for signal, name in _HANDLERS:
            signal.connect(
                getattr(self, name), weak=False, dispatch_uid=f"headway.{name}.{id(signal)}"
            )

    def disconnect(self) -> None:
        reported.disconnect(dispatch_uid="headway.publisher")
        reported.disconnect(dispatch_uid="headway.monitors")
        for signal, name in _HANDLERS:
            signal.disconnect(dispatch_uid=f"headway.{name}.{id(signal)}")

    def booted(self, **_: Any) -> None:
        """A worker starts; its children will inherit what tells this start from every other."""
        self._main = os.getpid()
        os.environ[BOOT] = uuid.uuid4().hex[:12]
        reported.connect(self.monitors, weak=False, dispatch_uid="headway.monitors")

    def received(self, sender: Any, request: Any, **_: Any) -> None:
        """In the worker's main process, which alone knows what it has in hand, and what monitors are told of."""
        about = request.request_dict.get(stages.HEADER)
        if self._tracked(request.name, request.id, about, self._app.tasks.get(request.name)):
            self._requests.add(request)
            self.lease.start()
        self.monitors.heed(sender.event_dispatcher)

    # -- before ----------------------------------------------------------------------------------------------

    def queued(
        self,
        sender: Any = None,
        headers: Any = None,
        exchange: Any = None,
        routing_key: Any = None,
        properties: Any = None,
        **_: Any,
    ) -> None:
        """The sender's side. Written before the task is sent, so that it precedes everything."""
        name, headers = str(sender), {} if headers is None else headers
        task = headers.get("id")
        if task and (attempt := _running(task)):
            self._goes_on(attempt, headers)
            return
        about = headers.get(stages.HEADER)
        if not task or headers.get("retries"):
            return
        if not self._tracked(name, task, about, self._app.tasks.get(name)):
            return
        about = dict(about) if isinstance(about, Mapping) else {}
        now = time.time()
        about |= {"queued_at": now, "due_at": messages.instant(headers.get("eta"))}
        about["queue"] = messages.line(exchange, routing_key, properties)
        headers[stages.HEADER] = {key: value for key, value in about.items() if value is not None}
        source = events.Sender(
            task=task,
            owner=messages.owner(about),
            queue=messages.queue(about),
            expires=messages.instant(headers.get("expires")),
        )
        facts = messages.facts(name, about)
        del facts["queued_at"]  # it is the event's own time
        reported.send(sender=name, source=source, event=events.Queued(task=task, at=now, **facts))
        self.publisher.flusher.wait(source)

    def _goes_on(self, attempt: Attempt, headers: dict[str, Any]) -> None:
        """A task that runs is sent again under its own id: to be retried, or with another in its place."""
        attempt.goes_on = True
        execution = attempt.execution
        about = headers.get(stages.HEADER) or {**attempt.facts, "owner": execution.owner}
        headers[stages.HEADER] = {**about, "retries": execution.retries + 1}
        self.publisher.flusher.wait(execution)  # what it said precedes what comes next

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
        about = messages.about(request)
        if not self._tracked(task.name, task_id, about, task):
            return
        about = about if isinstance(about, Mapping) else {}
        execution = events.Execution(
            task=task_id,
            nonce=uuid.uuid4().hex,
            retries=messages.retries(request),
            boot="" if request.is_eager else _boot(),
            began=time.monotonic(),
            late=bool(task.acks_late),
            owner=messages.owner(about),
            queue=messages.queue(about),
            pid=0 if os.getpid() == self._main else os.getpid(),
        )
        attempt = Attempt(
            execution,
            sender=task,
            worker=values.text(request.hostname or socket.gethostname(), messages.MOST_NAME),
            facts=messages.facts(task.name, about),
            learned=self.publisher.flusher.learned(task.name),
            strict=self.settings.strict,
        )
        stages.declare(attempt, stages.declared_by(task) or ())
        attempts.enter(attempt)
        self._begun.add(execution)
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
        elif request := self._requested(task_id, sender.request):
            self._supervise(request, _failed(task_id, self._error(exception, None)))

    def _requested(self, task_id: str, current: Any) -> Any:
        """Whose failure the main process tells: Celery says so (`current`), or there is but one it can be.

        None if it may be either of two: the newer one's story must not end with the older one's.
        """
        if current.id == task_id:
            return current
        found = [request for request in list(self._requests) if request.id == task_id]
        return Context(found[0].request_dict) if len(found) == 1 else None

    def retrying(self, sender: Any, request: Any, reason: Any = None, **_: Any) -> None:
        """In the process that ran the task; in the main process when the worker was shut down under it, or was lost."""
        attempt = _running(request.id)
        if reason is None and not sender.acks_late:
            # Celery calls this a retry, but the message is gone: nobody will run it.
            self._supervise(request, _failed(request.id, _SHUT_DOWN))
            return
        cause = getattr(reason, "exc", None)
        error = None
        if isinstance(cause, BaseException):
            error = self._error(cause, attempt)
            if attempt and error.stage is None:  # what came out of the stage is the retry
                error = replace(error, stage=attempt.stage_failed_by(reason))
        delay = messages.delay(getattr(reason, "when", None))
        event = events.Retrying(task=request.id, at=time.time(), error=error, delay=delay)
        if attempt:
            self._finish(attempt, event)
        else:
            self._supervise(request, event)

    def revoked(self, sender: Any, request: Any, expired: bool = False, **_: Any) -> None:
        """Always in the main process, which stopped the task or would not let it begin."""
        status: Any = "expired" if expired else "cancelled"
        self._supervise(request, events.Finished(task=request.id, at=time.time(), status=status))

    def unknown(self, name: str, id: str, message: Any, **_: Any) -> None:
        """In the main process, which will not run what it does not know."""
        error = events.Error(type="NotRegistered", message="Its worker knows no task of this name.")
        self._supervise(Context(message.headers), _failed(id, error))

    def broken(self, task_id: str, request: Any, exception: BaseException, **_: Any) -> None:
        """Celery stumbled while it handled the task's end, where the process that ran it is still there to say so."""
        self._supervise(Context(request), _failed(task_id, self._error(exception, None)))

    def ended(self, task_id: str, task: Any, retval: Any = None, **_: Any) -> None:
        """It does not run here any more."""
        if attempt := _running(task_id):
            self._judge(attempt, task, retval)
            if not attempt.alive:  # by a verdict
                self._begun.discard(attempt.execution)
            attempt.close()
            attempts.leave(attempt)
            self.publisher.flusher.end(attempt.execution)
            if "monitors" in vars(self):
                self.monitors.end(attempt.execution)

    def stopped(self, **_: Any) -> None:
        """A worker has ended in an orderly way."""
        if "lease" in vars(self):
            self.lease.stop()

    def leaving(self, **_: Any) -> None:
        """The process ends in an orderly way."""
        if "publisher" in vars(self):
            self.publisher.flush(EXIT_SECONDS)
        if "monitors" in vars(self):
            self.monitors.flush(EXIT_SECONDS)

    def abandon(self) -> None:
        """A worker's process ends, whatever happened to it, and takes with it what has begun here and not ended."""
        for execution in list(self._begun) if os.getpid() == self._main else ():
            if not execution.late:
                source = events.Supervisor(
                    task=execution.task, retries=execution.retries, boot=execution.boot
                )
                reported.send(None, source=source, event=_failed(execution.task, _SHUT_DOWN))

    def cancel(self, task: str) -> None:
        publisher = self.publisher  # connected, before anything is sent
        self._app.control.revoke(task, terminate=True)
        source, now = events.Supervisor(task=task, retries=-1, boot=""), time.time()
        # The end is refused if the task has begun: then whoever runs it will say what came of this.
        for event in (
            events.Cancelling(task=task, at=now),
            events.Finished(task=task, at=now, status="cancelled"),
        ):
            reported.send(sender=None, source=source, event=event)
        publisher.flusher.wait(source)

    def _judge(self, attempt: Attempt, task: Any, retval: Any) -> None:
        """The verdicts for which Celery has no signal. Of all others this comes too late, or too early."""
        exception, late = sys.exc_info()[1], attempt.execution.late
        eager = task.request.is_eager
        match retval:
            case Reject() if late and getattr(retval, "requeue", False):
                self._finish(attempt, events.Retrying(**_now(attempt)))
            case Reject():
                self._fail(attempt, retval)
            case Ignore() if not attempt.goes_on:
                self._finish(attempt, events.Finished(**_now(attempt), status="cancelled"))
            case _ if eager and isinstance(exception, Exception):
                self._fail(attempt, exception)  # it is let through
            case _ if not late and isinstance(exception, SystemExit) and self._main == os.getpid():
                self._fail(attempt, exception)  # over which all pools but prefork stumble

    # -- saying it -------------------------------------------------------------------------------------------

    def _finish(self, attempt: Attempt, event: events.Finished | events.Retrying) -> None:
        with attempt.lock:
            if attempt.alive:
                attempt.finish(event)

    def _supervise(self, request: Any, event: events.Finished | events.Retrying) -> None:
        """Say it of the execution that was requested so, which is not this process's own."""
        registered, about = self._app.tasks.get(request.task), messages.about(request)
        if self._tracked(str(request.task), event.task, about, registered):
            source = events.Supervisor(
                task=event.task,
                retries=messages.retries(request),
                boot=_boot(),
                queue=messages.queue(about) if isinstance(about, Mapping) else None,
                pid=self._pid(request),
            )
            for execution in list(self._begun):
                if execution.task == event.task:
                    self._begun.discard(execution)
            reported.send(sender=registered, source=source, event=event)

    def _pid(self, context: Any) -> int:
        """The process that ran what was requested so; 0 where that is not known."""
        for request in list(self._requests):
            if request._context is context:
                return request.worker_pid or 0
        return 0

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
    (signals.worker_ready, "ready"),
    (signals.before_task_publish, "queued"),
    (signals.task_received, "received"),
    (signals.task_prerun, "begun"),
    (signals.task_success, "succeeded"),
    (signals.task_failure, "failed"),
    (signals.task_retry, "retrying"),
    (signals.task_revoked, "revoked"),
    (signals.task_unknown, "unknown"),
    (signals.task_internal_error, "broken"),
    (signals.task_postrun, "ended"),
    (signals.worker_process_shutdown, "leaving"),
    (signals.worker_shutdown, "leaving"),
    (signals.worker_shutdown, "stopped"),
)


def _running(task_id: str) -> Attempt | None:
    attempt, _ = attempts.here.get()
    return attempt if attempt and attempt.execution.task == task_id else None


def _boot() -> str:
    """Which start of which worker this is; "" where there is none."""
    return os.environ.get(BOOT, "")


def _failed(task: str, error: events.Error) -> events.Finished:
    return events.Finished(task=task, at=time.time(), status="failed", error=error)


_SHUT_DOWN = events.Error(
    type="WorkerShutdown", message="Its worker was shut down while it was running."
)


def _now(attempt: Attempt) -> dict[str, Any]:
    return {"task": attempt.execution.task, "at": time.time()}
