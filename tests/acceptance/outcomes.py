"""Every way a task can end, in every pool it can happen in, and what a viewer is told of it.

`python -m tests.acceptance.outcomes` plays them all and prints a table; name pools to play only those. With
`--broker amqp` RabbitMQ brings the tasks, and Redis keeps their journals only.
"""

import argparse
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

from celery import Celery

import headway.celery
from tests.conftest import require
from tests.journals import Book
from tests.processes import RedisServer, Worker, wait_until
from tests.rabbit import RabbitServer

POOLS = ("prefork", "threads", "gevent", "solo")
JOBS = "tests.acceptance.outcome_jobs"


class Play:
    """One pool's worker, with a queue of its own."""

    def __init__(self, pool: str, broker_url: str, redis_url: str, sender: Celery) -> None:
        self.pool = pool
        self.queue = uuid.uuid4().hex
        self.broker_url = broker_url
        self.redis_url = redis_url
        self.sender = sender
        self._stack = ExitStack()
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        env = {"HEADWAY_REDIS_URL": self.redis_url, "CELERY_RESULT_BACKEND": self.redis_url}
        env |= {"HEADWAY_LOST_AFTER": "3", "OUTCOMES_QUEUE": self.queue}
        worker = Worker(self.pool, self.broker_url, app=JOBS, env=env)
        return self._stack.enter_context(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, name: str, *args: object, **options: Any) -> Book:
        sent = self.sender.send_task(f"{JOBS}.{name}", args, queue=self.queue, **options)
        return Book(self.redis_url, sent.id)

    def send_and_see_it_work(self, name: str, *args: object, **options: Any) -> Book:
        book = self.send(name, *args, **options)
        wait_until(lambda: book.known() and book.state().stages, 20, "the task to work")
        wait_until(lambda: book.state().stages[0].status == "running", 20, "the task to work")
        return book

    def replace_worker(self) -> None:
        """Wait until the worker has ended, and start another."""
        self.worker.wait(30)
        self.worker.kill()
        self.worker = self.new_worker()


class Played(NamedTuple):
    """What a viewer was told, the status it ended with, and the type of the error."""

    told: list[str]
    status: str
    error: str | None


@dataclass(frozen=True)
class Outcome:
    """`told` are the transitions; one in parentheses may be missing, when what comes after it came first."""

    name: str
    act: Callable[[Play], Book]
    told: Sequence[str]
    status: str
    error: str | None = None
    pools: Sequence[str] = POOLS

    def play(self, play: Play) -> Played:
        book = self.act(play)
        with suppress(AssertionError):
            wait_until(lambda: book.known() and book.state().status == self.status, 40)
        state = book.state()
        return Played(book.transitions(), state.status, state.error and state.error.type)

    def fits(self, played: Played) -> bool:
        left = list(played.told)
        for line in self.told:
            wanted = line.strip("()")
            if left and left[0] == wanted:
                left.pop(0)
            elif line == wanted:
                return False
        return not left and played[1:] == (self.status, self.error)


WORKED = ("(queued)", "started 1", "work running", "work done", "finished succeeded")
BEGUN = ("(queued)", "started 1", "work running")
# What an attempt said just before another began may come too late: under load Redis hears of the newer one first.
BRIEFLY = ("(queued)", "(started 1)", "(work running)", "(work failed)", "(retrying)")
AGAIN = ("started 2", "work running", "work done", "finished succeeded")


def sends(name: str, *args: object, **options: Any) -> Callable[[Play], Book]:
    return lambda play: play.send(name, *args, **options)


def revoked_before_it_is_due(play: Play) -> Book:
    book = play.send("succeed", countdown=1)
    play.sender.control.revoke(book.subject.id)  # Celery acts on it when the task falls due
    return book


def terminated(by: str) -> Callable[[Play], Book]:
    def act(play: Play) -> Book:
        book = play.send_and_see_it_work("succeed", 30)
        play.sender.control.revoke(book.subject.id, terminate=True, signal=by)
        return book

    return act


def shut_down(name: str, number: int, seconds: float) -> Callable[[Play], Book]:
    def act(play: Play) -> Book:
        book = play.send_and_see_it_work(name, seconds)
        play.worker.signal(number)
        play.replace_worker()
        return book

    return act


def ends_the_worker(name: str) -> Callable[[Play], Book]:
    def act(play: Play) -> Book:
        book = play.send(name)
        play.replace_worker()
        return book

    return act


def delivered_twice(play: Play) -> Book:
    book = play.send_and_see_it_work("succeed", 1.5)
    play.send("succeed", 2.5, task_id=book.subject.id)
    wait_until(lambda: book.state().attempt == 2, 20, "the twin")
    return book


def older_twin_over_its_limit(play: Play) -> Book:
    book = play.send_and_see_it_work("succeed_late", 30, time_limit=2)
    play.send("succeed_late", 4, task_id=book.subject.id)
    wait_until(lambda: book.state().attempt == 2, 20, "the twin")
    return book


