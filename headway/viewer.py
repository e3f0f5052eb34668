"""Who watches: where it is in each task's history, what it knows of them, and when to come back.

No I/O: whoever has a connection tells it what the server answered and hands it the bytes. `client.py` does so over
urllib3, `sources.py` straight from the journal, your own code over any stream of bytes (docs/python.md).
"""

import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from headway import sse
from headway.errors import HeadwayError
from headway.events import ENDED, SUBJECT_ID, Ended, Link, Position, Snapshot, Stalled, State, fold
from headway.keys import seq_of
from headway.told import Told, problem_in, seconds_in, told_in

MIN_SECONDS, MAX_SECONDS = 0.5, 8.0  # of the random time before another try: at first, at most
MOST_RETRY = 60.0  # seconds of `retry:`
MOST_RETRY_AFTER = 600.0
MOST_HEARTBEAT = 3600.0
HEARTBEAT = 15.0  # seconds, until the server says its own
HEARTBEATS_MISSED = 3  # and a silent connection is given up
MOST_IN_URL = 50  # tasks; for more, POST
CLOCKS_AGREE = 1.0  # second: a smaller difference is the network's
PASSING = (408, 425, 429)  # and 5xx: worth another try

LinkStatus = Literal["idle", "connecting", "open", "reconnecting", "closed"]


class LinkState(Struct, frozen=True, kw_only=True):
    """The connection, which is not the task: `closed` after the last task's end, or a refusal."""

    status: LinkStatus = "idle"
    server_live: bool = True  # False while the server has lost its Redis: what is known may be old
    lost_at: float | None = None  # unix seconds of this machine: since when it may be old
    retry_in: float | None = None  # seconds until the next try
    clock_offset: float = 0.0  # seconds to add to this machine's clock to have the server's


class Refused(HeadwayError):
    """The server will not tell of this task."""

    def __init__(self, status: int, message: str, tasks: tuple[str, ...]) -> None:
        super().__init__(message)
        self.status = status  # of HTTP: 401, 403, 404 ...
        self.tasks = tasks


class StreamBroken(HeadwayError):
    """The stream says what cannot follow. Come back by cursor."""


class Asked(NamedTuple):
    """A request: what follows the base URL, headers, and the body of a POST."""

    path: str
    headers: dict[str, str]
    body: bytes | None = None


