"""Tasks that end in every way Celery knows. `celery -A tests.acceptance.outcome_jobs worker`."""

import os
import signal
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Reject

import headway.celery
from headway import stage, staged

app = Celery("outcomes", broker=os.environ.get("CELERY_BROKER_URL", "memory://"))
app.conf.update(
    result_backend=os.environ.get("CELERY_RESULT_BACKEND"),
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ.get("OUTCOMES_QUEUE", "celery"),
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": 6,  # an unacknowledged message is delivered again that soon
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)
if os.environ.get("HEADWAY_REDIS_URL"):
    headway.celery.install(app)


def again(task: Any) -> bool:
    """Whether this is not the first execution."""
    return bool(task.request.retries or task.request.delivery_info.get("redelivered"))


@app.task
@staged("work")
def succeed(seconds: float = 0) -> str:
    with stage("work"):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)  # a greenlet is killed where it yields
    return "done"


@app.task(acks_late=True)
@staged("work")
def succeed_late(seconds: float = 0) -> str:
    return str(succeed(seconds))


@app.task
@staged("work")
def fail() -> None:
    with stage("work"):
        raise ValueError("no")


@app.task(bind=True, autoretry_for=(ValueError,), retry_kwargs={"countdown": 0})
@staged("work")
def retry_by_itself(self: Task) -> None:
    with stage("work"):
        if not again(self):
            raise ValueError("not yet")


@app.task(bind=True)
@staged("work")
def retry(self: Task) -> None:
    with stage("work"):
        if not again(self):
            raise self.retry(countdown=0)


@app.task(bind=True)
@staged("work")
def reject(self: Task, requeue: bool) -> None:
    with stage("work"):
        if not again(self):
            raise Reject("not mine", requeue=requeue)


@app.task(bind=True, acks_late=True)
@staged("work")
def reject_late(self: Task, requeue: bool) -> None:
    with stage("work"):
        if not again(self):
            raise Reject("not mine", requeue=requeue)


@app.task
@staged("work")
def ignore() -> None:
    with stage("work"):
        raise Ignore


@app.task(bind=True)
@staged("work")
def replace(self: Task) -> None:
    with stage("work"):
        pass
    raise self.replace(unmarked.si())


@app.task(bind=True, max_retries=1)
@staged("work")
def retry_and_replace(self: Task) -> None:
    with stage("work"):
        if not self.request.retries:
            raise self.retry(countdown=0)
    raise self.replace(unmarked.si())


@app.task
def unmarked() -> str:
    with stage("instead"):
        return "instead"


@app.task
@staged("work")
def unserialisable() -> object:
    with stage("work"):
        return object()


class Troubled(Task):
    def on_failure(self, *_: object, **__: object) -> None:
        raise RuntimeError("in on_failure")


@app.task(base=Troubled)
@staged("work")
def fail_in_on_failure() -> None:
    with stage("work"):
        raise ValueError("no")


class Unready(Task):
    def before_start(self, *_: object, **__: object) -> None:
        raise RuntimeError("in before_start")


@app.task(base=Unready)
@staged("work")
def fail_in_before_start() -> None:
    pass


@app.task
@staged("work")
def leave() -> None:
    with stage("work"):
        raise SystemExit(1)


def die(task: Any) -> None:
    with stage("work"):
        if not again(task):
            time.sleep(0.3)  # what it said is on its way within a few milliseconds
            os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
@staged("work")
def killed(self: Task) -> None:
    die(self)


@app.task(bind=True, acks_late=True)
@staged("work")
def killed_late(self: Task) -> None:
    die(self)


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
@staged("work")
def killed_and_redelivered(self: Task) -> None:
    die(self)


@app.task(bind=True, retry_on_worker_lost=True, default_retry_delay=0)
@staged("work")
def killed_and_retried(self: Task) -> None:
    die(self)
