"""Each viewer has a topic of its own, as when everybody watches their own task.

A round is one event of each topic, said all at once; the next begins when all viewers have theirs. All sides hear
the same: what the journal publishes, as fast as Redis writes it. Their wake-ups cost more than the sends, and come as
often as that says.
"""

from collections.abc import Iterator
from dataclasses import replace

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
    wrong,
)
from benchmarks.speakers import Reported
from benchmarks.table import Row

VIEWERS = (1000, 5000)


def rows(bench: Bench) -> Iterator[Row]:
    for viewers in VIEWERS[:1] if bench.quick else VIEWERS:

        def measure(bench: Bench, side: Side, viewers: int = viewers) -> Figures:
            return _measure(bench, side, viewers)

        runs = measured(bench, measure, *map(_of_journals, (LOOP, QUEUES)))
        what = f"{viewers:,} own topics"
        yield from compared(f"{what}: CPU per delivery, µs", "own", runs)
        yield wrong(what, runs)


def _of_journals(side: Side) -> Side:
    """The same, fed by the journal's channels."""
    path = "/events/headway:t:{{{topic}}}"
    return replace(side, path=path, speaker=Reported)


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
