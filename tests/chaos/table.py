"""What a campaign has come to, a line for each row."""

import math
import os
from collections.abc import Callable, Iterable, Sequence

from tests.chaos.campaign import Result
from tests.chaos.play import PROMISED

#: Which kinds of violation each column counts.
COLUMNS = {
    "lost": ("lost", "wrong gap"),
    "doubled": ("doubled", "ended twice"),
    "reordered": ("reordered", "backwards", "not last", "foreign"),
    "undetected": ("undetected", "two payloads"),
    "false gaps": ("false gap",),
    "late": ("not converged",),
}
COUNTS = ("row", "played", "faults", "deliveries", "Redis lost", "gaps")
RECOVERY = ("recovery p50", "p99", "max s", f"over {PROMISED:g} s")
HEADS = (*COUNTS, *COLUMNS, "other", *RECOVERY)


def table(results: Sequence[Result]) -> str:
    """Rows in the order in which they were first played, and all of them together."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    lines = [HEADS, *(_line(row, of) for row, of in sorted(rows.items())), _line("all", results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    said = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, said))
    return "\n".join([said[0], rule, *said[1:-1], rule, said[-1]])


def _line(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    def total(count: Callable[[Result], int]) -> str:
        return f"{sum(map(count, results)):,}"

    kinds = [kind for result in results for kind in result.violations]
    recoveries = sorted(seconds for result in results for seconds in result.recoveries)
    return (
        name,
        f"{len(results):,}",
        total(lambda result: len(result.faults)),
        total(lambda result: result.deliveries),
        total(lambda result: result.forgotten),
        total(lambda result: result.gaps),
        *(f"{sum(kind in counted for kind in kinds):,}" for counted in COLUMNS.values()),
        total(lambda result: bool(result.wrong) and not result.violations),
        *(f"{_percentile(recoveries, share):.2f}" for share in (0.5, 0.99, 1.0)),
        f"{sum(seconds > PROMISED for seconds in recoveries):,}",
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0


def load() -> str:
    """How busy the machine is: recoveries are only as quick as it lets them be."""
    return "load average {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def verdict(results: Iterable[Result]) -> str:
    broken = [result for result in results if result.wrong]
    return f"{len(broken)} plays broke a promise." if broken else "Every promise was kept."
