"""What it costs a worker that monitors such as Flower are told of progress: the same tasks, told and not told."""

from collections.abc import Callable, Iterator

from benchmarks.servers import Bench
from benchmarks.table import Row, in_turn, progress
from benchmarks.tasks import STAGES, run
from benchmarks.worker import app

POOLS = ("prefork", "threads")
ARGS = ("--without-gossip", "--without-mingle")  # with heartbeats, without which it sends no events


def rows(bench: Bench) -> Iterator[Row]:
    for pool in POOLS:
        with bench.worker(pool, args=ARGS):
            yield from computing(bench, pool)
            yield from transitions(bench, pool)


def computing(bench: Bench, pool: str) -> Iterator[Row]:
    """A task that computes and reports every millisecond: how much longer a second of it takes, all threads counted."""
    progress(f"told while computing, {pool}")
    told, untold, state = in_turn(
        bench.repeats,
        _with_events(True, lambda: run("headway", "computing", "headway", 1000)),
        _with_events(False, lambda: run("headway", "computing", "headway", 1000)),
        _with_events(False, lambda: run("update_state", "computing", "update_state", 1000)),
        warm_up=False,
    )
    what = f"1000 reports/s, told ({pool}): added, ms"
    yield Row(what, told, "not told", untold)
    yield Row(what, told, "update_state", state)


def transitions(bench: Bench, pool: str) -> Iterator[Row]:
    """Twenty stages entered and left once each, as long as the task itself is held."""
    progress(f"told of transitions, {pool}")
    told, untold, state = in_turn(
        3 * bench.repeats,
        _with_events(True, lambda: run("headway", "transitions", "headway", STAGES)),
        _with_events(False, lambda: run("headway", "transitions", "headway", STAGES)),
        _with_events(False, lambda: run("update_state", "transitions", "update_state", STAGES)),
    )
    what = f"a transition, told ({pool}), µs"
    yield Row(what, told, "not told", untold)
    yield Row(what, told, "update_state", state)


def _with_events(on: bool, measure: Callable[[], float]) -> Callable[[], float]:
    """Have the worker send events of tasks, or not: Flower asks for them in the same way."""
    ask = app.control.enable_events if on else app.control.disable_events

    def measured() -> float:
        ask(reply=True)
        return measure()

    return measured
