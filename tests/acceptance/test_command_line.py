"""`headway` in scripts and pipes: what it prints, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from celery import Celery

from headway.publisher import Publisher
from tests.conftest import require
from tests.played import Played
from tests.processes import HOST, ROOT, RedisServer, Web, Worker, free_port, wait_until
from tests.reporting import publishing
from tests.sites import problem, serve

HEADWAY = str(Path(sys.executable).with_name("headway"))


@pytest.fixture(scope="module")
def web(server: RedisServer) -> Iterator[Web]:
    with Web(server.url, app="tests.acceptance.watched:app") as web:
        yield web


@pytest.fixture(autouse=True)
def publisher(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with publishing(server.url) as publisher:
        monkeypatch.setattr(Command, "publisher", publisher, raising=False)
        yield


class Command:
    """A command that runs, its output read as it comes. What tasks have said before is known when it starts."""

    publisher: ClassVar[Publisher]

    def __init__(self, *words: str, env: Mapping[str, str] | None = None, **more: Any) -> None:
        assert self.publisher.flush(20)
        self.process = subprocess.Popen(
            [HEADWAY, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | dict(env or {}),
            **more,
        )
        self.lines: list[str] = []

    def until(self, text: str) -> list[str]:
        """Read lines until one has the text."""
        assert self.process.stdout
        while not any(text in line for line in self.lines):
            line = self.process.stdout.readline()
            assert line, (
                f"it ended: {self.lines} {self.process.stderr and self.process.stderr.read()}"
            )
            self.lines.append(line)
        return self.lines

    def end(self, seconds: float = 30) -> tuple[int, str, str]:
        """Exit code, all output, all errors."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        return self.process.returncode, "".join(self.lines) + (out or ""), err


def run(*words: str, **more: Any) -> tuple[int, str, str]:
    return Command(*words, **more).end()


@pytest.fixture(params=["url", "redis"])
def where(request: pytest.FixtureRequest, server: RedisServer, web: Web) -> list[str]:
    return [f"--{request.param}", web.url if request.param == "url" else server.url]


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# -- how it ends -------------------------------------------------------------------------------------


def test_zero_when_all_have_succeeded(where: list[str]) -> None:
    tasks = [Played(), Played()]
    for task in tasks:
        task.end()
    code, out, err = run("watch", *(task.id for task in tasks), *where)
    assert (code, err) == (0, "")
    assert out.count("report.pdf: Done") == 2


def test_one_when_one_has_failed(where: list[str]) -> None:
    good, bad = Played(), Played("bad.pdf")
    good.end()
    bad.fail("the disk is full")
    code, out, err = run("watch", good.id, bad.id, *where)
    assert (code, err) == (1, "")
    assert re.search(
        r"^\d\d:\d\d:\d\d bad\.pdf: Failed: read: the disk is full$", out, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("command", "odd"), [("watch", "nope"), ("watch", "\x1b[2J"), ("get", "nope"), ("get", "a/b")]
)
def test_three_when_there_is_no_such_task(where: list[str], command: str, odd: str) -> None:
    code, out, err = run(command, odd, *where)
    assert (code, out) == (3, "")
    assert re.fullmatch(r"headway: [^\x1b]+\n", err)


def test_four_when_nobody_answers() -> None:
    for where in (
        ["--url", f"http://{HOST}:{free_port()}"],
        ["--redis", f"redis://{HOST}:{free_port()}"],
    ):
        for command in ("watch", "get"):
            code, out, err = run(command, "t", *where)
            assert (code, out) == (4, "")
            assert "refused" in err
            assert err.count("\n") == 1
    for command in ("ls", "tail"):
        code, out, err = run(command, "--redis", f"redis://{HOST}:{free_port()}")
        assert (code, out, err.count("\n")) == (4, "", 1)


@pytest.mark.parametrize(("command", "status"), [("watch", 401), ("get", 403)])
def test_four_when_it_does_not_let_you_in(command: str, status: int) -> None:
    with serve() as site:
        site.always = problem(status, detail="Log in first.")
        code, _, err = run(command, "t", "--url", site.url, env={"HEADWAY_TOKEN": "secret"})
        assert code == 4
        assert "Log in first." in err
        assert site.requests[-1].headers["authorization"] == "Bearer secret"


