"""The Celery app of the measured workers. Each task measures itself, in its own process, and returns figures.

Every function is a task twice: `headway.<name>` is tracked, `plain.<name>` is not, so that what is measured beside
Headway does not carry it. What `how` means is in the tables below; a peer's way is what its documentation shows.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis
from celery import Celery, signals

import headway.celery
from headway import plan, report, stage, track

SCHEDSTAT = Path("/proc/thread-self/schedstat")
GO_SECONDS = 30  # a task waits this long for its viewers
BARE_EVENT = '{"type":"stage","task":"bare","at":%r,"stage":{"key":"bare","status":"running"}}'

app = Celery("benchmarks")  # CELERY_BROKER_URL and CELERY_RESULT_BACKEND say where
_begun: dict[str, float] = {}


@signals.task_prerun.connect
def _note_begin(task_id: str, **_: Any) -> None:
    """Connected before Headway's own, so that what those take is measured too."""
    _begun[task_id] = held()


headway.celery.install(app, tasks=("headway.*",))


@signals.task_postrun.connect
def _note_end(task_id: str, **_: Any) -> None:
    """Connected after Headway's own. The figure goes into a file, for Redis may be hung."""
    leave_figure(task_id, held() - _begun.pop(task_id))


def own_time() -> float:
    """A clock that stands still while this thread waits for a core that somebody else has. Linux; elsewhere it runs."""
    if not SCHEDSTAT.exists():
        return time.perf_counter()
    return time.perf_counter() - int(SCHEDSTAT.read_text().split()[1]) / 1e9


def held() -> float:
    """A clock of the seconds in which this thread was made to wait, for anything but a core."""
    return own_time() - time.thread_time()


def leave_figure(name: str, figure: float) -> None:
    part = folder() / f"{name}.part"
    part.write_text(repr(figure))
    part.rename(folder() / name)


def folder() -> Path:
    return Path(os.environ["BENCHMARKS_FOLDER"])


def measured(function: Callable[..., Any]) -> Callable[..., Any]:
    for prefix in ("headway", "plain"):
        app.task(name=f"{prefix}.{function.__name__}", bind=True)(function)
    return function


# -- what an iteration costs -----------------------------------------------------------------------------------


@measured
def iterations(self: Any, how: str, count: int) -> float:
    """Nanoseconds per iteration of a loop that does nothing else, on its thread's own clock: it never waits."""
    loops: dict[str, Callable[[int], Iterable[int]]]
    loops = {"bare": range, "headway": _tracked, "tqdm": _tqdm}
    items = loops[how](count)
    start = time.thread_time()
    for _ in items:
        pass
    return (time.thread_time() - start) / count * 1e9


def _tracked(count: int) -> Iterable[int]:
    return track(range(count), "count")


def _tqdm(count: int) -> Iterable[int]:
    import tqdm  # type: ignore[import-untyped]

    nowhere = open(os.devnull, "w")  # noqa: SIM115 - the bar outlives this function
    bar: Iterable[int] = tqdm.tqdm(range(count), file=nowhere)
    return bar


# -- what a transition costs -----------------------------------------------------------------------------------


@measured
def transitions(self: Any, how: str, stages: int) -> float:
    """Microseconds per change of status, seen by the task: each stage is entered and left once."""
    keys = [f"stage-{number}" for number in range(stages)]
    go_through = {
        "headway": _stages,
        "update_state": _update_state,
        "send_event": _send_event,
    }[how]
    if how == "headway":
        plan(*keys)
    start = time.perf_counter()
    go_through(self, keys)
    return (time.perf_counter() - start) / (2 * stages) * 1e6


def _stages(task: Any, keys: list[str]) -> None:
    for key in keys:
        with stage(key):
            pass


def _update_state(task: Any, keys: list[str]) -> None:
    for key in keys:
        task.update_state(state="PROGRESS", meta={"stage": key, "status": "running"})
        task.update_state(state="PROGRESS", meta={"stage": key, "status": "done"})


def _send_event(task: Any, keys: list[str]) -> None:
    for key in keys:
        task.send_event("task-progress", stage=key, status="running")
        task.send_event("task-progress", stage=key, status="done")


# -- what Redis is asked for -----------------------------------------------------------------------------------


@measured
def traffic(self: Any, how: str, ticks: int, stages: int, seconds: float) -> dict[str, float]:
    """What Redis was asked while this task reported; also what others asked, so compare with `how="nothing"`."""
    with redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]) as client:
        before = _counts(client)
        {"nothing": _tick_nothing, "headway": _tick, "update_state": _tick_state}[how](
            self, ticks, stages, seconds / ticks
        )
        time.sleep(0.3)  # for what is sent behind the task's back
        after = _counts(client)
    return {name: after[name] - before[name] for name in before}


