"""A row of the table: one kind of fault, how it is done, and what may come of it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.lane import Lane
from tests.chaos.play import Play

Strike = Callable[[Play], None]


@dataclass(frozen=True)
class Row:
    """`strike` does the fault once and undoes it; then every viewer must show the truth again.

    It is repeated within a play if it is `quick`; `mixes` says that it may come in any company. `gaps` are the reasons
    that a gap may have (a burst of more events than a log keeps is one); whatever else is said to be lost was not.
    `site` makes a lane of its own out of the one that was meant.
    """

    name: str
    strike: Strike
    gaps: frozenset[str] = frozenset()
    quick: bool = False
    mixes: bool = False
    redis: Mapping[str, Any] = field(default_factory=dict)  # options of redis.conf
    tasks: int = 2
    job: str = "write"
    site: Callable[[Lane], AbstractContextManager[Lane]] = nullcontext

    @property
    def says(self) -> str:
        return " ".join((self.strike.__doc__ or "").split())

    def act(self, play: Play) -> None:
        for _ in play.times() if self.quick else range(1):
            if not play.ended:
                self.strike(play)
            if not play.ended:
                play.recovers()


FORK = frozenset({"fork"})
TRIMMED = frozenset({"trimmed"})
KEEPS_ALL = {"appendonly": "yes", "appendfsync": "always"}
