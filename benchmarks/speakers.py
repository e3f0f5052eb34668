"""How each side's events are said: what a worker of it does."""

import http.client
import json
import time
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import redis

from benchmarks.servers import Bench, Server
from headway.events import Emitted, Execution, Stage, StageReported, Started, encode
from headway.journal import Journal
from headway.publisher import Publisher
from tests.processes import HOST, wait_until

FLUSH_SECONDS = 60.0
COME_SECONDS = 30


class Speaker(Protocol):
    """Says events as a worker of that side does."""

    def begin(self, topics: Sequence[str]) -> None:
        """Before anybody watches them."""

    def gather(self, topics: Sequence[str], count: int) -> None:
        """Wait until so many viewers of each, who have all arrived, will hear what is said."""

    def say(self, topics: Sequence[str], places: range) -> None:
        """Events of these numbers, from 1."""

    def end(self) -> None: ...


def event(topic: str, place: int) -> StageReported:
    # Another run each time makes it a transition: nothing may be left out as an older tick.
    stage = Stage(key="pages", unit="page", status="running", current=place, total=500, runs=place)
    return StageReported(task=topic, at=time.time(), stage=stage, progress=min(1.0, place / 500))


@cache
def publisher(redis_url: str) -> Publisher:
    return Publisher(Journal(redis_url, timeout=5.0))


class Reported:
    """Through the publisher and the journal."""

    def __init__(self, bench: Bench, _: Server | None = None) -> None:
        self._publisher = publisher(bench.redis_url)
        self._sources: dict[str, Execution] = {}

    def begin(self, topics: Sequence[str]) -> None:
        for topic in topics:
            began = time.monotonic()
            source = Execution(task=topic, nonce=topic, retries=0, boot="benchmark", began=began)
            self._sources[topic] = source
            stages = (event(topic, 0).stage,)
            begun = Started(task=topic, at=time.time(), started_at=time.time(), stages=stages)
            self._publisher(event=begun, source=source)
        self._publisher.flush(FLUSH_SECONDS)

    def gather(self, topics: Sequence[str], count: int) -> None: ...

    def say(self, topics: Sequence[str], places: range) -> None:
        for place in places:
            for topic in topics:
                self._publisher(event=event(topic, place), source=self._sources[topic])

    def fill(self, topic: str, count: int, size: int) -> None:
        """Say things of no number that are large."""
        for _ in range(count):
            large = Emitted(task=topic, at=time.time(), name="large", data="x" * size)
            self._publisher(event=large, source=self._sources[topic])

    def end(self) -> None:
        for source in self._sources.values():
            self._publisher.flusher.end(source)


class Published:
    """By PUBLISH. The subscriptions of whoever serves are there before it answers anybody."""

    def __init__(self, bench: Bench, _: Server) -> None:
        self._redis = redis.Redis.from_url(bench.redis_url)

    def begin(self, topics: Sequence[str]) -> None:
        self._redis.ping()

    def gather(self, topics: Sequence[str], count: int) -> None: ...

    def say(self, topics: Sequence[str], places: range) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                for topic in topics:
                    pipe.publish(*self.message(topic, encode(event(topic, place))))
            pipe.execute()

    def message(self, topic: str, data: bytes) -> tuple[str, bytes]:
        return topic, data

    def end(self) -> None:
        self._redis.close()


class FlaskSse(Published):
    """What `sse.publish` does, over a connection that is kept. Each viewer subscribes for itself."""

    def gather(self, topics: Sequence[str], count: int) -> None:
        def all_heard() -> bool:
            return all(heard >= count for _, heard in self._redis.pubsub_numsub(*topics))

        wait_until(all_heard, COME_SECONDS, "the subscription of every viewer")

    def message(self, topic: str, data: bytes) -> tuple[str, bytes]:
        return topic, json.dumps({"data": data.decode()}).encode()


class Posted:
    """By POST, on one connection."""

    def __init__(self, _: Bench, server: Server) -> None:
        self._connection = http.client.HTTPConnection(HOST, server.port, timeout=10)

    def begin(self, topics: Sequence[str]) -> None: ...

    def gather(self, topics: Sequence[str], count: int) -> None: ...

    def say(self, topics: Sequence[str], places: range) -> None:
        for place in places:
            for topic in topics:
                data = encode(event(topic, place))
                self._connection.request("POST", f"/publish/{topic}", data)
                self._connection.getresponse().read()

    def end(self) -> None:
        self._connection.close()
