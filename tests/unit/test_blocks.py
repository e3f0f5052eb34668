"""How a task looks in a terminal, line by line."""

import time
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from headway.blocks import block, headline, row
from headway.events import Error, Stage, State
from headway.screen import GRACE, Lines, Listing, Watching, picture, transitions
from headway.viewer import LinkState, Refused
from tests.processes import ROOT
from tests.unit.test_plain import HOSTILE, is_harmless

NOW = 1_795_271_940.0

STAGES = (
    Stage(key="read", status="done", current=12, total=12, unit="page", started_at=NOW - 66,
          finished_at=NOW - 64.8, runs=1),
    Stage(key="chunk", status="running", current=211, total=340, unit="chunk",
          message="page 7", started_at=NOW - 64.8, runs=1),
    Stage(key="enrich", label="ask the model", expected=(20, 40)),
    Stage(key="score", status="skipped"),
)  # fmt: skip
RUNNING = State(
    task="1e86b1f0", name="jobs.process", title="report.pdf", status="running", confirmed=True,
    attempt=2, progress=0.42, remaining=90.0, stages=STAGES, started_at=NOW - 66, updated_at=NOW,
)  # fmt: skip


def look(state: State, now: float = NOW, width: int = 80, **more: Any) -> list[str]:
    return [line.plain for line in block(state, now, width, **more)]


def with_(**changes: Any) -> State:
    return State(
        **{**{name: getattr(RUNNING, name) for name in State.__struct_fields__}, **changes}
    )


class Watched(Watching):
    """What is watched, made by hand."""

    def __init__(self, *states: State, link: LinkState | None = None) -> None:
        self._states = {state.task: state for state in states}
        self._link = link or LinkState(status="open")
        self._refused: dict[str, Refused] = {}

    states = property(lambda self: self._states)  # type: ignore[assignment]
    link = property(lambda self: self._link)  # type: ignore[assignment]
    refused = property(lambda self: self._refused)  # type: ignore[assignment]


def test_a_running_task_as_the_handbook_shows_it() -> None:
    assert look(RUNNING) == [
        "report.pdf  Running · attempt 2 · 42% · 1 min 06 s · about 2 min left",
        "━" * 32 + "─" * 46,
        "  ✓ read           12 of 12 pages · 1.2 s",
        "  ▸ chunk          ━━━━━━━━━━━━──────── 211 of 340 chunks · 1 min 05 s · page 7",
        "  · ask the model  usually 20\N{EN DASH}40 s",
        "  \N{EN DASH} score          skipped",
    ]
    handbook = (ROOT / "docs/terminal.md").read_text("utf-8")
    assert "\n".join(look(RUNNING)) in handbook


def test_what_is_known_no_more_is_not_foretold() -> None:
    assert look(RUNNING, live=False)[0] == "report.pdf  Running · attempt 2 · 42% · 1 min 06 s"


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"status": "queued", "attempt": 0, "progress": None, "started_at": None},
         "report.pdf  Queued · Waiting for a worker"),
        ({"status": "queued", "confirmed": False, "attempt": 0, "progress": None, "started_at": None},
         "report.pdf  Queued · Sent, but not heard of yet"),
        ({"status": "scheduled", "due_at": NOW + 12, "attempt": 0, "progress": None,
          "started_at": None}, "report.pdf  Scheduled · Starts in 12 s"),
        ({"status": "queued", "position": 3, "attempt": 0, "progress": None, "started_at": None},
         "report.pdf  Queued · 2 ahead in line"),
        ({"status": "retrying", "due_at": NOW + 5, "attempt": 1, "progress": None},
         "report.pdf  Retrying in 5 s · 1 min 06 s"),
        ({"status": "retrying", "due_at": NOW - 1, "attempt": 1, "progress": None},
         "report.pdf  Retry due now · 1 min 06 s"),
        ({"cancelling": True, "attempt": 1},
         "report.pdf  Cancelling… · 42% · 1 min 06 s · goes on until its worker stops it"),
        ({"cancelling": True, "status": "cancelled", "finished_at": NOW, "attempt": 1},
         "report.pdf  Cancelled · 42% · 1 min 06 s"),
        ({"cancelling": True, "stalled": True, "attempt": 1},
         "report.pdf  Stalled · 42% · 1 min 06 s"),
        ({"attempt": 3, "remaining": None, "progress": None, "stages": STAGES[2:3] + STAGES[1:]},
         "report.pdf  Running · attempt 3, resumed at chunk · 1 min 06 s"),
        ({"status": "succeeded", "finished_at": NOW, "attempt": 1, "progress": 1.0},
         "report.pdf  Done · 1 min 06 s"),
        ({"status": "cancelled", "finished_at": NOW, "attempt": 1},
         "report.pdf  Cancelled · 42% · 1 min 06 s"),
        ({"stalled": True, "attempt": 1}, "report.pdf  Stalled · 42% · 1 min 06 s"),
        ({"title": None, "attempt": 1, "remaining": None, "progress": None},
         "jobs.process  Running · 1 min 06 s"),
        ({"title": None, "name": None, "attempt": 1, "remaining": None, "progress": None},
         "1e86b1f0  Running · 1 min 06 s"),
    ],
)  # fmt: skip
def test_every_status_has_its_words(changes: dict[str, Any], first: str) -> None:
    assert headline(with_(**changes), NOW, 80).plain == first


