"""Whether what viewers were sent keeps the promises (README). Pure: it is fed with records and told the truth.

It believes nothing a stream says of itself. Each viewer's frames are folded as a client folds them; ids must follow
one another between two snapshots; an id must have the same payload and the same past for everybody, the journal
included; what was emitted (`{"n": 1}`, each number once per task) is counted by its numbers, not by its ids.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from headway.events import Event, Link, Started
from headway.keys import seq_of
from tests.chaos.records import Closed, Got, Opened, Record, Truth
from tests.chaos.violations import JOURNAL, Violation
from tests.chaos.watches import History, Watch, calm, number_of, some, where


class Checker:
    """Feed it with every record as it comes; then tell it the truth about each task, once.

    It keeps each distinct event once per task, and of each delivery a few bytes.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.deliveries = 0  # events with an id
        self.connections = 0
        self.gaps = 0
        self._histories: dict[str, History] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._open: dict[str, Opened] = {}

    def see(self, record: Record) -> None:
        """Take the next record; what it breaks by itself is in `violations` at once.

        Raises ValueError for what no viewer can have written.
        """
        if isinstance(record, Opened):
            self._opened(record)
            return
        opened = self._open.get(record.viewer)
        if opened is None or opened.connection != record.connection:
            raise ValueError(f"not of an open connection: {record}")
        if isinstance(record, Got):
            self._got(record, opened)
        else:
            self._closed(record, opened)

    def _opened(self, record: Opened) -> None:
        self.connections += 1
        self._open[record.viewer] = record
        for task, cursor in record.cursors.items():
            history = self._histories.setdefault(task, History())
            watch = self._watches.get((record.viewer, task))
            if watch is None:
                watch = Watch(record.viewer, task, history, self.violations)
                self._watches[record.viewer, task] = watch
            watch.opened(cursor)

    def _got(self, record: Got, opened: Opened) -> None:
        if record.type == "link":
            live = msgspec.json.decode(record.payload, type=Link).live
            for task in opened.cursors:
                self._watches[record.viewer, task].linked = live
        elif record.task in opened.cursors:
            self.deliveries += record.cursor is not None
            self.gaps += self._watches[record.viewer, record.task].got(record)
        elif record.task:
            said = f"it watches {some(opened.cursors)}"
            self.violations.append(Violation("foreign", *where(record), said))

    def _closed(self, record: Closed, opened: Opened) -> None:
        del self._open[record.viewer]
        for task in opened.cursors:
            watch = self._watches[record.viewer, task]
            watch.linked, watch.left = True, record.why == "left"

    def judge(self, truth: Truth) -> None:
        """Hold one task against the truth; adds to `violations`."""
        history = self._histories.setdefault(truth.task, History())
        numbers = dict(self._replayed(truth, history))
        for (_, task), watch in self._watches.items():
            if task == truth.task:
                watch.judge(truth, numbers)

    def _replayed(self, truth: Truth, history: History) -> Iterator[tuple[int, int]]:
        """Watch the journal as one more viewer; yields the place and the number of what was emitted."""
        journal = Watch(JOURNAL, truth.task, history, self.violations)
        first = seq_of(truth.log[0][0]) if truth.log else 1
        journal.opened("0" if first == 1 else f"{first - 1}-0")
        told = _Emitted(anew=first > 1)
        for id, payload in truth.log:
            said = Got(JOURNAL, 0, truth.due, truth.task, id, "", payload.decode())
            journal.event(said)
            number = told.hear(history.events[id].event)
            if number is not None:
                yield seq_of(id), number
                if told.numbers[number] > 1:
                    journal.blame("doubled", said, f"{number} was emitted once")
            journal.compare_snapshot(id)
        if truth.log and journal.state is not None and journal.state != calm(truth.state):
            journal.blame("undetected", None, f"the state is not the fold: {truth.state}")
        if truth.ended and truth.state.status != truth.ended:
            journal.blame("not converged", None, f"{truth.state.status}, but it has {truth.ended}")
        if missing := told.missing(truth.emitted):
            journal.blame("lost", None, f"never arrived: {some(missing)}")


class _Emitted:
    """The numbers in a journal, and which of those that are missing it says are missing."""

    def __init__(self, *, anew: bool) -> None:
        self.numbers: Counter[int] = Counter()
        self._anew = anew  # what is missing before the next number is known to be
        self._last = -math.inf
        self._excused: list[tuple[float, float]] = []  # between these

    def hear(self, event: Event | None) -> int | None:
        number = number_of(event)
        self._anew = self._anew or (isinstance(event, Started) and event.gap is True)
        if number is not None:
            if self._anew:
                self._excused.append((self._last, number))
            self._anew, self._last = False, number
            self.numbers[number] += 1
        return number

    def missing(self, emitted: Iterable[int]) -> list[int]:
        excused = [*self._excused, (self._last, math.inf)] if self._anew else self._excused
        return [
            number
            for number in emitted
            if number not in self.numbers
            and not any(after < number < before for after, before in excused)
        ]
