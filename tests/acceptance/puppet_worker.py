"""A Celery app with one task, which does what a test tells it while it runs.

`celery -A tests.acceptance.puppet_worker worker`. Its strings are a list in the broker's Redis.
"""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import redis
from celery import Celery
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import headway.celery
from headway import current, emit, report, stage, staged
from headway.errors import Failure
from tests.acceptance.puppets import strings_of

BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
ORPHANED_SECONDS = 120  # without a word from its test

app = Celery("puppets", broker=BROKER_URL, set_as_current=False)
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)
headway.celery.install(app)


def _redis() -> redis.Redis:
    """A client that waits as long as BLPOP does, and for as long as its server is away."""
    patient = Retry(ConstantBackoff(0.05), retries=-1)
    return redis.Redis.from_url(BROKER_URL, socket_timeout=ORPHANED_SECONDS + 5, retry=patient)


@app.task(name="tests.puppet")
@staged()
def puppet() -> Any:
    """Obey until told to end, with the result that is told then."""
    task = current().task or ""
    with _redis() as client, ExitStack() as entered:
        verbs: dict[str, Callable[..., object]] = {
            "emit": emit,
            "emit_many": lambda name, size, count: [
                emit(name, {"n": n, "filling": "x" * size}) for n in range(count)
            ],
            "report": report,
            "enter": lambda key: entered.enter_context(stage(key)),
            "leave": entered.close,
        }
        while True:
            told = client.blpop([strings_of(task)], timeout=ORPHANED_SECONDS)
            if told is None:
                raise Failure("nobody pulls the strings any more")
            verb, *arguments = json.loads(told[1])
            if verb == "end":
                entered.close()
                return arguments[0]
            if verb == "fail":
                raise Failure(arguments[0])
            verbs[verb](*arguments)
