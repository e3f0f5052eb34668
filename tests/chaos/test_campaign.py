"""Every fault once, with a seed that stays: tasks write, viewers of four kinds watch, a checker judges."""

import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.chaos import __main__ as command
from tests.chaos.campaign import ROWS, SMALL, Result, campaign, once
from tests.chaos.row import Row
from tests.conftest import require
from tests.processes import ROOT, wait_until

SEED = "7"
LANES = 3


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Played together, or it would take three times as long."""
    played = campaign(once(ROWS, SEED), SMALL, lane_count=LANES, node=require("node"))
    return {result.row: result for result in played}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_promise_is_kept_whatever_fails(row: Row, results: dict[str, Result]) -> None:
    result = results[row.name]
    assert not result.wrong, "\n".join(result.wrong)
    assert result.faults
    assert result.recoveries
    assert result.deliveries > 10


def test_what_redis_loses_comes_back_from_its_producer_or_is_announced(
    results: dict[str, Result],
) -> None:
    for row in ("failover", "sentinel", "killed-rdb", "killed-aof-everysec"):
        assert results[row].forgotten > 0
        assert results[row].gaps == 0
    for row in ("failover-without-producer", "failover-of-everything", "killed-empty-after-much"):
        assert results[row].forgotten > 0
        assert results[row].gaps > 0


def test_viewers_who_were_away_for_too_long_are_told_so(results: dict[str, Result]) -> None:
    assert results["trimmed"].gaps > 0


def result(row: str, *, wrong: list[str]) -> Result:
    return Result(row, "7-3", ["cut"], 10, 2, 0, 1, [0.5, 1.5], [], [], 2.0, wrong)


@pytest.mark.parametrize("wrong", [[], ["an event is missing"]])
def test_a_broken_promise_ends_it_with_1_and_says_how_to_play_it_again(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fine, other = result("torn", wrong=[]), result("herd", wrong=wrong)
    played = (each for each in [fine, other])
    monkeypatch.setattr(command, "campaign", lambda *_, **__: played)
    assert command.main(["--seed", "7"]) == bool(wrong)
    said = capsys.readouterr().out
    assert ("python -m tests.chaos herd --seed 7-3" in said) == bool(wrong)
    assert ("an event is missing" in said) == bool(wrong)
    assert "python -m tests.chaos torn" not in said


def test_a_row_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["fail", "flod"])
    assert "no row is called 'flod'; --list names them all" in capsys.readouterr().err


def test_every_row_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len({row.name for row in ROWS}) == len(ROWS)
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


def family(pid: int) -> list[int]:
    """Its descendants, whichever of its threads has started them."""
    found = (path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [each for word in chain(*found) for each in (int(word), *family(int(word)))]


def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos", "twins", "--seed", SEED],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: len(family(process.pid)) >= 8, 60, "a whole site")
        started = family(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), 10)
        assert "Stopped." in log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
