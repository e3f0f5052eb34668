"""What one execution has said and monitors have not heard, and what they are told. Pure: no thread, no Celery.

Unlike a backlog it is told as a state, not as events: the newest wins.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from headway.events import Event, Execution, MessageReported, Stage, StageReported, State

EVENT = "progress-updated"  # never `task-…`: monitors take that for a change of the task's state
TICK = 0.5  # seconds between two ticks of a task
MOST_STAGES = 50  # in one event: those around the one that runs
MOST_TEXT = 300  # characters of a message


class Account:
    """What one execution has said. Its caller holds a lock; `state` is the teller's alone."""

    def __init__(self, source: Execution) -> None:
        self.state = State(task=source.task)  # as it was told
        self.attempt = source.retries + 1  # by Celery's count: a redelivery has the same one again
        self.urgent = False  # there is a transition to tell
        self.ended = False
        self.told_at = 0.0
        self._heard = 0  # how many events
        self._told = 0  # how many of them monitors have been told of
        self._unsaid: dict[Hashable, Event] = {}  # in order, the newest of each kind
        self._statuses: dict[str, tuple[str, int]] = {}

    @property
    def fresh(self) -> bool:
        """Whether there is something to tell."""
        return self._told < self._heard

    def put(self, event: Event) -> None:
        kind: Hashable = type(event)
        if isinstance(event, StageReported):
            key, status = event.stage.key, (event.stage.status, event.stage.runs)
            known = self._statuses.get(key)
            self._statuses[key] = status
            self.urgent |= status != known
            # The first event of a stage keeps its place: it is the stage's own place among the others.
            kind = key if known else ("first", key)
        elif not isinstance(event, MessageReported):
            self.urgent = True
        self._heard += 1
        self._unsaid.pop(kind, None)
        self._unsaid[kind] = event

    def take(self, now: float) -> tuple[list[Event], int]:
        """What came since it was last taken, and what to give to `told` when monitors have been told."""
        events, self._unsaid = list(self._unsaid.values()), {}
        self.urgent = False
        self.told_at = now
        return events, self._heard

    def told(self, heard: int) -> None:
        self._told = heard


_FIELDS = [
    "status",
    "title",
    "message",
    "remaining",
    "error",
    "due_at",
    "started_at",
    "updated_at",
    "finished_at",
]
_STAGE_FIELDS = [name for name in Stage.__struct_fields__ if name != "data"]


def drawable(state: State, *, attempt: int, page: str) -> dict[str, Any]:
    """What monitors are told of a state: what can be drawn, in a bounded size, as plain values. Unknowns are left out.

    `progress` comes first, and is never left out: Flower sorts its tasks by the text of it all.
    """
    stages = _around(state.stages)
    said = {"progress": state.progress, "attempt": attempt} | _known(state, _FIELDS)
    said["stages"] = [_known(stage, _STAGE_FIELDS) for stage in stages]
    if more := len(state.stages) - len(stages):
        said["more"] = more
    if page:
        said["page"] = page
    return said


def _around(stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages to tell of: if there are too many, those around the last that has begun."""
    begun = max((at for at, stage in enumerate(stages) if stage.status != "waiting"), default=0)
    first = max(0, min(begun - MOST_STAGES // 2, len(stages) - MOST_STAGES))
    return stages[first : first + MOST_STAGES]


def _known(struct: Struct, names: Sequence[str]) -> dict[str, Any]:
    values = {name: _short(msgspec.to_builtins(getattr(struct, name))) for name in names}
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return value[: MOST_TEXT - 1] + "…"
    return value
