"""Real tasks of a real worker, led by the test: what they say, and when, is never a matter of time."""

import json
import uuid
from collections.abc import Mapping
from typing import Any, Self

import redis
from celery import Celery

from tests.journals import Book
from tests.processes import Worker, wait_until


def strings_of(task: str) -> str:
    """The Redis list of what a task is told to do."""
    return f"puppet:{task}"


class Puppet:
    """A task that runs and waits to be told what to do. Orders are carried out in their order."""

    def __init__(self, task: str, redis_url: str) -> None:
        self.id = task
        self.book = Book(redis_url, task)
        self._redis = redis.Redis.from_url(redis_url)

    def do(self, verb: str, *arguments: object) -> Self:
        self._redis.rpush(strings_of(self.id), json.dumps([verb, *arguments]))
        return self

    def emit(self, name: str, data: Any = None) -> Self:
        return self.do("emit", name, data)

    def end(self, result: Any = None) -> Self:
        """Let it succeed, and wait until the journal says so."""
        self.do("end", result)
        self.book.finished()
        return self

    def fail(self, message: str) -> Self:
        self.do("fail", message)
        self.book.finished()
        return self

    def said(self, count: int) -> Self:
        """Wait until its journal holds that many events."""
        wait_until(lambda: self.last_seq() >= count, what=f"event {count} of {self.id}")
        return self

    def last_seq(self) -> int:
        seq = self._redis.hget(f"headway:t:{{{self.id}}}:state", "_seq")
        return int(seq or 0)

    def ids(self) -> list[str]:
        """The ids its log holds, as a stream says them."""
        entries = self._redis.xrange(f"headway:t:{{{self.id}}}:log")
        return [f"{self.id}/{id.decode()}" for id, _ in entries]

    def close(self) -> None:
        self._redis.close()


class Puppets:
    """A worker full of them."""

    def __init__(
        self,
        redis_url: str,
        *,
        pool: str = "threads",
        concurrency: int = 8,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.url = redis_url
        self.worker = Worker(
            pool,
            redis_url,
            app="tests.acceptance.puppet_worker",
            concurrency=concurrency,
            env=env,
        )
        self._sender = Celery("sender", broker=redis_url, set_as_current=False)
        self._puppets: list[Puppet] = []

    def __enter__(self) -> Self:
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for puppet in self._puppets:
            puppet.close()
        self._sender.close()
        self.worker.__exit__()

    def send(self, task: str | None = None, *, about: Mapping[str, Any] | None = None) -> Puppet:
        """Send one without waiting for it to begin. Its sender knows nothing of Headway."""
        task = task or uuid.uuid4().hex
        headers = {"headway": about} if about else None
        self._sender.send_task("tests.puppet", task_id=task, headers=headers)
        puppet = Puppet(task, self.url)
        self._puppets.append(puppet)
        return puppet

    def start(self, **options: Any) -> Puppet:
        """One that is running."""
        return self.send(**options).said(1)

    def free(self) -> None:
        """End all that still run, so that their places in the worker are free for the next test."""
        for puppet in self._puppets:
            puppet.do("end", None)
            puppet.close()
        self._puppets.clear()
