"""`headway` on a screen, through everything that happens to it: what a person sees at each moment."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.played import Played
from tests.processes import RedisServer, Web, Worker
from tests.reporting import publishing
from tests.tmux import Terminal

HEADWAY = str(Path(sys.executable).with_name("headway"))


@pytest.fixture(scope="module")
def journal() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture(scope="module")
def web(journal: RedisServer) -> Iterator[Web]:
    with Web(journal.url, app="tests.acceptance.watched:app") as web:
        yield web


@pytest.fixture(autouse=True)
def publisher(journal: RedisServer) -> Iterator[None]:
    with publishing(journal.url):
        yield


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as terminal:
        yield terminal


def headline(screen: str, title: str = "report.pdf") -> str:
    return next(line for line in screen.splitlines() if line.startswith(f"{title}  "))


def assert_clock_stands(terminal: Terminal, notice: str) -> None:
    """The task's lines stay as they are, while the notice counts."""
    before = terminal.shows(notice)
    after = terminal.shows(lambda screen: notice in screen and counted(screen) > counted(before))
    assert headline(after) == headline(before)
    assert "left" not in headline(after)


def counted(screen: str) -> int:
    """For how many seconds it says it has been cut off."""
    found = re.search(r"reconnecting since \d\d:\d\d:\d\d \((\d+) s\)", screen)
    return int(found[1]) if found else -1


def test_it_is_right_and_honest_through_a_retry_a_web_restart_and_a_redis_restart(
    journal: RedisServer, web: Web, terminal: Terminal
) -> None:
    task = Played()
    terminal.type(HEADWAY, "watch", task.id, "--url", web.url)
    terminal.shows("report.pdf  Running")
    task.read(3)
    terminal.shows("3 of 12 pages")
    task.emit("token", {"text": "of"})
    screen = terminal.shows("token")
    assert screen.index('report.pdf: token {"text":"of"}') < screen.index("report.pdf  Running")

    task.retry(600, "not yet")
    screen = terminal.shows("Retrying at ")
    assert "↻ read   3 of 12 pages · attempt 1 failed" in screen
    assert "read: not yet" in screen
    task.begin_again()
    assert "Running · attempt 2" in headline(terminal.shows("attempt 2 "))

    task.read(4)
    terminal.shows("4 of 12 pages")
    web.kill()
    assert_clock_stands(terminal, "Live updates interrupted — reconnecting since")
    task.read(7)
    web.start()
    assert "reconnecting" not in terminal.shows("7 of 12 pages")

    journal.kill()
    assert_clock_stands(terminal, "Redis does not answer — reconnecting since")
    task.read(9)
    journal.start()
    terminal.shows(lambda screen: "9 of 12 pages" in screen and "reconnecting" not in screen)

    task.end({"pages": 12})
    screen = terminal.shows("[code 0]")
    assert re.match(r"report.pdf  Done · attempt 2 · ", headline(screen))
    assert "✓ read   9 of 12 pages" in screen
    assert '  result {"pages":12}' in screen
    assert screen.count("report.pdf  ") == 1  # one block, drawn over
    assert terminal.cursor_is_visible()


def test_a_real_task_is_seen_from_its_sending_through_its_retry_to_its_end(
    journal: RedisServer, web: Web, terminal: Terminal
) -> None:
    sent = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.terminal_jobs", "2"],
        env=os.environ | {"CELERY_BROKER_URL": journal.url},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    terminal.type(HEADWAY, "watch", sent, "--url", web.url)
    terminal.shows("real.pdf  Queued · Next in line")
    with Worker("threads", journal.url, app="tests.acceptance.terminal_jobs"):
        screen = terminal.shows("attempt 1 failed")
        assert re.match(r"real.pdf  Retry(ing in \d s| due now) · ", headline(screen, "real.pdf"))
        assert "read: page 3 is torn" in screen
        screen = terminal.shows("[code 0]")
    assert headline(screen, "real.pdf").startswith("real.pdf  Done · attempt 2 · ")
    assert 'real.pdf: token {"text":"almost"}' in screen
    assert '  result {"pages":3}' in screen


def test_straight_from_redis_it_says_when_redis_is_gone(
    journal: RedisServer, terminal: Terminal
) -> None:
    task = Played()
    terminal.type(HEADWAY, "watch", task.id, "--redis", journal.url)
    task.read(3)
    terminal.shows("3 of 12 pages")
    journal.kill()
    assert_clock_stands(terminal, "Redis does not answer — reconnecting since")
    task.read(5)
    journal.start()
    terminal.shows(lambda screen: "5 of 12 pages" in screen and "reconnecting" not in screen)
    task.fail("the disk is full")
    screen = terminal.shows("[code 1]")
    assert "report.pdf  Failed" in screen
    assert "read: the disk is full" in screen


