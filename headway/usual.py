"""How long stages usually take, and what follows from it: their weights, how far the task is, the time left. Pure."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from headway.events import StageStatus, State

KEPT = 20  # durations remembered per stage: enough for quartiles, soon forgetting how it used to be
ENOUGH = 3  # fewer say nothing
HEAVIEST = 1e9  # no stage counts more, so that sums stay finite


class Measured(Protocol):
    """A stage, alive or told."""

    @property
    def key(self) -> str: ...
    @property
    def status(self) -> StageStatus: ...
    @property
    def current(self) -> float | None: ...
    @property
    def total(self) -> float | None: ...
    @property
    def started_at(self) -> float | None: ...


class Usual(Struct, frozen=True):
    """The durations a stage usually has, in seconds: three quarters take longer than `low`, one more than `high`."""

    low: float
    middle: float
    high: float


def of(durations: Sequence[float]) -> Usual | None:
    if len(durations) < ENOUGH:
        return None
    low, middle, high = statistics.quantiles(durations, n=4, method="inclusive")
    return Usual(low, middle, high)


def durations(state: State) -> dict[str, float]:
    """How long each stage of a task that succeeded took.

    A stage entered more than once says nothing, nor does one that a clock set back has end before it began.
    """
    if state.status != "succeeded":
        return {}
    took = {
        stage.key: round(stage.finished_at - stage.started_at, 3)
        for stage in state.stages
        if stage.status == "done" and stage.runs == 1 and stage.started_at and stage.finished_at
    }
    return {key: seconds for key, seconds in took.items() if seconds >= 0}


def weights(learned: Mapping[str, Usual], declared: Mapping[str, float]) -> dict[str, float]:
    """What each stage counts. Learned durations go before declared weights; a stage without any is scaled to fit."""
    known = {key: learned[key].middle for key in declared if key in learned}
    scale, weight, total = 1.0, sum(declared[key] for key in known), sum(known.values())
    if weight and total:
        scale = min(HEAVIEST, total / weight)
    else:
        known = {}
    return {key: min(HEAVIEST, known.get(key, declared[key] * scale)) for key in declared}


def progress(stages: Collection[Measured], weights: Mapping[str, float]) -> float | None:
    """How much of what is to be done is done, 0 to 1; None while nothing can be said."""
    whole = done = 0.0
    for stage in stages:
        if stage.status != "skipped":
            whole += weights[stage.key]
            done += weights[stage.key] * share(stage)
    return done / whole if whole else None


def remaining(
    learned: Mapping[str, Usual], stages: Collection[Measured], now: float
) -> float | None:
    """Seconds until the last stage ends, one after another; None when any that is left is not known well enough."""
    left = 0.0
    for stage in stages:
        if stage.status in ("done", "skipped", "failed"):
            continue
        if stage.key not in learned:
            return None
        middle = learned[stage.key].middle
        begun = stage.started_at if stage.status == "running" else None
        spent = max(0.0, now - begun) if begun else 0.0
        part = share(stage)
        left += spent * (1 - part) / part if part > 0.1 else max(0.0, middle - spent)
    return round(left, 1) if stages else None


def share(stage: Measured) -> float:
    """How much of one stage is done, 0 to 1; 0 while its total is unknown."""
    if stage.status in ("done", "skipped"):
        return 1.0
    if stage.current is None or not stage.total or stage.total < 0:
        return 0.0
    return min(1.0, max(0.0, stage.current / stage.total))
