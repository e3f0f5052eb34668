"""Configuration: one small frozen struct, one order of precedence.

An argument goes before the framework's own configuration (`headway_*` in Celery's, `HEADWAY_*` in Flask's),
that before the environment (`HEADWAY_*`), that before the default.
"""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from headway.errors import ConfigurationError
from headway.journal import Retention

REDIS = ("redis://", "rediss://", "unix://", "redis+sentinel://")


class Settings(Struct, frozen=True, kw_only=True):
    redis_url: str = ""
    keep_running: int = 24 * 3600  # seconds a silent running task's journal is kept
    keep_finished: int = 24 * 3600  # seconds a finished task's state is kept
    keep_log: int = 3600  # seconds a finished task's events are kept
    keep_queued: int = 7 * 24 * 3600  # seconds one that never starts is kept after it was due
    log_entries: int = 1000  # events kept per task
    log_bytes: int = 2 * 1024 * 1024  # bytes of events kept per task
    lost_after: float = 60.0  # seconds a worker must be silent before its tasks are said to be lost

    def retention(self) -> Retention:
        return Retention(
            running=self.keep_running,
            finished=self.keep_finished,
            finished_log=self.keep_log,
            queued=self.keep_queued,
            entries=self.log_entries,
            bytes=self.log_bytes,
        )


class TaskSettings(Settings, frozen=True, kw_only=True):
    tasks: tuple[str, ...] = ()  # names (globs) of tasks to track besides those marked with @staged
    # Raise InvalidReport into the task, instead of mending the report and logging it.
    strict: bool = False
    show_errors: bool = False  # let viewers read the text of any exception, not only of Failure
    page: str = ""  # the address of a task's page, with {task} for its id: monitors such as Flower link to it


class WebSettings(Settings, frozen=True, kw_only=True):
    # Let anybody who knows a task's id watch it through the blueprint's own routes.
    allow_anonymous: bool = False
    heartbeat: float = 15.0  # seconds between signs of life on a quiet stream; below a third of a proxy's idle limit
    idle: float = 300.0  # seconds without an event after which a stream is closed (its viewer returns by cursor)
    # Seconds, give or take a tenth, after which any stream is closed likewise.
    lifetime: float = 3600.0
    # Streams a process has open at once; more are asked to come back later.
    most_viewers: int = 20_000
    write_deadline: float = 20.0  # seconds a viewer may leave what was sent to it unread


T = TypeVar("T", bound=Settings)


def load(kind: type[T], *layers: Mapping[str, Any], broker: object) -> T:
    """Settings of that kind: the first layer that has a name decides it, then the environment.

    Without a Redis URL of its own it takes the broker's, if that is a Redis.
    """
    found: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        values = (layer.get(name) for layer in (*layers, _environment(name)))
        value = next((value for value in values if value is not None), None)
        if value is not None:
            found[name] = value
    if isinstance(names := found.get("tasks"), str):  # from the environment
        found["tasks"] = [name.strip() for name in names.split(",") if name.strip()]
    if not found.get("redis_url"):
        if not str(broker or "").startswith(REDIS):
            raise ConfigurationError(
                "Headway needs a Redis, and the broker is none. Set HEADWAY_REDIS_URL in the environment, "
                "or pass redis_url=..., for example redis://localhost:6379/0, "
                "or redis+sentinel://<host>:26379/<name of the master>/0."
            )
        found["redis_url"] = str(broker)
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"A setting of Headway is wrong: {error}") from error


def _environment(name: str) -> dict[str, str]:
    value = os.environ.get(f"HEADWAY_{name.upper()}")
    return {} if value is None else {name: value}
