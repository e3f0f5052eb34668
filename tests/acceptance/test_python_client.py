"""The Python client with real servers: through restarts, and as its handbook shows it."""

import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest

from headway.client import LinkState, Refused, Told, get, watch
from headway.events import Emitted, Snapshot
from tests.played import Played
from tests.processes import ROOT, RedisServer, Web, wait_until
from tests.reporting import publishing

SNIPPETS = re.findall(
    r"^```python\n(.*?)^```", ROOT.joinpath("docs/python.md").read_text("utf-8"), re.M | re.S
)


@pytest.fixture(scope="module")
def journal() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def web(request: pytest.FixtureRequest, journal: RedisServer) -> Iterator[Web]:
    args = ["--threads", "8"] if request.param == "gthread" else []
    app = "tests.acceptance.watched:app"
    with Web(journal.url, request.param, app=app, args=args) as web:
        yield web


@pytest.fixture(autouse=True)
def publisher(journal: RedisServer) -> Iterator[None]:
    with publishing(journal.url):
        yield


def played(web: Web) -> Played:
    """A task the site knows of."""
    task = Played()
    wait_until(lambda: is_known(web, task), 20, "its beginning")
    return task


def is_known(web: Web, task: Played) -> bool:
    try:
        return get(task.id, base_url=web.url).confirmed
    except Refused:
        return False


class Listening(threading.Thread):
    """Events of some tasks, read in a thread of its own."""

    def __init__(self, web: Web, *tasks: Played) -> None:
        super().__init__(daemon=True)
        self.links: list[LinkState] = []
        self.told: list[Told] = []
        self.watching = watch(
            *(task.id for task in tasks), base_url=web.url, timeout=60, on_link=self.links.append
        )
        self.start()

    def run(self) -> None:
        self.told.extend(iter(self.watching.events()))

    def run_out(self) -> None:
        self.join(60)
        assert not self.is_alive()

    def numbers(self, task: Played) -> list[int]:
        return [
            each.event.data
            for each in self.told
            if each.task == task.id and isinstance(each.event, Emitted)
        ]

    def sees(self, task: Played, number: int) -> None:
        wait_until(lambda: number in self.numbers(task), 30, f"event {number}")


def assert_whole(told: list[Told], task: Played) -> None:
    """One snapshot without a gap, and then every event once and in order."""
    mine = [each for each in told if each.task == task.id and each.cursor]
    snapshots = [each.event for each in mine if isinstance(each.event, Snapshot)]
    assert len(snapshots) == 1
    assert not snapshots[0].gap
    seqs = [int((each.cursor or "").split("-")[0]) for each in mine]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_nothing_is_lost_or_doubled_when_the_web_and_redis_are_restarted(
    journal: RedisServer, web: Web
) -> None:
    first, second = played(web), played(web)
    listening = Listening(web, first, second)
    wait_until(lambda: all(s.confirmed for s in listening.watching.states.values()), 20, "both")
    for number, trouble in enumerate((web.kill, web.start, journal.kill, journal.start)):
        for task in (first, second):
            task.emit("number", number)
        if trouble in (web.kill, journal.kill):
            listening.sees(second, number)
        trouble()
        if trouble == web.kill:
            wait_until(lambda: listening.watching.link.status == "reconnecting", 20, "the loss")
        if trouble == journal.kill:
            wait_until(lambda: not listening.watching.link.server_live, 20, "the loss")
    first.end(1)
    second.fail("the disk is full")
    listening.run_out()
    for task in (first, second):
        assert listening.numbers(task) == [0, 1, 2, 3]
        assert_whole(listening.told, task)
    states = listening.watching.states
    assert (states[first.id].status, states[second.id].status) == ("succeeded", "failed")
    assert [link.status for link in listening.links][-1] == "closed"


def test_a_slow_loop_gets_the_last_state(web: Web) -> None:
    task = played(web)
    seen = []
    for state in watch(task.id, base_url=web.url, timeout=30):
        seen.append(state.status)
        if len(seen) == 1:
            for number in range(2000):
                task.emit("number", number)
            task.end("last")
    assert seen[-1] == "succeeded"
    assert state.result == "last"
    assert len(seen) < 1000


def test_what_is_unknown_is_refused_and_what_ended_long_ago_is_told(web: Web) -> None:
    with pytest.raises(Refused, match="no such task"):
        list(watch("nope", base_url=web.url, timeout=20))
    task = played(web)
    task.end(7)
    watching = watch(task.id, base_url=web.url, timeout=20)
    told = list(watching.events())
    assert watching.states[task.id].result == 7
    cursors = {task.id: watching.cursors[task.id] or ""}
    again = watch(task.id, base_url=web.url, cursors=cursors, timeout=20)
    assert told
    assert list(again.events()) == []  # 204: it has had everything


def test_its_own_route_is_watched_by_its_address(web: Web) -> None:
    task = played(web)
    task.end(7)
    *_, last = watch(url=f"{web.url}/own/{task.id}/stream", timeout=20)
    assert (last.task, last.result) == (task.id, 7)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_examples_of_the_handbook_run(web: Web, snippet: str) -> None:
    tasks = [played(web), played(web)]
    for task in tasks:
        task.emit("token", {"text": "so it goes"})
        task.end("the end")
    ids = [task.id for task in tasks]
    names = f"task, tasks, token = {ids[0]!r}, {ids!r}, 'secret'\n"
    program = names + textwrap.dedent(snippet).replace("http://127.0.0.1:8000", web.url)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "succeeded" in done.stdout