def test_124_when_the_time_is_up(where: list[str]) -> None:
    code, out, err = run("watch", Played().id, *where, "--timeout", "0.5")
    assert code == 124
    assert "report.pdf: Running" in out
    assert err == "headway: Not all tasks had ended after 0.5 s.\n"


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_without_a_word(
    where: list[str], number: signal.Signals, expected: int
) -> None:
    command = Command("watch", Played().id, *where)
    command.until("Running")
    command.process.send_signal(number)
    code, _, err = command.end()
    assert (code, err) == (expected, "")


# -- what it prints ----------------------------------------------------------------------------------


def test_lines_for_a_file_say_each_transition_once(where: list[str]) -> None:
    task = Played()
    command = Command("watch", task.id, *where)
    command.until("report.pdf: Running")
    task.read(3, message="half way")
    command.until("read: Running")
    task.emit("token", {"text": "é\x1b[31m"})
    command.until("token")
    task.retry(0.0, "not yet")
    command.until("Waiting to retry")
    task.begin_again()
    command.until("Running, attempt 2")
    task.end({"pages": 3})
    code, out, err = command.end()
    assert (code, err) == (0, "")
    assert [line[9:] for line in out.splitlines() if "read: " not in line or "retry" in line] == [
        "report.pdf: Running",
        'report.pdf: token {"text":"é\\u001b[31m"}',
        "report.pdf: Waiting to retry: read: not yet",
        "report.pdf: Running, attempt 2",
        "report.pdf: score: Skipped",
        'report.pdf: Done {"pages":3}',
    ]


def test_every_line_of_json_is_an_event_with_its_cursor(where: list[str]) -> None:
    jq = require("jq")
    task = Played("\x7f\u202e\x1b[2J\u2028é")
    command = Command("watch", task.id, "--json", *where)
    command.until('"snapshot"')
    for n in range(50):
        task.emit("token", {"n": n, "text": "\x1b[2J\u202e\r\n"})
    task.end([1, {"two": None}])
    code, out, err = command.end()
    assert (code, err) == (0, "")
    assert out.isascii()
    assert "\x7f" not in out
    said = [
        json.loads(line)
        for line in subprocess.run(
            [jq, "-c", "."], input=out, capture_output=True, text=True, check=True
        ).stdout.split("\n")
        if line  # not splitlines: jq leaves other ends of lines as they are
    ]
    assert said == events(out)
    assert [each["data"]["n"] for each in said if each["type"] == "emitted"] == list(range(50))
    cursors = [int(each["cursor"].split("-")[0]) for each in said if each["cursor"]]
    assert cursors == list(range(cursors[0], cursors[0] + len(cursors)))
    assert said[-1]["result"] == [1, {"two": None}]


def test_whoever_has_read_enough_may_leave(where: list[str]) -> None:
    tasks = [Played() for _ in range(3)]
    command = Command("watch", *(task.id for task in tasks), "--json", *where)
    command.until('"snapshot"')
    assert command.process.stdout
    command.process.stdout.close()  # as head does
    command.process.stdout = None
    for task in tasks:
        task.emit("token", "x" * 60_000)
        task.emit("token", "x" * 60_000)
    wait_until(lambda: command.process.poll() is not None, 20, "its end")
    code, _, err = command.end()
    assert (code, err) == (141, "")


def test_a_locale_without_letters_is_no_trouble(server: RedisServer) -> None:
    task = Played("進捗é")
    task.end("é")
    where = ["--redis", server.url]
    code, out, err = run("watch", task.id, *where, env={"PYTHONIOENCODING": "ascii"})
    assert (code, err) == (0, "")
    assert "???: Done" in out


def test_get_shows_the_state_and_json_all_of_it(where: list[str]) -> None:
    task = Played()
    task.read(6)
    task.end({"pages": 6})
    code, out, _ = run("get", task.id, *where)
    assert code == 0
    assert out.startswith("report.pdf  Done")
    assert "✓ read   6 of 12 pages" in out
    code, out, _ = run("get", task.id, "--json", *where)
    assert (code, json.loads(out)["result"]) == (0, {"pages": 6})


