"""Real clients, all of one form: what each was told, and how it learned that there is no more.

Those that know nothing of coming back (curl, httpx-sse, sseclient-py) are brought back here, with the last id they
had, until they are told 204. The others do all of it by themselves.
"""

import json
import shutil
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Self

import httpx
from httpx_sse import connect_sse
from playwright.sync_api import Page
from sseclient import SSEClient

from tests.eventstream import Parser
from tests.processes import ROOT, Process

NAMES = ("token",)  # that browsers and their like listen for, besides `message`
GONE = 204


class Told(NamedTuple):
    event: str
    id: str | None
    data: str


class Client(ABC):
    """Starts to watch when it is made. `told`, `opened` and `end` grow as it does."""

    @abstractmethod
    def told(self) -> list[Told]:
        """All events so far."""

    @abstractmethod
    def opened(self) -> int:
        """How many times it was answered with a stream."""

    @abstractmethod
    def end(self) -> int | None:
        """The status that told it to stop, None while it goes on."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """End it, wherever it is."""


class _Led(Client):
    """Connects again and again, in a thread. What goes wrong there is raised by `end`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._told: list[Told] = []
        self._opened = 0
        self._end: int | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def told(self) -> list[Told]:
        return list(self._told)

    def opened(self) -> int:
        return self._opened

    def end(self) -> int | None:
        if self._error:
            raise self._error
        return self._end

    def __exit__(self, *_: object) -> None:
        self._stopped = True

    def _run(self) -> None:
        try:
            while not self._stopped:
                status = self.connect(self._last())
                if status != 200:
                    self._end = status
                    return
        except BaseException as error:  # to be seen in the test's thread
            self._error = error

    def _last(self) -> dict[str, str]:
        last = next((each.id for each in reversed(self._told) if each.id), None)
        return {"Last-Event-ID": last} if last else {}

    def hear(self, event: str, id: str | None, data: str) -> None:
        self._told.append(Told(event, id or None, data))

    @abstractmethod
    def connect(self, headers: dict[str, str]) -> int:
        """Watch to the end of one answer, and return its status."""


class HttpxSse(_Led):
    def connect(self, headers: dict[str, str]) -> int:
        with (
            httpx.Client(timeout=30, trust_env=False) as client,
            connect_sse(client, "GET", self.url, headers=headers) as source,
        ):
            if source.response.status_code == 200:
                self._opened += 1
                for each in source.iter_sse():
                    self.hear(each.event, each.id, each.data)
            return source.response.status_code


class SseClientPy(_Led):
    def connect(self, headers: dict[str, str]) -> int:
        with (
            httpx.Client(timeout=30, trust_env=False) as client,
            client.stream("GET", self.url, headers=headers) as response,
        ):
            if response.status_code == 200:
                self._opened += 1
                for each in SSEClient(_as_source(response)).events():
                    self.hear(each.event, each.id, each.data)
            return response.status_code


def _as_source(response: httpx.Response) -> Generator[bytes, None, None]:
    yield from response.iter_bytes()


class Curl(_Led):
    """`curl -N`, its output read by the reference parser."""

    def __init__(self, url: str) -> None:
        self.output = b""
        self.comments = 0
        super().__init__(url)

    def connect(self, headers: dict[str, str]) -> int:
        said = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        command = [shutil.which("curl") or "curl", "-sSN", "-w", "%{stderr}%{http_code}", *said]
        parser, opened = Parser(), False
        with subprocess.Popen(
            [*command, self.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as curl:
            assert curl.stdout
            assert curl.stderr
            while chunk := curl.stdout.read1(65536):  # type: ignore[attr-defined]
                self._opened += not opened
                opened = True
                self.output += chunk
                for event, own_id, data, _ in parser.feed(chunk):
                    self.hear(event, own_id, data)
                self.comments += len(parser.comments)
                parser.comments.clear()
            status = int(curl.stderr.read())
        assert curl.returncode == 0
        return status


class Node(Client):
    """A client of npm's, in a process of its own: see tests/js/listen.js."""

    def __init__(self, node: str, client: str, url: str) -> None:
        self._process = Process([node, str(ROOT / "tests/js/listen.js"), client, url, *NAMES])
        self._process.start()

    def _lines(self) -> list[dict[str, Any]]:
        whole = self._process.log.rpartition("\n")[0]
        return [json.loads(line) for line in whole.split("\n") if line]

    def told(self) -> list[Told]:
        return [Told(**line) for line in self._lines() if "event" in line]

    def opened(self) -> int:
        return sum("open" in line for line in self._lines())

    def end(self) -> int | None:
        return next((line["end"] for line in self._lines() if "end" in line), None)

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()


def npm_client(node: str, client: str) -> Callable[[str], Node]:
    return lambda url: Node(node, client, url)


class Chromium(Client):
    """The browser's own EventSource, in a page of the site."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        page.evaluate(
            """([url, names]) => {
              const source = new EventSource(url);
              const hear = ({ type, lastEventId, data }) =>
                seen.told.push({ event: type, id: lastEventId || null, data });
              window.seen = { told: [], opened: 0, end: null, source };
              source.onopen = () => { seen.opened += 1; };
              source.onmessage = hear;
              for (const name of names) source.addEventListener(name, hear);
              source.onerror = () => {
                if (source.readyState === EventSource.CLOSED) seen.end = 204; // it does not tell which status
              };
            }""",
            [url, list(NAMES)],
        )

    def told(self) -> list[Told]:
        return [Told(**each) for each in self._page.evaluate("seen.told")]

    def opened(self) -> int:
        return int(self._page.evaluate("seen.opened"))

    def end(self) -> int | None:
        status = self._page.evaluate("seen.end")
        return None if status is None else int(status)

    def __exit__(self, *_: object) -> None:
        self._page.evaluate("seen.source.close()")
