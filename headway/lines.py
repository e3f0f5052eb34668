"""Connections over urllib3, one after another: whom to ask, their timeouts and deadline, and how they are ended.

urllib3 neither hands out a connection's socket nor changes the timeout of an answer that is being read; both are
needed here: a heartbeat is known only once the stream says it, and a loop is left from other threads.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from headway.errors import HeadwayError

CONNECT_SECONDS = 10.0
REDIRECTS = 5
MOST_BODY = 2**24  # bytes of an answer that is no stream
READ_BYTES = 65_536

Token = str | Callable[[bool], str | None]
Answer = urllib3.BaseHTTPResponse

_NO_RETRIES = urllib3.Retry(
    REDIRECTS,
    redirect=REDIRECTS,
    connect=0,
    read=0,
    status=0,
    other=0,
    respect_retry_after_header=False,
    raise_on_redirect=False,
)


class LineBroken(HeadwayError):
    """The connection broke, or never came about; another may do better."""


class Line:
    """One connection at a time. `stop` may be called from any thread; whoever reads then finds the end."""

    def __init__(self, timeout: float | None) -> None:
        self._stopped = threading.Event()
        self._timeout = timeout
        self._began = time.monotonic()
        self._socket: socket.socket | None = None
        self._response: Answer | None = None
        self._pools = _pools(self._opened)

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def request(
        self, url: str, headers: Mapping[str, str], body: bytes | None, silence: float
    ) -> Answer:
        """GET, or POST if there is a body. The answer's own is not read yet."""
        connect, read = self._at_most(CONNECT_SECONDS), self._at_most(silence)
        self._response = self._pools.request(
            "GET" if body is None else "POST",
            url,
            body=body,
            headers=dict(headers),
            timeout=urllib3.Timeout(connect=connect, read=read),
            retries=_NO_RETRIES,
            preload_content=False,
            decode_content=False,
        )
        return self._response

    def read(self, answer: Answer, silence: float) -> bytes:
        """What has come, waiting for the first of it at most `silence` seconds; b"" at the end."""
        with self.trouble():
            if self._socket:
                self._socket.settimeout(self._at_most(silence))
            chunk = answer.read1(READ_BYTES)
        return b"" if self.stopped else chunk

    def body(self, answer: Answer) -> bytes:
        """Of an answer that is no stream."""
        with self.trouble():
            return answer.read(MOST_BODY)

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Raises LineBroken for what goes wrong with a connection, TimeoutError when it was the deadline."""
        self.check()
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self.check()
            raise LineBroken(_reason(error)) from error

    def wait(self, seconds: float) -> None:
        """Return sooner when it is stopped."""
        self._stopped.wait(min(seconds, self._left()))
        self.check()

    def check(self) -> None:
        if self._left() <= 0 and not self.stopped:
            raise TimeoutError(f"Not all tasks had ended after {self._timeout:g} s.")

    def hang_up(self) -> None:
        """End this connection; there may be another."""
        if self._response is not None:
            self._response.close()
        self._pools.clear()
        self._response = self._socket = None

    def stop(self) -> None:
        self._stopped.set()
        if (opened := self._socket) is not None:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _left(self) -> float:
        if self._timeout is None:
            return float("inf")
        return self._began + self._timeout - time.monotonic()

    def _at_most(self, seconds: float) -> float:
        return max(0.001, min(seconds, self._left()))

    def _opened(self, opened: socket.socket) -> None:
        self._socket = opened
        if self.stopped:
            self.stop()


class Site:
    """Where to ask, and as whom."""

    def __init__(self, base: str, token: Token | None, headers: Mapping[str, str]) -> None:
        self.base = base
        self._token = token
        self._headers = headers

    def ask(
        self, line: Line, path: str, headers: Mapping[str, str], body: bytes | None, silence: float
    ) -> Answer:
        """The answer; a 401 is asked about once more, if there may be another token."""
        response = self._ask(line, path, headers, body, silence, refused=False)
        if response.status == 401 and callable(self._token):
            line.hang_up()
            response = self._ask(line, path, headers, body, silence, refused=True)
        return response

    def _ask(
        self,
        line: Line,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        silence: float,
        *,
        refused: bool,
    ) -> Answer:
        with line.trouble():
            token = self._token(refused) if callable(self._token) else self._token
            bearer = {"Authorization": f"Bearer {token}"} if token else {}
            said = {**headers, **bearer, **self._headers}
            return line.request(self.base + path, said, body, silence)


def _pools(opened: Callable[[socket.socket], None]) -> urllib3.PoolManager:
    """Pools that tell of each socket they open."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    pools = urllib3.PoolManager()
    pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pools


def _reason(error: BaseException | None) -> str:
    """What went wrong, as the system or urllib3 says it, without the objects it happened to."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return str(error.strerror)
        deeper = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(deeper, BaseException):
            break
        error = deeper
    return str(error).rpartition(">: ")[2]
