"""Celery apps of a test's own: what they report goes to whoever listens, and to no Redis."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, _state

import headway.celery
import headway.lifecycle
import headway.stages
from headway import track
from headway.usual import Usual

NOWHERE = "redis://localhost:1/0"


class NoPublisher:
    """Carries nothing anywhere, and is its own flusher."""

    def __init__(self, journal: object) -> None:
        self.flusher = self

    def __call__(self, **_: object) -> None:
        pass

    def wait(self, source: object) -> None:
        pass

    def end(self, source: object) -> None:
        pass

    def flush(self, seconds: float) -> bool:
        return True

    def learned(self, name: str) -> dict[str, Usual]:
        return {}


def installed(app: Celery, **settings: Any) -> None:
    headway.celery.install(app, **{"redis_url": NOWHERE} | settings)


@contextmanager
def installed_alone(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Celery]:
    """An app that knows no task of another test's, reports while the block lasts, and is forgotten."""
    monkeypatch.setattr(headway.lifecycle, "Publisher", NoPublisher)
    monkeypatch.setattr(headway.stages, "_marked_proxies", [])
    # A Celery task is for all apps to come, unless it says otherwise.
    known = set(_state._on_app_finalizers)  # type: ignore[attr-defined]
    monkeypatch.setattr(_state, "_on_app_finalizers", known)
    with Celery("tests", broker="memory://", **options) as app:
        installed(app)
        yield app
        assert headway.celery._installed
        headway.celery._installed.disconnect()


def reader() -> Callable[..., int]:
    """A function nobody has marked yet."""

    def read(pages: int = 2) -> int:
        """Read the pages."""
        return sum(1 for _ in track(range(pages), "read"))

    return read
