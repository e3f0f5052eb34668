"""One viewer of one task: what it has, what it shows, and which promise that breaks. Pure."""

from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from headway import events
from headway.events import ENDED, Emitted, Event, Finished, Gap, Snapshot, State
from headway.keys import seq_of
from tests.chaos.records import SOMEWHERE, Got, Truth
from tests.chaos.violations import Kind, Violation


class Known(NamedTuple):
    """An event as it was seen first."""

    id: str
    payload: str
    previous: str | None  # None: whoever saw it had not seen what came before
    event: Event | None  # None: of a newer version
    viewer: str


class Shown(NamedTuple):
    """A snapshot as it was seen first."""

    state: State
    record: Got


class History:
    """All that was ever seen of one task, by id."""

    def __init__(self) -> None:
        self.events: dict[str, Known] = {}
        self.snapshots: dict[str, Shown] = {}


class _Told(NamedTuple):
    """A gap that was said."""

    record: Got
    gap: Gap
    cursor: str | None  # where the viewer was
    asked: bool  # it had said that it does not know where it is


_snapshot = msgspec.json.Decoder(Snapshot)


class Watch:
    """One viewer of one task: what it has, and what it shows."""

    def __init__(
        self, viewer: str, task: str, history: History, violations: list[Violation]
    ) -> None:
        self.viewer, self.task = viewer, task
        self.left = False
        self.linked = True  # as the server says
        self.state: State | None = None  # None: it shows nothing, or nobody knows what
        self.numbers: set[int] = set()
        self._history = history
        self._violations = violations
        self._cursor: str | None = None  # None: it is new
        self._torn = True  # nobody knows what came before the next event
        self._asked = False  # it has said that it does not know where it is
        self._ids: list[str | None] = []  # held since the last snapshot, by seq
        self._base = 0  # the seq before them
        self._owed_from = 0  # the seq after which it is owed everything
        self._excused: list[tuple[int, int]] = []  # by a gap: from, to
        self._told: list[_Told] = []
        self._moved_at = 0.0
        self._ended = False
        self._height = (0, 0.0)  # attempt, progress

    def blame(self, kind: Kind, record: Got | None, said: str) -> None:
        place = where(record) if record else (self.viewer, self.task, 0, 0.0)
        self._violations.append(Violation(kind, *place, said))

    # -- what it is sent ---------------------------------------------------------------------------------------

    def opened(self, cursor: str | None) -> None:
        self.left = False
        self._asked = cursor == SOMEWHERE
        if cursor not in (SOMEWHERE, self._cursor):
            self._begin(cursor)
            self._torn = cursor != "0"
            self.state = State(task=self.task) if cursor == "0" else None
            self._owed_from = seq_of(cursor or "")

    def _begin(self, cursor: str | None) -> None:
        self._cursor, self._torn = cursor, False
        self._ids, self._base = [], seq_of(cursor or "")
        self._ended = False
        self._height = (0, 0.0)

    def got(self, record: Got) -> bool:
        """Take an event; says whether it was a gap."""
        asked, self._asked = self._asked, self._asked and record.cursor is None
        if record.type == "snapshot":
            return self._replaced(record, _snapshot.decode(record.payload), asked)
        if record.cursor is not None:
            self.event(record)
        elif record.type != "stalled":
            self.blame("lost", record, "an event without an id: nobody can tell if it is missing")
        return False

    def event(self, record: Got) -> None:
        """Take an event of the journal."""
        assert record.cursor is not None
        if self._cursor is None:
            self.blame("lost", record, "an event before any snapshot")
            self._begin(f"{seq_of(record.cursor) - 1}-0")
            self._torn = True
        expected, seq = seq_of(self._cursor or "") + 1, seq_of(record.cursor)
        known = self._remember(record, self._cursor if seq == expected else None)
        if seq < expected:
            held = self._held(seq)
            if held == record.cursor:
                self.blame("doubled", record, record.cursor)
                return
            self.blame(
                "undetected" if held else "reordered",
                record,
                f"{record.cursor} after {self._cursor}",
            )
        else:
            if seq > expected:
                self.blame("lost", record, f"{expected} to {seq - 1}")
                self._ids += [None] * min(seq - expected, 1_000_000)
            self._cursor, self._torn = known.id, False
            self._ids.append(known.id)
        self._fold(record, known.event)

    def _held(self, seq: int) -> str | None:
        at = seq - self._base - 1
        return self._ids[at] if 0 <= at < len(self._ids) else None

    def _remember(self, record: Got, previous: str | None) -> Known:
        """The event as whoever came first saw it; it must be the same for all."""
        assert record.cursor is not None
        if self._torn:
            previous = None
        known = self._history.events.get(record.cursor)
        if known is None:
            event = events.decode(record.payload.encode())
            known = Known(record.cursor, record.payload, previous, event, self.viewer)
            self._history.events[record.cursor] = known
        elif known.payload != record.payload:
            self.blame(
                "two payloads", record, f"{record.payload} and, to {known.viewer}, {known.payload}"
            )
        elif known.previous is None:
            known = known._replace(previous=previous)
            self._history.events[record.cursor] = known
        elif previous is not None and previous != known.previous:
            said = f"{known.id} after {previous}, and at {known.viewer} after {known.previous}"
            self.blame("undetected", record, said)
        return known

    def _fold(self, record: Got, event: Event | None) -> None:
        self._moved_at = record.at
        ends = isinstance(event, Finished) and event.status in ENDED
        if self._ended:
            self.blame("ended twice" if ends else "not last", record, record.payload)
        self._ended = self._ended or ends
        number = number_of(event)
        if number is not None:
            self.numbers.add(number)
        if event is not None and self.state is not None:
            self.state = events.fold(self.state, event)
            self._climb(record)

    def _climb(self, record: Got) -> None:
        """Neither the attempt nor, within one, the progress may fall."""
        assert self.state is not None
        attempt, progress = self._height
        if self.state.attempt > attempt:
            progress = 0.0
        height = (
            self.state.attempt,
            progress if self.state.progress is None else self.state.progress,
        )
        if height < self._height:
            self.blame("backwards", record, f"from {self._height} to {height} (attempt, progress)")
        self._height = height

    def _replaced(self, record: Got, snapshot: Snapshot, asked: bool) -> bool:
        """Take a snapshot; says whether it told of a gap."""
        gap = None if snapshot.gap is UNSET else snapshot.gap
        cursor, state = record.cursor or "0", calm(snapshot.state)
        before, was_ended, height = self._cursor, self._ended, self._height
        moved = cursor != before or state != self.state
        if gap:
            self._excuse(record, gap, asked)
        elif before is None:
            self._owed_from = seq_of(cursor)
        elif asked:
            self.blame("lost", record, "it came back without a cursor, and no gap was said")
        elif cursor != before:
            back = seq_of(cursor) <= seq_of(before)
            self.blame(
                "reordered" if back else "lost", record, f"from {before} to {cursor} without a gap"
            )
        if gap and not record.cursor and gap.last is not None:
            cursor = f"{gap.last}-0"  # what the log still holds follows
        self._begin(cursor)
        self._torn = cursor.endswith("-0")
        self.state = state
        self._moved_at = record.at if moved else self._moved_at
        if record.cursor is None:
            return gap is not None
        self._show(record, state)
        self._ended = state.status in ENDED
        if before is not None and (gap is None or gap.reason == "trimmed"):
            self._height = height
            if was_ended and not self._ended:
                self.blame("not last", record, "a snapshot of a task that has not ended")
        self._climb(record)
        return gap is not None

    def _excuse(self, record: Got, gap: Gap, asked: bool) -> None:
        """Note what the gap covers; it must say all that was lost."""
        first, last = seq_of(self._cursor or "") + 1, seq_of(record.cursor or "")
        if gap.first is not None and gap.first > first:
            self.blame("wrong gap", record, f"from {gap.first} on; {first} is missing")
        if gap.last is not None and gap.last < last:
            self.blame("wrong gap", record, f"up to {gap.last}; {last} is missing")
        self._excused.append((0 if gap.first is None else first, max(last, gap.last or 0)))
        self._told.append(_Told(record, gap, self._cursor, asked))

    def _show(self, record: Got, state: State) -> None:
        """At one id all viewers are shown the same."""
        assert record.cursor is not None
        shown = self._history.snapshots.setdefault(record.cursor, Shown(state, record))
        if shown.state != state:
            said = f"{state} at {record.cursor}; to {shown.record.viewer} {shown.state}"
            self.blame("undetected", record, said)

    # -- the end -----------------------------------------------------------------------------------------------

    def compare_snapshot(self, id: str) -> None:
        """A snapshot at an id is what the log folds into there; after a trimmed log it is what folding begins with."""
        shown = self._history.snapshots.get(id)
        if shown is None:
            return
        if self.state is None:
            self.state = shown.state
        elif self.state != shown.state:
            self.blame(
                "undetected", shown.record, f"a snapshot that is not true at {id}: {shown.state}"
            )

    def judge(self, truth: Truth, numbers: dict[int, int]) -> None:
        """Hold what it has and shows against the truth. `numbers`: what was emitted where in the log."""
        for told in self._told:
            known = self._is_known(told.cursor) and not told.asked
            if known and told.gap.reason not in truth.gaps:
                self.blame("false gap", told.record, f"{told.gap}")
        if {"trimmed", "fork"} <= truth.gaps:
            # Of what has been trimmed nobody can tell if it was another history.
            self._excused = [(0, last) for _, last in self._excused]
        if self._cursor is not None:
            missing = [
                number
                for seq, number in numbers.items()
                if self._owed_from < seq <= seq_of(self._cursor)
                and number not in self.numbers
                and not any(first <= seq <= last for first, last in self._excused)
            ]
            if missing:
                self.blame("undetected", None, f"never had: {some(missing)}")
        if not self.left:
            self._judge_state(truth)

    def _is_known(self, cursor: str | None) -> bool:
        """Whether anybody was ever sent this cursor."""
        return cursor == "0" or cursor in self._history.events or cursor in self._history.snapshots

    def _judge_state(self, truth: Truth) -> None:
        if self.state != calm(truth.state):
            kind: Kind = "undetected" if self._cursor == truth.last else "not converged"
            self.blame(
                kind,
                None,
                f"at {self._cursor} of {truth.last} it shows {self.state}, not {truth.state}",
            )
        elif self._moved_at > truth.due:
            self.blame("not converged", None, f"{self._moved_at - truth.due:.1f} s too late")
        elif not self.linked:
            self.blame("not converged", None, "it is told that the link is down")


def where(record: Got) -> tuple[str, str, int, float]:
    return record.viewer, record.task, record.connection, record.at


def calm(state: State) -> State:
    """Without what no event says."""
    return replace(state, stalled=False) if state.stalled else state


def number_of(event: Event | None) -> int | None:
    data = event.data if isinstance(event, Emitted) else None
    number = data.get("n") if isinstance(data, dict) else None
    return number if isinstance(number, int) else None


def some(things: Collection[Any]) -> str:
    few = sorted(things)[:10]
    return f"{few} ({len(things)} in all)"
