"""Every pool, eager mode, with and without results: the same story."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

import headway.celery
from tests.journals import Book
from tests.processes import ROOT, RedisServer, Worker, wait_until

POOLS = ("prefork", "threads", "gevent", "solo")
STORY = [
    "queued",
    "started 1",
    "read running",
    "read done",
    "chunk running",
    "chunk done",
    "enrich running",
    "emitted token",
    "enrich done",
    "score skipped",
    "surprise running",
    "surprise done",
    "finished succeeded",
]


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[str]:
    with Worker(
        request.param,
        server.url,
        app="tests.acceptance.jobs",
        env={"HEADWAY_REDIS_URL": server.url, "CELERY_RESULT_BACKEND": server.url},
    ):
        yield request.param


@pytest.fixture
def sender(server: RedisServer) -> Iterator[Celery]:
    app = Celery("sender", broker=server.url, backend=server.url, set_as_current=False)
    headway.celery.install(app, redis_url=server.url, tasks=["tests.acceptance.jobs.*"])
    yield app
    app.close()


def run(sender: Celery, server: RedisServer, name: str, **kwargs: object) -> Book:
    sent = sender.send_task(f"tests.acceptance.jobs.{name}", kwargs=kwargs)
    book = Book(server.url, sent.id)
    book.finished()
    return book


def test_every_pool_tells_the_same_story(pool: str, sender: Celery, server: RedisServer) -> None:
    book = run(sender, server, "story")
    assert book.transitions() == STORY
    state = book.state()
    assert (state.status, state.progress, state.result) == ("succeeded", 1.0, {"pages": 3})
    stages = {stage.key: stage for stage in state.stages}
    assert (stages["read"].current, stages["read"].total) == (3, 3)
    assert stages["chunk"].current == 2
    assert stages["enrich"].current == 4
    assert stages["score"].message == "no tables"


def test_a_task_that_keeps_no_result_tells_it_too(
    pool: str, sender: Celery, server: RedisServer
) -> None:
    assert run(sender, server, "unwatched_story").transitions() == STORY


def test_a_failure_says_where_and_only_what_viewers_may_read(
    pool: str, sender: Celery, server: RedisServer
) -> None:
    book = run(sender, server, "broken")
    assert book.transitions() == [
        "queued",
        "started 1",
        "only running",
        "only failed",
        "finished failed",
    ]
    error = book.state().error
    assert error is not None
    assert (error.type, error.message, error.stage) == ("Failure", "the disk is full", "only")

    secretive = run(sender, server, "secretive")
    assert secretive.state().error is not None
    assert "canary" not in repr(secretive.log())


def test_a_task_called_directly_reports_to_the_one_that_calls_it(
    pool: str, sender: Celery, server: RedisServer
) -> None:
    book = run(sender, server, "outer")
    assert book.state().stages[0].message == "inner 1"


def test_a_thousand_untracked_tasks_cost_no_command_of_ours(pool: str, server: RedisServer) -> None:
    with Celery("plain", broker=server.url, backend=server.url, set_as_current=False) as plain:
        headway.celery.install(plain, redis_url=server.url)
        with redis.Redis.from_url(server.url) as client:
            ours = set(client.scan_iter("headway:*"))
            before = client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
            sent = [
                plain.send_task("tests.acceptance.jobs.untracked", args=[n]) for n in range(1000)
            ]
            wait_until(lambda: sent[-1].ready() and all(s.ready() for s in sent), 60, "1,000 tasks")
            after = client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
            assert (after - before, set(client.scan_iter("headway:*")) - ours) == (0, set())


def test_a_task_revoked_before_it_is_due_ends_as_cancelled(
    pool: str, sender: Celery, server: RedisServer
) -> None:
    sent = sender.send_task("tests.acceptance.jobs.patient", args=[5], countdown=1.5)
    book = Book(server.url, sent.id)
    assert book.state().status == "scheduled"
    sender.control.revoke(sent.id)  # Celery acts on it when the task falls due
    assert book.finished().status == "cancelled"
    assert book.transitions() == ["queued", "finished cancelled"]


def test_eager_tasks_tell_it_without_the_queue(server: RedisServer) -> None:
    program = "from tests.acceptance.jobs import *; print(story.apply_async().id)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin", "HEADWAY_REDIS_URL": server.url, "JOBS_EAGER": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert Book(server.url, ran.stdout.strip()).transitions() == STORY[1:]


def test_a_greenlet_that_never_yields_still_shows_its_stage(server: RedisServer) -> None:
    env = {"HEADWAY_REDIS_URL": server.url}
    with (
        Worker("gevent", server.url, app="tests.acceptance.jobs", env=env),
        Celery("sender", broker=server.url, set_as_current=False) as sender,
    ):
        sent = sender.send_task("tests.acceptance.jobs.burning", args=[2.0])
        book = Book(server.url, sent.id)
        wait_until(lambda: book.known() and book.state().stages, 10, "the task to begin")
        assert book.state().stages[0].status == "running"
        assert book.state().finished_at is None
        assert book.finished().status == "succeeded"
