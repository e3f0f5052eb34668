"""The vocabulary: events, the state they fold into, and who says them. Pure; knows no Redis, no Celery, no HTTP."""

import json
import re
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

WIRE_VERSION = 1  # of snapshots; a new field does not raise it, a changed meaning does

# No braces or slashes: ids stand in Redis keys, URLs and cursors.
SUBJECT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

TaskStatus = Literal[
    "queued",
    "scheduled",
    "running",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
    "lost",
    "expired",
]
StageStatus = Literal["waiting", "running", "done", "failed", "skipped"]

# `lost` is missing on purpose: a worker that was only cut off may come back and withdraw it.
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Subject(NamedTuple):
    """What can be watched."""

    kind: Literal["task"]
    id: str


class Stage(Struct, frozen=True, kw_only=True):
    key: str
    label: str | None = None
    status: StageStatus = "waiting"
    current: float | int | None = None
    total: float | int | None = None
    unit: str | None = None
    message: str | None = None
    data: Any = None
    needs: tuple[str, ...] = ()
    started_at: float | None = None
    finished_at: float | None = None
    expected: tuple[float, float] | None = None  # seconds it usually takes: from, to
    runs: int = 0  # how many times it was entered


class Error(Struct, frozen=True, kw_only=True):
    type: str
    message: str | None = None  # only what viewers may read
    stage: str | None = None  # the key of the stage it happened in


class State(Struct, frozen=True, kw_only=True):
    """All a viewer can know of a task. `fold` makes it from events."""

    task: str
    name: str | None = None
    title: str | None = None
    status: TaskStatus = "queued"
    stalled: bool = False
    cancelling: bool = False  # somebody has asked for its end
    position: int | None = None  # among what waits in its queue: 1 is the next to run
    # False while no journal exists: nobody but the asker says there is such a task.
    confirmed: bool = False
    attempt: int = 0
    progress: float | None = None  # 0 to 1
    remaining: float | None = None  # seconds, reckoned at updated_at
    message: str | None = None
    data: Any = None
    stages: tuple[Stage, ...] = ()
    result: Any = None
    error: Error | None = None
    worker: str | None = None
    workflow: str | None = None
    due_at: float | None = None
    queued_at: float | None = None
    started_at: float | None = None
    updated_at: float | None = None
    finished_at: float | None = None


# Told by the sender; a new attempt keeps them.
FACTS = ("name", "title", "workflow", "queued_at", "due_at")


class _Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    task: str
    at: float


class Queued(_Event, frozen=True, kw_only=True, tag="queued"):
    name: str | None = None
    title: str | None = None
    workflow: str | None = None
    due_at: float | None = None


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """An attempt begins, or (with `gap`) its producer lost events and says its whole state anew."""

    # Numbered by the journal, which writes it in here: keep it before any free text.
    attempt: int = 0
    name: str | None = None
    title: str | None = None
    workflow: str | None = None
    worker: str | None = None
    due_at: float | None = None
    queued_at: float | None = None
    started_at: float | None = None
    progress: float | None = None
    remaining: float | None = None
    message: str | None = None
    data: Any = None
    stages: tuple[Stage, ...] = ()
    gap: Literal[True] | UnsetType = UNSET


class StageReported(_Event, frozen=True, kw_only=True, tag="stage"):
    stage: Stage
    progress: float | None = None
    remaining: float | None = None


class MessageReported(_Event, frozen=True, kw_only=True, tag="message"):
    message: str | None = None
    data: Any = None
    progress: float | None = None


class Emitted(_Event, frozen=True, kw_only=True, tag="emitted"):
    name: str
    data: Any = None


class Cancelling(_Event, frozen=True, kw_only=True, tag="cancelling"):
    """Somebody has asked for its end. Whether it comes to that is for whoever runs the task to say."""


class Retrying(_Event, frozen=True, kw_only=True, tag="retrying"):
    error: Error | None = None
    delay: float | None = None


class Finished(_Event, frozen=True, kw_only=True, tag="finished"):
    status: Literal["succeeded", "failed", "cancelled", "lost", "expired"]
    result: Any = None
    error: Error | None = None


Event = (
    Queued | Started | StageReported | MessageReported | Emitted | Cancelling | Retrying | Finished
)


class Gap(Struct, frozen=True, kw_only=True):
    """An announced loss: these events could not be delivered. What is not known is null."""

    reason: Literal["trimmed", "fork", "unknown"]
    first: int | None = None
    last: int | None = None


class Snapshot(_Event, frozen=True, kw_only=True, tag="snapshot"):
    """Said by the server on a stream, never written to a journal."""

    v: int = WIRE_VERSION
    state: State
    gap: Gap | UnsetType = UNSET


class Stalled(_Event, frozen=True, kw_only=True, tag="stalled"):
    """Without an id: the worker is silent (or speaks again)."""

    stalled: bool
    reason: str | None = None


class Position(_Event, frozen=True, kw_only=True, tag="position"):
    """Without an id: where the task stands in its queue. Null when that cannot be told."""

    position: int | None


class Link(Struct, frozen=True, kw_only=True, tag_field="type", tag="link"):
    """Without an id: the server's own link to Redis is down (or back), so what is shown may be old."""

    at: float
    live: bool


