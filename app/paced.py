"""What may be asked of the paced task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app import bodies

MOST_STAGES, MOST_STEPS, MOST_SECONDS = 50, 10_000, 600


@dataclass(frozen=True)
class Paced:
    stages: int = 4
    steps: int = 25
    seconds: float = 5.0
    fail_at: int | None = None  # the stage, counted from 1, that shall fail


def read(given: Mapping[str, Any]) -> Paced:
    """The request in a JSON object; a Problem that names every mistake in it."""
    stages = given.get("stages", Paced.stages)
    last = stages if _whole(stages, MOST_STAGES) else MOST_STAGES
    rules: bodies.Rules = {
        "stages": (lambda v: _whole(v, MOST_STAGES), f"a whole number from 1 to {MOST_STAGES}"),
        "steps": (lambda v: _whole(v, MOST_STEPS), f"a whole number from 1 to {MOST_STEPS}"),
        "seconds": (_duration, f"a number from 0 to {MOST_SECONDS}"),
        "fail_at": (
            lambda v: v is None or _whole(v, last),
            f"null, or the number of a stage, from 1 to {last}",
        ),
    }
    bodies.refuse(bodies.mistakes(given, rules))
    return Paced(**given)


def _whole(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most  # not isinstance: True is an int, too


def _duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MOST_SECONDS  # NaN compares false
