"""Live progress for Celery tasks, pushed to whoever watches, never polled."""

from headway import errors
from headway.signals import reported
from headway.stages import about, current, emit, plan, report, stage, staged, track

__all__ = [
    "about",
    "current",
    "emit",
    "errors",
    "plan",
    "report",
    "reported",
    "stage",
    "staged",
    "track",
]
