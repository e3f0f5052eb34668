"""One viewer, closely: every byte it is sent, read by the reference parser or as it is."""

import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from tests.eventstream import Parser
from tests.processes import HOST

LAST_CHUNK = b"\r\n0\r\n\r\n"
FAREWELL = re.compile(rb"\r\n[0-9a-fA-F]+\r\nretry: (\d+)\n\r\n0\r\n\r\n\Z")


class Told(NamedTuple):
    """One event: its name, its own id (None if it has none), and what its JSON says."""

    event: str
    id: str | None
    data: dict[str, Any]

    @property
    def seq(self) -> int:
        assert self.id is not None, self
        return int(self.id.rpartition("/")[2].partition("-")[0])

    @property
    def type(self) -> str:
        return str(self.data["type"])


def told_of(parsed: Iterable[tuple[str, str | None, str, object]]) -> list[Told]:
    """What the reference parser has found."""
    return [Told(event, own_id, json.loads(data)) for event, own_id, data, _ in parsed]


class Watch:
    """An answer to one request. Reading waits at most `seconds` for the next byte, then raises TimeoutError.

    `cursor` is sent as Last-Event-ID. What the events are is in `seen`, what they were made of in `raw`.
    """

    def __init__(
        self,
        url: str,
        cursor: str | bytes | None = None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json_body: object = None,
        body: bytes | None = None,
        receive_buffer: int | None = None,
        seconds: float = 15,
    ) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=seconds
        )
        if receive_buffer:  # bytes; has to be said before it connects
            self.connection.sock = small = socket.socket()
            small.settimeout(seconds)
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            small.connect((parts.hostname, parts.port))
        self.raw = b""
        self.seen: list[Told] = []
        self.parser = Parser()
        self.ended = False
        said = {"Accept": "text/event-stream", **(headers or {})}
        if json_body is not None:
            body, said["Content-Type"] = json.dumps(json_body).encode(), "application/json"
        if cursor is not None:
            said["Last-Event-ID"] = cursor  # type: ignore[assignment] - bytes are sent as they are
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.connection.request(method, path, body, said)
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self.connection.close()

    @property
    def socket(self) -> socket.socket:
        # http.client forgets the socket of an answer that ends with its connection
        return self.connection.sock or self.answer.fp.raw._sock

    def json(self) -> Any:
        """The body of an answer that is no stream."""
        return json.loads(self.answer.read())

    def read(self) -> bytes:
        """The next bytes; b"" at the end."""
        chunk = self.answer.read1(65536)
        self.ended = self.ended or not chunk
        self.raw += chunk
        self.seen += told_of(self.parser.feed(chunk))
        return chunk

    def until(self, condition: Callable[[Told], object]) -> list[Told]:
        """All events so far, when one of them is as wanted; the test fails if the stream ends before."""
        while not any(condition(each) for each in self.seen):
            assert self.read(), f"the stream ended without it: {self.raw!r}"
        return self.seen

    def until_type(self, wanted: str) -> Told:
        self.until(lambda told: told.type == wanted)
        return next(told for told in reversed(self.seen) if told.type == wanted)

    def until_raw(self, condition: Callable[[bytes], object]) -> bytes:
        """All bytes so far, when they are as wanted."""
        while not condition(self.raw):
            assert self.read(), f"the stream ended without it: {self.raw!r}"
        return self.raw

    def rest(self) -> list[Told]:
        """All events, when the stream has ended."""
        while self.read():
            pass
        return self.seen


class Raw:
    """A viewer who sees every byte, the head's and the chunks' too."""

    def __init__(
        self,
        port: int,
        path: str,
        context: ssl.SSLContext | None = None,
        *,
        request: str | None = None,
    ) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=15)
        if context:
            self.socket = context.wrap_socket(self.socket)
        request = request or f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"
        self.socket.sendall(request.encode())
        self.said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def until(self, wanted: bytes) -> bytes:
        while wanted not in self.said:
            some = self.socket.recv(65536)
            assert some, f"it ended without {wanted!r}: {self.said!r}"
            self.said += some
        return self.said

    def rest(self) -> bytes:
        while some := self.socket.recv(65536):
            self.said += some
        return self.said


def identified(told: Iterable[Told]) -> list[Told]:
    """Those that move a cursor."""
    return [each for each in told if each.id is not None]


def unidentified(told: Iterable[Told]) -> list[str]:
    """The types of what the server says beside the history."""
    return [each.type for each in told if each.id is None]


def assert_unbroken(told: list[Told], *, after: int) -> None:
    """Every number comes once and in order, from the one that follows `after`."""
    assert [each.seq for each in told] == list(range(after + 1, after + 1 + len(told)))
