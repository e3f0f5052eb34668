"""A task as lines of a terminal: its title, bar and stages. Every text of others goes through `plain`."""

import math
from collections.abc import Iterable

from rich.text import Text

from headway.events import Stage, State
from headway.plain import as_json, plain
from headway.viewer import Refused
from headway.words import (
    HINTS,
    STATUS,
    format_clock,
    format_count,
    format_duration,
    format_left,
    format_range,
    format_wait,
    resumed_at,
)

MOST_LABEL = 24  # cells of a column of labels
MOST_WIDTH = 100  # cells of a line: longer bars say no more
STAGE_BAR = 20
STATUS_CELLS = 17  # of a list: "Retrying at 14:05"
FULL, REST = "━", "─"
MARKS = {
    "waiting": "·",
    "running": "▸",
    "done": "✓",
    "skipped": "–",  # noqa: RUF001 - the element's own
    "failed": "✗",
    "cancelled": "✗",
    "retrying": "↻",
    "lost": "?",
    "stalled": "?",
}
STYLES = {
    "running": "cyan",
    "retrying": "yellow",
    "cancelling": "yellow",
    "stalled": "yellow",
    "lost": "red",
    "succeeded": "green",
    "done": "green",
    "failed": "red",
    "cancelled": "red",
    "expired": "red",
    "waiting": "bright_black",
    "skipped": "bright_black",
}


def block(state: State, now: float, width: int, *, live: bool = True) -> list[Text]:
    """All that is known of the task at `now`, which stands still while `live` is False: then nothing is foretold."""
    width = min(width, MOST_WIDTH)
    lines = [headline(state, now, width, live=live), *_bar_line(state, now, width)]
    label = min(MOST_LABEL, max((len(label_of(stage)) for stage in state.stages), default=0))
    lines += [_stage_line(state, stage, now, width, label) for stage in state.stages]
    if note := note_of(state):
        lines.append(_line(width, ("  ", ""), (note, STYLES.get(state.status, ""))))
    if state.status == "succeeded" and state.result is not None:
        lines.append(_line(width, ("  result ", "bright_black"), (as_json(state.result), "")))
    return lines


def headline(state: State, now: float, width: int, *, live: bool = True) -> Text:
    """Title, status, attempt, percent, time, and what is left of it."""
    phase = phase_of(state)
    parts = [_status(state, now), _attempt(state)]
    if phase != "succeeded":
        parts.append(_percent(state.progress))
    parts.append(_time(state, now))
    if live and phase == "running":
        left = format_left(state, now)
        parts.append(left if "usual" in left or not left else f"{left} left")
    if phase == "cancelling":
        parts.append(HINTS["cancellingHint"])
    first, *rest = [part for part in parts if part]
    more = "".join(f" · {part}" for part in rest)
    return _line(
        width, (title_of(state), "bold"), ("  ", ""), (first, STYLES.get(phase, "")), (more, "")
    )


def refusal(task: str, refused: Refused, width: int) -> Text:
    """A task of which nothing can be known."""
    word = HINTS["unknownShort"] if refused.status == 404 else "No access"
    return _line(
        width, (plain(task), "bold"), ("  ", ""), (word, "red"), (f" · {plain(refused)}", "")
    )


def row(state: State, now: float, width: int) -> Text:
    """The task in one line of a list: its id first, so that it is there to be copied."""
    phase = phase_of(state)
    done = 1.0 if phase == "succeeded" else state.progress
    running = next((label_of(stage) for stage in state.stages if stage.status == "running"), "")
    ago = format_clock(max(0.0, now - (state.updated_at or now)))
    wait = format_wait(state, now) if phase == state.status else ""
    word = wait if 0 < len(wait) <= STATUS_CELLS else _word(phase)
    return _line(
        width,
        (f"{plain(state.task):<36}  ", ""),
        (f"{word:<{STATUS_CELLS}} ", STYLES.get(phase, "")),
        (f"{_percent(done):>4}  ", ""),
        (_joined(title_of(state), running), ""),
        (f"  {ago} ago", "bright_black"),
    )


def title_of(state: State) -> str:
    return plain(state.title or state.name or state.task, 80)


def label_of(stage: Stage) -> str:
    return plain(stage.label or stage.key, MOST_LABEL)


def phase_of(state: State) -> str:
    """Its status, unless nobody knows whether that is still so, or somebody has asked for its end."""
    if state.finished_at is not None:
        return state.status
    return "stalled" if state.stalled else "cancelling" if state.cancelling else state.status


def note_of(state: State) -> str:
    """What there is to say of it besides numbers: why it failed, or its message."""
    if error := state.error:
        said = plain(error.message or error.type)
        stage = next((stage for stage in state.stages if stage.key == error.stage), None)
        return f"{label_of(stage)}: {said}" if stage else said
    if state.status in ("lost", "expired"):
        return HINTS[f"{state.status}Hint"]
    return plain(state.message or "")


