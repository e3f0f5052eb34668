"""What a worker does in a campaign: it writes a known sequence, and does as it is told through the broker."""

import os
import time
from collections.abc import Iterator
from typing import Any

import redis
from celery import Celery

import headway.celery
from headway import emit, report, stage, staged

BROKER = os.environ.get("CELERY_BROKER_URL", "memory://")
RUN = 1_000_000  # the numbers of one execution; the next one's are others
ORDER_SECONDS = 0.05  # between looks at what it is told

app = Celery("jobs", broker=BROKER)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    task_default_queue=os.environ.get("CHAOS_QUEUE", "celery"),
    broker_transport_options={
        "visibility_timeout": 6,  # an unacknowledged message is delivered again that soon
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)
if os.environ.get("HEADWAY_REDIS_URL"):
    headway.celery.install(app)


def order_key(task: str) -> str:
    return f"chaos:{task}"


class Orders:
    """What the campaign tells this task: `write`, `quiet`, `end`; and `burst <events> <bytes> <which>`,
    once, whereupon it goes on as before."""

    def __init__(self, task: str) -> None:
        self._broker = redis.Redis.from_url(BROKER, decode_responses=True)
        self._key = order_key(task)
        self._run = int(self._broker.incr(f"{self._key}:runs"))
        self.first = self._run * RUN

    def __iter__(self) -> Iterator[list[str]]:
        """The order of the moment, again and again until the end."""
        last, going_on = "", ["write"]
        while (order := self._broker.get(self._key) or "write") != "end":
            words = str(order).split()
            if words[0] != "burst":
                going_on = words
            yield words if order != last else going_on
            last = str(order)

    def leave_word(self, count: int) -> None:
        """To be read with `emitted`."""
        self._broker.set(f"{self._key}:{self._run}", count)


def emitted(broker: Any, task: str) -> range | None:
    """The numbers of the last execution; None if it has not come to its end. The broker is a client that decodes."""
    run = broker.get(f"{order_key(task)}:runs")
    count = broker.get(f"{order_key(task)}:{run}")
    return None if count is None else range(int(run) * RUN, int(run) * RUN + int(count))


def sequence(task: str, rate: float) -> int:
    """Emit 0, 1, 2 ... at that rate per second until told to end, and leave word how many they were."""
    orders, n = Orders(task), 0

    def say(padding: int = 0) -> None:
        nonlocal n
        emit("n", {"n": orders.first + n, "pad": "x" * padding})
        n += 1

    with stage("write") as write:
        due = time.perf_counter()
        for order, *words in orders:
            if order == "burst":
                count, padding, _ = map(int, words)
                for _ in range(count):
                    say(padding)
            look_again = time.perf_counter() + ORDER_SECONDS
            while (now := time.perf_counter()) < look_again:
                if order == "write" and now >= due:
                    say()
                    write.report(current=n)
                    due = max(due, now - 1) + 1 / rate
                time.sleep(max(0.0, min(due if order == "write" else look_again, look_again) - now))
            report(f"{n} written")
    orders.leave_word(n)
    return n


@app.task(bind=True)
@staged("write")
def write(self, rate: float) -> int:  # type: ignore[no-untyped-def]
    return sequence(self.request.id, rate)


@app.task(bind=True, acks_late=True)
@staged("write")
def write_late(self, rate: float) -> int:  # type: ignore[no-untyped-def]
    """Delivered again when its worker has not ended it."""
    return sequence(self.request.id, rate)
