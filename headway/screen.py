"""How a terminal shows what is watched: live blocks, plain lines, or JSON. Each is told every event as it comes."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, Self

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from headway.blocks import (
    block,
    headline,
    label_of,
    lines_of,
    note_of,
    refusal,
    row,
    said_of,
    title_of,
)
from headway.events import ENDED, Emitted, Snapshot, State
from headway.plain import as_json, as_line, plain
from headway.told import Told
from headway.viewer import LinkState, Refused
from headway.words import HINTS, STATUS, format_clock, format_duration, format_wait

FRAMES = 8  # a second
GRACE = 2.0  # seconds a lost connection has to come back before anyone is bothered


class Watching(Protocol):
    """What is watched, whichever way: `client.Watch`, `direct.DirectWatch`."""

    @property
    def states(self) -> Mapping[str, State]: ...
    @property
    def link(self) -> LinkState: ...
    @property
    def refused(self) -> Mapping[str, Refused]: ...
    def events(self) -> Iterator[Told]: ...


class Display:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tell(self, told: Told, states: Mapping[str, State]) -> None:
        """An event has come, and these are the states now."""

    def linked(self, link: LinkState) -> None:
        """The connection has changed."""


class Json(Display):
    """One event per line, with its cursor."""

    def tell(self, told: Told, states: Mapping[str, State]) -> None:
        said = msgspec.json.decode(told.json)
        print(as_line({**said, "cursor": told.cursor}), flush=True)


class Lines(Display):
    """One line per transition and per event of the task's own; for logs and pipes."""

    def __init__(self) -> None:
        self._shown: dict[str, State] = {}
        self._lost = False

    def tell(self, told: Told, states: Mapping[str, State]) -> None:
        for task, state in states.items():
            before = self._shown.get(task, State(task=task))
            if state is not before:
                self._shown[task] = state
                for line in transitions(before, state):
                    self._say(f"{title_of(state)}: {line}")
        if told.task and told.task in states and (line := own_line(told)):
            self._say(f"{title_of(states[told.task])}: {line}")

    def linked(self, link: LinkState) -> None:
        if link.status in ("connecting", "closed"):
            return
        lost = not link.server_live or is_cut(link)
        if lost is not self._lost and (lost or link.status == "open"):
            self._lost = lost
            self._say(notice(link) if lost else "Live updates are back.")

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


class Blocks(Display):
    """One live block per task; what tasks emit scrolls away above them."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._console = console()
        self._live = Live(
            self,
            console=self._console,
            refresh_per_second=FRAMES,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def tell(self, told: Told, states: Mapping[str, State]) -> None:
        if told.task and told.task in states and (line := own_line(told)):
            said = f"{time.strftime('%H:%M:%S')} {title_of(states[told.task])}: {line}"
            self._console.print(Text(said), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, console.size.height
        yield from _rows(picture(self._watching, width, height - 1))


def picture(watching: Watching, width: int, height: int) -> list[Text]:
    """All blocks, and a notice when they may be old; with too little room, less of each."""
    link = watching.link
    cut = is_cut(link)
    now = (link.lost_at if cut and link.lost_at else time.time()) + link.clock_offset
    notices = [Text(notice(link), style="yellow")] if cut else []
    room = height - 2 * len(notices)
    tasks = watching.states.items()
    refused = {task: [refusal(task, why, width)] for task, why in watching.refused.items()}
    whole = [refused.get(task) or block(state, now, width, live=not cut) for task, state in tasks]
    lines = lines_of(whole)
    if len(lines) > room:
        short = (
            refused.get(task) or [headline(state, now, width, live=not cut)]
            for task, state in tasks
        )
        lines = lines_of(short)
    if len(lines) > room > 0:
        lines = [*lines[: room - 1], Text(f"… and {len(lines) - room + 1} more", "bright_black")]
    return [*lines, *([Text(""), *notices] if notices else [])]


def is_cut(link: LinkState) -> bool:
    """Whether what is shown has been old for so long that it must be said."""
    return link.lost_at is not None and time.time() - link.lost_at >= GRACE


def notice(link: LinkState) -> str:
    """What is wrong with the connection, and since when; nothing is known of the task meanwhile."""
    since = link.lost_at or time.time()
    clock = time.strftime("%H:%M:%S", time.localtime(since))
    ago = format_clock(max(0.0, time.time() - since))
    if link.status == "connecting":
        return f"Connecting since {clock}."
    what = "Live updates interrupted" if link.server_live else "Redis does not answer"
    return f"{what} — reconnecting since {clock} ({ago})."


def own_line(told: Told) -> str:
    """An event of the task's own, or an announced loss."""
    match told.event:
        case Emitted(name=name, data=data):
            return f"{plain(name)} {as_json(data)}"
        case Snapshot(gap=gap) if gap:
            return "Some updates were missed. What you see is up to date."
    return ""


