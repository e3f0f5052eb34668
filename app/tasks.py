"""Sends tasks by name. The workers' code is not here, and need not be on this machine."""

import os
from typing import Any

from celery import Celery
from celery.exceptions import OperationalError
from flask import url_for
from flask.typing import ResponseReturnValue

import headway.celery
from app.problems import Problem
from headway import about

TIMEOUT_SECONDS = 1.0  # for one attempt to reach the broker: somebody waits for the answer

BROKER_URL = (
    os.environ.get("CELERY_BROKER_URL")
    or os.environ.get("HEADWAY_REDIS_URL")
    or "redis://localhost:6379/0"
)

celery = Celery("app", set_as_current=False)
celery.conf.update(
    broker_url=BROKER_URL,
    broker_connection_timeout=TIMEOUT_SECONDS,
    broker_transport_options={
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
    },
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0},
    task_serializer="json",
)
headway.celery.install(celery, tasks=["workers.*"])


def start(name: str, *, title: str, **kwargs: Any) -> ResponseReturnValue:
    """Send the task and answer 202 with where it can be watched. A Problem says that the broker is away."""
    try:
        sent = celery.send_task(name, kwargs=kwargs, headers=about(title=title))
    except OperationalError as error:
        raise Problem(
            503,
            "The task was not started: the broker does not answer. Check that it runs and that"
            " CELERY_BROKER_URL (or HEADWAY_REDIS_URL) points at it, then try again.",
        ) from error
    task = str(sent.id)
    return {"task": task, **addresses(task)}, 202


def addresses(task: str) -> dict[str, str]:
    """Where a task can be watched."""
    return {
        "events": url_for("headway.events", task=task),
        "state": url_for("headway.state", task=task),
    }
