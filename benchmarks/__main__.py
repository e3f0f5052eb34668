"""Measure Headway beside its peers and print one table: `python -m benchmarks [--quick] [subject ...]`.

Everything runs on this machine's loopback, in processes that end with this one. The figures are this machine's;
only ratios within one run can be compared with other runs, and with the targets. Nothing is asserted.
"""

import argparse
import os
import platform
from importlib.util import find_spec
from pathlib import Path

from benchmarks import (
    browser,
    crowds,
    flower,
    latency,
    own,
    servers,
    sides,
    sizes,
    streams,
    tasks,
    trouble,
    viewers,
)
from benchmarks.table import HEADINGS, markdown, say, show

TITLE = "# Figures\n\nWritten by `make bench`. What they mean: [performance.md](performance.md).\n"
SUBJECTS = {
    "tasks": tasks.rows,
    "flower": flower.rows,
    "latency": latency.rows,
    "streams": streams.rows,
    "crowds": crowds.rows,
    "own": own.rows,
    "trouble": trouble.rows,
    "browser": browser.rows,
    "sizes": sizes.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs of less: a first look")
    parser.add_argument(
        "subjects", nargs="*", metavar="subject", help=f"of {', '.join(SUBJECTS)}; default: all"
    )
    parser.add_argument(
        "--write", metavar="FILE", type=Path, help="write the table there too, as Markdown"
    )
    asked = parser.parse_args()
    if unknown := set(asked.subjects) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    try:
        _measure(asked.subjects or list(SUBJECTS), quick=asked.quick, file=asked.write)
    except KeyboardInterrupt:
        parser.exit(130, "Stopped.\n")


def _measure(subjects: list[str], *, quick: bool, file: Path | None) -> None:
    with servers.started(quick=quick) as bench:
        skipped = {name: f"Skipped: {name}: {why}." for name, why in _skipped(bench).items()}
        about, table = _about(bench), [HEADINGS]
        say(about)
        show(HEADINGS)
        for name in subjects:
            if name not in skipped:
                for row in SUBJECTS[name](bench):
                    table.append(row.cells())
                    show(table[-1])
    for line in skipped.values():
        say(line)
    if file:  # only now: what was there is better than half of it
        table.insert(1, ("---",) * len(HEADINGS))
        parts = [TITLE, about, "".join(map(markdown, table)), *skipped.values()]
        file.write_text("\n".join(parts).rstrip() + "\n")


def _about(bench: servers.Bench) -> str:
    cores = "a core for what is measured" if servers.PINNED else "not pinned to cores"
    redis = "Redis of its own" if bench.redis else "the Redis of HEADWAY_REDIS_URL"
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores}, {redis}. "
        f"{os.getloadavg()[0]:.1f} processes ran before this one began.\n"
        "A figure is the median of its runs, and (how far they lie from it): (0.9-1.2) is 90 % to 120 % of it.\n"
    )


def _skipped(bench: servers.Bench) -> dict[str, str]:
    """What is not measured here, by name, and why."""
    skipped = {}
    if not find_spec("tqdm"):
        skipped["tqdm"] = "not installed (pip install tqdm)"
    if bench.redis is None:
        skipped["a hung Redis, a bare PUBLISH"] = "the one in HEADWAY_REDIS_URL is not ours"
    if why := browser.missing():
        skipped["browser"] = why
    if why := sizes.missing():
        skipped["bundles"] = why
    for side in sides.SIDES:
        if side.install:
            skipped[side.name] = f"not installed ({side.install})"
    if why := viewers.missing():
        skipped |= dict.fromkeys(("latency", "streams", "crowds", "own", "trouble"), why)
    elif why := servers.too_few_files(crowds.VIEWERS):
        skipped |= dict.fromkeys(("crowds", "own", "trouble"), why)
    return skipped


if __name__ == "__main__":
    main()
