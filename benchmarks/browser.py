"""What somebody sees: how late a report is in the DOM of a page in Chromium, and what the page asks the server for.

Beside it a page that polls every two seconds. Nothing is pinned here: a browser, a worker, Redis and two sites want
all the cores there are. `many` goes on with a page of 500 tasks.
"""

import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks import many
from benchmarks.pages.tasks import app
from benchmarks.servers import CORES, QUIET, Bench
from benchmarks.table import Row, progress
from tests.processes import Web, Worker

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PEER = "polled every 2 s"
REPORTS_A_SECOND = 20
MOST_SECONDS = 120  # that anything is waited for
WAYS = {  # of telling: which column of what a page has shown says how far it is
    "transitions": 1,
    "ticks": 2,
    "update_state": 2,
}
READY = """() => {
  const all = [...document.querySelectorAll("headway-progress")];
  const drawn = ({ state, shadowRoot }) => state?.link === "open" && shadowRoot.firstChild;
  return globalThis.shown && (all.length ? all.every(drawn) : shown.length > 0);
}"""
SHOWN = "([column, last]) => shown.length > 0 && shown.at(-1)[column] >= last"

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _PROGRAMS)), None)


def missing() -> str | None:
    """Why nothing can be measured here."""
    if not find_spec("playwright"):
        return "playwright is not installed (pip install playwright)"
    return None if CHROMIUM else "Chromium is not installed (apt install chromium)"


def rows(bench: Bench) -> Iterator[Row]:
    from tests.browsers import chromium

    assert CHROMIUM, missing()
    quiet = ("--log-level", "error")
    with (
        _on_all_cores(),
        Worker("prefork", bench.redis_url, app="benchmarks.pages.tasks", args=QUIET),
        Web(bench.redis_url, app="benchmarks.pages.site:app", args=quiet) as ours,
        Web(bench.redis_url, app="benchmarks.peers.polling:app", args=quiet) as theirs,
        chromium(CHROMIUM) as browser,
    ):
        stand = Stand(bench, browser, ours.url, theirs.url)
        yield from latency(stand)
        yield from requests(stand)
        yield from many.rows(bench, browser, ours.url)


@contextmanager
def _on_all_cores() -> Iterator[None]:
    if not CORES:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Stand:
    """Everything that runs, and how to open pages on it."""

    bench: Bench
    browser: "Browser"
    ours: str
    theirs: str

    @contextmanager
    def tab(self, how: str, task: str, more: str = "") -> Iterator["Tab"]:
        """A page of a fresh profile that shows the task, once it does."""
        site = self.theirs if how == "update_state" else self.ours
        with self.browser.new_context() as context:
            tab = Tab(context.new_page(), WAYS[how], [])
            tab.page.on("request", lambda asked: tab.asked.append(urlsplit(asked.url).path))
            tab.page.goto(f"{site}/?task={task}{more}")
            tab.until(READY)
            yield tab

    def start(self, how: str, reports: int, a_second: float) -> Any:
        """A task that waits for its pages."""
        kind = "plain" if how == "update_state" else "headway"
        return app.tasks[f"{kind}.told"].delay(how, reports, 1 / a_second)

    def go(self, task: str) -> None:
        (self.bench.folder / f"{task}.go").touch()


@dataclass(frozen=True)
class Tab:
    page: "Page"
    column: int  # of what it records, that says how far it is
    asked: list[str]  # paths

    def until(self, condition: str, argument: Any = None) -> None:
        most = MOST_SECONDS * 1e3
        self.page.wait_for_function(condition, arg=argument, polling=100, timeout=most)

    def late(self, told: Sequence[float]) -> list[float]:
        """For each report the milliseconds until the page showed it, or a later one. Waits for the last."""
        self.until(SHOWN, [self.column, told[-1]])
        shown = iter(self.page.evaluate("() => shown"))
        record = next(shown)
        delays = []
        for at in told:
            while record[self.column] < at:
                record = next(shown)
            delays.append((record[0] - at) * 1e3)
        return delays


# -- how late --------------------------------------------------------------------------------------------------


def latency(stand: Stand) -> Iterator[Row]:
    """Twenty reports a second, at no fixed pace. A transition is sent at once, a tick when it is sampled."""
    reports = 80 if stand.bench.quick else 200
    runs: dict[str, list[list[float]]] = {how: [] for how in (*WAYS, "among many")}
    for number in range(stand.bench.repeats):
        progress(f"from report to DOM, run {number + 1} of {stand.bench.repeats}")
        for how in WAYS:
            runs[how].append(_late(stand, how, reports))
        with many.LiveTasks(stand.bench.redis_url) as tasks:
            runs["among many"].append(_late(stand, "transitions", reports, f"&{tasks.query}"))
    for how, what in (
        ("transitions", "a transition"),
        ("ticks", "a tick, sampled"),
        ("among many", f"{many.COUNT} tasks beside"),
    ):
        for name, place, limit in (("p50", 49, None), ("p99", 98, 100.0)):
            ours, theirs = (_percentile(runs[each], place) for each in (how, "update_state"))
            yield Row(f"report to DOM, {what}: {name}, ms", ours, PEER, theirs, limit=limit)


def _late(stand: Stand, how: str, reports: int, more: str = "") -> list[float]:
    result = stand.start(how, reports, REPORTS_A_SECOND)
    with stand.tab(how, result.id, more) as tab:
        stand.go(result.id)
        return tab.late(result.get(timeout=MOST_SECONDS))


def _percentile(runs: Sequence[Sequence[float]], place: int) -> list[float]:
    return [statistics.quantiles(run, n=100, method="inclusive")[place] for run in runs]


# -- how many requests -----------------------------------------------------------------------------------------


def requests(stand: Stand) -> Iterator[Row]:
    """What a page asks for, as the browser counts it, from before the task begins until its end is shown."""
    seconds, a_second = (12 if stand.bench.quick else 60), 4
    progress(f"requests in {seconds} s")
    ways = ("ticks", "update_state")
    ours, theirs = (stand.start(how, seconds * a_second, a_second) for how in ways)
    with stand.tab("ticks", ours.id) as our_tab, stand.tab("update_state", theirs.id) as their_tab:
        for each in (ours, theirs):
            stand.go(each.id)
        our_tab.late(ours.get(timeout=MOST_SECONDS))
        their_tab.late(theirs.get(timeout=MOST_SECONDS))
        asked, polled = our_tab.asked, their_tab.asked
    what = f"requests in a task of {seconds} s"
    target = None if stand.bench.quick else 1 / 20
    yield Row(what, [_of(asked, "/events")], PEER, [_of(polled, "/status/")], target=target)
    yield Row(f"{what}, with the page", [len(asked)], PEER, [len(polled)])


def _of(asked: Sequence[str], part: str) -> int:
    return sum(part in path for path in asked)