def said_of(stage: Stage, time: str) -> str:
    """Its counts, its time and its message, of a stage whose status is said apart."""
    runs = f"run {stage.runs}" if stage.runs > 1 else ""
    return _joined(format_count(stage), time, plain(stage.message or ""), runs)


def _status(state: State, now: float) -> str:
    phase, wait = phase_of(state), format_wait(state, now)
    match phase:
        case "queued":
            return _joined(
                _word(phase), wait or HINTS["queuedHint" if state.confirmed else "unconfirmed"]
            )
        case "scheduled":
            return _joined(_word(phase), wait)
        case "retrying":
            return wait or _word(phase)
    return _word(phase)


def _word(phase: str) -> str:
    return HINTS["stalledShort"] if phase == "stalled" else STATUS[phase]


def _attempt(state: State) -> str:
    if state.attempt < 2:
        return ""
    stage = resumed_at(state)
    said = HINTS["resumed" if stage else "attempt"]
    return said.format(n=state.attempt, label=stage and label_of(stage))


def _time(state: State, now: float) -> str:
    if state.started_at is None:
        return ""
    if state.finished_at is not None:
        return format_duration(max(0.0, state.finished_at - state.started_at))
    return format_clock(max(0.0, now - state.started_at))


def _bar_line(state: State, now: float, width: int) -> list[Text]:
    phase = phase_of(state)
    phase = "running" if phase == "cancelling" else phase
    if state.progress is None and phase not in ("running", "stalled"):
        return []
    return [_line(width, *_bar(state.progress, max(10, width - 2), now, phase))]


def _stage_line(state: State, stage: Stage, now: float, width: int, label: int) -> Text:
    phase, seconds = phase_of(state), None
    status: str = stage.status
    if status == "running" and phase in ("lost", "stalled"):
        status = phase
    if status == "failed" and state.status == "cancelled":
        status = state.status
    if stage.started_at is not None:
        seconds = max(0.0, (stage.finished_at or state.finished_at or now) - stage.started_at)
    running = stage.finished_at is None and state.finished_at is None
    time = format_duration(seconds) if not running or seconds is None else format_clock(seconds)
    if status == "failed" and state.status == "retrying" and _failed_in(state, stage):
        status, time = "retrying", HINTS["attemptFailed"].format(n=state.attempt)
    if status == "waiting":
        usual = format_range(stage.expected)
        time = f"usually {usual}" if usual and running else ""
    if status == "skipped":
        time = STATUS["skipped"].lower()
    bar: list[tuple[str, str]] = []
    if stage.status == "running":
        done = (stage.current or 0) / stage.total if stage.total else None
        bar = [*_bar(done, STAGE_BAR, now, status), (" ", "")]
    mark = (f"  {MARKS.get(status, ' ')} ", STYLES.get(status, ""))
    name = (f"{_fit(label_of(stage), label)}  ", "bold" if stage.status == "running" else "")
    return _line(width, mark, name, *bar, (said_of(stage, time), ""))


def _failed_in(state: State, stage: Stage) -> bool:
    return state.error is not None and state.error.stage == stage.key


def _bar(done: float | None, cells: int, now: float, phase: str) -> list[tuple[str, str]]:
    """A bar; without a share one that claims nothing, and moves with the clock while the task runs."""
    style = STYLES.get(phase, "")
    if done is not None:
        full = int(cells * min(1.0, max(0.0, done)))
        return [(FULL * full, style), (REST * (cells - full), "bright_black")]
    if phase != "running":
        return [(REST * cells, "bright_black")]
    some = max(2, cells // 6)
    start = int(now * 8) % (cells - some + 1)
    rest = cells - some - start
    return [(REST * start, "bright_black"), (FULL * some, style), (REST * rest, "bright_black")]


def _percent(done: float | None) -> str:
    return "" if done is None else f"{math.floor(100 * min(1.0, max(0.0, done)))}%"


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _fit(text: str, cells: int) -> str:
    """Exactly so many cells, wide characters counted."""
    fitted = Text(text)
    fitted.truncate(cells, overflow="ellipsis", pad=True)
    return fitted.plain


def _line(width: int, *parts: tuple[str, str]) -> Text:
    line = Text.assemble(*parts, no_wrap=True, end="")
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    return line


def lines_of(blocks: Iterable[list[Text]]) -> list[Text]:
    """Blocks under one another, with a line between those that have more than one."""
    lines: list[Text] = []
    for each in blocks:
        if lines and len(each) > 1:
            lines.append(Text(""))
        lines += each
    return lines
