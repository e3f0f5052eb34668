"""A site with nothing but the element: its page under the strictest policy, and streams that do as they are told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import ROOT

POLICY = "default-src 'self'"
FILES = {"/": "tests/browser/element.html", "/element.css": "tests/browser/element.css"}
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript"}


class ElementSite(ThreadingHTTPServer):
    """`answers` says what a task's stream is: a status, or the events it sends before it stays open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers: dict[str, int | list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self._cut = threading.Event()

    def cut(self) -> None:
        """End all streams, without a word."""
        self._cut.set()
        self._cut = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: ElementSite

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/events"):
            return self.stream(query.removeprefix("task=") or path.split("/")[-2])
        name = FILES.get(path, path.removeprefix("/"))
        if path == "/favicon.ico":
            return self.answer(204, b"")
        file = ROOT / name
        if ".." in name or file.suffix[1:] not in TYPES or not file.is_file():
            return self.answer(404, b"")
        self.answer(200, file.read_bytes(), TYPES[file.suffix[1:]])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.answer(202 if self.path in self.server.answers else 404, b"{}")

    def stream(self, task: str) -> None:
        task = task.partition("@")[0]
        answer = self.server.answers.get(task, 404)
        cut = self.server._cut
        if isinstance(answer, int):
            return self.answer(answer, b"{}", "application/problem+json")
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"retry: 100\n:heartbeat 15\n")
        for event in answer:
            self.wfile.write(f"id: {task}/{event['id']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()
        cut.wait(30)

    def answer(self, status: int, body: bytes, type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def element_site() -> Iterator[ElementSite]:
    with ElementSite() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            site.cut()
            site.shutdown()
            thread.join()
