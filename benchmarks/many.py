"""A page with 500 tasks that all run and tick: one connection, no task of its thread over 50 ms, flat memory.

The tasks' events go through the publisher, the journal and a web process, as if each had a worker.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from benchmarks.servers import Bench
from benchmarks.table import Row, progress
from headway.events import Execution, Stage, StageReported, Started
from headway.journal import Journal
from headway.publisher import Publisher

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

COUNT = 500
TICKS_A_SECOND = 3  # of each task
STAGES = ("fetch", "read", "check", "store")
STAGE_TICKS = 25
PACE_SECONDS = 5
TRACE_SECONDS = 10
TASKS = "disabled-by-default-devtools.timeline"  # the category of a thread's tasks in a trace
SMOOTH = Path(__file__).with_name("pages") / "smooth.js"
DRAWN = """count => {
  const all = [...document.querySelectorAll("headway-progress")];
  return all.length === count && all.every((each) => each.shadowRoot?.querySelector(".status.running"));
}"""


class LiveTasks:
    """Tasks that run for as long as the block."""

    def __init__(self, redis_url: str) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}-"
        self.query = f"list={self.prefix}&count={COUNT}"
        self.told = 0
        self._publisher = Publisher(Journal(redis_url, timeout=5.0))
        self._sources = [
            Execution(
                task=f"{self.prefix}{number}",
                nonce=uuid.uuid4().hex,
                retries=0,
                boot="",
                began=time.monotonic(),
            )
            for number in range(COUNT)
        ]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-tasks", daemon=True)

    def __enter__(self) -> Self:
        stages = tuple(Stage(key=key) for key in STAGES)
        for number, source in enumerate(self._sources):
            now = time.time()
            title = f"Report {number + 1}"
            begun = Started(task=source.task, at=now, started_at=now, title=title, stages=stages)
            self._publisher(event=begun, source=source)
        self._publisher.flush(10.0)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._publisher.flush(10.0)

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(0.01):
            due = int((time.monotonic() - begun) * COUNT * TICKS_A_SECOND)
            for turn in range(self.told, due):
                step, number = divmod(turn, COUNT)
                self._tick(self._sources[number], step + 7 * number)
            self.told = due

    def _tick(self, source: Execution, step: int) -> None:
        stages, place = divmod(step, STAGE_TICKS)
        entered, at = divmod(stages, len(STAGES))
        stage = Stage(
            key=STAGES[at],
            status="done" if place == STAGE_TICKS - 1 else "running",
            current=place + 1,
            total=STAGE_TICKS,
            unit="page",
            runs=entered + 1,
        )
        far = (at * STAGE_TICKS + place) / (len(STAGES) * STAGE_TICKS)
        event = StageReported(task=source.task, at=time.time(), stage=stage, progress=far)
        self._publisher(event=event, source=source)


# -- the page --------------------------------------------------------------------------------------------------


def rows(bench: Bench, browser: "Browser", url: str) -> Iterator[Row]:
    """Memory is read in the first and the last part of the time, for reading it disturbs; the rest is in between."""
    minutes = 1 if bench.quick else 10
    part, reads = minutes * 60 // 10, 6 if bench.quick else 12
    with LiveTasks(bench.redis_url) as tasks, browser.new_context() as context:
        context.add_init_script(path=SMOOTH)
        progress("a page with nothing on it")
        with Watched(context) as nothing:
            nothing.open(url, 0)
            idle = nothing.paces(10)
        progress(f"{COUNT} tasks, {minutes} min")
        with Watched(context) as watched:
            opening = watched.trace(lambda: watched.open(f"{url}/?{tasks.query}", COUNT))
            first = watched.memory(part, reads)
            watched.held()
            paces = watched.paces(minutes * 60 - 2 * part)
            held = watched.held()
            traced = watched.trace(watched.rest)
            last = watched.memory(part, reads)
            streams = watched.asked.count("/headway/events")
    what = f"{COUNT} live tasks"
    yield Row(f"{what}, {minutes} min: connections", [streams], limit=1)
    yield Row(f"{what}: changes/s", [each.changes for each in paces])
    ours, theirs = ([each.frames for each in side] for side in (paces, idle))
    yield Row(f"{what}: frames/s", ours, "an empty page", theirs)
    yield Row(f"{what}: longest task, CPU ms", [max(traced)], limit=50)
    yield Row(f"{what}: longest at its opening, CPU ms", [max(opening)], limit=50)
    yield Row(f"{what}: tasks > 50 ms, a minute", [len(held) / minutes], limit=0)
    yield Row(f"{what}: the page's thread is busy, %", [sum(traced) / TRACE_SECONDS / 10])
    for name, unit in (("heap", "memory, MB"), ("nodes", "DOM nodes")):
        was, now = ([getattr(each, name) for each in side] for side in (first, last))
        yield Row(f"{what}: {unit}", now, f"{0.9 * minutes:g} min before", was, target=1.05)


class Pace(NamedTuple):
    frames: float  # a second
    changes: float  # of tasks, a second


class Memory(NamedTuple):
    heap: float  # MB that JavaScript holds once its garbage is collected
    nodes: float


class Watched:
    """A tab, and how it bears what it shows."""

    def __init__(self, context: "BrowserContext") -> None:
        self.asked: list[str] = []  # paths
        self._page = page = context.new_page()
        page.on("request", lambda asked: self.asked.append(urlsplit(asked.url).path))
        self._browser = context.new_cdp_session(page)
        self._browser.send("Performance.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()

    def open(self, url: str, count: int) -> None:
        """Until so many running tasks are drawn."""
        self._page.goto(url)
        self._page.wait_for_function(DRAWN, arg=count, polling=500, timeout=60_000)

    def held(self) -> list[float]:
        """The tasks of its thread over 50 ms since this was last asked, in milliseconds."""
        self.rest(1)  # they are told a little later
        found: list[float] = self._page.evaluate("() => smooth.held.splice(0)")
        return found

    def paces(self, seconds: int) -> list[Pace]:
        """One for every few seconds."""
        found = []
        before = self._counts()
        for _ in range(seconds // PACE_SECONDS):
            self.rest(PACE_SECONDS)
            now = self._counts()
            frames, changes, passed = (one - other for one, other in zip(now, before, strict=True))
            found.append(Pace(frames / passed, changes / passed))
            before = now
        return found

    def _counts(self) -> list[float]:
        counts = "() => [smooth.frames, smooth.changes, performance.now() / 1000]"
        found: list[float] = self._page.evaluate(counts)
        return found

    def memory(self, seconds: int, reads: int) -> list[Memory]:
        """What it holds, read so many times within these seconds."""
        found = []
        for _ in range(reads):
            self.rest(seconds / reads)
            self._browser.send("HeapProfiler.collectGarbage")
            metrics = self._browser.send("Performance.getMetrics")["metrics"]
            held = {each["name"]: each["value"] for each in metrics}
            found.append(Memory(held["JSHeapUsedSize"] / 2**20, held["Nodes"]))
        return found

    def trace(self, meanwhile: Callable[[], None]) -> list[float]:
        """The milliseconds of a core that each task of its thread took, by Chromium's own trace."""
        browser = self._page.context.browser
        assert browser
        browser.start_tracing(page=self._page, categories=[TASKS])
        meanwhile()
        events = json.loads(browser.stop_tracing())["traceEvents"]
        names = [each for each in events if each["name"] == "thread_name"]
        main = {each["tid"] for each in names if each["args"]["name"] == "CrRendererMain"}
        tasks = [each for each in events if each["name"] == "RunTask" and each["tid"] in main]
        return [each.get("tdur", 0) / 1e3 for each in tasks]

    def rest(self, seconds: float = TRACE_SECONDS) -> None:
        self._page.wait_for_timeout(seconds * 1e3)
