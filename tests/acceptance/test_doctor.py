"""`headway doctor` finds what is planted, calls it by its name, and says what mends it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple, Self

import pytest
import redis
from click.testing import CliRunner

from headway import doctor as commands
from tests import sites
from tests.nginx import Nginx
from tests.processes import HOST, ROOT, RedisServer, Web, Worker, free_port, wait_until

PATIENCE_SECONDS = 60  # for the doctor, who has to wait for what does not come
HEARTBEAT = {"HEADWAY_HEARTBEAT": "0.5"}
APP = "workers.celery:app"
DOCS = ROOT / "docs/doctor.md"
STREAM = (
    "/documents/{task}/stream"  # of tests/acceptance/own_routes.py, which takes the token "mine"
)

StartRedis = Callable[..., RedisServer]


class Seen(NamedTuple):
    """What the doctor said: findings by check, the worst of each."""

    exit_code: int
    verdicts: dict[str, str]
    said: dict[str, str]
    fixes: dict[str, str]
    output: str

    @property
    def findings(self) -> dict[str, str]:
        return {
            check: what for check, what in self.verdicts.items() if what in ("warning", "fault")
        }


def doctor(*options: str) -> Seen:
    done = CliRunner().invoke(commands.doctor, [*options, "--json"])
    return seen_in(done.exit_code, done.stdout, done.stderr)


def doctor_of(app: str, broker: str, *options: str) -> Seen:
    """In a process of its own: it imports the app."""
    done = subprocess.run(
        [sys.executable, "-m", "headway", "doctor", *options, "--app", app, "--json"],
        cwd=ROOT,
        env=os.environ | {"CELERY_BROKER_URL": broker},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return seen_in(done.returncode, done.stdout, done.stderr)


def seen_in(exit_code: int, output: str, errors: str) -> Seen:
    assert not errors, errors
    ranks = ("ok", "skipped", "warning", "fault")
    found = sorted(
        map(json.loads, output.splitlines()), key=lambda each: ranks.index(each["verdict"])
    )
    return Seen(
        exit_code,
        {each["check"]: each["verdict"] for each in found},
        {each["check"]: each["said"] for each in found},
        {each["check"]: each["fix"] for each in found if each["fix"]},
        output,
    )


class Stack(NamedTuple):
    redis: RedisServer
    site: Web
    own: Web  # one with a route and a token of its own

    def doctor(self, url: str, *options: str) -> Seen:
        return doctor("--redis", self.redis.url, "--url", url, *options)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with (
        RedisServer() as server,
        Web(server.url, env=HEARTBEAT) as site,
        Web(server.url, app="tests.acceptance.own_routes:app", env=HEARTBEAT) as own,
    ):
        yield Stack(server, site, own)


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[Worker]:
    with Worker("threads", stack.redis.url) as worker:
        yield worker


# -- nothing is wrong ------------------------------------------------------------------------------


def test_a_healthy_stack_is_found_healthy(stack: Stack, worker: Worker) -> None:
    seen = doctor_of(APP, stack.redis.url, "--url", stack.site.url)  # its broker is the Redis
    assert (seen.exit_code, set(seen.verdicts.values()), seen.fixes) == (0, {"ok"}, {}), seen.output
    assert {"event", "worker", "buffering", "cut"} <= seen.verdicts.keys()


def test_what_it_writes_goes_by_itself_and_nothing_else_changes(own_redis: StartRedis) -> None:
    server = own_redis()
    server.cli("SET", "yours", "1")
    doctor("--redis", server.url)
    written = set(server.cli("KEYS", "*")) - {"yours"}
    assert {key.rpartition(":")[2] for key in written} == {"state", "log"}
    assert all(0 < server.cli("TTL", key) <= 300 for key in written)


def test_a_worker_and_a_site_are_asked_only_if_they_are_named(redis_url: str) -> None:
    seen = doctor("--redis", redis_url)
    assert seen.exit_code == 0
    assert (seen.verdicts["worker"], seen.verdicts["web"]) == ("skipped", "skipped")
    assert "--app" in seen.said["worker"]
    assert "--url" in seen.said["web"]


# -- the six faults --------------------------------------------------------------------------------


def test_redis_that_is_down(own_redis: StartRedis) -> None:
    server = own_redis()
    server.kill()
    seen = doctor("--redis", server.url)
    assert (seen.exit_code, seen.findings) == (4, {"redis": "fault"})
    assert "redis-server" in seen.fixes["redis"]


@pytest.mark.parametrize("given", ["", "wrong-canary@"])
def test_a_wrong_password_which_is_not_told_on(own_redis: StartRedis, given: str) -> None:
    server = own_redis()
    server.cli("CONFIG", "SET", "requirepass", "canary-42")
    url = server.url.replace("://", f"://:{given}" if given else "://")
    seen = doctor("--redis", url)
    assert (seen.exit_code, seen.findings) == (1, {"password": "fault"})
    assert "HEADWAY_REDIS_URL" in seen.fixes["password"]
    assert "canary" not in seen.output
    right = server.url.replace("://", "://:canary-42@")
    assert doctor("--redis", right).exit_code == 0


def test_a_redis_that_evicts_any_key(own_redis: StartRedis) -> None:
    server = own_redis(maxmemory="64mb", maxmemory_policy="allkeys-lru")
    seen = doctor("--redis", server.url)
    assert (seen.exit_code, seen.findings) == (1, {"eviction": "fault"})
    assert "allkeys-lru" in seen.said["eviction"]
    carry_out(seen.fixes["eviction"], server)
    assert doctor("--redis", server.url).findings == {}


@pytest.mark.parametrize(
    "rules",
    [
        "~* &* +@all -@scripting",
        "~* &* +@all -xadd",
        "~* &* +@all -subscribe",
        "~* resetchannels +@all",
        "~celery* &* +@all",
    ],
)
def test_a_user_who_may_not_run_the_script(own_redis: StartRedis, rules: str) -> None:
    server = own_redis()
    server.cli("ACL", "SETUSER", "web", "on", ">secret-canary", *rules.split())
    url = server.url.replace("://", "://web:secret-canary@")
    seen = doctor("--redis", url)
    assert (seen.exit_code, seen.findings) == (1, {"permission": "fault"}), seen.output
    assert "canary" not in seen.output
    carry_out(seen.fixes["permission"], server)
    assert doctor("--redis", url).findings == {}


def test_the_user_of_the_docs_may_do_all_that_is_needed(own_redis: StartRedis) -> None:
    (rules,) = re.findall(r"^ACL SETUSER headway on >… (.+)$", DOCS.read_text(), re.MULTILINE)
    server = own_redis()
    server.cli("ACL", "SETUSER", "headway", "on", ">secret", *rules.split())
    seen = doctor("--redis", server.url.replace("://", "://headway:secret@"))
    assert (seen.exit_code, seen.findings) == (0, {})
    assert (seen.verdicts["event"], seen.verdicts["output-buffer"]) == ("ok", "skipped")


def test_no_worker(own_redis: StartRedis) -> None:
    server = own_redis()
    seen = doctor_of(APP, server.url)
    assert (seen.exit_code, seen.findings) == (1, {"worker": "fault"})
    assert seen.fixes["worker"] == f"celery -A {APP} worker"


def test_a_worker_that_reports_nowhere(own_redis: StartRedis) -> None:
    broker, journal = own_redis(), own_redis()
    env = {"HEADWAY_REDIS_URL": broker.url}
    with Worker("threads", broker.url, env=env):
        seen = doctor_of(APP, broker.url, "--redis", journal.url)
    assert seen.exit_code == 0
    assert seen.verdicts["worker"] == "ok"
    assert seen.verdicts["lease"] == "warning"
    assert "HEADWAY_REDIS_URL" in seen.fixes["lease"]


def test_an_nginx_that_buffers(stack: Stack) -> None:
    with Nginx(stack.site, "proxy_ignore_headers X-Accel-Buffering") as nginx:
        seen = stack.doctor(nginx.url)
    assert (seen.exit_code, seen.findings) == (1, {"buffering": "fault"})
    assert "nginx" in seen.said["buffering"]
    mended = "proxy_buffering off"
    assert mended in seen.fixes["buffering"]
    with Nginx(stack.site, "proxy_ignore_headers X-Accel-Buffering", mended) as nginx:
        assert stack.doctor(nginx.url).findings == {}


def carry_out(fix: str, server: RedisServer) -> None:
    """A fix that is a command is one that can be pasted."""
    words = shlex.split(fix)
    assert words[:5] == ["redis-cli", "-h", HOST, "-p", str(server.port)]
    assert server.cli(*words[5:]) == "OK"


# -- others ----------------------------------------------------------------------------------------


def test_a_redis_that_hangs_is_away_too(own_redis: StartRedis) -> None:
    server = own_redis()
    server.pause()
    try:
        seen = doctor("--redis", server.url)
    finally:
        server.resume()
    assert (seen.exit_code, seen.findings) == (4, {"redis": "fault"})


def test_a_redis_that_is_full(own_redis: StartRedis) -> None:
    server = own_redis(maxmemory="3mb")
    with suppress(redis.RedisError):
        for n in range(40):
            server.cli("SET", f"filling-{n}", "x" * 100_000)
    seen = doctor("--redis", server.url)
    assert (seen.exit_code, seen.findings) == (1, {"memory": "fault"}), seen.output
    carry_out(seen.fixes["memory"], server)
    assert doctor("--redis", server.url).exit_code == 0


def test_a_replica(own_redis: StartRedis) -> None:
    primary, replica = own_redis(repl_diskless_sync_delay=0), own_redis()
    replica.cli("REPLICAOF", HOST, primary.port)
    wait_until(lambda: "connected" in replica.cli("ROLE"), 20, "replication")
    seen = doctor("--redis", replica.url)
    assert (seen.exit_code, seen.findings) == (1, {"replica": "fault"}), seen.output
    assert f"{HOST}:{primary.port}" in seen.fixes["replica"]


def test_subscribers_that_are_cut_off_too_soon(own_redis: StartRedis) -> None:
    server = own_redis()
    server.cli("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 32768 1")
    seen = doctor("--redis", server.url)
    assert (seen.exit_code, seen.findings) == (0, {"output-buffer": "warning"})
    carry_out(seen.fixes["output-buffer"], server)
    assert doctor("--redis", server.url).findings == {}


def test_a_broker_that_is_away(redis_url: str) -> None:
    nobody = f"redis://:broker-canary@{HOST}:{free_port()}/0"
    seen = doctor_of(APP, nobody, "--redis", redis_url)
    assert (seen.exit_code, seen.findings) == (1, {"broker": "fault"})
    assert "CELERY_BROKER_URL" in seen.fixes["broker"]
    assert "canary" not in seen.output


def test_a_worker_that_listens_elsewhere(own_redis: StartRedis) -> None:
    server = own_redis()
    with Worker("solo", server.url, args=["-Q", "videos"]):
        seen = doctor_of(APP, server.url)
    assert (seen.exit_code, seen.findings) == (0, {"worker": "warning"})
    assert seen.fixes["worker"].endswith("-Q celery")


def test_a_site_that_is_down(stack: Stack) -> None:
    seen = stack.doctor(f"http://{HOST}:{free_port()}")
    assert (seen.exit_code, seen.findings) == (4, {"web": "fault"})
    assert "--url" in seen.fixes["web"]


def test_a_site_that_is_down_behind_its_proxy(stack: Stack) -> None:
    site = Web(stack.redis.url)
    with Nginx(site) as nginx:
        seen = stack.doctor(nginx.url)
    assert (seen.exit_code, seen.findings) == (4, {"web": "fault"})
    assert "502" in seen.said["web"]


def test_a_site_that_lets_nobody_watch(stack: Stack) -> None:
    seen = stack.doctor(stack.own.url)
    assert (seen.exit_code, seen.findings) == (1, {"access": "fault"})
    assert "401" in seen.said["access"]
    for fix in ("--token", "HEADWAY_ALLOW_ANONYMOUS=1", "{task}"):
        assert fix in seen.fixes["access"]


def test_a_route_of_ones_own_with_a_token(stack: Stack) -> None:
    seen = stack.doctor(stack.own.url + STREAM, "--token", "mine", "--task", "doctors-own")
    assert (seen.exit_code, seen.findings) == (0, {}), seen.output
    again = stack.doctor(stack.own.url + STREAM, "--token", "not-mine")
    assert (again.exit_code, again.findings) == (1, {"access": "fault"})
    assert "403" in again.said["access"]
    assert "not-mine" not in again.output


def test_an_address_that_is_not_headways(stack: Stack) -> None:
    seen = stack.doctor(f"{stack.site.url}/elsewhere")
    assert (seen.exit_code, seen.findings) == (1, {"route": "fault"})
    assert "/headway" in seen.fixes["route"]


@pytest.mark.parametrize("route", ["", STREAM])
def test_a_site_that_reads_another_redis(stack: Stack, own_redis: StartRedis, route: str) -> None:
    site = stack.own if route else stack.site
    seen = doctor("--redis", own_redis().url, "--url", site.url + route, "--token", "mine")
    assert (seen.exit_code, seen.findings) == (1, {"same-redis": "fault"})
    assert "HEADWAY_REDIS_URL" in seen.fixes["same-redis"]


def test_a_proxy_that_cuts_quiet_streams(stack: Stack) -> None:
    with (
        Web(stack.redis.url, env={"HEADWAY_HEARTBEAT": "30"}) as site,
        Nginx(site, "proxy_read_timeout 1s") as nginx,
    ):
        seen = stack.doctor(nginx.url)
    assert (seen.exit_code, seen.findings) == (1, {"cut": "fault"})
    for fix in ("proxy_read_timeout", "HEADWAY_HEARTBEAT"):
        assert fix in seen.fixes["cut"]


def test_a_stream_that_breaks_off(stack: Stack) -> None:
    with sites.serve() as site:
        site.always = sites.saying(sites.snapshot(1))
        seen = stack.doctor(site.url)
    assert (seen.exit_code, seen.verdicts["cut"]) == (1, "fault")
    assert "logs" in seen.fixes["cut"]


def test_a_site_that_ends_quiet_streams_itself_cuts_nothing(stack: Stack) -> None:
    env = {"HEADWAY_HEARTBEAT": "30", "HEADWAY_IDLE": "0.5"}
    with Web(stack.redis.url, env=env) as site:
        seen = stack.doctor(site.url)
    assert (seen.exit_code, seen.findings) == (0, {})
    assert "HEADWAY_IDLE" in seen.said["cut"]


def test_a_proxy_that_compresses_and_changes_headers(stack: Stack) -> None:
    compressing = ("gzip on", "gzip_types text/event-stream", "gzip_http_version 1.0")
    with Nginx(stack.site, *compressing, "expires 1h") as nginx:
        seen = stack.doctor(nginx.url)
    assert (seen.exit_code, seen.findings) == (0, {"compression": "warning", "headers": "warning"})
    assert "gzip off" in seen.fixes["compression"]
    assert seen.verdicts["buffering"] == "ok"


# -- the program -----------------------------------------------------------------------------------


class Program(subprocess.Popen[str]):
    """The doctor at work, as a person sees it."""

    def __init__(self, *options: str) -> None:
        super().__init__(
            [sys.executable, "-m", "headway", "doctor", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.communicate()


def test_for_people_each_check_is_a_line_and_its_fix_another(own_redis: StartRedis) -> None:
    server = own_redis(maxmemory="64mb", maxmemory_policy="volatile-ttl")
    with Program("--redis", server.url) as program:
        output, errors = program.communicate(timeout=PATIENCE_SECONDS)
    lines = output.splitlines()
    at = next(n for n, line in enumerate(lines) if line.split()[:2] == ["fault", "eviction"])
    assert lines[at + 1].split()[:2] == ["fix", "redis-cli"]
    assert lines[-1] == "1 fault."
    assert "\033" not in output  # no terminal, no colours
    assert (program.returncode, errors) == (1, "")


def test_ctrl_c_ends_it_quietly(stack: Stack) -> None:
    with Program("--redis", stack.redis.url, "--url", stack.site.url, "--hold", "60") as program:
        assert program.stdout is not None
        while "buffering" not in (line := program.stdout.readline()):
            assert line, "it ended before"
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=PATIENCE_SECONDS)
    assert (program.returncode, errors) == (130, "")
