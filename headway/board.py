"""What Flower has heard of progress, kept with what it knows of each task itself. Knows no page and no server.

For one thread, that of Flower's event loop.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from headway.accounts import drawable
from headway.events import ENDED, State, TaskStatus, settle

logger = logging.getLogger(__name__)

FIELD = "progress"  # of Flower's record of a task
MOST_EARLY = 1000  # tasks whose progress came before Flower heard of them

#: By Celery's name of a state: a task that was killed cannot say how it ended.
OUTCOMES: dict[str, TaskStatus] = {
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "cancelled",
}


class Stream(Protocol):
    """Somebody who waits for changes."""

    def note(self, id: str, *, whole: bool) -> None:
        """The task has changed: all that is known of it, or only its progress."""


class Board:
    """Takes what workers tell, and tells the streams which tasks have changed."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self._early: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def hear(self, tasks: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Progress of a task. Garbage is ignored, and so is what is older than what is known."""
        said = read(event)
        if said is None:
            return
        id = event["uuid"]
        task = tasks.get(id)
        known = progress_of(task) if task else self._early.get(id)
        if known and _age(said) < _age(known):
            return
        if task:
            task.progress = agreed(said, task)
            self._tell(id, whole=False)
        else:
            self._early[id] = said
            if len(self._early) > MOST_EARLY:
                self._early.popitem(last=False)

    def follow(self, tasks: Mapping[str, Any], id: str) -> None:
        """Flower has heard of this task itself."""
        task = tasks.get(id)
        if task is None:
            return
        if said := self._early.pop(id, None) or progress_of(task):
            task.progress = agreed(said, task)
        self._tell(id, whole=True)

    def _tell(self, id: str, *, whole: bool) -> None:
        for stream in self.streams:
            stream.note(id, whole=whole)


def progress_of(task: Any) -> dict[str, Any] | None:
    """What a worker has told of it: an attribute of Flower's own record, saved with it, and forgotten with it."""
    progress: dict[str, Any] | None = vars(task).get(FIELD)
    return progress


def read(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an event says, in the form and the bounds that workers keep; None for what no worker has sent."""
    try:
        said = msgspec.json.encode({**event["progress"], "task": event["uuid"]})
        state = msgspec.json.decode(said, type=State)
        page = event["progress"].get("page")
    except Exception:  # it may be anything
        logger.info("Progress that makes no sense is ignored: %.200r", event)
        return None
    if state.progress is not None:
        state = replace(state, progress=min(1.0, max(0.0, state.progress)))
    # Any other address might be a script.
    safe = isinstance(page, str) and page.startswith(("http://", "https://"))
    return drawable(state, attempt=state.attempt, page=page if safe else "")


def agreed(said: dict[str, Any], task: Any) -> dict[str, Any]:
    """Progress that does not contradict Flower: of a task that has ended nothing runs any more."""
    outcome = OUTCOMES.get(task.state)
    if outcome is None or said["status"] in ENDED:
        return said
    state = msgspec.convert({**said, "task": task.uuid}, State)
    progress = 1.0 if outcome == "succeeded" else state.progress
    ended = replace(state, status=outcome, progress=progress, finished_at=task.timestamp)
    return drawable(settle(ended), attempt=state.attempt, page=said.get("page", ""))


def _age(said: dict[str, Any]) -> tuple[float, ...]:
    """Attempts may be heard of in any order: the next may begin before the last one's end is known."""
    return said["attempt"], said.get("started_at") or 0.0, said.get("updated_at") or 0.0
