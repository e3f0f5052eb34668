"""What viewers write down of what they are sent, and what is true in the end: all that the checker judges by.

A record is one line of JSON, so that viewers in other processes and languages write the same. Each viewer's records
come in its own order; those of several may be mixed.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple

import msgspec
from msgspec import Struct

from headway.events import State, Subject
from headway.journal import Journal
from tests.producers import EVERYTHING

SOMEWHERE = ""  # a cursor: the viewer was here before and cannot say where


class Opened(Struct, frozen=True, array_like=True, tag_field="record", tag="opened"):
    """A viewer comes, or comes back: one connection at a time, numbered from 1.

    `cursors` is where it says it is, by task: the last cursor it has, None when it is new here, "0" when it wants all
    there is, SOMEWHERE when it comes back without a cursor for this task (a native EventSource has only one).
    """

    viewer: str
    connection: int
    at: float
    cursors: dict[str, str | None]


class Got(Struct, frozen=True, array_like=True, tag_field="record", tag="got"):
    """One event of the stream. Comments and `retry:` are not written down."""

    viewer: str
    connection: int
    at: float
    task: str  # "" for what is about no task
    cursor: str | None  # its own `id:` without the task; None if it had none
    type: str
    payload: str  # its `data:`


class Closed(Struct, frozen=True, array_like=True, tag_field="record", tag="closed"):
    """A connection ends. A viewer that `left` does not come back and is owed nothing more."""

    viewer: str
    connection: int
    at: float
    why: Literal["ended", "cut", "refused", "left"]


Record = Opened | Got | Closed


class _Head(Struct):
    type: str
    task: str = ""


_head = msgspec.json.Decoder(_Head)


def got(viewer: str, connection: int, at: float, id: str | None, data: str) -> Got:
    """The record of one event, from its own `id:` (None if it had none) and its `data:`."""
    head = _head.decode(data)
    return Got(viewer, connection, at, head.task, id and id.rpartition("/")[2], head.type, data)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def write(file: IO[bytes], records: Iterable[Record]) -> None:
    file.write(_encoder.encode_lines(records))


def read(path: Path) -> Iterator[Record]:
    """The records of one file. A last line that was torn (its viewer was killed) is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _decoder.decode(line)


class Truth(NamedTuple):
    """One task as Redis and its producers have it, when all faults have ended and everything has been said."""

    task: str
    log: list[tuple[str, bytes]]  # ids and payloads
    last: str  # the last id; "0" if there is no journal
    state: State  # an empty one if there is no journal
    due: float  # by when (`at` of the records) every viewer had to show it
    gaps: frozenset[str] = frozenset()  # reasons that a gap may have had; any other is a false one
    emitted: tuple[int, ...] = ()  # each `n` that the task's last execution says it has emitted
    ended: str | None = None  # the status with which it says it has ended


def truth(
    journal: Journal,
    task: str,
    due: float,
    *,
    gaps: Iterable[str] = (),
    emitted: Iterable[int] = (),
    ended: str | None = None,
) -> Truth:
    """Read now, in one step. Raises JournalUnavailable."""
    subject = Subject("task", task)
    (reading,) = journal.read([(subject, "0")], count=EVERYTHING)
    state = reading.state(subject) or State(task=task)
    return Truth(
        task,
        reading.entries,
        reading.last,
        state,
        due,
        frozenset(gaps),
        tuple(emitted),
        ended,
    )