def _counts(client: Any) -> dict[str, float]:
    stats, cpu = client.info("stats"), client.info("cpu")
    return {
        "round trips": stats["total_reads_processed"],  # packets read: a pipeline is one, or few
        "commands": stats["total_commands_processed"],  # those inside a script count too
        "cpu": (cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e3,
    }


def _tick_nothing(task: Any, ticks: int, stages: int, pause: float) -> None:
    time.sleep(ticks * pause)


def _tick(task: Any, ticks: int, stages: int, pause: float) -> None:
    each = ticks // stages
    for number in range(stages):
        with stage(f"stage-{number}", total=each) as running:
            for tick in range(each):
                running.report(current=tick + 1)
                time.sleep(pause)


def _tick_state(task: Any, ticks: int, stages: int, pause: float) -> None:
    each = ticks // stages
    for number in range(stages):
        for tick in range(each):
            meta = {"stage": number, "current": tick + 1, "total": each}
            task.update_state(state="PROGRESS", meta=meta)
            time.sleep(pause)


# -- what reporting does to a task that computes ---------------------------------------------------------------


@measured
def computing(self: Any, how: str, reports: int) -> float:
    """Milliseconds that so many reports, one each millisecond of computing, add to it.

    Every other millisecond is a silent one to compare with, for a machine changes its pace. What the threads
    behind the task's back use is counted too. The slowest tenth is left out: something else was the matter.
    """
    work = _work_of_a_millisecond()
    silent, reporting = [], []
    behind = time.process_time() - time.thread_time()
    with stage("compute"):
        for step in range(reports):
            silent.append(_step(self, _report_nothing, step, work))
            reporting.append(_step(self, _REPORT_STEP[how], step, work))
    behind = time.process_time() - time.thread_time() - behind
    quick = slice(0, round(reports * 0.9))
    longer = statistics.mean(sorted(reporting)[quick]) - statistics.mean(sorted(silent)[quick])
    return (longer * reports + behind) * 1e3


@measured
def hanging(self: Any, how: str) -> None:
    """A tenth of a second like that, which begins when Redis hangs; the waiting for that is not counted."""
    leave_figure(f"{self.request.id}.waits", 0.0)
    start = held()
    wait_for_go(self.request.id)
    _begun[self.request.id] += held() - start
    work = _work_of_a_millisecond()
    with stage("compute"):
        for step in range(100):
            _step(self, _REPORT_STEP[how], step, work)


def wait_for_go(name: str) -> None:
    deadline = time.monotonic() + GO_SECONDS
    while not (folder() / f"{name}.go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody said go")
        time.sleep(0.005)


def _step(task: Any, report_step: Callable[[Any, int], None], step: int, work: int) -> float:
    start = own_time()
    _work(work)
    report_step(task, step)
    return own_time() - start


def _work(amount: int) -> None:
    for _ in range(amount):
        pass


def _work_of_a_millisecond() -> int:
    start = time.perf_counter()
    _work(1_000_000)
    return round(1_000_000 * 1e-3 / (time.perf_counter() - start))


def _report_nothing(task: Any, step: int) -> None:
    pass


def _report(task: Any, step: int) -> None:
    report(f"step {step}", current=step)


def _report_state(task: Any, step: int) -> None:
    task.update_state(state="PROGRESS", meta={"current": step, "message": f"step {step}"})


_REPORT_STEP = {
    "nothing": _report_nothing,
    "headway": _report,
    "update_state": _report_state,
}


# -- how late a report is --------------------------------------------------------------------------------------


@measured
def paced(self: Any, how: str, transitions: int, pause: float) -> None:
    """Wait for the viewers, then tell a transition every `pause` seconds, with the time it was told at."""
    if how == "headway":
        plan("paced")
    wait_for_go(self.request.id)
    {"headway": _paced_stages, "publish": _paced_publish}[how](self, transitions, pause)


def _paced_stages(task: Any, transitions: int, pause: float) -> None:
    for _ in range(transitions // 2):
        with stage("paced"):
            time.sleep(pause)
        time.sleep(pause)


def _paced_publish(task: Any, transitions: int, pause: float) -> None:
    with redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]) as client:
        for _ in range(transitions):
            client.publish(task.request.id, (BARE_EVENT % time.time()).encode())
            time.sleep(pause)
