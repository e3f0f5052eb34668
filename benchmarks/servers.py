"""The processes that are measured: Redis, a worker, a web server, pinned so that they do not share a core.

The first core is for the one process under measurement; everything else, this process included, stays on the
second. On one core, or without `taskset`, nothing is pinned and the figures are worth less.
"""

import http.client
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from benchmarks import viewers
from deploy.demo import answers
from tests.processes import HOST, Process, RedisServer, Web, Worker, free_port

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PINNED = len(CORES) > 1 and shutil.which("taskset") is not None
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

P = TypeVar("P", bound=Process)


class Loop(Process):
    """`peers/loop.c`."""

    def __init__(self, redis_url: str) -> None:
        self.port = free_port()
        source = Path(__file__).with_name("peers") / "loop.c"
        redis_port = urlsplit(redis_url).port
        super().__init__([viewers.compiled(source), str(self.port), str(redis_port)])

    def ready(self, log: str) -> bool:
        return answers(self.port, "/healthz")


class Server:
    """One process that serves HTTP, of gunicorn's or of itself. It must answer /healthz with its process id."""

    def __init__(self, port: int) -> None:
        self.port = port
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        connection.request("GET", "/healthz")
        self.pid = int(connection.getresponse().read())
        connection.close()

    def cpu_seconds(self) -> float:
        """Time on a core, of all its threads. Linux only."""
        stats = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    redis_url: str
    redis: RedisServer | None  # None when it is not ours, and so not ours to stop
    folder: Path  # where tasks leave figures that Redis cannot carry
    quick: bool

    @property
    def repeats(self) -> int:
        return 3 if self.quick else 7

    @contextmanager
    def worker(
        self, pool: str, *, pinned: bool = True, args: Sequence[str] = QUIET
    ) -> Iterator[None]:
        worker = Worker(pool, self.redis_url, app="benchmarks.worker", concurrency=1, args=args)
        with _pinned(worker) if pinned else worker:
            yield

    @contextmanager
    def web(self, app: str) -> Iterator[Server]:
        options = ("--worker-connections", "20000", "--log-level", "error")
        with _pinned(Web(self.redis_url, app=app, args=options)) as web:
            yield Server(web.port)

    @contextmanager
    def loop(self) -> Iterator[Server]:
        with _pinned(Loop(self.redis_url)) as loop:
            yield Server(loop.port)


@contextmanager
def started(*, quick: bool) -> Iterator[Bench]:
    """Start Redis, unless HEADWAY_REDIS_URL names one, and tell every process of this run where it is."""
    if PINNED:
        os.sched_setaffinity(0, {CORES[1]})  # and all that it starts
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a viewer is a file, twice
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-benchmarks-"))
        named = os.environ.get("HEADWAY_REDIS_URL")
        redis = None if named else stack.enter_context(RedisServer())
        url = redis.url if redis else named or ""
        os.environ |= {
            "BENCHMARKS_FOLDER": folder,
            "CELERY_BROKER_URL": url,
            "CELERY_RESULT_BACKEND": url,
        }
        yield Bench(url, redis, Path(folder), quick)


def _pinned(process: P) -> P:
    if PINNED:
        process.command = ["taskset", "-c", str(CORES[0]), *process.command]
    return process
