"""Cancelling a task through the blueprint's route."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from celery import Celery

import headway.celery
from tests.journals import Book
from tests.processes import RedisServer, Web, Worker, wait_until

JOBS = "tests.acceptance.jobs"


@pytest.fixture(scope="module")
def web(server: RedisServer) -> Iterator[Web]:
    with Web(server.url, app="tests.acceptance.watched:app") as web:
        yield web


@pytest.fixture
def sender(server: RedisServer) -> Iterator[Celery]:
    with Celery("sender", broker=server.url, set_as_current=False) as app:
        headway.celery.install(app, redis_url=server.url, tasks=[f"{JOBS}.*"])
        yield app


def cancel(web: Web, task: str, **headers: str) -> int:
    url = f"{web.url}/headway/tasks/{task}/cancel"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"", headers)) as answer:
            assert json.load(answer) == {"task": task}
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            assert refused.headers["Content-Type"] == "application/problem+json"
            return refused.code


def test_a_task_that_has_not_begun_is_cancelled_at_once(
    web: Web, sender: Celery, server: RedisServer
) -> None:
    sent = sender.send_task(f"{JOBS}.patient", args=[5], countdown=60)
    assert cancel(web, sent.id) == 202
    book = Book(server.url, sent.id)
    assert book.finished().status == "cancelled"
    assert book.transitions() == ["queued", "cancelling", "finished cancelled"]


def test_a_task_that_runs_is_cancelled_by_its_worker(
    web: Web, sender: Celery, server: RedisServer
) -> None:
    env = {"HEADWAY_REDIS_URL": server.url}
    with Worker("prefork", server.url, app=JOBS, env=env):
        sent = sender.send_task(f"{JOBS}.patient", args=[30])
        book = Book(server.url, sent.id)
        wait_until(lambda: "wait running" in book.transitions(), 20, "the task to wait")
        assert cancel(web, sent.id) == 202
        assert book.finished().status == "cancelled"
        assert book.transitions()[-2:] == ["cancelling", "finished cancelled"]


def test_what_nothing_can_stop_is_asked_to_end_and_goes_on(
    web: Web, sender: Celery, server: RedisServer
) -> None:
    env = {"HEADWAY_REDIS_URL": server.url}
    with Worker("threads", server.url, app=JOBS, env=env):
        sent = sender.send_task(f"{JOBS}.patient", args=[3])
        book = Book(server.url, sent.id)
        wait_until(lambda: book.state().status == "running", 20, "the task to run")
        assert cancel(web, sent.id) == cancel(web, sent.id) == 202
        assert book.state().cancelling
        assert book.finished().status == "succeeded"
        assert not book.state().cancelling
        assert book.transitions().count("cancelling") == 1


def test_what_has_no_journal_is_unknown_and_gets_none_by_being_cancelled(
    web: Web, server: RedisServer
) -> None:
    assert cancel(web, "nobody-sent-this") == 404
    assert not Book(server.url, "nobody-sent-this").known()


def test_another_sites_page_may_not_cancel(web: Web, sender: Celery, server: RedisServer) -> None:
    sent = sender.send_task(f"{JOBS}.patient", args=[5], countdown=60)
    assert cancel(web, sent.id, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert Book(server.url, sent.id).state().status == "scheduled"