class Viewer:
    """One viewer of some tasks, over any number of connections.

    Its attributes may be read from any thread, its methods are for one.
    """

    def __init__(
        self, *tasks: str, cursors: Mapping[str, str] | None = None, own_route: bool = False
    ) -> None:
        self.states = {task: State(task=task) for task in tasks}
        self.cursors: dict[str, str | None] = dict.fromkeys(tasks) | _checked(cursors or {})
        self.refused: dict[str, Refused] = {}
        self.link = LinkState()
        self._own_route = own_route  # all it says is of the one task, whatever its id is
        self._over: set[str] = set()
        self._parser = sse.Parser()
        self._heartbeat = HEARTBEAT
        self._retry = 0.0
        self._retry_after = 0.0
        self._failures = 0  # since an event came
        self._at_once = False
        odd = [task for task in self.states if not own_route and not SUBJECT_ID.fullmatch(task)]
        refused = self._refuse(404, "No task has such an id.", odd)
        if refused and self.over:
            raise refused

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return len(self._over) == len(self.states)

    @property
    def wanted(self) -> list[str]:
        """The tasks that have not ended."""
        return [task for task in self.states if task not in self._over]

    @property
    def silence(self) -> float:
        """Seconds without a byte after which a connection is given up."""
        return HEARTBEATS_MISSED * self._heartbeat

    # -- a connection, from its beginning to its end ---------------------------------------------------------

    def asks(self) -> Asked:
        """What to ask now, at the beginning of each connection."""
        self._parser = sse.Parser()
        self._retry_after, self._at_once = 0.0, False
        if self.link.status in ("idle", "closed"):
            self._linked("connecting")
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        wanted = {task: self.cursors[task] for task in self.wanted}
        if len(wanted) == 1:
            ((task, cursor),) = wanted.items()
            return Asked(
                "" if self._own_route else f"/tasks/{task}/events",
                headers | ({"Last-Event-ID": cursor} if cursor else {}),
            )
        if len(wanted) <= MOST_IN_URL:
            each = (
                f"task={task}" + (f"@{cursor}" if cursor else "") for task, cursor in wanted.items()
            )
            return Asked(f"/events?{'&'.join(each)}", headers)
        headers["Content-Type"] = "application/json"
        return Asked("/events", headers, msgspec.json.encode(wanted))

    def answered(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> bool:
        """Whether a stream follows. If not: everything is `over`, or it is tried again after `delay()`.

        Raises Refused when the server will tell of none of the tasks, now or later.
        """
        said = {name.lower(): value for name, value in headers.items()}
        if status == 200 and said.get("content-type", "").lower().startswith("text/event-stream"):
            return True
        if status == 204:
            self._end(*self.wanted)
        elif status >= 500 or status in PASSING:
            self._retry_after = min(seconds_in(said.get("retry-after", "")), MOST_RETRY_AFTER)
        else:
            problem = problem_in(body)
            message = problem.detail or problem.title or f"No event stream: HTTP {status}"
            wanted = self.wanted
            named = [task for task in wanted if task in problem.tasks and not self._own_route]
            refused = self._refuse(status, message, named or wanted)
            self._at_once = True  # the others may well be told of
            if self.over and refused:
                raise refused
        return False

    def hear(self, chunk: bytes) -> Iterator[Told]:
        """What a piece of the stream says, each event once and in order; states and cursors follow as it is read.

        Raises StreamBroken when an event does not follow the last one: come back, by cursor.
        """
        if self.over:
            return
        try:
            said = self._parser.feed(chunk)
        except ValueError as error:
            raise StreamBroken(str(error)) from error
        self._linked("open")
        for each in said:
            match each:
                case sse.Retry(ms):
                    self._retry = min(max(ms / 1000, MIN_SECONDS), MOST_RETRY)
                case sse.Comment(text) if text.startswith("heartbeat "):
                    said_to_be = min(seconds_in(text[10:]), MOST_HEARTBEAT)
                    self._heartbeat = said_to_be or self._heartbeat
                case sse.Frame() if told := self._taken(each):
                    self._failures = 0
                    yield told
            if self.over:
                return

    def delay(self) -> float:
        """Seconds to wait before the next connection; it grows with each that brought nothing."""
        if self._at_once or self.over:
            return 0.0
        spread = min(MAX_SECONDS, MIN_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        seconds = max(self._retry, self._retry_after) + random.random() * spread
        self._linked("reconnecting", seconds)
        return seconds

    def close(self) -> None:
        """The connection is no more."""
        self._linked("closed")

    def again(self) -> "Viewer":
        """Another viewer that goes on where this one is."""
        other = Viewer(own_route=self._own_route)
        other.states, other.cursors = dict(self.states), dict(self.cursors)
        other.refused, other._over = dict(self.refused), set(self._over)
        return other

    async def tell(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[Told]:
        """`hear` for an asynchronous stream of bytes. Ends with the stream, or when everything is over."""
        async for chunk in chunks:
            for told in self.hear(chunk):
                yield told
            if self.over:
                return

    async def show(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[State]:
        """The states that each piece of the stream brings, the newest only."""
        async for chunk in chunks:
            before = dict(self.states)
            for _ in self.hear(chunk):
                pass
            for task, state in list(self.states.items()):
                if state is not before[task]:
                    yield state
            if self.over:
                return

    # -- what an event means ---------------------------------------------------------------------------------

    def _taken(self, frame: sse.Frame) -> Told | None:
        """The event, if it is news."""
        told = told_in(frame)
        if told is None:
            return None
        match told.event:
            case Link(at=at, live=live):
                self._synchronise(at)
                self._set(server_live=live)
                return told
            case Ended():
                self._end(*self.wanted)
                return told
        task = next(iter(self.states)) if self._own_route else told.task
        if task not in self.states or task in self._over or not self._follows(task, told):
            return None
        self._fold(task, told)
        return told

    def _follows(self, task: str, told: Told) -> bool:
        """False for what has been seen."""
        last, cursor = self.cursors[task], told.cursor
        if last is None or cursor is None or isinstance(told.event, Snapshot):
            return True
        step = seq_of(cursor) - seq_of(last)
        if step > 1 or (step == 0 and cursor != last):
            raise StreamBroken
        return step == 1

    def _fold(self, task: str, told: Told) -> None:
        state, cursor = self.states[task], told.cursor
        match told.event:
            case Snapshot(at=at, state=whole, gap=gap):
                self._synchronise(at)
                if not cursor or cursor != self.cursors[task] or gap is not UNSET:
                    state = whole
                elif (state.stalled, state.position) != (whole.stalled, whole.position):
                    state = replace(state, stalled=whole.stalled, position=whole.position)
                self.cursors[task] = cursor
            case Stalled(stalled=stalled):
                state = replace(state, stalled=stalled)
            case Position(position=position):
                state = replace(state, position=position)
            case None | Link() | Ended():
                pass
            case event:
                state = fold(state, event)
        if not isinstance(told.event, Snapshot):
            self.cursors[task] = cursor or self.cursors[task]
        self.states[task] = state
        if state.status in ENDED:
            self._end(task)

    def _end(self, *tasks: str) -> None:
        self._over |= set(tasks)
        if self.over:
            self._linked("closed")

    def _refuse(self, status: int, message: str, tasks: list[str]) -> Refused | None:
        if not tasks:
            return None
        refused = Refused(status, message, tuple(tasks))
        self.refused = self.refused | dict.fromkeys(tasks, refused)
        self._end(*tasks)
        return refused

    # -- the link --------------------------------------------------------------------------------------------

    def _linked(self, status: LinkStatus, retry_in: float | None = None) -> None:
        if status != self.link.status or retry_in != self.link.retry_in:
            self._set(status=status, retry_in=retry_in)

    def _set(self, **now: Any) -> None:
        link = replace(self.link, **now)
        new = (link.status == "open" and link.server_live) or link.status == "closed"
        lost_at = None if new else self.link.lost_at or time.time()
        self.link = replace(link, lost_at=lost_at)

    def _synchronise(self, at: float) -> None:
        """What the server stamps as it sends tells what time it is there."""
        offset = at - time.time()
        if abs(offset - self.link.clock_offset) > CLOCKS_AGREE:
            self._set(clock_offset=offset)


def _checked(cursors: Mapping[str, str]) -> dict[str, str]:
    for cursor in cursors.values():
        if cursor != "0" and not seq_of(cursor):
            raise ValueError(
                f"{cursor!r} is no cursor. Take those of the events, or 0 for all that is kept."
            )
    return dict(cursors)
