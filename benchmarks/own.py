"""Each viewer has a topic of its own, as when everybody watches their own task.

A round is one event of each topic, said all at once; the next begins when all viewers have theirs. Ours go through
the journal, which takes the publisher and Redis longer than a PUBLISH; both are outside the measured core.
"""

from collections.abc import Iterator

from benchmarks.servers import Bench
from benchmarks.sides import (
    LOOP,
    QUEUES,
    Figures,
    Side,
    closed_loop,
    compared,
    gathered,
    measured,
)
from benchmarks.table import Row

VIEWERS = (1000, 5000)


def rows(bench: Bench) -> Iterator[Row]:
    for viewers in VIEWERS[:1] if bench.quick else VIEWERS:

        def measure(bench: Bench, side: Side, viewers: int = viewers) -> Figures:
            return _measure(bench, side, viewers)

        runs = measured(bench, measure, LOOP, QUEUES)
        what = f"{viewers:,} viewers, a topic each"
        yield from compared(f"{what}: CPU per delivery, µs", "own", runs)
        yield from compared(f"{what}: lost, doubled, reordered", "wrong", runs, limit=0)


def _measure(bench: Bench, side: Side, viewers: int) -> Figures:
    events = 5 if bench.quick else 10
    with side.serve(bench) as server:
        speaker = side.speaker(bench, server)
        with gathered(side, server, speaker, viewers, own=True) as (crowd, topics):
            cpu = closed_loop(server, speaker, crowd, topics, events)
            count = crowd.end()
        speaker.end()
    deliveries = events * viewers
    return {"own": cpu / deliveries, "wrong": count.wrong + abs(deliveries - count.delivered)}
