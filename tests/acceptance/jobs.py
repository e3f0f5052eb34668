"""A Celery app whose tasks tell the same story in every pool. `celery -A tests.acceptance.jobs worker`."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import Celery

import headway.celery
from headway import current, emit, report, stage, staged, track
from headway.errors import Failure

app = Celery("jobs", broker=os.environ.get("CELERY_BROKER_URL", "memory://"))
app.conf.update(
    result_backend=os.environ.get("CELERY_RESULT_BACKEND"),
    task_always_eager=bool(os.environ.get("JOBS_EAGER")),
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": 3600},
)
if os.environ.get("HEADWAY_REDIS_URL"):
    headway.celery.install(app)

READ = stage("read", unit="page")


def tell(pause: float = 0.02) -> dict[str, int]:
    """Every kind of report there is, in an order that no pool may change."""
    report("warming up")
    with READ as read:
        for page in read.track(range(3)):
            report(f"page {page}")
            time.sleep(pause)
    for chunk in track(range(5), "chunk"):
        if chunk == 2:
            break
    with stage("enrich") as enrich, ThreadPoolExecutor(2) as executor:
        here = current()
        list(executor.map(lambda _: here.run(enrich.advance, 1), range(4)))
        emit("token", {"text": "é\u2028\n"})
    stage("score").skip("no tables")
    with stage("surprise"):
        pass
    return {"pages": 3}


@app.task
@staged(READ, "chunk", stage("enrich", weight=5), "score")
def story(pause: float = 0.02) -> dict[str, int]:
    return tell(pause)


@app.task(ignore_result=True)
@staged(READ, "chunk", stage("enrich", weight=5), "score")
def unwatched_story(pause: float = 0.02) -> dict[str, int]:
    return tell(pause)


@app.task
@staged("only")
def broken() -> None:
    with stage("only"):
        raise Failure("the disk is full")


@app.task
@staged("only")
def secretive() -> None:
    with stage("only"):
        raise ValueError("canary-5d1f")


@app.task
@staged("wait")
def patient(seconds: float) -> None:
    for _ in track(range(int(seconds * 20)), "wait"):
        time.sleep(0.05)


@app.task
@staged("count")
def steady(seconds: float, rate: int) -> float:
    """Report `rate` times a second and return how long it took, in seconds."""
    start = time.perf_counter()
    for n in track(range(int(seconds * rate)), "count"):
        report(f"step {n}")
        emit("step", n)
        due = start + (n + 1) / rate
        time.sleep(max(0.0, due - time.perf_counter()))
    return time.perf_counter() - start


@app.task
@staged("count")
def held(seconds: float, rate: int) -> float:
    """Report `rate` times a second and return how long that has held it in all, in seconds."""
    start, spent = time.perf_counter(), 0.0
    for n in track(range(int(seconds * rate)), "count"):
        before = time.perf_counter()
        emit("step", n)
        spent += time.perf_counter() - before
        time.sleep(max(0.0, start + (n + 1) / rate - time.perf_counter()))
    return spent


@app.task
@staged("spin")
def burning(seconds: float) -> None:
    """Compute without ever yielding, as a greenlet must not."""
    with stage("spin"):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass


@app.task
def untracked(n: int) -> int:
    return n


@app.task
def inner(n: int) -> Any:
    """Not marked: whoever calls it directly gets its reports."""
    report(f"inner {n}")
    return n


@app.task
@staged("outer")
def outer() -> list[int]:
    with stage("outer"):
        return [inner(n) for n in range(2)]


def imported_modules() -> list[str]:
    return sorted(sys.modules)
