"""A site that may be hurt anywhere, and lives on from play to play because it is slow to start."""

import threading
from contextlib import ExitStack
from typing import NamedTuple, Self

import redis
from celery import Celery

from tests.chaos.proxy import Proxy
from tests.processes import RedisServer, Web, Worker

JOBS = "tests.chaos.jobs"
LOST_AFTER = 7.0  # seconds until the tasks of a worker that is gone are lost; they are told as stalled before
WRITE_DEADLINE = 2.0  # seconds until a viewer who does not read is dropped
WEB_SETTINGS = {
    "HEADWAY_HEARTBEAT": "1",
    "HEADWAY_WRITE_DEADLINE": str(WRITE_DEADLINE),
    "HEADWAY_LOST_AFTER": str(LOST_AFTER),
}


class Stopped(Exception):
    """The campaign shall end now."""


class Stuck(Exception):
    """What had to come about did not."""


class Guarded(NamedTuple):
    primary: RedisServer
    replica: RedisServer
    url: str


class Lane:
    """A web server, with a door for viewers, and a worker; each has a proxy of its own before its Redis. For one play
    at a time.

    A lane that is `guarded` finds its Redis through a Sentinel instead, past the proxies.
    """

    def __init__(
        self,
        name: str,
        broker: RedisServer,
        stopping: threading.Event,
        guarded: Guarded | None = None,
    ) -> None:
        self.name = name
        self.broker = broker
        self.stopping = stopping
        self.guarded = guarded
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        try:
            self.hub_link, self.worker_link = enter(Proxy(1)), enter(Proxy(1))
            self.hub_link.refusing = self.worker_link.refusing = True
            args = ["--worker-connections", "3000", "--graceful-timeout", "2"]
            app = "tests.acceptance.watched:app"
            url = self.guarded.url if self.guarded else self.hub_link.redis_url
            env = WEB_SETTINGS | {"CELERY_BROKER_URL": self.broker.url}
            self.web = enter(Web(url, app=app, args=args, env=env))
            self.door = enter(Proxy(self.web.port))
            self.sender = enter(Celery("chaos", broker=self.broker.url, set_as_current=False))
            self.orders = enter(redis.Redis.from_url(self.broker.url, decode_responses=True))
            self.worker = self._new_worker()
            self._stack.callback(self._end_worker)
            self.worker.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _new_worker(self) -> Worker:
        env = {
            "HEADWAY_REDIS_URL": self.guarded.url if self.guarded else self.worker_link.redis_url,
            "HEADWAY_LOST_AFTER": str(LOST_AFTER),
            "CHAOS_QUEUE": self.name,
        }
        return Worker("prefork", self.broker.url, app=JOBS, concurrency=4, env=env)

    def _end_worker(self) -> None:
        self.worker.__exit__()

    def replace_worker(self) -> None:
        """Whatever has become of the old one."""
        self._end_worker()
        self.worker = self._new_worker()
        self.worker.start()
