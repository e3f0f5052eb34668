"""Programs that work for a task: what is heard of them, and that they end with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, wait_until
from workers.program import Program, ProgramFailed, run


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_both_outputs_are_heard_line_by_line():
    with Program(shell("echo one; echo two >&2; printf three")) as lines:
        assert list(lines) == ["one", "two", "three"]


def test_a_failure_says_what_was_said_last():
    with pytest.raises(ProgramFailed, match=r"exit code 3:\n(?s:.*)no such luck$"):
        run(shell("seq 1000; echo no such luck; exit 3"))


def test_a_program_that_is_not_there_fails():
    with pytest.raises(ProgramFailed, match="127"):
        run(["no-program-of-this-name"])


def test_bytes_that_are_no_text_and_endless_lines_do_no_harm():
    with Program(shell("printf '\\377'; head -c 200000 /dev/zero | tr '\\0' x")) as lines:
        heard = list(lines)
    assert heard[0].startswith("\ufffdx")
    assert sum(map(len, heard)) == 200_001
    assert max(map(len, heard)) <= 64 * 1024


def test_its_arguments_are_not_for_the_shell(tmp_path):
    with Program(["printf", "%s\n", f"$(touch {tmp_path}/x); `id` \"' *"]) as lines:
        assert list(lines) == [f"$(touch {tmp_path}/x); `id` \"' *"]
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_wait_for_input():
    with Program(["cat"]) as lines:
        assert list(lines) == []


def at_work(mark: Path) -> bool:
    """Whether a `tail` (and not whoever asked for it) has this among its words."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"tail" and str(mark).encode() in words:
            return True
    return False


def test_leaving_the_block_ends_it(tmp_path):
    mark = tmp_path / "mark"
    mark.write_text("")
    with Program(["tail", "-f", "/dev/null", str(mark)]):
        wait_until(lambda: at_work(mark))
    wait_until(lambda: not at_work(mark))


USER = """
import sys
from workers.program import run
run(["tail", "-f", "/dev/null", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_does_not_outlive_the_process_that_uses_it(tmp_path, number):
    mark = tmp_path / "mark"
    mark.write_text("")
    with subprocess.Popen([sys.executable, "-c", USER, str(mark)], cwd=ROOT) as user:
        try:
            wait_until(lambda: at_work(mark))
        finally:
            user.send_signal(number)
    wait_until(lambda: not at_work(mark))
