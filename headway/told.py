"""One event as a viewer is told it. Pure: text in, values out; what is no event of ours is None, never an error."""

import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from headway import sse
from headway.events import Ended, Event, Link, Position, Snapshot, Stalled
from headway.keys import seq_of

Said = Event | Snapshot | Stalled | Position | Link | Ended


class Told(NamedTuple):
    """One event of a stream, and its JSON as it came.

    `cursor` is where a viewer is who has had it; what the server says of itself has none. `event` is None when a
    newer server said something this version does not know.
    """

    task: str | None
    cursor: str | None
    event: Said | None
    json: str


class _Unknown(Struct):
    """An event of a newer server. It moves the cursor, or the next one would seem to come after a hole."""

    type: str
    task: str | None = None


class Problem(Struct):
    title: str = ""
    detail: str = ""
    tasks: tuple[str, ...] = ()


_said: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_unknown = msgspec.json.Decoder(_Unknown)
_problems = msgspec.json.Decoder(Problem)
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def told_in(frame: sse.Frame) -> Told | None:
    """None for what is not ours."""
    cursor = (frame.id or "").rpartition("/")[2]
    known = cursor if seq_of(cursor) else None
    try:
        event = _said.decode(frame.data)
        return Told(getattr(event, "task", None), known, event, frame.data)
    except _UNREADABLE:
        pass
    try:
        return Told(_unknown.decode(frame.data).task, known, None, frame.data)
    except _UNREADABLE:
        return None


def problem_in(body: bytes) -> Problem:
    try:
        return _problems.decode(body)
    except _UNREADABLE:
        return Problem()


def seconds_in(said: str) -> float:
    """A number of seconds, or a date; 0 for anything else."""
    try:
        return max(0.0, min(float(said), 1e9))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
