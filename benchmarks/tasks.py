"""The task's side: what reporting costs the code that reports, and Redis. Everything runs in real workers."""

import statistics
import time
import uuid
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks.servers import Bench
from benchmarks.table import Row, in_turn, progress
from benchmarks.worker import app
from tests.processes import RedisServer

POOLS = ("threads", "gevent", "prefork")
STAGES = 20
TASK_SECONDS = 60  # no task here takes half of it
HANG_SECONDS = 2.0
POLL_SECONDS = 0.005


def rows(bench: Bench) -> Iterator[Row]:
    for pool in POOLS:
        progress(f"transitions, {pool}")
        with bench.worker(pool):
            yield from transitions(bench, pool)
            if pool == "prefork":
                yield from iterations(bench)
                yield from traffic(bench)
                yield from computing(bench)
                if bench.redis:
                    yield from hanging(bench, bench.redis)


def run(how: str, task: str, *args: Any) -> Any:
    """Run a task in the worker and return its figure. Only Headway's own way runs in a tracked task."""
    return _task(how, task).delay(*args).get(timeout=TASK_SECONDS)


def _task(how: str, task: str) -> Any:
    return app.tasks[f"{'headway' if how == 'headway' else 'plain'}.{task}"]


def iterations(bench: Bench) -> Iterator[Row]:
    """A loop that does nothing, over `track()`, with its sampler and publisher running, and over tqdm."""
    progress("iterations")
    count = 500_000 if bench.quick else 2_000_000
    ways = ["headway", "bare", *(["tqdm"] if find_spec("tqdm") else [])]
    measures = [partial(run, how, "iterations", how, count) for how in ways]
    ours, bare, *others = in_turn(bench.repeats, *measures)
    for theirs in others:
        yield Row("an iteration of track(), ns", ours, "tqdm", theirs, target=0.5)
    yield Row("an iteration of track(), ns", ours, "bare loop", bare)


def transitions(bench: Bench, pool: str) -> Iterator[Row]:
    """Twenty stages entered and left once each, per change of status. The peers say the same in a dict."""
    measures = [
        partial(run, how, "transitions", how, STAGES)
        for how in ("headway", "update_state", "send_event")
    ]
    ours, state, event = in_turn(3 * bench.repeats, *measures)
    what = f"a transition in {pool}, µs"
    yield Row(what, ours, "update_state", state, target=1 / 20)
    yield Row(what, ours, "send_event", event)


def traffic(bench: Bench) -> Iterator[Row]:
    """A thousand ticks in 2 s, through twenty stages, less what Redis is asked anyway in that time.

    `update_state` is called at every tick, which is what a loop without a throttle does. It keeps no history.
    """
    progress("traffic")
    ticks, seconds = 1000, 2.0
    runs: dict[str, list[dict[str, float]]] = {"nothing": [], "headway": [], "update_state": []}
    for _ in range(1 if bench.quick else 3):
        for how, counts in runs.items():
            counts.append(run(how, "traffic", how, ticks, STAGES, seconds))
    for name, what, target in (
        ("round trips", "round trips", 1.0),
        ("commands", "commands, also in scripts", None),
        ("cpu", "CPU of Redis, ms", None),
    ):
        idle = statistics.median(count[name] for count in runs["nothing"])
        ours, theirs = (
            [count[name] - idle for count in runs[how]] for how in ("headway", "update_state")
        )
        yield Row(f"1000 ticks in 2 s: {what}", ours, "update_state", theirs, target=target)


def computing(bench: Bench) -> Iterator[Row]:
    """A task that computes and reports every millisecond: how much longer a second of it takes."""
    progress("a task that computes")
    measures = [partial(run, how, "computing", how, 1000) for how in ("headway", "update_state")]
    ours, theirs = in_turn(bench.repeats, *measures, warm_up=False)
    yield Row("1000 reports/s while computing: added, ms", ours, "update_state", theirs)


def hanging(bench: Bench, redis: RedisServer) -> Iterator[Row]:
    """The same, shorter, while Redis answers nothing: how long the task's thread is held up in all."""
    progress("a hung Redis")
    measures = [
        partial(_held_ms, bench, redis, how) for how in ("nothing", "headway", "update_state")
    ]
    alone, ours, theirs = in_turn(2 if bench.quick else 5, *measures, warm_up=False)
    usual = statistics.median(alone)
    yield Row(
        f"Redis hung for {HANG_SECONDS:g} s: added, ms",
        [each - usual for each in ours],
        "update_state",
        [each - usual for each in theirs],
        limit=50,
    )


def _held_ms(bench: Bench, redis: RedisServer, how: str) -> float:
    """From prerun to postrun, all that Celery and Headway do there included."""
    id = uuid.uuid4().hex
    _task(how, "hanging").apply_async((how,), task_id=id, ignore_result=True)
    _figure(bench, f"{id}.waits")
    redis.pause()
    try:
        (bench.folder / f"{id}.go").touch()
        time.sleep(HANG_SECONDS)
    finally:
        redis.resume()
    held = _figure(bench, id)
    time.sleep(1.0)  # for everybody to find that Redis is back
    return held * 1e3


def _figure(bench: Bench, name: str) -> float:
    """What a task has left in its file."""
    deadline = time.monotonic() + TASK_SECONDS
    while not (bench.folder / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError("a task did not end")
        time.sleep(POLL_SECONDS)
    return float((bench.folder / name).read_text())