def test_what_waits_is_said_as_the_handbook_shows_it() -> None:
    now = time.mktime((*time.localtime(NOW)[:3], 12, 0, 0, 0, 0, -1))
    new = State(task="t", title="report.pdf", confirmed=True)
    going = with_(attempt=1, remaining=None, started_at=now - 66)
    states = [
        replace(new, position=3),
        replace(new, status="scheduled", due_at=now + 5.5 * 3600),
        replace(going, status="retrying", due_at=now + 8),
        replace(going, cancelling=True),
        replace(going, attempt=2, stages=(Stage(key="read", status="skipped"), *STAGES[1:])),
    ]
    lines = [headline(state, now, 80, live=False).plain for state in states]
    assert "\n".join(lines) in (ROOT / "docs/terminal.md").read_text("utf-8")


def test_a_failure_says_where_and_why() -> None:
    error = Error(type="Failure", message="the disk is full", stage="chunk")
    assert look(with_(status="failed", error=error))[-1] == "  chunk: the disk is full"
    untold = Error(type="ValueError")
    assert look(with_(status="failed", error=untold))[-1] == "  ValueError"


def test_an_attempt_that_failed_shows_at_its_stage() -> None:
    failed = Stage(key="chunk", status="failed", started_at=NOW - 9, finished_at=NOW - 1, runs=1)
    error = Error(type="Failure", message="not yet", stage="chunk")
    lines = look(with_(status="retrying", attempt=1, stages=(failed,), error=error))
    assert "  ↻ chunk  attempt 1 failed" in lines
    assert lines[-1] == "  chunk: not yet"


def test_a_bar_without_a_share_moves_with_the_clock_and_stands_with_it() -> None:
    task = with_(progress=None)
    assert look(task)[1] == look(task)[1]
    assert look(task)[1] != look(task, NOW + 1)[1]


def test_a_result_is_shown() -> None:
    done = with_(status="succeeded", result={"pages": 3}, finished_at=NOW)
    assert look(done)[-1] == '  result {"pages":3}'


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_others_acts_on_the_terminal(text: str) -> None:
    stage = Stage(key=text, label=text, status="running", unit=text, message=text)
    error = Error(type=text, message=text, stage=text)
    state = with_(title=text, name=text, message=text, stages=(stage,), error=error, result=text)
    console = Console(force_terminal=True, width=76, color_system=None, file=None)
    for one in (state, with_(status="succeeded", result=[text], title=text)):
        for line in [*block(one, NOW, 76), row(one, NOW, 200)]:
            assert is_harmless(line.plain)
            with console.capture() as shown:
                console.print(line)
            assert "\x1b[31m" not in shown.get()
            assert "http" not in str(line.spans)
    told = [
        *transitions(State(task="t"), state),
        *transitions(state, with_(status="failed", error=error)),
    ]
    assert told
    assert all(map(is_harmless, told))


def test_a_block_is_as_wide_as_the_terminal_at_most() -> None:
    wide = with_(title="進捗" * 60, message="é" * 300)
    for width in (10, 20, 40, 76):
        assert all(line.cell_len <= width for line in block(wide, NOW, width)), width


def test_with_too_little_room_there_is_less_of_each() -> None:
    states = [with_(task=f"t{n}", title=f"report {n}") for n in range(5)]
    assert len(picture(Watched(*states), 76, 50)) == 5 * 6 + 4
    short = picture(Watched(*states), 76, 20)
    assert [line.plain.split("  ")[0] for line in short] == [f"report {n}" for n in range(5)]
    shorter = picture(Watched(*states), 76, 3)
    assert shorter[-1].plain == "… and 3 more"
    assert len(shorter) == 3


def test_while_disconnected_it_says_so_and_since_when_and_the_clocks_stand_still() -> None:
    lost = time.time() - 60
    state = with_(updated_at=lost, started_at=lost - 5, stages=(), remaining=3.0)
    for server_live, what in ((True, "Live updates interrupted"), (False, "Redis does not answer")):
        link = LinkState(status="reconnecting", server_live=server_live, lost_at=lost)
        first, *_, notice = [line.plain for line in picture(Watched(state, link=link), 80, 40)]
        since = time.strftime("%H:%M:%S", time.localtime(lost))
        assert notice.startswith(f"{what} — reconnecting since {since} (1 min 0")
        assert len(notice) <= 80
        assert first.endswith(" · 5 s")  # and no word of what is left


def test_a_short_interruption_bothers_nobody() -> None:
    link = LinkState(status="reconnecting", lost_at=time.time() - GRACE / 2)
    lines = picture(Watched(with_(stages=()), link=link), 80, 40)
    assert not any("interrupted" in line.plain for line in lines)


