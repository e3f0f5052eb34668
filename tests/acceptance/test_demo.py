"""`make demo` as a person meets it: it starts, it says where, and it leaves nothing behind."""

import http.client
import json
import os
import re
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.demo import answers
from tests.processes import HOST, Process, wait_until

GONE_SECONDS = 10


class Demo(Process):
    """The supervisor on ports of its own choice; ready when it has printed its table."""

    name = "demo"

    def __init__(self, **env: str) -> None:
        super().__init__([sys.executable, "-m", "deploy.demo"], env)

    def ready(self, log: str) -> bool:
        return re.search(r"^  worker ", log, re.MULTILINE) is not None

    def url(self, what: str) -> str:
        found = re.search(rf"^  {what} +(\S+)", self.log, re.MULTILINE)
        assert found, self.log
        return found[1]

    def port(self, what: str) -> int:
        return int(self.url(what).split(":")[2].split("/")[0])


@pytest.fixture
def demo():
    with Demo() as demo:
        yield demo


def parents() -> dict[int, int]:
    """Each living process's parent, as /proc knows them; the dead that nobody has reaped are none."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name, which may hold anything) state ppid ...
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if state != "Z":
            found[int(stat.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> set[int]:
    tree, family = parents(), {pid}
    while more := {child for child, parent in tree.items() if parent in family} - family:
        family |= more
    return family - {pid}


def wait_until_gone(family: set[int]) -> None:
    wait_until(lambda: not family & parents().keys(), GONE_SECONDS, f"the end of {family}")


def child_running(demo: Demo, program: str) -> int:
    """The supervisor's own child whose command line has that word."""
    tree = parents()
    for pid in [child for child, parent in tree.items() if parent == demo.pid]:
        if program in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
            return pid
    raise AssertionError(f"no {program} among the children\n{demo.log}")


@contextmanager
def watched_task(demo: Demo, seconds: float):
    """A task that is running, and a viewer who reads its stream."""
    viewer = http.client.HTTPConnection(HOST, demo.port("page"), timeout=20)
    body, headers = json.dumps({"seconds": seconds}), {"Content-Type": "application/json"}
    viewer.request("POST", "/tasks/paced", body, headers)
    viewer.request("GET", json.load(viewer.getresponse())["events"])
    stream = viewer.getresponse()
    while b'"status":"running"' not in (line := stream.readline()):
        assert line, "the stream ended before the task ran"
    yield
    stream.close()
    viewer.close()


def test_it_prints_where_the_page_is_and_the_page_answers(demo):
    rows = [line.split()[0] for line in demo.log.splitlines() if re.match(r"  \S+ +\S", line)]
    assert rows[-4:] == ["page", "flower", "redis", "worker"]
    assert answers(demo.port("page"), "/")
    assert wait_until(lambda: answers(demo.port("flower"), "/healthcheck"), what="Flower")
    assert demo.url("redis").startswith(f"redis://{HOST}:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_ends_everything_within_seconds_and_in_silence(demo, number):
    family = wait_until(lambda: len(descendants(demo.pid)) > 5 and descendants(demo.pid))
    with watched_task(demo, seconds=60):
        demo.signal(number)
        assert demo.wait(GONE_SECONDS) == 0
    assert not family & parents().keys()
    assert "Traceback" not in demo.log


def test_killed_it_takes_everything_along(demo):
    family = wait_until(lambda: len(descendants(demo.pid)) > 5 and descendants(demo.pid))
    os.kill(demo.pid, signal.SIGKILL)
    wait_until_gone(family)


@pytest.mark.parametrize(
    ("name", "program"), [("worker", "celery --quiet -A workers worker"), ("redis", "valkey")]
)
def test_a_process_that_dies_is_named_and_the_rest_is_stopped(demo, name, program):
    family = descendants(demo.pid)
    os.kill(child_running(demo, program), signal.SIGKILL)
    assert demo.wait(GONE_SECONDS) == 1
    assert f"{name} has ended (killed by SIGKILL); stopping the rest." in demo.log
    wait_until_gone(family)


def test_it_runs_beside_another_one(demo):
    with Demo() as other:
        assert other.port("page") != demo.port("page")
        assert other.url("redis") != demo.url("redis")
        assert answers(other.port("page"), "/")


def test_it_uses_the_redis_it_is_told_to(redis_url):
    with Demo(HEADWAY_REDIS_URL=redis_url) as demo:
        assert demo.url("redis") == redis_url
        assert answers(demo.port("page"), "/")