def killed_with_its_worker(name: str, seconds: float) -> Callable[[Play], Book]:
    def act(play: Play) -> Book:
        book = play.send_and_see_it_work(name, seconds)
        play.worker.kill()
        play.worker = play.new_worker()
        return book

    return act


OUTCOMES = (
    Outcome("success", sends("succeed"), WORKED, "succeeded"),
    Outcome(
        "exception",
        sends("fail"),
        (*BEGUN, "work failed", "finished failed"),
        "failed",
        "ValueError",
    ),
    Outcome(
        "autoretry",
        sends("retry_by_itself"),
        (*BRIEFLY, *AGAIN),
        "succeeded",
    ),
    Outcome("self.retry", sends("retry"), (*BRIEFLY, *AGAIN), "succeeded"),
    Outcome("Reject", sends("reject", False), (*BEGUN, "finished failed"), "failed", "Reject"),
    Outcome(
        "Reject and requeue, acks early",
        sends("reject", True),
        (*BEGUN, "finished failed"),
        "failed",
        "Reject",
    ),
    Outcome(
        "Reject and requeue, acks late",
        sends("reject_late", True),
        (*BEGUN, "(retrying)", *AGAIN),
        "succeeded",
    ),
    Outcome("Ignore", sends("ignore"), (*BEGUN, "finished cancelled"), "cancelled"),
    Outcome(
        "replace",
        sends("replace"),
        (
            *BEGUN,
            "work done",
            "started 2",
            "instead running",
            "instead done",
            "finished succeeded",
        ),
        "succeeded",
    ),
    Outcome(
        "retry, then replace",
        sends("retry_and_replace"),
        (
            *BRIEFLY,
            "started 2",
            "work running",
            "work done",
            "started 3",
            "instead running",
            "instead done",
            "finished succeeded",
        ),
        "succeeded",
    ),
    Outcome(
        "revoked before start",
        revoked_before_it_is_due,
        ("(queued)", "finished cancelled"),
        "cancelled",
    ),
    Outcome("expired", sends("succeed", expires=-1), ("(queued)", "finished expired"), "expired"),
    Outcome(
        "terminated, SIGTERM",
        terminated("SIGTERM"),
        (*BEGUN, "finished cancelled"),
        "cancelled",
        pools=("prefork", "gevent"),
    ),
    Outcome(
        "terminated, SIGKILL",
        terminated("SIGKILL"),
        (*BEGUN, "finished cancelled"),
        "cancelled",
        pools=("prefork",),
    ),
    Outcome(
        "soft time limit",
        sends("succeed", 30, soft_time_limit=1),
        (*BEGUN, "work failed", "finished failed"),
        "failed",
        "SoftTimeLimitExceeded",
        pools=("prefork",),
    ),
    Outcome(
        "hard time limit",
        sends("succeed", 30, time_limit=1),
        (*BEGUN, "finished failed"),
        "failed",
        "TimeLimitExceeded",
        pools=("prefork", "gevent"),
    ),
    Outcome(
        "child killed, acks early",
        sends("killed"),
        (*BEGUN, "finished failed"),
        "failed",
        "WorkerLostError",
        pools=("prefork",),
    ),
    Outcome(
        "child killed, acks late",
        sends("killed_late"),
        (*BEGUN, "finished failed"),
        "failed",
        "WorkerLostError",
        pools=("prefork",),
    ),
    Outcome(
        "child killed, reject_on_worker_lost",
        sends("killed_and_redelivered"),
        (*BEGUN, *AGAIN),
        "succeeded",
        pools=("prefork",),
    ),
    Outcome(
        "child killed, retry_on_worker_lost",
        sends("killed_and_retried"),
        (*BEGUN, "(retrying)", *AGAIN),
        "succeeded",
        pools=("prefork",),
    ),
    Outcome("warm shutdown", shut_down("succeed", signal.SIGTERM, 3), WORKED, "succeeded"),
    Outcome(
        "cold shutdown, acks early",
        shut_down("succeed", signal.SIGQUIT, 3),
        (*BEGUN, "finished failed"),
        "failed",
        "WorkerShutdown",
        pools=("prefork", "gevent"),
    ),
    Outcome(
        "cold shutdown, acks late",
        shut_down("succeed_late", signal.SIGQUIT, 3),
        (*BEGUN, "(retrying)", *AGAIN),
        "succeeded",
        pools=("prefork",),
    ),
    Outcome(
        "cold shutdown, which threads outlive",
        shut_down("succeed", signal.SIGQUIT, 3),
        WORKED,
        "succeeded",
        pools=("threads",),
    ),
    Outcome(
        "cold shutdown, which raises in the task",
        shut_down("succeed", signal.SIGQUIT, 3),
        (*BEGUN, "work failed", "finished failed"),
        "failed",
        "NotImplementedError",
        pools=("solo",),
    ),
    Outcome(
        "worker killed, acks early",
        killed_with_its_worker("succeed", 30),
        (*BEGUN, "finished lost"),
        "lost",
        "WorkerLost",
        pools=("prefork", "threads", "gevent"),
    ),
    Outcome(
        "worker killed before it acknowledged",  # which this pool does when it has done the work
        killed_with_its_worker("succeed", 3),
        (*BEGUN, "(finished lost)", *AGAIN),
        "succeeded",
        pools=("solo",),
    ),
    Outcome(
        "worker killed, acks late",
        killed_with_its_worker("succeed_late", 2),
        (*BEGUN, *AGAIN),
        "succeeded",
    ),
    Outcome(
        "unknown task",
        sends("nobody_knows"),
        ("(queued)", "finished failed"),
        "failed",
        "NotRegistered",
    ),
    Outcome(
        "unserialisable result",
        sends("unserialisable"),
        (*BEGUN, "work done", "finished failed"),
        "failed",
        "EncodeError",
    ),
    Outcome(
        "exception in on_failure",
        sends("fail_in_on_failure"),
        (*BEGUN, "work failed", "finished failed"),
        "failed",
        "RuntimeError",
        pools=("prefork", "threads", "gevent"),
    ),
    Outcome(
        "exception in on_failure, which ends the worker",
        ends_the_worker("fail_in_on_failure"),
        (*BEGUN, "work failed", "finished failed"),
        "failed",
        "RuntimeError",
        pools=("solo",),
    ),
    Outcome(
        "exception in before_start",
        sends("fail_in_before_start"),
        ("(queued)", "started 1", "finished failed"),
        "failed",
        "RuntimeError",
    ),
    Outcome(
        "SystemExit, which ends the child",
        sends("leave"),
        (*BEGUN, "finished failed"),
        "failed",
        "WorkerLostError",
        pools=("prefork",),
    ),
    Outcome(
        "SystemExit",
        sends("leave"),
        (*BEGUN, "finished failed"),
        "failed",
        "SystemExit",
        pools=("threads", "gevent"),
    ),
    Outcome(
        "SystemExit, which ends the worker",
        ends_the_worker("leave"),
        (*BEGUN, "finished failed"),
        "failed",
        "SystemExit",
        pools=("solo",),
    ),
    Outcome(
        "delivered twice at once",
        delivered_twice,
        (*BEGUN, *AGAIN),
        "succeeded",
        pools=("prefork", "threads", "gevent"),
    ),
    Outcome(
        "delivered twice, older over its limit",
        older_twin_over_its_limit,
        (*BEGUN, *AGAIN),
        "succeeded",
        pools=("prefork",),
    ),
)


