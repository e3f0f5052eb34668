"""How long, how many: the words of static/words.js and of the element, for terminals. Pure."""

import math
import time
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from headway.events import Stage, State

UNITS = ("s", "min", "h", "d")
SIZES = (1, 60, 3600, 86_400)  # seconds
SOON = 90  # seconds that are counted down; what is due later has a time of day
FAR_ENOUGH, LONG_ENOUGH = 0.05, 3.0  # a share and seconds: less is no pace to reckon by
STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 40, 50)  # of seconds: an estimate must not look exact

DASH = "\N{EN DASH}"
FEW = "a few seconds"
OVER = "taking longer than usual"

#: A status of a task or a stage, as it is shown.
STATUS = {
    "queued": "Queued",
    "scheduled": "Scheduled",
    "running": "Running",
    "retrying": "Waiting to retry",
    "cancelling": "Cancelling…",
    "succeeded": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "lost": "Lost",
    "expired": "Expired",
    "waiting": "Waiting",
    "done": "Done",
    "skipped": "Skipped",
}

#: What more there is to say of a status.
HINTS = {
    "queuedHint": "Waiting for a worker",
    "next": "Next in line",
    "ahead": "{n} ahead in line",
    "unconfirmed": "Sent, but not heard of yet",
    "scheduledAt": "Starts at {time}",
    "scheduledIn": "Starts in {time}",
    "scheduledNow": "Due now",
    "retryingAt": "Retrying at {time}",
    "retryingIn": "Retrying in {time}",
    "retryingNow": "Retry due now",
    "lostHint": "The worker stopped without a word. Nobody knows how far it got.",
    "expiredHint": "It was not begun in time.",
    "cancellingHint": "goes on until its worker stops it",
    "attempt": "attempt {n}",
    "resumed": "attempt {n}, resumed at {label}",
    "attemptFailed": "attempt {n} failed",
    "stalledShort": "Stalled",
    "unknownShort": "Not found",
}


def format_duration(seconds: float | None) -> str:
    """ "< 0.1 s", "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"; "" for what is unknown."""
    if seconds is None or not _known(seconds):
        return ""
    if seconds < 0.05:
        return f"< 0.1 {UNITS[0]}"
    if seconds < 9.95:
        return f"{_rounded_to(seconds, 1)} {UNITS[0]}"
    whole = _rounded(seconds)
    at = _size_of(whole)
    first = f"{whole // SIZES[at]} {UNITS[at]}"
    if not at:
        return first
    rest = whole % SIZES[at] // SIZES[at - 1]
    return f"{first} {rest:0{2 if at < 3 else 1}} {UNITS[at - 1]}"


def format_clock(seconds: float) -> str:
    """A duration that is still growing: in whole seconds."""
    return f"{int(seconds)} {UNITS[0]}" if seconds < 10 else format_duration(seconds)


def format_eta(seconds: float | None) -> str:
    """ "a few seconds", "about 20 s", "about 3 min"; "" when nobody can say."""
    if seconds is None or not _known(seconds):
        return ""
    return FEW if seconds < 5 else "about {} {}".format(*_roughly(seconds))


def format_range(expected: Sequence[float] | None) -> str:
    """What it usually takes: "about 20 s", or from and to with a dash between."""
    if expected is None or not all(map(_known, expected)):
        return ""
    (low, low_unit), (high, unit) = map(_roughly, expected)
    if low_unit != unit:
        return f"{low} {low_unit} {DASH} {high} {unit}"
    return f"about {high} {unit}" if low == high else f"{low}{DASH}{high} {unit}"


def format_left(state: State, now: float | None = None) -> str:
    """The time a task has left at `now`, by the server's clock: "" when nobody can say, OVER when a running stage
    has taken longer than it usually does.
    """
    if state.status != "running":
        return ""
    now = time.time() if now is None else now
    if any(_late(stage, now) for stage in state.stages):
        return OVER
    return format_eta(seconds_left(state, now))


def seconds_left(state: State, now: float) -> float | None:
    """What the server says, else, once there is enough to go by, at the pace so far; None when nobody can say."""
    at = now if state.updated_at is None else state.updated_at
    spent = at - (at if state.started_at is None else state.started_at)
    left, done = state.remaining, state.progress or 0.0
    if left is None and done >= FAR_ENOUGH and spent >= LONG_ENOUGH:
        left = spent / done - spent
    return None if left is None else max(0.0, left - (now - at))


def format_wait(state: State, now: float) -> str:
    """Its turn or its time, while it waits for that and it is known: "2 ahead in line", "Starts in 12 s"."""
    if state.status == "queued" and state.position:
        ahead = state.position - 1
        return HINTS["ahead"].format(n=ahead) if ahead else HINTS["next"]
    if state.status not in ("scheduled", "retrying") or state.due_at is None:
        return ""
    seconds = math.ceil(state.due_at - now)
    if seconds <= 0:
        return HINTS[f"{state.status}Now"]
    if seconds <= SOON:
        return HINTS[f"{state.status}In"].format(time=format_clock(seconds))
    due, today = time.localtime(state.due_at), time.localtime(now)
    day = "" if due[:3] == today[:3] else f"{due.tm_mday} {time.strftime('%b', due)}, "
    return HINTS[f"{state.status}At"].format(time=day + time.strftime("%H:%M", due))


def resumed_at(state: State) -> Stage | None:
    """The stage at which an attempt after the first went on, when those before it in the plan were left out.

    Of a graph, one that waits for none of the others is where it begins.
    """
    begun = [stage.status not in ("waiting", "skipped") for stage in state.stages]
    if state.attempt < 2 or True not in begun[1:] or begun[0]:
        return None
    stage = state.stages[begun.index(True)]
    graph = any(each.needs for each in state.stages)
    return None if graph and not stage.needs else stage


def format_count(stage: Stage) -> str:
    """ "211 of 340 chunks", "1,204 records", "" where nothing is counted."""
    whole = stage.current if stage.total is None else stage.total
    if whole is None:
        return ""
    places = 1 if abs(whole) < 20 else 0
    said, all = (_number(number, places) for number in (stage.current or 0, whole))
    counted = said if stage.total is None else f"{said} of {all}"
    if not stage.unit:
        return counted
    return f"{counted} {stage.unit if all == '1' else f'{stage.unit}s'}"


def _late(stage: Stage, now: float) -> bool:
    if stage.status != "running" or not stage.expected or stage.started_at is None:
        return False
    return now - stage.started_at > stage.expected[1]


def _known(seconds: float) -> bool:
    return 0 <= seconds < math.inf


def _rounded(number: float) -> int:
    return math.floor(number + 0.5)


def _size_of(seconds: float) -> int:
    return max(at for at, size in enumerate(SIZES) if size == 1 or seconds >= size)


def _roughly(seconds: float) -> tuple[int, str]:
    """A number and its unit, coarsely."""
    if seconds < 55:
        return next((step for step in STEPS if seconds <= step * 1.1), 50), UNITS[0]
    at = max(1, _size_of(seconds * 1.02))
    return max(1, _rounded(seconds / SIZES[at])), UNITS[at]


def _number(number: float, places: int) -> str:
    if number == int(number):  # however large
        return f"{int(number):,}"
    return f"{_rounded_to(number, places):,}".removesuffix(".0")


def _rounded_to(number: float, places: int) -> Decimal:
    """As browsers do it: halves go up."""
    return Decimal(number).quantize(Decimal(10) ** -places, ROUND_HALF_UP)
