"""One request of the doctor's, and its answer as it comes: read on its own thread, so that a silence is seen."""

import http.client
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from headway import sse
from headway.checkup import PATIENCE
from headway.told import Told, told_in

CONNECT_SECONDS = 5.0
MOST_BYTES = 65_536  # read at once, and of an answer that is no stream
HEARTBEAT = 15.0  # seconds, until the stream says its own


class Probe(threading.Thread):
    """One request, and its answer as it comes. `wait` before reading what it has."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__(daemon=True)
        self.socket: socket.socket | None = None  # once it is connected
        self.answer: http.client.HTTPResponse | None = None
        self.error: Exception | None = None
        self.over = False
        self.page = b""  # of an answer that is no stream
        self.told: list[tuple[float, Told]] = []  # when it came, by time.monotonic()
        self.pieces = 0  # of the answer that have come
        self.heartbeats = 0
        self.heartbeat = HEARTBEAT
        self.dismissed = False  # the last thing said was when to come back
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
        self._news = threading.Condition()

    def run(self) -> None:
        try:
            self._connection.connect()
            self._connection.sock.settimeout(None)
            with self._news:
                self.socket = self._connection.sock
                self._news.notify_all()
            self._connection.request("GET", self._path, headers=self._headers)
            answer = self._connection.getresponse()
            with self._news:
                self.answer = answer
                self._news.notify_all()
            self._read(answer)
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            self.error = error
        finally:
            self._connection.close()
            with self._news:
                self.over = True
                self._news.notify_all()

    def wait(self, condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
        """Whether it came about before the answer was over and the time was up."""
        with self._news:
            self._news.wait_for(lambda: self.over or condition(), seconds)
            return bool(condition())

    def hears(self, seconds: float) -> bool:
        """Whether anything comes within that time."""
        before = self.pieces
        return self.wait(lambda: self.pieces > before, seconds)

    @property
    def is_stream(self) -> bool:
        answer = self.answer
        if answer is None or answer.status != 200:
            return False
        return answer.headers.get_content_type() == "text/event-stream"

    def leave(self) -> None:
        """The thread that reads closes it: http.client stumbles over what another has closed."""
        if self.socket:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        self.join(CONNECT_SECONDS)

    def _read(self, answer: http.client.HTTPResponse) -> None:
        unzip = zlib.decompressobj(47) if answer.headers.get("Content-Encoding") == "gzip" else None
        parser = sse.Parser()
        while (chunk := answer.read1(MOST_BYTES)) and len(self.page) < MOST_BYTES:
            data = unzip.decompress(chunk) if unzip else chunk
            with self._news:
                self.pieces += 1
                if self.is_stream:
                    self._take(parser.feed(data))
                else:
                    self.page += data
                self._news.notify_all()

    def _take(self, said: list[sse.Frame | sse.Comment | sse.Retry]) -> None:
        for each in said:
            self.dismissed = isinstance(each, sse.Retry)
            if isinstance(each, sse.Frame) and (told := told_in(each)):
                self.told.append((time.monotonic(), told))
            elif isinstance(each, sse.Comment) and each.text.startswith("heartbeat "):
                self.heartbeat = float(each.text.split()[1])
            elif isinstance(each, sse.Comment):
                self.heartbeats += 1