def test_a_server_whose_clock_is_another_is_believed() -> None:
    offset = 3600.0
    state = with_(started_at=time.time() + offset - 5, updated_at=None, remaining=None, stages=())
    link = LinkState(status="open", clock_offset=offset)
    assert "· 5 s" in picture(Watched(state, link=link), 80, 40)[0].plain


def test_a_task_that_is_refused_has_a_line() -> None:
    watched = Watched(with_(), State(task="nope"))
    watched.refused["nope"] = Refused(404, "There is no such task.", ("nope",))
    assert picture(watched, 80, 40)[-1].plain == "nope  Not found · There is no such task."


def test_a_list_has_those_that_go_on_first_and_whole_ids() -> None:
    states = {
        "old": with_(task="old", status="succeeded", updated_at=NOW),
        "a" * 36: with_(task="a" * 36, updated_at=NOW - 9),
        "new": with_(task="new", updated_at=NOW - 1),
    }
    lines = [line.plain for line in Listing(lambda: states, lambda: True).lines(120, 40)]
    assert [line.split()[0] for line in lines] == ["new", "a" * 36, "old"]
    assert "Running            42%  report.pdf · chunk" in lines[0]
    assert Listing(lambda: states, lambda: True).lines(120, 2)[-1].plain == "… and 2 more"
    assert Listing(dict, lambda: True).lines(120, 2)[0].plain == "No task has a journal."


def test_a_list_says_what_each_waits_for_in_its_column() -> None:
    waits = [
        ({"status": "queued", "position": 13}, "12 ahead in line "),
        ({"status": "queued"}, "Queued "),
        ({"status": "scheduled", "due_at": NOW + 5}, "Starts in 5 s "),
        ({"status": "scheduled", "due_at": NOW + 86_400}, "Scheduled "),
        ({"status": "retrying", "due_at": NOW + 5}, "Retrying in 5 s "),
        ({"cancelling": True}, "Cancelling… "),
    ]
    for changes, said in waits:
        line = row(with_(progress=None, **changes), NOW, 120).plain
        assert line[38:].startswith(said)
        assert line.index("report.pdf") == 62


def test_transitions_are_told_once_and_ticks_not_at_all() -> None:
    first = list(transitions(State(task="t"), RUNNING))
    assert first == [
        "Running, attempt 2",
        "read: Done · 12 of 12 pages · 1.2 s",
        "chunk: Running · 211 of 340 chunks · page 7",
        "score: Skipped",
    ]
    assert list(transitions(RUNNING, with_(progress=0.5, message="a tick"))) == []
    assert list(transitions(RUNNING, with_(status="succeeded", result=3))) == ["Done 3"]
    late = with_(status="succeeded", stages=())
    assert list(transitions(State(task="t"), late)) == ["Done"]
    assert list(transitions(RUNNING, with_(stalled=True))) == [
        "Stalled: no sign of life from the worker"
    ]
    error = Error(type="Failure", message="not yet")
    assert list(transitions(RUNNING, with_(status="retrying", error=error))) == [
        "Waiting to retry, attempt 2: not yet"
    ]
    soon = with_(status="retrying", error=error, due_at=NOW + 8)
    assert list(transitions(RUNNING, soon)) == ["Retrying in 8 s, attempt 2: not yet"]


def test_what_a_task_waits_for_is_told_once_not_as_it_changes() -> None:
    nothing = State(task="t")
    third = State(task="t", confirmed=True, position=3)
    assert list(transitions(nothing, third)) == ["Queued · 2 ahead in line"]
    second, first = replace(third, position=2), replace(third, position=1)
    assert list(transitions(third, second)) == []
    assert list(transitions(second, first)) == ["Next in line"]
    assert list(transitions(first, first)) == []
    asked = replace(first, cancelling=True)
    assert list(transitions(first, asked)) == ["Cancelling…"]
    assert list(transitions(asked, replace(asked, position=None))) == []
    scheduled = State(task="t", status="scheduled", updated_at=NOW, due_at=NOW + 9)
    assert list(transitions(nothing, scheduled)) == ["Scheduled · Starts in 9 s"]


def test_lines_say_when_updates_are_interrupted_and_when_they_are_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines, now = Lines(), time.time()
    away = LinkState(status="reconnecting", server_live=False, lost_at=now)
    told = [
        (LinkState(status="connecting", lost_at=now - 9), ""),  # nothing was there to be lost
        (LinkState(status="open"), ""),
        (LinkState(status="reconnecting", lost_at=now), ""),  # as after every five quiet minutes
        (LinkState(status="reconnecting", lost_at=now - GRACE), "Live updates interrupted"),
        (LinkState(status="reconnecting", lost_at=now - 2 * GRACE), ""),
        (LinkState(status="open"), "Live updates are back."),
        (LinkState(status="open", server_live=False, lost_at=now), "Redis does not answer"),
        (away, ""),
        (LinkState(status="open"), "Live updates are back."),
        (LinkState(status="closed"), ""),
    ]
    for link, said in told:
        lines.linked(link)
        line = capsys.readouterr().out
        assert bool(line) is bool(said)
        assert said in line
