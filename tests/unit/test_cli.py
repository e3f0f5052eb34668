"""The command line, as far as it needs nobody: options, where to ask, what is missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headway.cli import headway
from tests.processes import HOST, ROOT, free_port

COMMANDS = ("watch", "get", "ls", "tail")


def run(*words: str, **env: str | None) -> Result:
    return CliRunner(env=env).invoke(headway, words, prog_name="headway")


def test_help_lists_every_command() -> None:
    said = run("--help").output
    for command in (*COMMANDS, "doctor"):
        assert re.search(rf"^  {command} ", said, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_examples(command: str) -> None:
    said = run(command, "--help").output
    examples = said.partition("Examples:\n")[2]
    assert len(re.findall(rf"^ +headway {command} ", examples, re.MULTILINE)) >= 2


def test_watch_says_its_exit_codes() -> None:
    said = run("watch", "--help").output.partition("Exit codes:")[2]
    assert re.findall(r"^ +(\d+) ", said, re.MULTILINE) == ["0", "1", "2", "3", "4", "124", "130"]
    handbook = ROOT.joinpath("docs/terminal.md").read_text("utf-8")
    for line in said.splitlines()[1:]:
        code, _, meaning = line.strip().partition(" ")
        if code:
            assert f"| {code} | {meaning.strip()}" in handbook.replace("`", "")


@pytest.mark.parametrize("command", ["watch", "get"])
def test_where_the_tasks_are_has_to_be_said(command: str) -> None:
    result = run(command, "t")
    assert result.exit_code == 2
    assert "HEADWAY_URL" in result.output
    assert "--redis redis://localhost:6379/0" in result.output


@pytest.mark.parametrize("command", ["ls", "tail"])
def test_where_redis_is_has_to_be_said(command: str) -> None:
    result = run(command)
    assert result.exit_code == 2
    assert "HEADWAY_REDIS_URL" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("watch",),
        ("watch", "t", "--url", "http://a", "--redis", "redis://b"),
        ("watch", "t", "--url", "nonsense"),
        ("watch", "t", "--url", "ftp://a"),
        ("watch", "t", "--redis", "http://a"),
        ("watch", "t", "--redis", "redis://a:port"),
        ("watch", "t", "--url", "http://a", "--timeout", "0"),
        ("watch", "t", "--url", "http://a", "--timeout", "soon"),
        ("get",),
        ("get", "t", "u"),
        ("ls", "--url", "http://a"),
        ("nonsense",),
        ("--nonsense",),
    ],
)
def test_wrong_usage_is_two_and_one_line_says_what_is_wrong(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert re.search(r"^Error: \S", result.output, re.MULTILINE)
    assert "Traceback" not in result.output


def test_what_is_said_goes_before_the_environment_and_there_the_site_before_redis() -> None:
    here, there = (f"http://{HOST}:{free_port()}" for _ in range(2))
    redis = f"redis://{HOST}:{free_port()}"
    env = {"HEADWAY_URL": here, "HEADWAY_REDIS_URL": redis}
    for words, asked in (((), here), (("--url", there), there), (("--redis", redis), "Redis")):
        result = run("get", "t", *words, **env)
        assert result.exit_code == 4
        assert asked in result.output
        assert "does not answer" in result.output


@pytest.mark.parametrize("missing", ["rich", "urllib3"])
def test_an_extra_that_is_missing_is_one_line_with_what_to_do(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from headway.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"headway: {missing} is not installed. Install it with: pip install 'headway[cli]'\n"
    )


def test_the_command_is_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headway", "--version"],
        cwd=Path("/"),
        check=True,
        capture_output=True,
        text=True,
    )
    assert re.fullmatch(r"headway, version \d+\.\d+\.\d+\n", done.stdout)
