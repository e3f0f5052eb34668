"""`watch()`: tasks over HTTP, from scripts, tests and notebooks. Needs urllib3 (the extra `client`).

    for state in watch(task, base_url="http://127.0.0.1:8000"):
        print(state.status, state.progress)

What an answer means, and when to come back, is `viewer.py`'s to say; here are the sockets, the deadlines and the
tokens.
"""

import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Self
from urllib.parse import urlsplit

import msgspec

from headway.errors import ConfigurationError, HeadwayError
from headway.events import State
from headway.lines import CONNECT_SECONDS, Line, LineBroken, Site, Token
from headway.told import Told, problem_in
from headway.viewer import LinkState, Refused, StreamBroken, Viewer

__all__ = [
    "LinkState",
    "Refused",
    "State",
    "StreamBroken",
    "Told",
    "Unreachable",
    "Viewer",
    "Watch",
    "get",
    "watch",
]

TRIES = 5  # for a first connection

Events = Generator[Told, None, Exception | None]


class Unreachable(HeadwayError):
    """The server cannot be reached. Check the URL, and that it runs."""


def watch(
    *tasks: str,
    base_url: str | None = None,
    url: str | None = None,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    cursors: Mapping[str, str] | None = None,
    timeout: float | None = None,
    tries: int | None = TRIES,
    on_link: Callable[[LinkState], object] | None = None,
) -> "Watch":
    """Watch tasks, all on one connection, which begins with the first loop over what is returned.

    `base_url` is the site, or its blueprint where that is not at /headway (HEADWAY_URL in the environment); `url`
    is a route of your own that streams one task. `token` is sent as a bearer token; a function is called for each
    connection, and with True after a 401. `cursors` say where to go on, by task; "0" is all that is kept. A first
    connection is tried `tries` times (None: for ever), one that was open is taken up again for ever. `timeout` is
    for a whole loop, in seconds. `on_link` is told, by the thread that reads, how the connection is.
    """
    base = url or blueprint_url(base_url)
    viewer = Viewer(*(tasks or (base,)), cursors=cursors, own_route=url is not None)
    return Watch(Site(base, token, headers or {}), viewer, timeout, tries, on_link)


def get(
    task: str,
    *,
    base_url: str | None = None,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = CONNECT_SECONDS,
) -> State:
    """The task's state now. Raises Refused when the server will not tell, Unreachable when it does not answer."""
    site = Site(blueprint_url(base_url), token, headers or {})
    line = Line(timeout)
    try:
        answer = site.ask(line, f"/tasks/{task}", {"Accept": "application/json"}, None, timeout)
        body = line.body(answer)
        if answer.status != 200:
            said = problem_in(body).detail or f"HTTP {answer.status}"
            raise Refused(answer.status, said, (task,))
        return msgspec.json.decode(body, type=State)
    except (LineBroken, TimeoutError, msgspec.MsgspecError) as error:
        raise Unreachable(f"{site.base} does not answer: {error}") from error
    finally:
        line.stop()


def blueprint_url(said: str | None) -> str:
    """Where the blueprint is: a site without a path has it at /headway."""
    said = said or os.environ.get("HEADWAY_URL", "")
    parts = urlsplit(said)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{said!r} is no address of a site. Pass base_url=..., or set HEADWAY_URL, "
            "for example http://127.0.0.1:8000."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/headway'}"