@pytest.mark.parametrize("height", [40, 8])
def test_several_tasks_have_a_block_each_and_a_line_where_there_is_no_room(
    web: Web, height: int
) -> None:
    tasks = [Played(f"report {n}") for n in range(3)]
    with Terminal(height=height) as terminal:
        terminal.type(HEADWAY, "watch", *(task.id for task in tasks), "nope", "--url", web.url)
        for task in tasks:
            task.read(2)
        screen = terminal.shows(lambda screen: screen.count(" 8% ") == 3)
        assert screen.count("2 of 12 pages") == (3 if height == 40 else 0)
        assert all(f"report {n}  Running" in screen for n in range(3))
        assert re.search(r"^nope  Not found · ", screen, re.MULTILINE)
        for task in tasks:
            task.end()
        screen = terminal.shows("[code 3]")  # all that are known succeeded, one is not known
        assert "headway: nope: There is no such task" in screen


def test_text_of_others_neither_moves_the_cursor_nor_colours(web: Web, terminal: Terminal) -> None:
    hostile = "\x1b[2J\x1b[1;1H\x1b[45mevil\x07\r\n\x9b45m\u202e[on magenta]x[/]"
    task = Played(hostile)
    terminal.type(HEADWAY, "watch", task.id, "--url", web.url)
    terminal.shows("Running")
    task.read(1, message=hostile)
    task.emit("token", {hostile: hostile})
    terminal.shows("1 of 12 pages")
    screen = terminal.shows("token")
    assert "[on magenta]x[/]" in screen
    assert "\u202e" not in screen
    assert "\x1b[45m" not in terminal.screen(escapes=True)
    task.fail(hostile)
    terminal.shows("[code 1]")
    assert "\x1b[45m" not in terminal.screen(escapes=True)


def test_colours_are_there_to_be_refused(web: Web) -> None:
    task = Played()
    for env in ({}, {"NO_COLOR": "1"}):
        with Terminal(env=env) as terminal:
            terminal.type(HEADWAY, "watch", task.id, "--url", web.url)
            terminal.shows("report.pdf  Running")
            assert ("\x1b[36m" in terminal.screen(escapes=True)) is not bool(env)
            terminal.press("C-c")
            terminal.shows("[code 130]")


def test_a_terminal_that_cannot_be_drawn_over_gets_lines(web: Web) -> None:
    task = Played()
    with Terminal(env={"TERM": "dumb"}) as terminal:
        terminal.type("env", "TERM=dumb", HEADWAY, "watch", task.id, "--url", web.url)
        terminal.shows("report.pdf: Running")
        task.end()
        assert "report.pdf: Done" in terminal.shows("[code 0]")


@pytest.mark.parametrize("command", ["watch", "ls", "tail"])
def test_ctrl_c_leaves_a_whole_terminal(
    journal: RedisServer, terminal: Terminal, command: str
) -> None:
    task = Played()
    words = [task.id] if command == "watch" else []
    terminal.type(HEADWAY, command, *words, "--redis", journal.url)
    # `tail` tells of what is said from now on, and when that is only it knows
    terminal.shows(lambda screen: task.emit("token", 1) or "report.pdf" in screen)
    terminal.press("C-c")
    screen = terminal.shows("[code 130]")
    assert "Traceback" not in screen
    assert "Aborted" not in screen
    assert terminal.cursor_is_visible()


def test_a_list_lives(journal: RedisServer, terminal: Terminal) -> None:
    first = Played("first")
    terminal.type(HEADWAY, "ls", "--redis", journal.url)
    terminal.shows(f"{first.id}      Running")
    second = Played("second")
    second.read(6)
    screen = terminal.shows(lambda screen: re.search(r"Running +25%  second · read", screen))
    assert screen.index(second.id) < screen.index(first.id)
    second.end()
    terminal.shows(lambda screen: re.search(rf"{second.id} +Done +100%  second", screen))
    journal.kill()
    terminal.shows("Redis does not answer — reconnecting since")
    journal.start()
    first.fail("the disk is full")
    terminal.shows(
        lambda screen: f"{first.id}      Failed" in screen and "reconnecting" not in screen
    )
