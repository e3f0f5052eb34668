"""Fixtures of all tiers: services that are real, and an environment that is nobody's."""

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.processes import RedisServer
from tests.rabbit import RabbitServer

TIERS = ("unit", "model", "integration", "acceptance", "browser")  # the quick ones first

PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "gcc": ("gcc",),
    "openssl": ("openssl",),
    "nginx": ("nginx", "/usr/sbin/nginx"),  # Debian keeps it off the users' PATH
    "node": ("node",),
    # Debian's script on the PATH becomes another user before it runs this one.
    "rabbitmq-server": ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"),
    "spin": ("spin",),
    "tmux": ("tmux",),
    "jq": ("jq",),
}

# What a developer's shell happens to export must not decide a test.
for _name in list(os.environ):
    _ours = _name.startswith(("HEADWAY_", "CELERY_", "FLOWER_")) and "_TEST_" not in _name
    if _ours or _name in ("LINES", "COLUMNS"):
        del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def tier(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return TIERS.index(folder) if folder in TIERS else len(TIERS)

    items.sort(key=tier)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was logged may hold half characters, which cannot be sent from a worker of pytest-xdist."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "replace").decode()) for name, text in report.sections
    ]
    return report


def require(program: str) -> str:
    """Where the program is; without it the test is skipped on a laptop and fails in CI."""
    for name in PROGRAMS[program]:
        if path := shutil.which(name):
            return path
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"{program} is not installed")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Of localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    made = [require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server all tests share. Not to be killed: `own_redis` is for that."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The shared server, emptied."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[Callable[..., RedisServer]]:
    """Start servers of the test's own, with options of redis.conf: `own_redis(appendonly="yes")`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(RedisServer(**options))


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitServer]:
    """The RabbitMQ all tests share. Who ends it starts it again."""
    with RabbitServer(require("rabbitmq-server")) as server:
        yield server
