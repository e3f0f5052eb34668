"""The fault campaign: tasks write known sequences, viewers note every frame, everything between them is made to fail.

  python -m tests.chaos                            every row once: two minutes
  python -m tests.chaos failover viewer            the rows with such a name
  python -m tests.chaos --seconds 600 --seed 7     all rows again and again, with a crowd of viewers
  python -m tests.chaos failover --seed 7-3 --large   one play of it, once more

What is asserted is what the README promises: no event lost, doubled or out of order unless a gap says so, one end, and
in the end the true state at every viewer. Recovery is the time from the end of a fault (from its beginning, where
nothing ends it) until every viewer shows the truth; those over the promised fifteen seconds are counted, because a busy
machine has them too. Ends with 1 when a promise was broken.
"""

import argparse
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Sequence

from tests.chaos.campaign import LARGE, ROWS, SMALL, Result, campaign, once, until
from tests.chaos.row import Row
from tests.chaos.table import load, table, verdict

LANES = 3


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", help="parts of names of rows; see --list")
    parser.add_argument("--seconds", type=float, help="go on for so long, with a crowd")
    parser.add_argument("--seed", help="what chance decides; a new one each time, if left out")
    parser.add_argument("--large", action="store_true", help="a crowd, as with --seconds")
    parser.add_argument("--lanes", type=int, default=LANES, help=f"sites at once ({LANES})")
    parser.add_argument("--list", action="store_true", help="name all rows and end")
    asked = parser.parse_args(words)
    unknown = [word for word in asked.rows if not any(word in row.name for row in ROWS)]
    if unknown:
        parser.error(f"no row is called {unknown[0]!r}; --list names them all")
    return asked


def main(words: Sequence[str]) -> int:
    asked = arguments(words)
    rows = [row for row in ROWS if not asked.rows or any(word in row.name for word in asked.rows)]
    if asked.list:
        for row in rows:
            print(f"{row.name:26} {row.says}")
        return 0
    seed = asked.seed or str(secrets.randbelow(1_000_000))
    print(f"seed {seed}, {len(rows)} rows, {load()}", flush=True)
    results: list[Result] = []
    try:
        _play(rows, seed, asked, results)
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
    if results:
        print(f"\n{table(results)}\n\nseed {seed}, {load()}. {verdict(results)}", flush=True)
    return any(result.wrong for result in results)


def _play(rows: Sequence[Row], seed: str, asked: argparse.Namespace, results: list[Result]) -> None:
    turns = until(asked.seconds, rows, seed) if asked.seconds else once(rows, seed)
    large = bool(asked.seconds or asked.large)
    lanes = asked.lanes if asked.seconds else min(asked.lanes, len(rows))
    node = shutil.which("node")
    begun = time.monotonic()
    played = campaign(turns, LARGE if large else SMALL, lane_count=lanes, node=node)
    try:
        for result in played:
            results.append(result)
            print(_said(result, time.monotonic() - begun), flush=True)
            if result.wrong:
                again = f"python -m tests.chaos {result.row} --seed {result.seed}"
                print(f"  again: {again}{' --large' if large else ''}", flush=True)
                print("".join(f"  {line}\n" for line in result.wrong), flush=True)
    finally:
        played.close()


def _said(result: Result, at: float) -> str:
    outcome = "BROKEN" if result.wrong else "kept"
    slowest = f"{max(result.recoveries):.2f} s" if result.recoveries else "-"
    return (
        f"{at:6.1f} s  {outcome:6} {result.row:26} {len(result.faults):4} faults {result.deliveries:8,} deliveries "
        f"{result.gaps:4} gaps  recovery {slowest:8} {'; '.join(result.notes)}"
    ).rstrip()


def _end(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
