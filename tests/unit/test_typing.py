"""To type checkers a mark is not there: they reveal the same with and without it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "typing" / "signatures.py"
SECONDS = 300  # the first run reads all of Celery


class Findings(NamedTuple):
    """What a checker says of the file, by line."""

    revealed: dict[int, str]
    errors: set[int]


def run(*command: str | Path) -> str:
    """What it prints; skipped where it cannot run (pyright fetches a Node of its own), but not in CI."""
    done = subprocess.run(
        [sys.executable, "-m", *command, FILE],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode not in (0, 1):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{command[0]} does not run here: {done.stderr[-500:]}")
    return done.stdout


@cache
def by_mypy() -> Findings:
    said = re.findall(r":(\d+): (note|error): (.*)", run("mypy", "--strict"))
    notes = {int(line): text for line, kind, text in said if kind == "note" and "Reveal" in text}
    return Findings(
        {line: text.split('"')[1] for line, text in notes.items()},
        {int(line) for line, kind, _ in said if kind == "error"},
    )


@cache
def by_pyright() -> Findings:
    said = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable))
    found = [
        (one["range"]["start"]["line"] + 1, one["severity"], one["message"])
        for one in said["generalDiagnostics"]
    ]
    return Findings(
        {
            line: text.rsplit(' is "')[-1][:-1]
            for line, kind, text in found
            if kind == "information"
        },
        {line for line, kind, _ in found if kind == "error"},
    )


def marked(pattern: str) -> dict[int, str]:
    """The lines that end in such a comment, with what it says."""
    lines = enumerate(FILE.read_text("utf-8").splitlines(), start=1)
    found = {line: re.search(pattern, text) for line, text in lines}
    return {line: match[1] for line, match in found.items() if match}


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_a_mark_changes_no_type_and_loops_and_handles_keep_theirs(
    check: Callable[[], Findings],
) -> None:
    revealed, errors = check()
    same, exact = marked(r"  # = ([\w ]+)$"), marked(r"  # is (\w+)$")
    assert revealed.keys() == same.keys() | exact.keys()
    types_by_name = {
        name: {revealed[line] for line, other in same.items() if other == name}
        for name in same.values()
    }
    assert {name: len(types) for name, types in types_by_name.items()} == dict.fromkeys(
        types_by_name, 1
    ), types_by_name
    assert {line: revealed[line].split(".")[-1] for line in exact} == exact
    assert errors == marked(r"  # (wrong)$").keys()


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_what_is_the_same_is_not_the_same_for_want_of_any_type(
    check: Callable[[], Findings],
) -> None:
    revealed = check().revealed
    for line, name in marked(r"  # = (function|shared|run)$").items():
        assert "path: str" in revealed[line], name
        assert "int" in revealed[line], name
