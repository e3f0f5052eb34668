"""`install(app)` is all a worker or a sender of tasks needs. Importing this module connects nothing."""

from typing import Any

from celery import Celery

from headway.errors import ConfigurationError
from headway.lifecycle import Lifecycle
from headway.settings import TaskSettings

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

    One that has not begun is `cancelled` at once. One that runs is `cancelling` at once, until its worker says that
    it has stopped; in the threads and solo pools nothing can stop it, and it runs on. Raises what Celery raises
    when the broker cannot be reached.
    """
    if _installed is None:
        raise ConfigurationError(
            "Call headway.celery.install(app) in this process before cancel()."
        )
    _installed.cancel(task)
