"""A crowd of viewers in a process of its own: `viewers.c`, which says what is counted. Linux, with a C compiler."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.guard import kill

SOURCE = Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
CROWD_SECONDS = 120  # after which a crowd is dead, whatever happens


@dataclass(frozen=True)
class Delays:
    """In milliseconds, of all deliveries since they were last asked for."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Count:
    """What a crowd was sent."""

    delivered: int
    lost: int
    doubled: int
    reordered: int
    closed: int
    torn: int

    @property
    def wrong(self) -> int:
        return self.lost + self.doubled + self.reordered


class Crowd:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        line = ""
        while not line.startswith("ready"):  # the last may find in its snapshot that all are there
            line = self._line()
        self.seconds_to_connect = float(line.split()[1])

    def wait_for(self, place: int) -> None:
        """Until every viewer has been sent the event of that number."""
        while int(self._line()) < place:
            pass

    def wait_closed(self) -> None:
        while self._line() != "closed\n":
            pass

    def delays(self) -> Delays:
        """Nothing may be on its way."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while not (line := self._line()).startswith("delays"):
            pass
        return Delays(*map(float, line.split()[1:]))

    def end(self) -> Count:
        assert self._process.stdin
        self._process.stdin.close()
        lines = [line.split() for line in self._process.stdout or ()]
        return Count(*map(int, lines[-1]))

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"The viewers ended after {CROWD_SECONDS} s or less, unserved.")
        return line


@contextmanager
def crowd(port: int, count: int, *, marker: str, request: str) -> Iterator[Crowd]:
    """Viewers who all send `request`, with their number for a `%d`, and are ready at a line that holds `marker`;
    returns when all are. With no marker they never read.
    """
    command = [compiled(SOURCE), str(port), str(count), str(CROWD_SECONDS), marker, request]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield Crowd(process)
        finally:
            kill(process.pid)


def get(path: str, *headers: str) -> str:
    """HTTP/1.0, so that no answer is chunked."""
    return "\r\n".join((f"GET {path} HTTP/1.0", "Accept: text/event-stream", *headers, "", ""))


def missing() -> str | None:
    """Why there are no viewers here."""
    if sys.platform != "linux":
        return "the viewers need Linux's epoll, and CPU and memory are read from its /proc"
    return None if COMPILER else "no C compiler (apt install gcc libc6-dev)"


@cache
def compiled(source: Path) -> str:
    """The program that a C file is the source of. There must be a COMPILER."""
    folder = tempfile.mkdtemp(prefix="headway-benchmarks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = f"{folder}/{source.stem}"
    subprocess.run([str(COMPILER), "-O2", "-o", program, str(source)], check=True)
    return program
