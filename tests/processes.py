"""Real processes for tests: Redis, a Celery worker, a web server.

Each is a context manager that ends its process and all that came of it; nothing outlives pytest,
even when pytest is killed. Output goes to a log file, which is shown when a process does not start.
"""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import redis

from deploy.demo import answers, embedded_valkey
from deploy.guard import Guard, kill

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
START_SECONDS = 60  # on a loaded CI machine RabbitMQ takes half of it
STOP_SECONDS = 15  # gunicorn and Celery wait for what is running
POLL_SECONDS = 0.02

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10, what: str = "the condition") -> T:
    """Poll until the condition is true and return what it returned; fail the test when it never is."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {timeout:g} s")
        time.sleep(POLL_SECONDS)
    return result


def free_port() -> int:
    """A port below those the system hands out by itself, so that a server can come back on it."""
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


@cache
def _guard() -> Guard:
    guard = Guard()
    atexit.register(guard.close)
    return guard


class Process:
    """A program that leads a process group. `start` returns when it is ready."""

    name = "process"

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.command = [str(word) for word in command]
        self.env = dict(env or {})
        self.folder = Path(tempfile.mkdtemp(prefix=f"headway-{self.name}-"))
        self.log_file = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        assert not self.running, f"{self.name} is running"
        seen = len(self.log)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _guard().watch(self.pid)
        try:
            wait_until(
                lambda: not self.running or self.ready(self.log[seen:]), START_SECONDS, "readiness"
            )
            assert self.running, f"it ended with exit code {self._process.returncode}"
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{self.name} did not start: {error}\n{self.log[seen:]}") from None

    def ready(self, log: str) -> bool:
        """Whether it does its work; `log` is what it has said since this start."""
        return True

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Ask it to end, and return its exit code; the test fails if it does not end in time."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL it and all its children. Harmless when it has ended."""
        if self._process is not None:
            kill(self.pid)
            self._process.wait()
            _guard().forget(self.pid)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {timeout:g} s\n{self.log}"
            ) from None

    def signal(self, number: int) -> None:
        """To the leader alone; `kill`, `pause` and `resume` are for the whole group."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)


class RedisServer(Process):
    """A private Redis (or Valkey) that keeps nothing unless told so by an option.

    Options are those of redis.conf, with underscores. It comes back on the same port.
    """

    name = "redis"

    def __init__(self, **options: str | int) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        super().__init__([])
        settings = {"bind": HOST, "port": self.port, "dir": self.folder, "save": "", **options}
        self.command = [redis_program()]
        for option, value in settings.items():
            self.command += [f"--{option.replace('_', '-')}", str(value)]

    def ready(self, log: str) -> bool:
        try:
            return bool(self.cli("PING"))
        except redis.RedisError:
            return False

    def cli(self, *words: str | int | bytes) -> Any:
        """Run one command on a connection of its own."""
        with redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5) as client:
            return client.execute_command(*words)


class RedisSentinel(Process):
    """Guards a primary and its replicas: when the primary is gone for a second, a replica takes its place."""

    name = "sentinel"
    master = "journals"

    def __init__(self, primary: RedisServer) -> None:
        self.port = free_port()
        self.url = f"redis+sentinel://{HOST}:{self.port}/{self.master}/0"
        super().__init__([])
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"bind {HOST}\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor {self.master} {HOST} {primary.port} 1\n"
            f"sentinel down-after-milliseconds {self.master} 1000\n"
            f"sentinel failover-timeout {self.master} 5000\n"
        )
        self.command = [redis_program(), str(settings), "--sentinel"]

    def ready(self, log: str) -> bool:
        """When it knows of the replica: until then nothing can take over."""
        return "+slave" in log


def redis_program() -> str:
    named = os.environ.get("HEADWAY_TEST_REDIS_SERVER")
    return named or shutil.which("redis-server") or str(embedded_valkey())


class Worker(Process):
    """`celery -A <app> worker -P <pool>`; `args` are further options of the worker."""

    name = "worker"

    def __init__(
        self,
        pool: str,
        broker_url: str,
        *,
        app: str = "workers",
        concurrency: int = 2,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-P", pool]
        # A name of its own: two workers of one name would answer for one another.
        node = f"{pool}-{free_port()}@%h"
        options = ["-n", node, "-c", str(concurrency), "--loglevel=info", *args]
        super().__init__([*command, *options], {"CELERY_BROKER_URL": broker_url, **(env or {})})

    def ready(self, log: str) -> bool:
        return " ready." in log


class Web(Process):
    """gunicorn with an app that answers /healthz. It comes back on the same port."""

    name = "web"

    def __init__(
        self,
        redis_url: str,
        worker_class: str = "gevent",
        *,
        app: str = "app.wsgi:app",
        port: int | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://{HOST}:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "-k", worker_class, "--no-control-socket"]
        urls = {"HEADWAY_REDIS_URL": redis_url, "CELERY_BROKER_URL": redis_url}
        super().__init__(
            [*command, "-b", f"{HOST}:{self.port}", *args, app], urls | dict(env or {})
        )

    def ready(self, log: str) -> bool:
        return answers(self.port, "/healthz")

    def restart(self) -> None:
        self.stop()
        self.start()