class Watch:
    """Some tasks, as they are watched. A loop goes on where the last one was left.

    Leaving a loop ends its connection. So does `close()`, from any thread; it also ends the loop, and all later ones.
    """

    def __init__(
        self,
        site: Site,
        viewer: Viewer,
        timeout: float | None,
        tries: int | None,
        on_link: Callable[[LinkState], object] | None,
    ) -> None:
        self._site = site
        self._viewer = viewer
        self._timeout = timeout
        self._tries = tries
        self._on_link = on_link
        self._line: Line | None = None
        self._closed = False
        self._shown = dict(viewer.states)  # what loops over states have had
        self._link_told: LinkState | None = None

    @property
    def states(self) -> Mapping[str, State]:
        """What is known now, by task. This and the following may be read from any thread."""
        return self._viewer.states

    @property
    def cursors(self) -> Mapping[str, str | None]:
        """Where each task is: with them another `watch` goes on there."""
        return self._viewer.cursors

    @property
    def link(self) -> LinkState:
        """How well it is known: the connection is not the task."""
        return self._viewer.link

    @property
    def refused(self) -> Mapping[str, Refused]:
        """The tasks the server will not tell of, and why."""
        return self._viewer.refused

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it. What is known stays. Closing twice is harmless."""
        self._closed = True
        if self._line:
            self._line.stop()

    def events(self) -> Iterator[Told]:
        """All events, each once and in order, until every task has ended.

        A slow loop loses nothing: what it has not read yet waits, or is sent again. Raises Refused, at the end, if
        the server would not tell of some task; Unreachable; TimeoutError.
        """
        if self._line:
            self._line.stop()
        # Its own line and viewer: a thread that was left behind may still be ending.
        self._line, self._viewer = Line(self._timeout), self._viewer.again()
        if self._closed:
            self._line.stop()
        return self._events(self._line, self._viewer)

    def __iter__(self) -> Iterator[State]:
        """The newest state of each task that has changed. A slow loop misses states, but never the last one.

        Ends and raises as `events()` does.
        """
        reader = _Reader(self.events())
        line = self._line
        try:
            over = False
            while not over:
                over = reader.over  # asked before looking: nothing comes after it
                for task in self.states:
                    state = self.states[task]
                    if state is not self._shown[task]:
                        self._shown[task] = state
                        yield state
                if not over:
                    reader.wait()
            if reader.error:
                raise reader.error
        finally:
            if line:
                line.stop()

    def _events(self, line: Line, viewer: Viewer) -> Iterator[Told]:
        tries, opened = 0, False
        try:
            while not (viewer.over or line.stopped):
                trouble = yield from self._connection(line, viewer)
                opened = opened or viewer.link.status == "open"
                tries += trouble is not None
                if tries == self._tries and not opened:
                    raise Unreachable(f"{self._site.base} does not answer: {trouble}")
                seconds = viewer.delay()
                self._tell(viewer)
                line.wait(seconds)
        finally:
            line.stop()
            viewer.close()
            self._tell(viewer)
        for refused in viewer.refused.values():
            raise refused

    def _connection(self, line: Line, viewer: Viewer) -> Events:
        """What one connection brings; returns what went wrong with it, if anything did."""
        try:
            for chunk in self._chunks(line, viewer):
                for told in viewer.hear(chunk):
                    self._tell(viewer)
                    yield told
                self._tell(viewer)
                if viewer.over:
                    break
        except (LineBroken, StreamBroken) as error:
            return error
        finally:
            line.hang_up()
        return None

    def _chunks(self, line: Line, viewer: Viewer) -> Iterator[bytes]:
        asked = viewer.asks()
        self._tell(viewer)
        answer = self._site.ask(line, asked.path, asked.headers, asked.body, viewer.silence)
        problem = line.body(answer) if answer.status >= 400 else b""
        if viewer.answered(answer.status, answer.headers, problem):
            while chunk := line.read(answer, viewer.silence):
                yield chunk

    def _tell(self, viewer: Viewer) -> None:
        if self._on_link and viewer.link is not self._link_told:
            self._link_told = viewer.link
            self._on_link(viewer.link)


class _Reader:
    """Reads events in a thread, so that whoever is slow finds the newest state when it looks."""

    def __init__(self, events: Iterator[Told]) -> None:
        self.over = False
        self.error: BaseException | None = None
        self._news = threading.Event()
        thread = threading.Thread(
            target=self._read, args=[events], name="headway-watch", daemon=True
        )
        thread.start()

    def wait(self) -> None:
        """Until there may be news."""
        self._news.wait()
        self._news.clear()

    def _read(self, events: Iterator[Told]) -> None:
        try:
            for _ in events:
                self._news.set()
        except BaseException as error:  # it is the loop's to raise
            self.error = error
        finally:
            self.over = True
            self._news.set()
