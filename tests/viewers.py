"""Many viewers in one thread, over raw sockets: what each of them was sent, and whether any of it is wrong.

They speak HTTP/1.0, come back with `Last-Event-ID` whenever their connection ends, and stop at 204. What is
counted as wrong: an id that does not follow the last one (lost, doubled or out of order), and two viewers
who were given different events under one number.
"""

import json
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

PAUSE = 0.1  # seconds before a viewer comes back


class Viewer:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.last: str | None = None
        self.seqs: dict[str, int] = {}
        self.events: list[dict[str, Any]] = []
        self.finished = False
        self.status = 0
        self.buffer = b""
        self.head = True
        self.retry_at = 0.0

    def request(self) -> bytes:
        said = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
        return f"GET {self.path} HTTP/1.0\r\nHost: test\r\n{said}\r\n".encode()


class Crowd:
    """Viewers, one per URL. `run` returns when all have been told 204, or fails when the time is up."""

    def __init__(
        self, urls: list[str], *, viewers: Iterable[Viewer] = (), keep: bool = False
    ) -> None:
        self.viewers = [Viewer(url) for url in urls] + list(viewers)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._keep = keep
        self._history: dict[tuple[str, str], str] = {}
        self._selector = selectors.DefaultSelector()

    def run(self, seconds: float, *, until: Any = None) -> None:
        deadline = time.monotonic() + seconds
        connected: dict[Viewer, socket.socket] = {}
        try:
            while any(not viewer.finished for viewer in self.viewers):
                if until and until():
                    return
                assert time.monotonic() < deadline, (
                    f"after {seconds} s: {self.counts} {self.wrong[:5]}"
                )
                for viewer in self.viewers:
                    if (
                        not viewer.finished
                        and viewer not in connected
                        and time.monotonic() >= viewer.retry_at
                    ):
                        self._connect(viewer, connected)
                for key, _ in self._selector.select(0.05):
                    self._read(key.data, connected)
        finally:
            for connection in connected.values():
                connection.close()
            self._selector.close()

    def _connect(self, viewer: Viewer, connected: dict[Viewer, socket.socket]) -> None:
        viewer.buffer, viewer.head = b"", True
        try:
            connection = socket.create_connection(viewer.address, timeout=5)
            connection.sendall(viewer.request())
        except OSError:
            self.counts["refused"] += 1
            viewer.retry_at = time.monotonic() + PAUSE
            return
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, viewer)
        connected[viewer] = connection
        self.counts["connects"] += 1

    def _read(self, viewer: Viewer, connected: dict[Viewer, socket.socket]) -> None:
        try:
            data = connected[viewer].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        viewer.buffer += data
        if viewer.head and b"\r\n\r\n" in viewer.buffer:
            head, viewer.buffer = viewer.buffer.split(b"\r\n\r\n", 1)
            viewer.head = False
            viewer.status = int(head.split()[1])
            self.counts[str(viewer.status)] += 1
        if not viewer.head and viewer.status == 200:
            while b"\n\n" in viewer.buffer:
                frame, viewer.buffer = viewer.buffer.split(b"\n\n", 1)
                self._take(viewer, frame.decode())
        if not data:
            self._selector.unregister(connected[viewer])
            connected.pop(viewer).close()
            viewer.finished = not viewer.head and viewer.status != 200
            viewer.retry_at = time.monotonic() + PAUSE

    def _take(self, viewer: Viewer, frame: str) -> None:
        lines = [line for line in frame.split("\n") if line and not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if "data" not in fields:
            return
        event = json.loads(fields["data"])
        if self._keep:
            viewer.events.append({**event, "id": fields.get("id")})
        self.counts[event["type"]] += 1
        if event["type"] == "link" and not event["live"]:
            self.counts["link down"] += 1
        if "id" not in fields or fields["id"].startswith("*/"):
            viewer.last = fields.get("id", viewer.last)
            return
        subject, cursor = fields["id"].split("/")
        seq, _, chain = cursor.partition("-")
        if event["type"] == "snapshot":
            self.counts["gap"] += "gap" in event
        else:
            self.counts["events"] += 1
            if int(seq) != viewer.seqs.get(subject, 0) + 1:
                self.wrong.append(f"{viewer.path}: {fields['id']} after {viewer.seqs.get(subject)}")
            if self._history.setdefault((subject, seq), chain) != chain:
                self.wrong.append(f"{viewer.path}: two histories at {fields['id']}")
        viewer.seqs[subject] = int(seq)
        viewer.last = fields["id"]
