"""TLS and HTTP/2 at gunicorn itself: no socket that the writer could take, so a generator serves the stream."""

import re
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from headway.attempts import Attempt
from headway.publisher import Publisher
from tests import proc
from tests.eventstream import Parser
from tests.nginx import Nginx
from tests.processes import HOST, RedisServer, Web, wait_until
from tests.reporting import end, tasks_of
from tests.watching import FAREWELL, LAST_CHUNK, Raw, assert_unbroken, identified, told_of

APP = "tests.acceptance.handed:app"
STREAM_WORKER = "headway.gunicorn.StreamWorker"
WORKERS = ["gevent", STREAM_WORKER]
SOON = 15  # seconds: half of gunicorn's graceful timeout
ANYBODY = ssl.create_default_context()
ANYBODY.check_hostname, ANYBODY.verify_mode = False, ssl.CERT_NONE


@pytest.fixture
def task(publisher: Publisher) -> Iterator[Attempt]:
    with tasks_of(publisher) as begin:
        yield begin()


class TLSWeb(Web):
    """Ready when it listens: its readiness is not to be asked in plain HTTP."""

    def ready(self, log: str) -> bool:
        return "Listening at" in log and "Booting worker" in log


Start = Callable[[str], TLSWeb]


@pytest.fixture
def web(server: RedisServer, certificate: tuple[str, str]) -> Iterator[Start]:
    """Start the site: `web("gevent")`."""
    with ExitStack() as stack:

        def start(worker: str) -> TLSWeb:
            options = ("--certfile", "--keyfile", "--http-protocols")
            values = (*certificate, "h2,h1")
            args = [word for pair in zip(options, values, strict=True) for word in pair]
            return stack.enter_context(TLSWeb(server.url, worker, app=APP, args=args))

        yield start


def viewers_of(web: Web, server: RedisServer) -> int:
    """How many sockets it has, besides those to Redis."""
    (worker,) = proc.children(web.pid)
    return len(proc.sockets(worker) - proc.tcp_connections(server.port))


def path(task: Attempt) -> str:
    return f"/own/{task.execution.task}/stream"


@pytest.mark.parametrize("worker", WORKERS)
def test_behind_tls_a_generator_serves_the_same(
    web: Start, server: RedisServer, task: Attempt, worker: str
) -> None:
    site = web(worker)
    with (
        Raw(site.port, path(task), ANYBODY) as leaver,
        Raw(site.port, path(task), ANYBODY) as polite,
        Raw(site.port, path(task), ANYBODY) as viewer,
    ):
        for each in (leaver, polite, viewer):
            each.until(b'"snapshot"')
        before = viewers_of(site, server)
        leaver.socket.close()
        say_goodbye(polite.socket)
        wait_until(lambda: viewers_of(site, server) == before - 2, 5, "their sockets' end")
        task.emit("page", 1)
        viewer.until(b"event: page")
        end(task)
        assert viewer.until(LAST_CHUNK).count(b'"finished"') == 1


def say_goodbye(viewer: ssl.SSLSocket) -> None:
    """Close it as TLS wants it: the server has something to read that is not the end."""
    viewer.settimeout(0)
    with suppress(OSError):
        viewer.unwrap()
    viewer.close()


def test_the_stream_worker_ends_those_that_a_generator_serves(web: Start, task: Attempt) -> None:
    site = web(STREAM_WORKER)
    with ExitStack() as stack:
        viewers = [stack.enter_context(Raw(site.port, path(task), ANYBODY)) for _ in range(5)]
        for viewer in viewers:
            viewer.until(b'"snapshot"')
        site.signal(signal.SIGTERM)
        for viewer in viewers:
            assert FAREWELL.search(viewer.until(LAST_CHUNK)), viewer.said
        assert site.wait(SOON) == 0


# -- HTTP/2 ----------------------------------------------------------------------------------------


class Viewer:
    """One that speaks HTTP/2, on a connection of its own."""

    def __init__(self, port: int, task: Attempt, stack: ExitStack) -> None:
        self.client = stack.enter_context(httpx.Client(http2=True, verify=ANYBODY, timeout=15))
        url = f"https://{HOST}:{port}"
        self.health = f"{url}/healthz"
        self.answer = stack.enter_context(self.client.stream("GET", url + path(task)))
        assert (self.answer.http_version, self.answer.status_code) == ("HTTP/2", 200)
        self.said = b""
        self._chunks = self.answer.iter_raw()

    def until(self, wanted: bytes) -> None:
        while wanted not in self.said:
            self.said += next(self._chunks)

    def rest(self) -> bytes:
        return self.said + b"".join(self._chunks)


@pytest.mark.parametrize("worker", WORKERS)
def test_over_http_2_a_generator_serves_the_same(
    web: Start, server: RedisServer, task: Attempt, worker: str
) -> None:
    site = web(worker)
    with ExitStack() as stack:
        viewer, leaver = (Viewer(site.port, task, stack) for _ in range(2))
        for each in (viewer, leaver):
            each.until(b'"snapshot"')
        before = viewers_of(site, server)
        leaver.client.close()
        wait_until(lambda: viewers_of(site, server) == before - 1, 5, "its socket's end")
        for n in range(3):
            task.emit("page", n)
            viewer.until(b'"data":%d' % n)
        end(task)
        told = identified(told_of(Parser().feed(viewer.rest())))
        assert [each.type for each in told] == ["snapshot", *["emitted"] * 3, "finished"]
        assert_unbroken(told[1:], after=told[0].seq)
        assert viewer.client.get(viewer.health).http_version == "HTTP/2"
        assert site.log.count("one after another") == 1


def test_the_stream_worker_ends_streams_over_http_2(web: Start, task: Attempt) -> None:
    site = web(STREAM_WORKER)
    with ExitStack() as stack:
        viewers = [Viewer(site.port, task, stack) for _ in range(3)]
        for viewer in viewers:
            viewer.until(b'"snapshot"')
        site.signal(signal.SIGTERM)
        for viewer in viewers:
            assert re.search(rb"\nretry: \d+\n\Z", viewer.rest())
        assert site.wait(SOON) == 0


def test_behind_a_proxy_that_speaks_http_2_other_requests_do_not_wait_for_a_stream(
    server: RedisServer, task: Attempt, certificate: tuple[str, str]
) -> None:
    with (
        Web(server.url, app=APP) as site,
        Nginx(site, certificate=certificate) as nginx,
        ExitStack() as stack,
    ):
        viewers = [Viewer(nginx.port, task, stack) for _ in range(2)]
        for n, viewer in enumerate(viewers):
            viewer.until(b'"snapshot"')
            assert viewer.client.get(viewer.health).http_version == "HTTP/2"
            task.emit("page", n)
            viewer.until(b'"data":%d' % n)
        before = viewers_of(site, server)
        viewers[0].client.close()
        wait_until(lambda: viewers_of(site, server) == before - 1, 5, "its socket's end")
        end(task)
        assert viewers[1].rest().count(b'"finished"') == 1
