"""How late a report is: from its `at`, stamped in the task, to its bytes at a viewer's socket."""

import uuid
from collections.abc import Iterator
from typing import Any

from benchmarks.servers import Bench
from benchmarks.table import Row, progress
from benchmarks.viewers import Delays, crowd, get
from benchmarks.worker import app

PAUSE_SECONDS = 0.02  # between transitions
CROWD = 500  # viewers of the one task
TASK_SECONDS = 60


def rows(bench: Bench) -> Iterator[Row]:
    """Transitions 50 a second in a prefork worker, through one web process, and a bare PUBLISH at the same pace.

    Every viewer's deliveries count, so in a crowd the last to be written to counts as much as the first. The
    worker and Redis share a core with the viewers; the web process has its own.
    """
    transitions = 100 if bench.quick else 200
    alone, crowded, bare = [], [], []
    with bench.worker("prefork", pinned=False), bench.web("benchmarks.web:app") as web:
        for _ in range(bench.repeats):
            progress("latency")
            alone.append(_streamed(bench, web.port, 1, transitions))
            if bench.redis:
                bare.append(_published(bench, bench.redis.port, transitions))
            crowded.append(_streamed(bench, web.port, CROWD, transitions))
    yield _row("1 viewer: p50", [c.p50 for c in alone], [c.p50 for c in bare], target=2.0)
    yield _row("1 viewer: p99", [c.p99 for c in alone], [c.p99 for c in bare])
    yield _row(f"{CROWD} viewers: p50", [c.p50 for c in crowded], [c.p50 for c in bare])
    yield _row(f"{CROWD} viewers: p99", [c.p99 for c in crowded], [c.p99 for c in bare], limit=100)


def _row(what: str, ours: list[float], theirs: list[float], **goal: Any) -> Row:
    return Row(f"from report to {what}, ms", ours, "PUBLISH to subscriber", theirs, **goal)


def _streamed(bench: Bench, port: int, viewers: int, transitions: int) -> Delays:
    id = uuid.uuid4().hex
    ready, request = '"snapshot"', get(f"/headway/tasks/{id}/events")
    return _paced(bench, "headway", id, port, viewers, transitions, ready, request)


def _published(bench: Bench, port: int, transitions: int) -> Delays:
    """The subscriber speaks to Redis itself, in its inline form: one connection, no library."""
    id = uuid.uuid4().hex
    request = f"SUBSCRIBE {id}\r\n"
    return _paced(bench, "publish", id, port, 1, transitions, "subscribe", request)


def _paced(
    bench: Bench,
    how: str,
    id: str,
    port: int,
    viewers: int,
    transitions: int,
    ready: str,
    request: str,
) -> Delays:
    task = app.tasks["headway.paced" if how == "headway" else "plain.paced"]
    result = task.apply_async((how, transitions, PAUSE_SECONDS), task_id=id)
    with crowd(port, viewers, marker=ready, request=request) as watching:
        (bench.folder / f"{id}.go").touch()
        result.get(timeout=TASK_SECONDS)
        return watching.delays()
