"""What the doctor makes of what it is told, and how it says it."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headway import checkup
from headway import doctor as commands
from headway.checkup import Finding, Vitals, shown
from headway.errors import JournalUnavailable

ROOT = Path(__file__).parents[2]
URL = "redis://web:canary@db.example:6380/2"
GIB = str(2**30)


def invoke(*options: str, **env: str) -> Result:
    return CliRunner(env={"HEADWAY_REDIS_URL": None, **env}).invoke(commands.doctor, options)


# -- Redis -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "most", "verdict", "said"),
    [
        ("noeviction", "0", "ok", "noeviction"),
        ("noeviction", GIB, "ok", "noeviction"),
        ("allkeys-lru", GIB, "fault", "any key"),
        ("allkeys-random", GIB, "fault", "queues"),
        ("allkeys-lfu", "0", "fault", "no maxmemory now"),
        ("volatile-lru", GIB, "fault", "keys that expire"),
        ("volatile-ttl", GIB, "fault", "keys that expire"),
        ("volatile-lru", "0", "warning", "no maxmemory now"),
        (None, "0", "skipped", "does not say"),
    ],
)
def test_only_a_redis_that_evicts_nothing_keeps_journals(
    policy: str | None, most: str, verdict: str, said: str
) -> None:
    info = {"maxmemory": most} | ({"maxmemory_policy": policy} if policy else {})
    found = checkup._eviction(info, URL)
    assert (found.check, found.verdict) == ("eviction", verdict)
    assert said in found.said
    fix = "redis-cli -h db.example -p 6380 CONFIG SET maxmemory-policy noeviction"
    assert found.fix == (fix if verdict in ("fault", "warning") else None)


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        ({"redis_version": "6.2.0"}, "ok"),
        ({"redis_version": "7.0.15"}, "ok"),
        ({"redis_version": "10.1.0"}, "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok"),
        ({"redis_version": "6.0.20"}, "fault"),
        ({"redis_version": "5.0.14"}, "fault"),
        ({}, "skipped"),
    ],
)
def test_the_script_needs_redis_6_2_or_valkey(info: dict[str, Any], verdict: str) -> None:
    found = checkup._version(info)
    assert found.verdict == verdict
    assert bool(found.fix) == (verdict == "fault")


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ("pubsub 33554432 8388608 60", "ok"),
        ("pubsub 33554432 0 0", "ok"),
        ("pubsub 0 8388608 60", "ok"),
        ("pubsub 1048576 0 0", "warning"),
        ("pubsub 33554432 65536 60", "warning"),
        ("pubsub 0 0 0", "warning"),
        (None, "skipped"),
    ],
)
def test_subscribers_are_to_be_cut_off_neither_soon_nor_never(
    limit: str | None, verdict: str
) -> None:
    found = checkup._output_buffer(limit, URL)
    assert found.verdict == verdict
    if verdict == "warning":
        assert 'CONFIG SET client-output-buffer-limit "pubsub 33554432 8388608 60"' in str(
            found.fix
        )


@pytest.mark.parametrize(
    ("used", "verdict"), [("0", "ok"), ("1000", "ok"), (str(2**30 - 1000), "warning")]
)
def test_a_redis_that_is_nearly_full_is_told_of(used: str, verdict: str) -> None:
    found = checkup._memory({"maxmemory": GIB, "used_memory": used}, URL)
    assert (found.check, found.verdict) == ("memory", verdict)


@pytest.mark.parametrize(
    ("seconds", "check", "verdict"),
    [(0.001, "redis", "ok"), (0.1, "latency", "warning"), (0.3, "latency", "fault")],
)
def test_a_redis_that_is_far_away_is_told_of(seconds: float, check: str, verdict: str) -> None:
    found = checkup._speed(Vitals(seconds, 0.0, {}, None), URL)
    assert (found.check, found.verdict) == (check, verdict)
    assert f"{seconds * 1000:.1f} ms" in found.said


@pytest.mark.parametrize(
    ("ahead", "verdict", "said"),
    [
        (0.5, "ok", "same time"),
        (-90.0, "warning", "90 s behind"),
        (7.0, "warning", "7 s ahead"),
        (None, "skipped", "does not say"),
    ],
)
def test_clocks_that_differ_are_told_of(ahead: float | None, verdict: str, said: str) -> None:
    found = checkup.clock("Redis", ahead)
    assert found.verdict == verdict
    assert said in found.said


def test_an_event_that_redis_answers_with_no_is_an_outage() -> None:
    class Refusing:
        def write(self, letters: list[Any]) -> list[tuple[str, str]]:
            return [("REFUSED", "WRONGTYPE") for _ in letters]

    trial = checkup.Trial("redis://127.0.0.1:1/0")
    trial.journal.close()
    trial.journal = Refusing()  # type: ignore[assignment]
    with pytest.raises(JournalUnavailable, match="REFUSED WRONGTYPE"):
        trial.start()


# -- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (URL, "redis://db.example:6380/2"),
        ("redis://:a@b@host/0", "redis://host/0"),
        ("unix://:canary@/run/redis.sock?db=1&password=canary", "unix:///run/redis.sock"),
        ("https://me:canary@site.example/headway?key=canary", "https://site.example/headway"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, said: str) -> None:
    assert shown(url) == said


def test_secrets_are_hidden_wherever_they_come_from() -> None:
    hide = commands._hiding(
        "redis://web:p%40ss@host:1/0",
        "amqp://a:one@x//;amqp://b:two@y//",
        "https://me:three@site",
        "mine",
        None,
    )
    said = "p@ss p%40ss one two three mine"
    assert hide(said) == " ".join(["***"] * 6)
    assert hide("examined: determined, nobody, b, me") == "examined: determined, nobody, b, me"
    assert commands._hiding(None)("as it is") == "as it is"


def test_a_server_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    commands._say(Finding("access", "fault", "\033[2Jboo\r\n", "\033[31m"), as_json=False)
    out = capsys.readouterr().out
    assert "\033[2J" not in out
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("found", "code", "summary"),
    [
        ([], 0, "Nothing is wrong."),
        ([Finding("memory", "warning", "")], 0, "1 warning."),
        ([Finding("worker", "fault", "")], 1, "1 fault."),
        ([Finding("worker", "fault", ""), Finding("web", "fault", "")], 4, "2 faults."),
        ([Finding("redis", "fault", ""), Finding("cut", "warning", "")], 4, "1 fault, 1 warning."),
        ([Finding("web", "skipped", "")], 0, "Nothing is wrong."),
    ],
)
def test_the_exit_code_says_whether_something_is_wrong(
    found: list[Finding], code: int, summary: str
) -> None:
    assert commands._exit_code(found) == code
    assert commands._summary(found) == summary


# -- wrong usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "HEADWAY_REDIS_URL"),
        (["--redis", "redis://:can#ary@host:6379/0"], "%-escapes"),
        (["--redis", "http://:canary@host"], "%-escapes"),
        (["--redis", URL, "--url", "ftp://me:canary@host"], "HEADWAY_URL"),
        (["--redis", URL, "--url", "http://me:canary@host:port"], "port"),
        (["--redis", "redis://127.0.0.1:1/0", "--task", "no id"], "--task"),
        (["--redis", URL, "--app", "no.such:app"], "workers.celery:app"),
        (["--redis", URL, "--hold", "-1"], "--hold"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(options: list[str], said: str) -> None:
    result = invoke(*options)
    assert result.exit_code == 2
    assert said in result.output
    assert "canary" not in result.output
    assert "can#" not in result.output


def test_help_ends_with_examples_and_exit_codes() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    _, examples = result.output.split("Examples:")
    assert "headway doctor --redis redis://localhost:6379/0" in examples
    assert "Exit codes:" in examples


def test_the_environment_names_what_is_not_said() -> None:
    nobody = "redis://127.0.0.1:1/0"
    for name in ("HEADWAY_REDIS_URL", "CELERY_BROKER_URL"):
        result = invoke(**{name: nobody})
        assert result.exit_code == 4
        assert f"{nobody}: Redis does not answer" in result.output


def test_every_check_is_in_the_docs() -> None:
    files = [ROOT / f"headway/{name}.py" for name in ("checkup", "passage", "doctor")]
    code = "".join(path.read_text() for path in files)
    named = set(re.findall(r'(?:Finding\(|check = )\s*"([a-z-]+)"', code))
    docs = (ROOT / "docs/doctor.md").read_text()
    assert named == set(re.findall(r"^\| `([a-z][a-z-]+)` \|", docs, re.MULTILINE))
