"""Who watches in a campaign: many viewers in one thread over raw sockets, and the log that all of them write.

A raw viewer speaks HTTP/1.0, comes back with its cursors whenever its connection ends or is silent for too long, and
stops when it is told that there is no more.
"""

import random
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tests.chaos.checker import Checker
from tests.chaos.records import Closed, Got, Opened, Record, Truth, got
from tests.chaos.violations import Violation

KEPT = 200  # records of each viewer, to show those around a violation
SHOWN = 8
SHOWN_CHARACTERS = 280
PAUSE = (0.05, 0.3)  # seconds before a viewer comes back: a herd with little patience
SILENCE = 3.5  # seconds without a byte of a stream: three heartbeats of these sites
ANSWER = 20.0  # seconds until a request is answered: whoever asks again too soon makes a busy server busier
POLL_SECONDS = 0.05


class _Shown(Struct):
    updated_at: float | None = None
    stalled: bool = False


class _Said(Struct):
    at: float = 0.0
    stalled: bool = False
    state: _Shown | None = None  # of a snapshot


_said = msgspec.json.Decoder(_Said)


class Place(NamedTuple):
    """Where a viewer is in a task's history."""

    cursor: str | None
    at: float  # the newest thing it knows was reported then


class Log:
    """What all viewers of a play write down. `see` may be called from any thread."""

    def __init__(self) -> None:
        self.checker = Checker()
        self.places: dict[str, dict[str, Place]] = {}  # by viewer and task
        self.over: set[str] = set()  # viewers that need not come back
        self.refused: dict[str, str] = {}  # viewers who will be told no more, and why
        self.stalled: set[tuple[str, str]] = set()  # viewers, and the tasks they believe to be so
        self.recent: dict[str, deque[Record]] = {}
        self._lock = threading.Lock()

    def expect(self, viewer: str, tasks: Iterable[str]) -> None:
        with self._lock:
            self.places[viewer] = dict.fromkeys(tasks, Place(None, 0.0))

    def see(self, record: Record) -> None:
        with self._lock:
            self.checker.see(record)
            self.recent.setdefault(record.viewer, deque(maxlen=KEPT)).append(record)
            if isinstance(record, Got):
                self._note(record)

    def _note(self, record: Got) -> None:
        said = _said.decode(record.payload)
        if record.type in MOVES:
            at = said.at if said.state is None else said.state.updated_at or 0.0
            self.places[record.viewer][record.task] = Place(record.cursor, at)
        if record.type in ("stalled", "snapshot"):
            stalled = said.stalled if said.state is None else said.state.stalled
            (self.stalled.add if stalled else self.stalled.discard)((record.viewer, record.task))

    def judge(self, truth: Truth) -> None:
        with self._lock:
            self.checker.judge(truth)

    def behind(self, lasts: Mapping[str, str | None], since: float) -> list[str]:
        """Viewers that do not know yet of anything reported since then, nor hold the last id, of some task."""
        with self._lock:
            return [
                f"{viewer}: {task} at {place.cursor}, which is at {lasts.get(task)}"
                for viewer, tasks in self.places.items()
                if viewer not in self.over and viewer not in self.refused
                for task, place in tasks.items()
                if task in lasts and place.at < since and place.cursor != lasts[task]
            ]

    def waited_for(self) -> list[str]:
        """Viewers that have not been told the end."""
        return [
            each for each in list(self.places) if each not in self.over and each not in self.refused
        ]

    def shown(self, violation: Violation) -> list[str]:
        """What its viewer was told around it, or in the end."""
        records = list(self.recent.get(violation.viewer, ()))
        mine = [each for each in records if getattr(each, "task", violation.task) == violation.task]
        at = violation.at or time.time()
        until = sum(each.at <= at for each in mine) + 2
        near = mine[max(0, until - SHOWN) : until]
        return [f"    {str(record)[:SHOWN_CHARACTERS]}" for record in near]


MOVES = {"queued", "started", "stage", "message", "emitted", "retrying", "finished", "snapshot"}


class Viewer:
    """One raw viewer of some tasks."""

    def __init__(
        self, name: str, base_url: str, tasks: Iterable[str], since: str | None = None
    ) -> None:
        parts = urlsplit(base_url)
        self.name = name
        self.address = (parts.hostname or "", parts.port or 80)
        self.cursors: dict[str, str | None] = dict.fromkeys(tasks, since)
        self.connection = 0
        self.away = False  # it does not come back for the time being
        self.back_at = 0.0
        self.heard_at = 0.0
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.status = 0

    def request(self) -> bytes:
        if len(self.cursors) == 1:
            ((task, cursor),) = self.cursors.items()
            said = f"Last-Event-ID: {task}/{cursor}\r\n" if cursor else ""
            return f"GET /headway/tasks/{task}/events HTTP/1.0\r\n{said}\r\n".encode()
        asked = (f"task={task}" + (f"@{at}" if at else "") for task, at in self.cursors.items())
        return f"GET /headway/events?{'&'.join(asked)} HTTP/1.0\r\n\r\n".encode()


