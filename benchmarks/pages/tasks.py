"""The tasks that the measured pages show: `celery -A benchmarks.pages.tasks worker`."""

import random
import time
from typing import Any

from benchmarks.worker import app, measured, wait_for_go
from headway import plan, stage

__all__ = ["app", "told"]


@measured
def told(self: Any, how: str, reports: int, pause: float) -> list[float]:
    """Wait for the page, then report every `pause` seconds, half more or less; returns when each report was made."""
    if how != "update_state":
        plan("told")
    wait_for_go(self.request.id)
    tell = {"transitions": _transitions, "ticks": _ticks, "update_state": _update_state}[how]
    return tell(self, reports, pause)


def _transitions(task: Any, reports: int, pause: float) -> list[float]:
    times = []
    for _ in range(reports // 2):
        times.append(time.time())
        with stage("told"):
            _rest(pause)
            times.append(time.time())
        _rest(pause)
    return times


def _ticks(task: Any, reports: int, pause: float) -> list[float]:
    """The message says when it was given, for a tick is sampled some time later."""
    times = []
    with stage("told") as told:
        for _ in range(reports):
            times.append(time.time())
            told.report(repr(times[-1]))
            _rest(pause)
    return times


def _update_state(task: Any, reports: int, pause: float) -> list[float]:
    times = []
    for _ in range(reports):
        times.append(time.time())
        task.update_state(state="PROGRESS", meta={"at": times[-1]})
        _rest(pause)
    return times


def _rest(pause: float) -> None:
    """Not in step with anything that has a period of its own."""
    time.sleep(pause * random.uniform(0.5, 1.5))
