"""Short words for what was heard of the stages of one task."""

from headway.events import Event, MessageReported, Stage, StageReported
from headway.testing import Recorder


def stage_in(heard: Recorder, key: str) -> Stage:
    """The stage as the task's state has it now."""
    return next(stage for stage in heard.state().stages if stage.key == key)


def statuses(heard: Recorder) -> dict[str, str]:
    return {stage.key: stage.status for stage in heard.state().stages}


def told(heard: Recorder, key: str) -> list[Stage]:
    """Every record of the stage that was sent, in order."""
    return [
        event.stage
        for event in heard.events
        if isinstance(event, StageReported) and event.stage.key == key
    ]


def bar(heard: Recorder) -> list[float]:
    """The overall progress as it was told, event by event."""
    found = [progress_of(event) for event in heard.events]
    return [progress for progress in found if progress is not None]


def progress_of(event: Event) -> float | None:
    return event.progress if isinstance(event, StageReported | MessageReported) else None
