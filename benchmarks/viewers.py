"""A crowd of viewers in a process of its own: `viewers.c` where a C compiler is, else the same in Python.

The Python one is slower, so it measures servers at less than full load; the table says which one ran.
"""

import atexit
import os
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.guard import kill

SOURCE = Path(__file__).with_suffix(".c")
COMPILER = (shutil.which("cc") or shutil.which("gcc")) if sys.platform == "linux" else None
CROWD_SECONDS = 120  # after which a crowd is dead, whatever happens


@dataclass(frozen=True)
class Count:
    """What a crowd was sent. Delays are in milliseconds, of all its deliveries."""

    delivered: int
    lost: int
    doubled: int
    reordered: int
    closed: int
    p50: float
    p99: float

    @property
    def wrong(self) -> int:
        return self.lost + self.doubled + self.reordered


class Crowd:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        line = ""
        while not line.startswith(
            "ready"
        ):  # the last may find in its snapshot that all are somewhere
            line = self._line()
        self.seconds_to_connect = float(line.split()[1])

    def wait_for(self, place: int) -> None:
        """Until every viewer has been sent the event of that number."""
        while int(self._line()) < place:
            pass

    def end(self) -> Count:
        assert self._process.stdin
        self._process.stdin.close()
        lines = [line.split() for line in self._process.stdout or ()]
        delivered, lost, doubled, reordered, closed = map(int, lines[-1][:5])
        p50, p99 = map(float, lines[-1][5:])
        return Count(delivered, lost, doubled, reordered, closed, p50, p99)

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"The viewers ended after {CROWD_SECONDS} s or less, unserved.")
        return line


@contextmanager
def crowd(port: int, count: int, *, marker: str, request: str) -> Iterator[Crowd]:
    """Viewers who all send `request` and are ready at a line that holds `marker`; returns when all are."""
    arguments = [str(port), str(count), str(CROWD_SECONDS), marker, request]
    command = [*_program(), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield Crowd(process)
        finally:
            kill(process.pid)


def get(path: str) -> str:
    return f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


def _program() -> list[str]:
    return [compiled(SOURCE)] if COMPILER else [sys.executable, "-m", "benchmarks.viewers"]


@cache
def compiled(source: Path) -> str:
    """The program that a C file is the source of. There must be a COMPILER."""
    folder = tempfile.mkdtemp(prefix="headway-benchmarks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = f"{folder}/{source.stem}"
    subprocess.run([str(COMPILER), "-O2", "-o", program, str(source)], check=True)
    return program


# -- the same as viewers.c, slower -----------------------------------------------------------------------------


class _Viewer:
    def __init__(self, port: int, request: bytes) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.sendall(request)
        self.buffer = b""
        self.ready = False
        self.last = 0


class _Viewers:
    """One thread, one selector. `viewers.c` says what is printed and counted."""

    def __init__(self, port: int, count: int, marker: bytes, request: bytes) -> None:
        self.port, self.count, self.marker, self.request = port, count, marker, request
        self.viewers: list[_Viewer] = []
        self.ready = 0
        self.goal = 1
        self.delays: list[float] = []
        self.delivered = self.lost = self.doubled = self.reordered = self.closed = 0
        self.start = time.monotonic()

    def run(self, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                while len(self.viewers) < self.count and len(self.viewers) - self.ready < 256:
                    viewer = _Viewer(self.port, self.request)
                    self.viewers.append(viewer)
                    selector.register(viewer.connection, selectors.EVENT_READ, viewer)
                for key, _ in selector.select(1):
                    if key.data is None:
                        return
                    self._read(selector, key.data)

    def summary(self) -> str:
        cuts = [0.0, 0.0] if len(self.delays) < 2 else _percentiles(self.delays)
        whole = (self.delivered, self.lost, self.doubled, self.reordered, self.closed)
        return " ".join(map(str, (*whole, *cuts)))

    def _read(self, selector: selectors.BaseSelector, viewer: _Viewer) -> None:
        data = viewer.connection.recv(1 << 18)
        if not data:
            self.closed += 1
            selector.unregister(viewer.connection)
            viewer.connection.close()
        *lines, viewer.buffer = (viewer.buffer + data).split(b"\n")
        for line in lines:
            if not viewer.ready and self.marker in line:
                viewer.ready = True
                self.ready += 1
                viewer.last = int(_number(line, b'"current":'))
                if self.ready == self.count:
                    print(f"ready {time.monotonic() - self.start:.6f}", flush=True)
            elif b'"type":"stage"' in line:
                self._deliver(viewer, line)

    def _deliver(self, viewer: _Viewer, line: bytes) -> None:
        self.delivered += 1
        self.delays.append((time.time() - _number(line, b'"at":')) * 1e3)
        place = int(_number(line, b'"current":'))
        if not place:
            return
        self.doubled += place == viewer.last
        self.reordered += place < viewer.last
        self.lost += max(0, place - viewer.last - 1)
        viewer.last = max(viewer.last, place)
        while self.goal <= min(each.last for each in self.viewers):
            print(self.goal, flush=True)
            self.goal += 1


def _number(line: bytes, name: bytes) -> float:
    found = line.partition(name)[2].replace(b"}", b",").partition(b",")[0]
    return 0.0 if found in (b"", b"null") else float(found)


def _percentiles(values: list[float]) -> list[float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return [cuts[49], cuts[98]]


def main() -> None:
    port, count, seconds, marker, request = sys.argv[1:]
    viewers = _Viewers(int(port), int(count), marker.encode(), request.encode())
    viewers.run(time.monotonic() + int(seconds))
    print(viewers.summary(), flush=True)
    os._exit(0)  # thousands of sockets need no tidying


if __name__ == "__main__":
    main()
