"""Redis, the web server and connections fail while tasks run and viewers watch."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest
import redis
from celery import Celery

import headway.celery
from headway.backlog import UNSENT
from tests.journals import Book
from tests.proc import children, sockets, tcp_connections
from tests.processes import RedisServer, Web, Worker, wait_until
from tests.viewers import Crowd
from tests.watching import Watch

APP = "tests.acceptance.watched:app"
JOBS = "tests.acceptance.jobs"
HANG_SECONDS = float(os.environ.get("HEADWAY_TEST_HANG_SECONDS", "12"))


class Site:
    """A worker and a web server on one journal; the broker is a Redis of its own, which stays up."""

    def __init__(self, broker: RedisServer, journal: RedisServer, pool: str = "prefork") -> None:
        env = {"HEADWAY_REDIS_URL": journal.url, "CELERY_RESULT_BACKEND": broker.url}
        self.journal = journal
        self.worker = Worker(pool, broker.url, app=JOBS, env=env)
        self.web = Web(journal.url, app=APP)
        self.broker = broker
        self.celery = Celery("site", broker=broker.url, set_as_current=False)
        headway.celery.install(self.celery, redis_url=journal.url, tasks=[f"{JOBS}.*"])

    @contextmanager
    def running(self) -> Iterator["Site"]:
        with self.worker, self.web, self.celery:
            yield self

    def send(self, name: str, **kwargs: Any) -> str:
        return str(self.celery.send_task(f"{JOBS}.{name}", kwargs=kwargs).id)

    def result(self, task: str) -> Any:
        """What the task returned, from Celery's own backend."""
        with redis.Redis.from_url(self.broker.url) as client:
            key = f"celery-task-meta-{task}"
            stored = json.loads(wait_until(lambda: client.get(key), 30, "the task's result"))
        assert stored["status"] == "SUCCESS", stored
        return stored["result"]

    def crowd(self, viewers: int, task: str) -> Crowd:
        return Crowd([f"{self.web.url}/headway/tasks/{task}/events"] * viewers)