class Crowd:
    """Raw viewers, in a thread of their own that runs until `close`."""

    def __init__(self, log: Log, rng: random.Random) -> None:
        self.viewers: list[Viewer] = []
        self.counts: Counter[str] = Counter()  # of connections: why they ended
        self._log = log
        self._rng = rng
        self._selector = selectors.DefaultSelector()
        self._todo: deque[Callable[[], object]] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)
        self._thread.start()

    def add(self, viewer: Viewer) -> Viewer:
        self._log.expect(viewer.name, viewer.cursors)
        self._do(lambda: self.viewers.append(viewer))
        return viewer

    def send_away(self, viewers: Iterable[Viewer]) -> None:
        """They leave, and come back when they are called."""
        for viewer in viewers:
            viewer.away = True
            self._do(partial(self._hang_up, viewer, "cut"))

    def call_back(self, viewers: Iterable[Viewer]) -> None:
        for viewer in viewers:
            viewer.away, viewer.back_at = False, 0.0

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        for viewer in self.viewers:
            self._hang_up(viewer, "left")
        self._selector.close()

    def _do(self, work: Callable[[], object]) -> None:
        """In the crowd's thread, soon; what is asked first is done first."""
        self._todo.append(work)

    def _run(self) -> None:
        while not self._closing:
            while self._todo:
                self._todo.popleft()()
            now = time.monotonic()
            for viewer in self.viewers:
                if viewer.socket is None:
                    if not (viewer.away or viewer.name in self._log.over or now < viewer.back_at):
                        self._connect(viewer)
                elif now - viewer.heard_at > (SILENCE if viewer.status else ANSWER):
                    self._hang_up(viewer, "cut")
            for key, events in self._selector.select(POLL_SECONDS):
                if key.data.socket is not None:
                    self._write(key.data) if events & selectors.EVENT_WRITE else self._read(
                        key.data
                    )

    def _connect(self, viewer: Viewer) -> None:
        viewer.buffer, viewer.status = b"", 0
        viewer.heard_at = time.monotonic()
        viewer.socket = socket.socket()
        viewer.socket.setblocking(False)
        viewer.socket.connect_ex(viewer.address)
        self._selector.register(viewer.socket, selectors.EVENT_WRITE, viewer)

    def _write(self, viewer: Viewer) -> None:
        """Connected, or refused: then sending fails."""
        assert viewer.socket
        try:
            viewer.socket.send(viewer.request())
        except OSError:
            self._hang_up(viewer, "cut")
        else:
            self._selector.modify(viewer.socket, selectors.EVENT_READ, viewer)

    def _read(self, viewer: Viewer) -> None:
        assert viewer.socket
        try:
            data = viewer.socket.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(viewer, "cut")
            return
        viewer.heard_at = time.monotonic()
        viewer.buffer += data
        if not viewer.status and b"\r\n\r\n" in viewer.buffer:
            head, viewer.buffer = viewer.buffer.split(b"\r\n\r\n", 1)
            viewer.status = int(head.split()[1])
            self._opened(viewer)
        if viewer.status == 200:
            *frames, viewer.buffer = viewer.buffer.split(b"\n\n")
            for frame in frames:
                self._take(viewer, frame)
        if not data:
            self._hang_up(viewer, "ended")

    def _opened(self, viewer: Viewer) -> None:
        if viewer.status == 200:
            viewer.connection += 1
            cursors = dict(viewer.cursors)
            self._log.see(Opened(viewer.name, viewer.connection, time.time(), cursors))
        elif viewer.status == 204:
            self._log.over.add(viewer.name)
        elif viewer.status == 404:
            self._log.refused[viewer.name] = "told 404"
            self._log.over.add(viewer.name)

    def _take(self, viewer: Viewer, frame: bytes) -> None:
        data = id = None
        for line in frame.split(b"\n"):
            if line.startswith(b"data: "):
                data = line[6:].decode()
            elif line.startswith(b"id: "):
                id = line[4:].decode()
        if data is None:
            return
        record = got(viewer.name, viewer.connection, time.time(), id, data)
        if record.task in viewer.cursors:
            if record.cursor:
                viewer.cursors[record.task] = record.cursor
            elif record.type == "snapshot":
                viewer.cursors[record.task] = None
        elif record.type == "ended":
            self._log.over.add(viewer.name)
        self._log.see(record)

    def _hang_up(self, viewer: Viewer, why: Literal["ended", "cut", "left"]) -> None:
        if viewer.socket is None:
            return
        self._selector.unregister(viewer.socket)
        viewer.socket.close()
        viewer.socket = None
        viewer.back_at = time.monotonic() + self._rng.uniform(*PAUSE)
        self.counts[why] += 1
        if viewer.status == 200:
            self._log.see(Closed(viewer.name, viewer.connection, time.time(), why))
