"""What tells monitors, in real workers of every pool, while the broker is well, hangs, or is gone.

The journals have a Redis of their own, so that what a test sees is the broker's doing alone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from celery import Celery
from celery.events import EventReceiver

from headway.accounts import EVENT
from headway.events import Subject
from headway.journal import Journal
from tests import flowers
from tests.flowers import APP, allow
from tests.processes import RedisServer, Worker, wait_until

AWAY = "Monitors such as Flower see no progress for now"
POOLS = ("prefork", "threads", "gevent", "solo")


@pytest.fixture
def broker(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def sender(broker: RedisServer) -> Iterator[Celery]:
    with flowers.sender(broker.url) as sender:
        yield sender


@contextmanager
def working(pool: str, broker: RedisServer, journals: str, *args: str) -> Iterator[Worker]:
    options = ("--without-gossip", "--without-mingle", *args)
    env = {"HEADWAY_REDIS_URL": journals}
    with Worker(pool, broker.url, app=APP, args=options, env=env) as worker:
        yield worker


@contextmanager
def listening(app: Celery) -> Iterator[list[dict[str, Any]]]:
    """What a monitor is told of progress, in order, from now on."""
    heard: list[dict[str, Any]] = []
    ready, over = threading.Event(), threading.Event()

    def listen() -> None:
        with app.connection_for_read() as connection:
            receiver = EventReceiver(connection, handlers={EVENT: heard.append}, app=app)
            with receiver.consumer_context() as (consuming, *_):
                ready.set()
                while not over.is_set():
                    try:
                        consuming.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert ready.wait(10)
        yield heard
    finally:
        over.set()
        thread.join()


def counted(state: Any) -> list[Any]:
    return [stage.current for stage in state.stages] if state else []


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_is_told_of_from_its_start_to_its_end(
    pool: str, broker: RedisServer, sender: Celery, redis_url: str
) -> None:
    with working(pool, broker, redis_url, "-E"), listening(sender) as heard:
        allow(redis_url, 20)
        task = sender.send_task("tests.steps")
        wait_until(lambda: heard and heard[-1]["progress"]["status"] == "succeeded", 20)
        assert {event["uuid"] for event in heard} == {task.id}
        last = heard[-1]
        assert last["progress"]["progress"] == 1
        assert [stage["status"] for stage in last["progress"]["stages"]] == ["done", "done"]
        assert "@" in last["hostname"]


def test_without_task_events_nobody_is_told_until_somebody_asks_for_them(
    broker: RedisServer, sender: Celery, redis_url: str
) -> None:
    with working("prefork", broker, redis_url), listening(sender) as heard:
        allow(redis_url, 1000)
        sender.send_task("tests.steps")
        sender.control.enable_events(reply=True)
        task = sender.send_task("tests.steps")
        wait_until(lambda: heard and heard[-1]["progress"]["status"] == "succeeded", 20)
        sender.control.disable_events(reply=True)
        sender.send_task("tests.steps")
        sender.control.enable_events(reply=True)
        last = sender.send_task("tests.steps")
        wait_until(
            lambda: any(
                event["uuid"] == last.id and event["progress"]["status"] == "succeeded"
                for event in heard
            ),
            20,
        )
        assert {task.id, last.id} == {event["uuid"] for event in heard}


# Not killed in gevent: Celery's own error then stops all greenlets, with Headway or without.
@pytest.mark.parametrize(
    ("how", "pool"),
    [("killed", "prefork"), ("killed", "threads"), ("hung", "prefork"), ("hung", "gevent")],
)
def test_a_broker_that_goes_in_mid_task_holds_nothing_up(
    how: str, pool: str, broker: RedisServer, sender: Celery, redis_url: str
) -> None:
    journal = Journal(redis_url, connections=1, timeout=2)

    def state(id: str) -> Any:
        subject = Subject("task", id)
        (reading,) = journal.read([(subject, None)])
        return reading.state(subject)

    with working(pool, broker, redis_url, "-E") as worker, ExitStack() as stack:
        heard = stack.enter_context(listening(sender))
        allow(redis_url, 5)
        task = sender.send_task("tests.steps")
        wait_until(lambda: counted(state(task.id)) == [5, None])
        wait_until(lambda: heard)
        if how == "killed":
            stack.close()  # nobody could listen on
            broker.kill()
        else:
            broker.pause()
        for allowed, where in ((9, [9, None]), (15, [10, 5]), (20, [10, 10])):
            allow(redis_url, allowed)
            wait_until(lambda: counted(state(task.id)) == where)  # noqa: B023
        wait_until(lambda: state(task.id).status == "succeeded")
        wait_until(lambda: AWAY in worker.log)
        if how == "killed":
            broker.start()
        else:
            broker.resume()
            wait_until(lambda: heard[-1]["progress"]["status"] == "succeeded", 20)
        wait_until(lambda: "monitors have been told where tasks are" in worker.log, 20)
        assert worker.log.count(AWAY) == 1
