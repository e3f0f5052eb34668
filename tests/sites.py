"""A web server that answers as a test tells it, one script per request, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from headway import sse
from headway.events import State, encode
from tests.processes import HOST

OPENING = b"retry: 0\n:heartbeat 15\n"


class Asked:
    """One request."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.method = handler.command
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.open = True


Answer = Callable[[Asked, BaseHTTPRequestHandler], object]


class Site:
    """`script` answers the next requests, `always` the rest."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.script: list[Answer] = []
        self.always: Answer = bare(500)
        self.ended = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = True
                asked = Asked(self)
                site.requests.append(asked)
                answer = site.script.pop(0) if site.script else site.always
                with suppress(OSError):
                    answer(asked, self)
                asked.open = False

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.requests]

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def holding(self, *parts: bytes) -> Answer:
        """Open a stream, say this, and keep it open until its viewer or the site ends."""

        def answer(_: Asked, handler: BaseHTTPRequestHandler) -> None:
            opened(handler, *parts)
            handler.connection.settimeout(0.02)
            while not self.ended.is_set():
                with suppress(TimeoutError):
                    if not handler.connection.recv(1):
                        return

        return answer


@contextmanager
def serve() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site._server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.close()
        thread.join()


# -- frames ----------------------------------------------------------------------------------------


def frame(event: object, seq: int = 0, task: str = "a", name: str | None = None) -> bytes:
    """One frame, with the id `task/seq-seq` if there is a seq."""
    data = encode(event) if isinstance(event, msgspec.Struct) else json.dumps(event).encode()
    return sse.frame(data, id=f"{task}/{seq}-{seq}" if seq else None, event=name)


def snapshot(seq: int, task: str = "a", gap: dict[str, Any] | None = None, **state: Any) -> bytes:
    whole = State(**{"task": task, "status": "running", "confirmed": True, **state})
    more = {"gap": gap} if gap else {}
    said = {"type": "snapshot", "task": task, "at": 1.0, "v": 1, **more}
    return frame({**said, "state": msgspec.to_builtins(whole)}, seq, task)


def message(seq: int, text: str, task: str = "a") -> bytes:
    return frame({"type": "message", "task": task, "at": 2.0, "message": text}, seq, task)


def emitted(seq: int, name: str, data: Any, task: str = "a") -> bytes:
    said = {"type": "emitted", "task": task, "at": 2.0, "name": name, "data": data}
    return frame(said, seq, task, name)


def finished(seq: int, result: Any = None, task: str = "a", status: str = "succeeded") -> bytes:
    said = {"type": "finished", "task": task, "at": 3.0, "status": status, "result": result}
    return frame(said, seq, task)


# -- answers ---------------------------------------------------------------------------------------


def opened(handler: BaseHTTPRequestHandler, *parts: bytes, **headers: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    for part in (OPENING, *parts):
        handler.wfile.write(part)


def saying(*parts: bytes) -> Answer:
    """Open a stream, say this, and end it in good order."""
    return lambda _, handler: opened(handler, *parts)


def bare(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(_: Asked, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def problem(status: int, **more: Any) -> Answer:
    body = json.dumps({"type": "about:blank", "title": "No", "status": status, **more}).encode()
    return bare(status, body, Content_Type="application/problem+json")


def dropping(_: Asked, handler: BaseHTTPRequestHandler) -> None:
    """Break the connection without an answer."""
    handler.connection.close()
