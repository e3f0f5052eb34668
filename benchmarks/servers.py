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
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.processes import HOST, Process, RedisServer, Web, Worker

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PINNED = len(CORES) > 1 and shutil.which("taskset") is not None
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
SPARE_FILES = 1000  # of a process that holds viewers: Headway keeps some for other requests
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

P = TypeVar("P", bound=Process)


class Server:
    """The one process that serves HTTP, which may be a child of what was started."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.pid = int(self.asked("/healthz"))

    def asked(self, path: str) -> bytes:
        """What it answers, on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
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

    @property
    def rounds(self) -> int:
        """Repeats of what takes a fresh server each time."""
        return 1 if self.quick else 3

    @contextmanager
    def worker(
        self, pool: str, *, pinned: bool = True, args: Sequence[str] = QUIET
    ) -> Iterator[None]:
        worker = Worker(pool, self.redis_url, app="benchmarks.worker", concurrency=1, args=args)
        with _pinned(worker) if pinned else worker:
            yield

    @contextmanager
    def serve(self, process: Process, port: int) -> Iterator[Server]:
        """Start what is measured; it answers /healthz with the id of the process that serves."""
        with _pinned(process):
            yield Server(process, port)

    def web(
        self, app: str, worker_class: str = "gevent", **env: object
    ) -> AbstractContextManager[Server]:
        options = ("--worker-connections", "20000", "--log-level", "error")
        texts = {name: str(value) for name, value in env.items()}
        web = Web(self.redis_url, worker_class, app=app, args=options, env=texts)
        return self.serve(web, web.port)


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


def too_few_files(viewers: int) -> str | None:
    """Why so many viewers cannot be held here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = viewers + SPARE_FILES
    if most == resource.RLIM_INFINITY or most >= needed:
        return None
    return f"a process may open {most:,} files and needs {needed:,} (as root: ulimit -Hn {2 * viewers})"


def _pinned(process: P) -> P:
    if PINNED:
        process.command = ["taskset", "-c", str(CORES[0]), *process.command]
    return process