def test_ls_is_what_there_is_now(server: RedisServer) -> None:
    done, going = Played("done.pdf"), Played("going.pdf")
    done.end()
    listed: list[str] = []
    wait_until(
        lambda: listed.append(run("ls", "--redis", server.url)[1]) or "100%  done" in listed[-1]
    )
    lines = listed[-1].splitlines()
    at = {line.split()[0]: n for n, line in enumerate(lines)}
    assert at[going.id] < at[done.id]
    code, out, err = run("ls", "--json", "--redis", server.url)
    assert (code, err) == (0, "")
    assert {state["task"] for state in events(out)} >= {done.id, going.id}


def test_tail_tells_all_events_of_all_tasks(server: RedisServer) -> None:
    command = Command("tail", "--json", env={"HEADWAY_REDIS_URL": server.url})
    ready = Played()

    def is_heard() -> bool:  # from when on is for the command to say: by the first event
        ready.emit("ready", None)
        return bool(ready_line(command))

    wait_until(is_heard, 20, "the first event")
    tasks = [Played() for _ in range(5)]
    for n in range(20):
        for task in tasks:
            task.emit("n", n)
    for task in tasks:
        task.end()
    for task in tasks:
        command.until(f'"finished","task":"{task.id}"')
    command.process.send_signal(signal.SIGINT)
    code, out, err = command.end()
    assert (code, err) == (130, "")
    for task in tasks:
        mine = [each for each in events(out) if each["task"] == task.id]
        assert [each["data"] for each in mine if each["type"] == "emitted"] == list(range(20))


def ready_line(command: Command) -> list[str]:
    os.set_blocking(command.process.stdout.fileno(), False)  # type: ignore[union-attr]
    try:
        line = command.process.stdout.readline()  # type: ignore[union-attr]
    finally:
        os.set_blocking(command.process.stdout.fileno(), True)  # type: ignore[union-attr]
    command.lines += [line] if line else []
    return command.lines


# -- a real worker -----------------------------------------------------------------------------------


def test_a_real_task_is_told_from_redis_alone(server: RedisServer) -> None:
    with (
        Worker("threads", server.url, app="tests.acceptance.terminal_jobs"),
        Celery("sender", broker=server.url, set_as_current=False) as sender,
    ):
        sent = str(sender.send_task("tests.stubborn", [0.5]).id)
        where = ["--redis", server.url]
        wait_until(lambda: run("get", sent, *where)[0] == 0, 20, "its beginning")
        code, out, err = run("watch", sent, *where, "--timeout", "40")
    assert (code, err) == (0, ""), out
    assert out.rstrip().endswith('tests.stubborn: Done {"pages":3}')


def test_the_examples_of_the_handbook_run(server: RedisServer, web: Web, tmp_path: Path) -> None:
    require("jq")
    handbook = ROOT.joinpath("docs/terminal.md").read_text("utf-8")
    examples = re.findall(r"^\$ (headway .*)$", handbook, re.MULTILINE)
    assert len(examples) >= 10
    task, other = an_ended_task(), an_ended_task()
    path = f"{Path(HEADWAY).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "TASK": task.id, "OTHER": other.id, "HEADWAY_REDIS_URL": server.url}
    for n, example in enumerate(examples):
        here = example.replace("http://127.0.0.1:8000", web.url)
        here = here.replace("redis://localhost:6379/0", server.url)
        said, wrong = tmp_path / f"{n}.out", tmp_path / f"{n}.err"
        with said.open("w") as out, wrong.open("w") as err:
            process = subprocess.Popen(
                ["bash", "-c", f"set -o pipefail; {here}"],
                env=os.environ | env,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        if " tail " in here:  # it goes on for ever
            wait_until(lambda said=said: an_ended_task() and said.stat().st_size, 30, here)
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == (130 if " tail " in here else 0), (here, wrong.read_text())
        assert wrong.read_text() == "", here


def an_ended_task() -> Played:
    task = Played()
    task.emit("token", "x")
    task.end()
    return task
