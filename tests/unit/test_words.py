"""The terminal's words are the browser's: the same values, said by both."""

import json
import random
import re
import subprocess
import time
from itertools import pairwise
from typing import Any

import pytest
from msgspec import to_builtins

from headway.events import Stage, State
from headway.words import (
    DASH,
    HINTS,
    OVER,
    STATUS,
    format_clock,
    format_count,
    format_duration,
    format_eta,
    format_left,
    format_range,
    format_wait,
    resumed_at,
)
from tests.conftest import require
from tests.processes import ROOT

WORDS_JS = (ROOT / "headway/static/words.js").as_uri()
ELEMENT_JS = (ROOT / "headway/static/element.js").read_text("utf-8")
NOW = 1_795_000_000.0


def said_by_javascript(function: str, values: list[Any], *more: Any) -> list[Any]:
    program = f"""
      import {{ {function} as say }} from {json.dumps(WORDS_JS)};
      let text = ""; for await (const piece of process.stdin) text += piece;
      const [values, more] = JSON.parse(text);
      console.log(JSON.stringify(values.map((value) => say(value, ...more))));
    """
    done = subprocess.run(
        [require("node"), "--input-type=module", "-e", program],
        input=json.dumps([values, more]),
        check=True,
        capture_output=True,
        text=True,
        env={"LANG": "en_US.UTF-8", "LC_ALL": "en_US.UTF-8"},
    )
    return list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def seconds() -> list[float]:
    chance = random.Random(7)
    edges = [0, 0.25, 4.9, 5, 9.94, 9.95, 54, 55, 57, 59.5, 59.6, 100, 3570, 3599.6, 86_400]
    return edges + [10 ** chance.uniform(-2, 6.5) for _ in range(500)]


def test_durations(seconds: list[float]) -> None:
    assert [format_duration(each) for each in seconds] == said_by_javascript(
        "formatDuration", seconds
    )
    assert format_duration(185) == "3 min 05 s"
    assert [format_duration(each) for each in (None, -1, float("nan"), float("inf"))] == [""] * 4


def test_what_is_left_not_more_exactly_than_anybody_knows(seconds: list[float]) -> None:
    assert [format_eta(each) for each in seconds] == said_by_javascript("formatEta", seconds)
    assert [format_eta(each) for each in (None, -1, float("nan"), float("inf"))] == [""] * 4


def test_what_it_usually_takes(seconds: list[float]) -> None:
    ranges = [sorted(pair) for pair in pairwise(seconds)]
    ranges += [[each, each * 1.8] for each in seconds]
    assert [format_range(each) for each in ranges] == said_by_javascript("formatEta", ranges)
    assert format_range((20, 40)) == f"20{DASH}40 s"
    assert format_range((-1, 5)) == format_range(None) == ""


def test_what_is_left_of_a_task() -> None:
    stage = Stage(key="read", status="running", started_at=NOW - 30, expected=(10, 40))
    states = [
        State(task="t", status=status, remaining=remaining, updated_at=NOW - ago, stages=stages)
        for status in ("running", "queued", "succeeded")
        for remaining in (None, 5.0, 600.0)
        for ago in (0, 3, 100)
        for stages in ((), (stage,))
    ]
    for now in (NOW, NOW + 11):
        assert [format_left(state, now) for state in states] == said_by_javascript(
            "formatEta", [to_builtins(state) for state in states], now
        )
    assert format_left(states[1], NOW + 11) == OVER


def test_counts() -> None:
    stages = [
        Stage(key="s", current=current, total=total, unit=unit)
        for current in (None, 0, 1, 3, 211, 1204, 0.5, 3.04, 1234.5678, 1e20)
        for total in (None, 1, 12, 1_000_000, 2.5)
        for unit in (None, "page")
    ]
    assert [format_count(stage) for stage in stages] == said_by_javascript(
        "formatCount", [to_builtins(stage) for stage in stages]
    )


def test_where_a_later_attempt_went_on() -> None:
    chance = random.Random(7)
    states = []
    for _ in range(300):
        keys = "abcd"[: chance.randint(0, 4)]
        graph = chance.random() < 0.3
        stages = tuple(
            Stage(
                key=key,
                status=chance.choice(
                    ["waiting", "skipped", "waiting", "skipped", "running", "done"]
                ),
                needs=(keys[0],) if graph and at and chance.random() < 0.5 else (),
            )
            for at, key in enumerate(keys)
        )
        states.append(State(task="t", attempt=chance.choice([0, 1, 2, 2, 3]), stages=stages))
    found = [resumed_at(state) for state in states]
    assert len({stage and stage.key for stage in found}) == 4  # b, c, d and nowhere
    said = said_by_javascript("resumedAt", [to_builtins(state) for state in states])
    assert [stage and stage.key for stage in found] == [stage and stage["key"] for stage in said]


def test_what_a_task_waits_for() -> None:
    tomorrow, later = time.localtime(NOW + 86_400), time.localtime(NOW + 91)
    for waits, said in [
        ({"status": "queued", "position": 1}, "Next in line"),
        ({"status": "queued", "position": 3}, "2 ahead in line"),
        ({"status": "queued"}, ""),
        ({"status": "running", "position": 3, "due_at": NOW + 9}, ""),
        ({"status": "scheduled"}, ""),
        ({"status": "scheduled", "due_at": NOW + 11.2}, "Starts in 12 s"),
        ({"status": "scheduled", "due_at": NOW + 90}, "Starts in 1 min 30 s"),
        ({"status": "scheduled", "due_at": NOW + 91}, time.strftime("Starts at %H:%M", later)),
        ({"status": "scheduled", "due_at": NOW + 86_400},
         f"Starts at {tomorrow.tm_mday} {time.strftime('%b, %H:%M', tomorrow)}"),
        ({"status": "scheduled", "due_at": NOW}, "Due now"),
        ({"status": "retrying", "due_at": NOW + 8}, "Retrying in 8 s"),
        ({"status": "retrying", "due_at": NOW - 8}, "Retry due now"),
    ]:  # fmt: skip
        assert format_wait(State(task="t", **waits), NOW) == said


def test_a_clock_that_runs_is_in_whole_seconds() -> None:
    assert [format_clock(each) for each in (0.9, 9.99, 12.4, 185)] == [
        "0 s",
        "9 s",
        "12 s",
        "3 min 05 s",
    ]


@pytest.mark.parametrize("words", [STATUS, HINTS])
def test_a_status_has_the_name_the_element_gives_it(words: dict[str, str]) -> None:
    for name, said in words.items():
        assert re.search(rf'^  {name}: "{re.escape(said)}"', ELEMENT_JS, re.MULTILINE), name
