"""What may be asked of the paced task, and a reading of requests that names every mistake at once."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.problems import Problem

MOST_STAGES, MOST_STEPS, MOST_SECONDS = 50, 10_000, 600


@dataclass(frozen=True)
class Paced:
    stages: int = 4
    steps: int = 25
    seconds: float = 5.0
    fail_at: int | None = None  # the stage, counted from 1, that shall fail


def read(body: bytes) -> Paced:
    """The request in a JSON body; a Problem if it is none."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not JSON. Send an object, for example {}.") from None
    if not isinstance(given, dict):
        raise Problem(422, "The body is not a JSON object. Send one, for example {}.")
    if errors := _mistakes(given):
        raise Problem(422, "Mend the fields named in errors and send it again.", errors)
    return Paced(**given)


def _mistakes(given: dict[str, Any]) -> list[dict[str, str]]:
    stages = given.get("stages", Paced.stages)
    last = stages if _whole(stages, MOST_STAGES) else MOST_STAGES
    fields: dict[str, tuple[Callable[[Any], bool], str]] = {
        "stages": (lambda v: _whole(v, MOST_STAGES), f"a whole number from 1 to {MOST_STAGES}"),
        "steps": (lambda v: _whole(v, MOST_STEPS), f"a whole number from 1 to {MOST_STEPS}"),
        "seconds": (_duration, f"a number from 0 to {MOST_SECONDS}"),
        "fail_at": (
            lambda v: v is None or _whole(v, last),
            f"null, or the number of a stage, from 1 to {last}",
        ),
    }
    mistakes = []
    for name, value in given.items():
        allows, allowed = fields.get(name, (None, f"unknown; there are {', '.join(fields)}"))
        if allows is None:
            mistakes.append({"field": name[:100], "detail": f"is {allowed}"})
        elif not allows(value):
            mistakes.append({"field": name, "detail": f"must be {allowed}"})
    return mistakes


def _whole(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most  # not isinstance: True is an int, too


def _duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MOST_SECONDS  # NaN compares false
