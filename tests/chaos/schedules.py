"""Who chooses what happens next in a scene."""

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Choose = Callable[[list[str]], str | None]

RESTLESS = 300  # steps, and what has not come to rest never will
FAULTS = ("drop", "cut", "leave", "deploy", "trim", "copy", "fail", "rival", "late", "audit", "end")
CALMING = ("integrate", "answer", "connect", "reach", "hear", "read", "open", "take")
WATCHED = "open reach hear read integrate take"  # a viewer has come and seen what there is


def as_told(schedule: str, then: Choose = lambda enabled: None) -> Choose:
    """These steps, then those of another; one that cannot be next is left out."""
    words = iter(schedule.split())

    def choose(enabled: list[str]) -> str | None:
        return next((word for word in words if word in enabled), None) or then(enabled)

    return choose


def calming() -> Choose:
    """What has to be done; a design that never comes to rest is left to itself."""
    left = iter(range(RESTLESS))

    def choose(enabled: list[str]) -> str | None:
        due = (step for step in enabled if step in CALMING)
        return None if next(left, None) is None else next(due, None)

    return choose


def at_random(seed: int, most: int) -> Choose:
    """So many steps at most; mostly those in which nothing goes wrong."""
    chosen = random.Random(seed)
    left = iter(range(most))

    def choose(enabled: list[str]) -> str | None:
        if not enabled or next(left, None) is None:
            return None
        weights = [1 if step in FAULTS else 6 for step in enabled]
        return chosen.choices(enabled, weights)[0]

    return choose


def all_ways(play: Callable[[Choose], T]) -> Iterator[T]:
    """What comes of it when it is played again and again, each time another way, until there is no other."""
    taken: list[int] = []  # which of the enabled steps, each time one was chosen
    while True:
        others: list[int] = []

        def choose(enabled: list[str], others: list[int] = others) -> str | None:
            if not enabled:
                return None
            if len(others) == len(taken):
                taken.append(0)
            others.append(len(enabled))
            return enabled[taken[len(others) - 1]]

        yield play(choose)
        while taken and taken[-1] + 1 == others[len(taken) - 1]:
            taken.pop()
        if not taken:
            return
        taken[-1] += 1
