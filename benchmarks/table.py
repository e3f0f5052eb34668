"""The one table: what was measured, ours beside a peer's, as medians of runs made in turn."""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WIDTHS = (47, 18, 40, 7, 14)
HEADINGS = ("what", "headway", "peer", "ratio", "target")


@dataclass(frozen=True)
class Row:
    """One comparison. `theirs` may be missing: then ours stands alone, against an absolute `limit`.

    `target` bounds ours / theirs, `limit` bounds ours itself. Both are design goals; neither
    is asserted anywhere, for a time on somebody's machine proves nothing.
    """

    what: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    target: float | None = None
    limit: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        if not self.theirs or not statistics.median(self.theirs):
            return None
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def cells(self) -> tuple[str, ...]:
        theirs = f"{self.peer}: {_figure(self.theirs)}" if self.theirs else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        return self.what, _figure(self.ours), theirs, ratio, self._goal()

    def _goal(self) -> str:
        goal = self.limit if self.target is None else self.target
        value = statistics.median(self.ours) if self.target is None else self.ratio
        if goal is None or value is None:
            return ""
        met = value >= goal if self.more_is_better else value <= goal
        return f"{'≥' if self.more_is_better else '≤'} {_number(goal)} {'ok' if met else 'MISSED'}"


def _figure(values: Sequence[float]) -> str:
    """The median, and how far the runs lie from it: `(0.9-1.2)` is from 90 % to 120 % of it."""
    median = statistics.median(values)
    said = _number(median)
    if len(values) < 2 or median <= 0:
        return said
    return f"{said} ({min(values) / median:.2g}-{max(values) / median:.2g})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def in_turn(
    repeats: int, *measures: Callable[[], float], warm_up: bool = True
) -> Iterator[list[float]]:
    """Run the measures one after another, round by round, so that a noisy minute hits them all."""
    if warm_up:
        for measure in measures:
            measure()
    rounds = [[measure() for measure in measures] for _ in range(repeats)]
    return (list(column) for column in zip(*rounds, strict=True))


def say(text: str) -> None:
    print(text, flush=True)


def progress(text: str) -> None:
    """On a terminal, what is being measured just now; nothing where somebody keeps the output."""
    if sys.stderr.isatty():
        print(f"\033[K… {text}", end="\r", file=sys.stderr, flush=True)


def markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def show(cells: Sequence[str]) -> None:
    progress("")
    say("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip())