class Ended(Struct, frozen=True, kw_only=True, tag_field="type", tag="ended"):
    """The last event of a stream of many tasks: all have finished."""

    at: float
    tasks: int


class Execution(Struct, frozen=True, kw_only=True, eq=False):
    """One execution of a task, telling of itself."""

    task: str
    nonce: str
    retries: int  # how often it was sent again under its id; a redelivery has the same number again
    boot: str  # of the worker; "" where there is none
    began: float  # time.monotonic() of the process it runs in
    # Its message is acknowledged only when it has ended: until then it may be run again.
    late: bool = False
    owner: str | None = None  # for access only; never part of a state or an event
    queue: str | None = None  # it came out of
    pid: int = 0  # of the process it runs in, if that is a child of the worker


class Supervisor(Struct, frozen=True, kw_only=True, eq=False):
    """Somebody who watches an execution and knows its end: the worker's main process.

    With `retries=-1` and no boot it speaks of a task of which nothing has begun: whoever cancels it.
    """

    task: str
    retries: int
    boot: str
    queue: str | None = None  # the task may still stand in it
    # Of the child that ran it, if that is known: one worker may have two executions in hand.
    pid: int = 0


class Sender(Struct, frozen=True, kw_only=True, eq=False):
    """The process that puts a task on its way."""

    task: str
    owner: str | None = None
    queue: str | None = None  # it puts the task into, to be run as soon as its turn comes
    expires: float | None = None  # it must have begun by then


Source = Execution | Supervisor | Sender

_OUTCOME: dict[str, StageStatus] = {
    "succeeded": "done",
    "failed": "failed",
    "cancelled": "failed",
    "expired": "failed",
    "retrying": "failed",
}


def settle(state: State) -> State:
    """Give stages left open the outcome of an attempt that has ended. Settling twice changes nothing.

    A supervisor that ends a task does not know its stages, so whoever reads them settles them.
    """
    outcome = _OUTCOME.get(state.status)
    if outcome is None:
        return state
    at = state.finished_at or state.updated_at

    def settled(stage: Stage) -> Stage:
        if stage.status == "running":
            return replace(stage, status=outcome, finished_at=at)
        if stage.status == "waiting" and state.status == "succeeded":
            return replace(stage, status="skipped")
        return stage

    return replace(state, stages=tuple(settled(stage) for stage in state.stages))


def _with_stage(stages: tuple[Stage, ...], new: Stage) -> tuple[Stage, ...]:
    for i, old in enumerate(stages):
        if old.key == new.key:
            return (*stages[:i], new, *stages[i + 1 :])
    return (*stages, new)


def fold(state: State, event: Event) -> State:
    """The state after the event. Events hold absolute values, so folding one twice in a row changes nothing."""
    now: dict[str, Any] = {"confirmed": True, "updated_at": event.at}
    match event:
        case Queued():
            scheduled = event.due_at is not None and event.due_at > event.at
            now |= {fact: getattr(event, fact) for fact in ("name", "title", "workflow", "due_at")}
            now |= {"status": "scheduled" if scheduled else "queued", "queued_at": event.at}
        case Started():
            known = {
                fact: getattr(event, fact) for fact in FACTS if getattr(event, fact) is not None
            }
            kept = {fact: getattr(state, fact) for fact in FACTS}
            state = State(task=state.task, **{**kept, **known})
            now |= {field: getattr(event, field) for field in _STARTED}
            now["status"] = "running"
        case StageReported():
            now |= {"stages": _with_stage(state.stages, event.stage)}
            now |= {"progress": event.progress, "remaining": event.remaining}
        case MessageReported():
            now |= {"message": event.message, "data": event.data, "progress": event.progress}
        case Emitted():
            pass
        case Cancelling():
            now |= {"cancelling": True}
        case Retrying():
            due_at = None if event.delay is None else event.at + event.delay
            now |= {"status": "retrying", "error": event.error, "due_at": due_at, "remaining": None}
        case Finished():
            now |= {"status": event.status, "result": event.result, "error": event.error}
            now |= {"finished_at": event.at, "remaining": None}
            now |= {"cancelling": False, "position": None}
            if event.status == "succeeded":
                now["progress"] = 1.0
    if state.status == "lost" and isinstance(event, _SIGNS_OF_LIFE):
        # Withdrawn: it was only cut off.
        now = {"status": "running", "finished_at": None, "error": None} | now
    state = replace(state, **now)
    return settle(state) if isinstance(event, Retrying | Finished) else state


# Of an execution: what others say does not withdraw `lost`.
_SIGNS_OF_LIFE = (StageReported, MessageReported, Emitted, Retrying)
_STARTED = ("attempt", "worker", "started_at", "progress", "remaining", "message", "data", "stages")


def encode(value: object) -> bytes:
    """JSON in ASCII on one line: no parser of lines, however naive, can find a line break in it."""
    said = msgspec.json.encode(value)
    if said.isascii():
        return said
    return json.dumps(msgspec.json.decode(said), ensure_ascii=True, separators=(",", ":")).encode()


_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def decode(payload: bytes) -> Event | None:
    """The event in a payload, or None when a newer (or foreign) writer said something this version does not know."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