def play_all(
    pools: Sequence[str], rabbit_url: str | None = None
) -> Iterator[tuple[str, Outcome, Played]]:
    """Play the outcomes of several pools at the same time; a pool that is named twice shares its own among two workers.

    Without RabbitMQ the journal's Redis is the broker.
    """
    news: SimpleQueue[tuple[str, Outcome, Played] | None] = SimpleQueue()
    rows = {pool: iter([each for each in OUTCOMES if pool in each.pools]) for pool in pools}
    with ExitStack() as stack:
        redis_url = stack.enter_context(RedisServer()).url
        broker_url = rabbit_url or redis_url
        sender = stack.enter_context(sender_to(broker_url, redis_url))
        executor = stack.enter_context(ThreadPoolExecutor())

        def play_pool(pool: str) -> None:
            try:
                with Play(pool, broker_url, redis_url, sender) as play:
                    for outcome in rows[pool]:
                        news.put((pool, outcome, outcome.play(play)))
            finally:
                news.put(None)

        playing = [executor.submit(play_pool, pool) for pool in pools]
        for _ in pools:
            yield from iter(news.get, None)
        for played in playing:
            played.result()


@contextmanager
def sender_to(broker_url: str, redis_url: str) -> Iterator[Celery]:
    with Celery("sender", broker=broker_url, backend=redis_url, set_as_current=False) as sender:
        headway.celery.install(sender, redis_url=redis_url, tasks=[f"{JOBS}.*"])
        yield sender


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.acceptance.outcomes", description=__doc__)
    parser.add_argument("--broker", choices=("redis", "amqp"), default="redis")
    parser.add_argument("pools", nargs="*", default=POOLS, help=", ".join(POOLS))
    asked = parser.parse_args()
    wrong = 0
    row = "{:42} {:8} {:10} {}"
    with ExitStack() as stack:
        rabbit_url = None
        if asked.broker == "amqp":
            rabbit_url = stack.enter_context(RabbitServer(require("rabbitmq-server"))).url
        for pool, outcome, played in play_all(asked.pools, rabbit_url):
            print(row.format(outcome.name, pool, played.status, ", ".join(played.told)), flush=True)
            if not outcome.fits(played):
                wrong += 1
                expected = row.format("  EXPECTED", "", outcome.status, ", ".join(outcome.told))
                print(expected, outcome.error or "", flush=True)
    print(f"{wrong} wrong" if wrong else "All as expected.")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