@pytest.fixture(params=["prefork", "threads", "gevent"])
def every_pool(own_redis: Any, request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site(own_redis(), own_redis(appendonly="yes"), request.param).running() as site:
        yield site


@pytest.fixture
def site(own_redis: Any) -> Iterator[Site]:
    with Site(own_redis(), own_redis(appendonly="yes")).running() as site:
        yield site


def meanwhile(crowd: Crowd, seconds: float = 40) -> threading.Thread:
    thread = threading.Thread(target=crowd.run, args=[seconds])
    thread.start()
    return thread


def assert_nothing_was_lost(crowd: Crowd, viewers: int) -> None:
    assert crowd.wrong == []
    assert crowd.counts["204"] == viewers, crowd.counts
    assert crowd.counts["gap"] == 0, crowd.counts
    assert crowd.counts["finished"] == viewers, crowd.counts


def test_viewers_notice_nothing_when_every_subscription_is_killed_twice_a_second(
    site: Site,
) -> None:
    sent = site.send("steady", seconds=5, rate=40)
    crowd = site.crowd(100, sent)
    watching = meanwhile(crowd)
    killed = 0
    with redis.Redis.from_url(site.journal.url) as client:
        while watching.is_alive():
            killed += client.client_kill_filter(_type="pubsub")
            watching.join(0.5)
    assert killed >= 5
    assert_nothing_was_lost(crowd, 100)
    assert crowd.counts["link down"] == 0
    assert crowd.counts["connects"] == 200  # once to watch, once to be told 204


def test_viewers_go_on_where_they_were_when_the_web_server_is_replaced(site: Site) -> None:
    sent = site.send("steady", seconds=5, rate=40)
    crowd = site.crowd(50, sent)
    watching = meanwhile(crowd)
    wait_until(lambda: crowd.counts["events"] > 500, 20, "some events")
    site.web.kill()
    site.web.start()
    watching.join()
    assert_nothing_was_lost(crowd, 50)
    assert crowd.counts["snapshot"] == 50  # the first one; after the restart nobody needed another


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_no_task_is_slowed_by_a_redis_that_is_gone_and_all_is_delivered_when_it_is_back(
    every_pool: Site, how: str
) -> None:
    usual = every_pool.result(every_pool.send("steady", seconds=3, rate=100))
    sent = every_pool.send("steady", seconds=3, rate=100)
    crowd = every_pool.crowd(20, sent)
    watching = meanwhile(crowd)
    wait_until(lambda: crowd.counts["events"] > 200, 20, "some events")
    every_pool.journal.kill() if how == "killed" else every_pool.journal.pause()
    took = every_pool.result(sent)  # the task ends while Redis is away
    every_pool.journal.start() if how == "killed" else every_pool.journal.resume()
    watching.join()
    assert took - usual < 0.05
    assert_nothing_was_lost(crowd, 20)
    book = Book(every_pool.journal.url, sent)
    assert [event["data"] for event in book.log() if event["type"] == "emitted"] == list(range(300))


def test_of_a_long_outage_viewers_are_told_all_that_could_be_kept_and_that_the_rest_is_lost(
    site: Site,
) -> None:
    usual = site.result(site.send("held", seconds=3, rate=100)) / 300
    events = int(HANG_SECONDS + 3) * 100
    sent = site.send("held", seconds=events / 100, rate=100)
    with Watch(f"{site.web.url}/headway/tasks/{sent}/events", seconds=60) as watch:
        watch.until(lambda told: told.data.get("data") == 99)
        site.journal.pause()
        threading.Event().wait(HANG_SECONDS)
        site.journal.resume()
        told = watch.rest()
    assert site.result(sent) - usual * events < 0.05 + 0.1  # which a busy machine may add
    (gap,) = [n for n, each in enumerate(told) if each.data.get("gap")]
    before, after = (
        [each.data["data"] for each in part if each.type == "emitted"]
        for part in (told[:gap], told[gap:])
    )
    assert before == list(range(before[0], before[-1] + 1))
    assert after == list(range(after[0], events))
    assert after[0] > before[-1] + 1
    assert len(after) >= UNSENT - 10  # transitions were kept too
    assert told[-1].data["status"] == "succeeded"


def test_a_task_that_begins_and_ends_without_redis_is_told_of_later(site: Site) -> None:
    site.journal.kill()
    start = time.monotonic()
    sent = site.send("story", pause=0.0)
    assert time.monotonic() - start < 1  # sending waits 50 ms for Redis, and Celery's own work
    assert site.result(sent) == {"pages": 3}
    site.journal.start()
    book = Book(site.journal.url, sent)
    assert book.finished().title is None
    assert book.transitions()[-1] == "finished succeeded"


def test_a_redis_that_comes_back_empty_is_announced_and_the_true_state_follows(
    own_redis: Any,
) -> None:
    with Site(own_redis(), own_redis()).running() as site:
        sent = site.send("steady", seconds=5, rate=20)
        crowd = site.crowd(10, sent)
        watching = meanwhile(crowd)
        wait_until(lambda: crowd.counts["events"] > 50, 20, "some events")
        site.journal.kill()
        site.journal.start()
        watching.join()
        assert crowd.counts["gap"] == 10, crowd.counts
        assert crowd.counts["204"] == 10
        assert Book(site.journal.url, sent).state().status == "succeeded"


def test_a_worker_and_a_preloaded_web_server_share_no_connection_with_their_children(
    own_redis: Any,
) -> None:
    journal, broker = own_redis(), own_redis()
    env = {"HEADWAY_REDIS_URL": journal.url}
    with (
        Worker("prefork", broker.url, app=JOBS, concurrency=2, env=env) as worker,
        Web(journal.url, app=APP, args=["--preload", "-w", "2"]) as web,
        Celery("sender", broker=broker.url, set_as_current=False) as celery,
    ):
        headway.celery.install(celery, redis_url=journal.url, tasks=[f"{JOBS}.*"])
        ids = [celery.send_task(f"{JOBS}.patient", args=[3]).id for _ in range(2)]
        crowd = Crowd([f"{web.url}/headway/tasks/{id}/events" for id in ids * 20])
        crowd.run(30)
        assert_nothing_was_lost(crowd, 40)
        for parent in (worker.pid, web.pid):
            assert shared_connections(parent, journal.port) == set()


def shared_connections(parent: int, port: int) -> set[str]:
    """The connections to that port that more than one process of a family holds."""
    family = [sockets(pid) & tcp_connections(port) for pid in (parent, *children(parent))]
    assert any(family), "nobody is connected"
    return {
        one for i, mine in enumerate(family) for one in mine for other in family[:i] if one in other
    }


def test_a_silent_worker_is_told_of_and_so_is_its_return(site: Site) -> None:
    task = site.send("patient", seconds=12)
    with Watch(f"{site.web.url}/headway/tasks/{task}/events") as watch:

        def stalled(*wanted: bool) -> None:
            def told() -> list[bool]:
                return [each.data["stalled"] for each in watch.seen if each.type == "stalled"]

            watch.until(lambda _: told() == [*wanted])

        watch.until_type("stage")
        site.worker.pause()
        stalled(True)
        assert watch.seen[-1].data["reason"] == "Its worker gives no sign of life."
        with urlopen(f"{site.web.url}/headway/tasks/{task}") as answer:
            assert json.load(answer)["stalled"] is True
        site.worker.resume()
        stalled(True, False)
        assert watch.until_type("finished").data["status"] == "succeeded"