def transitions(before: State, after: State) -> Iterator[str]:
    """What has changed from one state to the other, but for ticks."""
    known = {stage.key: stage for stage in before.stages if after.attempt == before.attempt}
    ended = after.status in ENDED
    news = (after.status, after.attempt, after.confirmed) != (
        before.status,
        before.attempt,
        before.confirmed,
    )
    if news and not ended:
        yield _news(after)
    elif after.position == 1 != before.position:
        yield HINTS["next"]
    if after.cancelling and not before.cancelling:
        yield STATUS["cancelling"]
    for stage in after.stages:
        was = known.get(stage.key)
        if stage.status == "waiting" or (
            was and was.status == stage.status and was.runs == stage.runs
        ):
            continue
        took = None
        if stage.started_at is not None and stage.finished_at is not None:
            took = stage.finished_at - stage.started_at
        said = said_of(stage, format_duration(took))
        yield f"{label_of(stage)}: {STATUS[stage.status]}{f' · {said}' if said else ''}"
    if after.stalled != before.stalled:
        yield "Stalled: no sign of life from the worker" if after.stalled else "The worker is back"
    if news and ended:
        note = note_of(after) if after.error else ""
        result = f" {as_json(after.result)}" if after.result is not None else ""
        yield f"{STATUS[after.status]}{f': {note}' if note else ''}{result}"


def _news(state: State) -> str:
    """The status of a task that goes on, as of when it came about."""
    at = state.updated_at or time.time()
    said, wait = STATUS[state.status], format_wait(state, at)
    if state.status != "retrying":
        said += f" · {wait}" if wait else ""
    elif state.due_at and state.due_at > at:
        said = wait
    attempt = f", {HINTS['attempt'].format(n=state.attempt)}" if state.attempt > 1 else ""
    note = f": {note_of(state)}" if state.error else ""
    return f"{said}{attempt}{note}"


# -- consoles ------------------------------------------------------------------------------------------------


def console() -> Console:
    """Plain: no text is taken for markup, an emoji's name or a number to be coloured."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def is_live() -> bool:
    """Whether the output is a screen that can be drawn over."""
    return sys.stdout.isatty() and not console().is_dumb_terminal


def drawing(shown: "Listing") -> Live:
    """Draws it again and again, in the block."""
    return Live(
        shown,
        console=console(),
        refresh_per_second=FRAMES / 2,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )


def show(lines: list[Text]) -> None:
    """Print lines of text as they are."""
    out = console()
    for line in lines:
        out.print(line, soft_wrap=True)


class Listing:
    """All tasks, one line each, those that go on first; drawn anew as often as they change."""

    def __init__(self, states: Callable[[], Mapping[str, State]], live: Callable[[], bool]) -> None:
        self._states = states
        self._is_live = live
        self._lost_at: float | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _rows(self.lines(options.max_width, console.size.height - 1))

    def lines(self, width: int, most: int) -> list[Text]:
        self._lost_at = None if self._is_live() else self._lost_at or time.time()
        link = LinkState(status="reconnecting", server_live=False, lost_at=self._lost_at)
        cut = is_cut(link)
        now = self._lost_at if cut and self._lost_at else time.time()
        states = sorted(self._states().values(), key=_newest)
        lines = [row(state, now, width) for state in states]
        if cut:
            lines.insert(0, Text(notice(link), style="yellow"))
        if len(lines) > most:
            lines = [
                *lines[: most - 1],
                Text(f"… and {len(lines) - most + 1} more", "bright_black"),
            ]
        return lines or [Text("No task has a journal.", "bright_black")]


def _newest(state: State) -> tuple[bool, float, str]:
    return state.status in ENDED, -(state.updated_at or 0), state.task


def _rows(lines: list[Text]) -> Iterator[Text]:
    for line in lines:
        line.end = "\n"
        line.no_wrap = True
        yield line
