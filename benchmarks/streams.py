"""The web process's side: one topic, a thousand viewers, ours beside the generator people write by hand, and beside
a loop in C that does nothing but send().

First a closed loop: event k+1 only after k has reached every viewer, so nothing can be joined into one write and
the cost per delivery is honest. Then a burst, where joining is the point. Each run has a fresh server, and both
send the same events. The publisher, Redis and the viewers are outside the measured core.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import redis

from benchmarks.servers import Bench, Server
from benchmarks.table import Row, progress
from benchmarks.viewers import COMPILER, crowd, get
from headway.events import Execution, Stage, StageReported, Started, encode
from headway.journal import Journal
from headway.publisher import Publisher

VIEWERS = 1000
MOST_VIEWERS = 10_000  # of whom most sit there idle: what a process has anyway counts for little
REST_SECONDS = 0.3  # for a web process to come to rest


def rows(bench: Bench) -> Iterator[Row]:
    events = 30 if bench.quick else 100
    ours, theirs, limit = [], [], []
    for number in range(bench.repeats):
        progress(f"streams, run {number + 1} of {bench.repeats}")
        ours.append(measure(bench, Headway(bench), events))
        theirs.append(measure(bench, Queues(bench), events))
        if COMPILER:
            limit.append(measure(bench, Loop(bench), events))
    for name, what, target in (
        ("cpu", "CPU per delivery, µs", 1 / 5),
        ("cpu_in_burst", "CPU per delivery in a burst, µs", None),
    ):
        yield _row(what, name, ours, theirs, target=target)
    one, other = ([each.memory for each in side] for side in (ours, theirs))
    what = f"{MOST_VIEWERS} viewers: memory per viewer, KB"
    yield Row(what, one, "generator + queue", other, target=1 / 16)
    for name, what, target in (
        ("deliveries", "deliveries/s", None),
        ("connects", "connects/s", 2.0),
    ):
        yield _row(what, name, ours, theirs, target=target, more_is_better=True)
    if limit:
        cpu, least = ([each.cpu for each in side] for side in (ours, limit))
        yield Row(f"{VIEWERS} viewers: CPU per delivery, µs", cpu, "send() in C", least, target=1.2)
    yield _row("lost, doubled, reordered", "wrong", ours, theirs, limit=0)


def _row(what: str, name: str, ours: list["Figures"], theirs: list["Figures"], **goal: Any) -> Row:
    one, other = ([getattr(figures, name) for figures in side] for side in (ours, theirs))
    return Row(f"{VIEWERS} viewers: {what}", one, "generator + queue", other, **goal)


@dataclass(frozen=True)
class Figures:
    """Of one run of one server."""

    cpu: float  # µs per delivery
    cpu_in_burst: float
    deliveries: float  # per second
    connects: float  # per second
    memory: float  # KB per viewer who sits there
    wrong: float  # deliveries lost, doubled or reordered


class Side(Protocol):
    """Who hands out events: what serves them, where, and how they are published."""

    path: str
    marker: str  # a viewer that has read it has arrived

    def serve(self) -> AbstractContextManager[Server]: ...
    def publish(self, places: range) -> None: ...


class Headway:
    """Through the publisher and the journal, as a worker does."""

    marker = '"snapshot"'

    def __init__(self, bench: Bench) -> None:
        self.serve = partial(bench.web, "benchmarks.web:app")
        self._topic = topic = uuid.uuid4().hex
        self.path = f"/headway/tasks/{topic}/events"
        self._publisher = Publisher(Journal(bench.redis_url, timeout=5.0))
        self._source = Execution(
            task=topic, nonce=topic, retries=0, boot="benchmark", began=time.monotonic()
        )
        stages = (_event(topic, 0).stage,)
        self._say(Started(task=topic, at=time.time(), stages=stages))
        self._publisher.flush(5.0)

    def publish(self, places: range) -> None:
        for place in places:
            self._say(_event(self._topic, place))

    def _say(self, event: Started | StageReported) -> None:
        self._publisher(event=event, source=self._source)


class Queues:
    """By PUBLISH, as `peers/queues.py` hears it."""

    marker = ": hello"

    def __init__(self, bench: Bench) -> None:
        self.serve = partial(bench.web, "benchmarks.peers.queues:app")
        self._topic = topic = uuid.uuid4().hex
        self.path = f"/events/{topic}"
        self._redis = redis.Redis.from_url(bench.redis_url)

    def publish(self, places: range) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.publish(f"queues:{self._topic}", encode(_event(self._topic, place)))
            pipe.execute()


class Loop(Queues):
    """As `peers/loop.c` hears it: the same."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.serve = bench.loop


def _event(topic: str, place: int) -> StageReported:
    # Another run each time makes it a transition: nothing may be left out as an older tick.
    stage = Stage(key="pages", unit="page", status="running", current=place, total=500, runs=place)
    return StageReported(task=topic, at=time.time(), stage=stage, progress=place / 500)


def measure(bench: Bench, side: Side, events: int) -> Figures:
    with side.serve() as server:
        empty = server.resident_bytes()
        with crowd(server.port, VIEWERS, marker=side.marker, request=get(side.path)) as viewers:
            time.sleep(REST_SECONDS)
            start, cpu = time.monotonic(), server.cpu_seconds()
            for place in range(1, events + 1):
                side.publish(range(place, place + 1))
                viewers.wait_for(place)
            elapsed, cpu_burst = time.monotonic() - start, server.cpu_seconds()
            side.publish(range(events + 1, 2 * events + 1))
            viewers.wait_for(2 * events)
            cpu_end = server.cpu_seconds()
            more = MOST_VIEWERS - VIEWERS
            with crowd(server.port, more, marker=side.marker, request=get(side.path)):
                time.sleep(REST_SECONDS)
                full = server.resident_bytes()
            count = viewers.end()
    deliveries = VIEWERS * events
    return Figures(
        cpu=(cpu_burst - cpu) / deliveries * 1e6,
        cpu_in_burst=(cpu_end - cpu_burst) / deliveries * 1e6,
        deliveries=deliveries / elapsed,
        connects=VIEWERS / viewers.seconds_to_connect,
        memory=(full - empty) / MOST_VIEWERS / 1024,
        wrong=count.wrong + abs(2 * deliveries - count.delivered),
    )
