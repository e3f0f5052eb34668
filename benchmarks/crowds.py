"""Ten thousand viewers of one topic in one process: what each costs while it sits there, how fast they come, and
what a delivery costs then. Each run has a fresh server.
"""

from collections.abc import Iterator

from benchmarks.servers import Bench
from benchmarks.sides import SIDES, Figures, Side, closed_loop, compared, gathered, measured, wrong
from benchmarks.table import Row

FIRST = 100  # whoever comes first pays for what is loaded late
VIEWERS = 10_000


def rows(bench: Bench) -> Iterator[Row]:
    runs = measured(bench, measure, *(each for each in SIDES if each.most_viewers >= VIEWERS))
    what = f"{VIEWERS:,} viewers"
    yield from compared(f"{what}: CPU per delivery, µs", "cpu", runs)
    yield from compared(f"{what}: memory per viewer, KB", "memory", runs)
    yield from compared(f"{what}: connects/s", "connects", runs, more_is_better=True)
    yield from compared(f"{what}: CPU per connect, µs", "connect", runs)
    yield wrong(what, runs)


def measure(bench: Bench, side: Side) -> Figures:
    events = 5 if bench.quick else 15
    with side.serve(bench) as server:
        speaker = side.speaker(bench, server)
        with gathered(side, server, speaker, FIRST) as (few, first):
            closed_loop(server, speaker, few, first, 1)
            before, rest = server.resident_bytes(), server.cpu_seconds()
            with gathered(side, server, speaker, VIEWERS) as (crowd, topics):
                after, busy = server.resident_bytes(), server.cpu_seconds()
                cpu = closed_loop(server, speaker, crowd, topics, events)
                count = crowd.end()
        speaker.end()
    deliveries = events * VIEWERS
    return {
        "cpu": cpu / deliveries,
        "memory": (after - before) / VIEWERS / 1024,
        "connect": (busy - rest) / VIEWERS * 1e6,
        "connects": VIEWERS / crowd.seconds_to_connect,
        "wrong": count.wrong + abs(deliveries - count.delivered),
    }
