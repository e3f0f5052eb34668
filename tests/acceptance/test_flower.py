"""A real Flower with progress in it: its API, its logins, its database, and how much it is like one without."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests import flowers
from tests.flowers import APP, Flower, allow
from tests.processes import RedisServer, Worker, wait_until

ARGS = ("-E", "--without-gossip", "--without-mingle")
STOCK = ""  # no configuration at all
INSTALL = "import headway.flower\nheadway.flower.install()\n"
FINAL = {"SUCCESS", "REVOKED"}


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture(scope="module")
def sender(broker: str) -> Iterator[Celery]:
    with flowers.sender(broker) as sender:
        yield sender


@pytest.fixture(scope="module")
def worker(broker: str) -> Iterator[Worker]:
    with Worker("prefork", broker, app=APP, concurrency=5, args=ARGS) as worker:
        yield worker


@pytest.fixture(scope="module")
def flower(broker: str, worker: Worker) -> Iterator[Flower]:
    with Flower(broker) as flower:
        flower.hear()
        yield flower


@pytest.fixture
def start(broker: str) -> Iterator[Callable[..., Flower]]:
    with ExitStack() as stack:
        yield lambda *args, **named: stack.enter_context(Flower(broker, *args, **named))


def states(flower: Flower) -> dict[str, str]:
    return {id: task["state"] for id, task in flower.api("tasks").items()}


def run_everything(broker: str, sender: Celery, flower: Flower) -> None:
    """Tasks that succeed, one that is terminated, one that is retried, and one that nobody tracks."""
    allow(broker, 0)
    terminated, *others = (
        sender.send_task(f"tests.{name}") for name in ("steps", "steps", "nasty", "plain")
    )
    others.append(sender.send_task("tests.steps", kwargs={"retry_at": 3}))
    wait_until(lambda: states(flower).get(terminated.id) == "STARTED")
    allow(broker, 6)
    sender.control.revoke(terminated.id, terminate=True)
    wait_until(lambda: states(flower)[terminated.id] == "REVOKED", 20)
    allow(broker, 1000)
    ids = {terminated.id, *(each.id for each in others)}
    wait_until(lambda: {states(flower).get(id) for id in ids} <= FINAL, 20)


def without_progress(tasks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {id: {**task, "progress": None} for id, task in tasks.items()}


@pytest.mark.parametrize("told", [True, False], ids=["told", "disconnected"])
def test_but_for_progress_it_is_what_a_stock_flower_is(
    broker: str, sender: Celery, start: Callable[..., Flower], told: bool
) -> None:
    env = {} if told else {"FLOWER_TASKS_DISCONNECTED": "1"}
    with Worker("prefork", broker, app=APP, concurrency=5, args=ARGS, env=env):
        ours, stock = start(), start(config=STOCK)
        ours.hear()
        stock.hear()
        run_everything(broker, sender, ours)
        wait_until(lambda: states(stock) == states(ours))
        have = {id for id, task in ours.api("tasks").items() if "progress" in task}
        assert len(have) == (4 if told else 0)
        if told:
            assert without_progress(ours.api("tasks")) == without_progress(stock.api("tasks"))
        else:
            assert ours.api("tasks") == stock.api("tasks")
        theirs = stock.rows()
        assert [{name: row[name] for name in theirs[0]} for row in ours.rows()] == theirs
        assert ours.json("/workers?json=1")["data"][0].keys() - {"progress-updated"} == (
            stock.json("/workers?json=1")["data"][0].keys() - {"progress-updated"}
        )


def test_the_api_tells_the_progress(broker: str, sender: Celery, flower: Flower) -> None:
    allow(broker, 14)
    task = sender.send_task("tests.steps")

    def progress() -> dict[str, Any]:
        return flower.api("tasks").get(task.id, {}).get("progress") or {"stages": []}

    wait_until(lambda: [stage.get("current") for stage in progress()["stages"]] == [10, 4])
    said = progress()
    assert flower.api(f"task/info/{task.id}")["progress"] == said
    assert 0.5 < said["progress"] < 1
    assert (said["status"], said["attempt"]) == ("running", 1)
    assert [(stage["label"], stage["status"]) for stage in said["stages"]] == [
        ("Read", "done"),
        ("Write", "running"),
    ]
    allow(broker, 1000)
    wait_until(lambda: progress()["status"] == "succeeded")
    assert progress()["progress"] == 1


def first_lines(answer: HTTPResponse, count: int) -> list[str]:
    return [answer.readline().decode() for _ in range(count)]


def test_streams_begin_with_what_is_known_and_go_on_with_what_changes(
    broker: str, sender: Celery, flower: Flower
) -> None:
    allow(broker, 3)
    task = sender.send_task("tests.steps")
    wait_until(lambda: flower.api("tasks").get(task.id, {}).get("progress"))
    with flower.get(f"/headway/events?task={task.id}") as one, flower.get("/headway/events") as all:
        assert one.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        retry, _, data, _ = first_lines(one, 4)
        assert retry.startswith("retry: ")
        said = json.loads(data.removeprefix("data: "))
        assert (said["uuid"], said["state"]) == (task.id, "STARTED")
        assert "row" not in said
        assert first_lines(all, 3)[2] == "event: behind\n"
        allow(broker, 1000)
        rows = {}
        for line in map(bytes.decode, all):
            if line.startswith("data: {"):
                said = json.loads(line.removeprefix("data: "))
                rows |= said.get("row") or {}
            if rows.get("state") == "SUCCESS":
                break
        fetched = next(row for row in flower.rows() if row["uuid"] == task.id)
        assert {name: fetched[name] for name in rows.keys() - {"headway", "progress"}} == {
            name: rows[name] for name in rows.keys() - {"headway", "progress"}
        }


def test_who_may_not_see_flower_may_not_see_progress(start: Callable[..., Flower]) -> None:
    flower = start("--basic-auth=one:secret,two:other")
    assert flower.status("/headway/events") == 401
    assert flower.status("/headway/events", login="one:wrong") == 401
    assert flower.status("/headway/events", login="two:other") == 200


def test_the_same_with_a_login_elsewhere(start: Callable[..., Flower]) -> None:
    provider = "--auth-provider=flower.views.auth.GithubLoginHandler"
    flower = start(
        "--auth=.*@example\\.com",
        provider,
        "--oauth2-key=key",
        "--oauth2-secret=secret",
        "--oauth2-redirect-uri=http://localhost/login",
    )
    with flower.get("/headway/events") as answer:
        assert answer.status == 302
        assert answer.headers["Location"].startswith("/login?")


def test_behind_a_prefix_everything_is_behind_it(start: Callable[..., Flower]) -> None:
    short = "import headway.flower_pages\nheadway.flower_pages.LIFETIME = 0.3\n"
    flower = start(prefix="/inner/flower", config=INSTALL + short)
    with flower.get("/tasks") as page:
        text = page.read().decode()
    assert 'src="/inner/flower/headway/flower/flower.js"' in text
    assert 'href="/inner/flower/headway/flower/flower.css"' in text
    for path in ("flower/flower.js", "flower/flower.css", "static/element.js"):
        assert flower.status(f"/headway/{path}") == 200
    assert flower.status("/headway/static/../flower.py") in (403, 404)
    with flower.get("/headway/events") as stream:
        # It ends in time, for its viewer to return and show again that it may see it.
        assert stream.read() == b"retry: 2000\n\nevent: behind\ndata:\n\n"


def test_a_flower_it_does_not_know_starts_as_it_is_and_says_why(
    start: Callable[..., Flower],
) -> None:
    pretend = "import importlib.metadata\nimportlib.metadata.version = lambda _: '3.0.0'\n"
    flower = start(config=pretend + INSTALL)
    assert "Flower 3.0.0 shows no progress: Headway knows Flower 2.2 only." in flower.log
    assert "pip install 'flower==2.2.*'" in flower.log
    with flower.get("/tasks") as page:
        text = page.read().decode()
    assert "Received" in text
    assert "headway" not in text
    assert "Progress" not in text
    assert flower.status("/headway/events") == 404


def test_columns_that_are_chosen_elsewhere_stay_chosen(start: Callable[..., Flower]) -> None:
    with start("--tasks-columns=name,state").get("/tasks") as page:
        assert 'data-column="progress"' not in page.read().decode()
    with start(config=INSTALL + "tasks_columns = 'progress,name'\n").get("/tasks") as page:
        text = page.read().decode()
    assert text.index('data-column="progress"') < text.index('data-column="name"')


def test_its_database_is_one_that_a_stock_flower_reads_and_the_other_way_round(
    broker: str, sender: Celery, worker: Worker, start: Callable[..., Flower], tmp_path: Path
) -> None:
    persistent = ("--persistent", f"--db={tmp_path / 'db'}")
    flower = start(*persistent)
    flower.hear()
    run_everything(broker, sender, flower)
    known = flower.api("tasks")
    flower.stop()
    for config in (STOCK, None):
        flower = start(*persistent, config=config)
        found = flower.api("tasks")
        assert {id: task["state"] for id, task in found.items()} == {
            id: task["state"] for id, task in known.items()
        }
        flower.stop()
        assert "corrupt" not in " ".join(path.name for path in tmp_path.iterdir())
        assert "Traceback" not in flower.log


def test_garbage_is_ignored_and_flower_goes_on(broker: str, sender: Celery, flower: Flower) -> None:
    allow(broker, 2)
    task = sender.send_task("tests.steps")
    wait_until(lambda: flower.api("tasks").get(task.id, {}).get("progress"))
    good = {"progress": 0.5, "attempt": 9, "stages": [{"key": "k", "status": "running"}]}
    with sender.connection_for_write() as connection:
        send = sender.events.Dispatcher(connection, hostname="nobody").send
        send("progress-updated")
        send("progress-updated", uuid=None, progress=[])
        send("progress-updated", uuid=["list"], progress=good)
        send("progress-updated", uuid=task.id, progress={**good, "stages": "all of them"})
        send("progress-updated", uuid=task.id, progress={**good, "progress": float("nan")})
        send(
            "progress-updated",
            uuid=task.id,
            progress={**good, "attempt": 10, "page": "javascript:alert(1)"},
        )
    progress = wait_until(
        lambda: (said := flower.api(f"task/info/{task.id}")["progress"])["attempt"] == 10 and said
    )
    assert "page" not in progress
    assert [stage["key"] for stage in progress["stages"]] == ["k"]
    allow(broker, 1000)
    wait_until(lambda: flower.api(f"task/info/{task.id}")["state"] == "SUCCESS", 20)
    assert "Traceback" not in flower.log
