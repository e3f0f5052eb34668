"""What becomes of a stream's socket under gunicorn's gevent worker: taken from the request, given to the writer."""

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from headway.publisher import Publisher
from tests import proc
from tests.processes import HOST, RedisServer, Web, wait_until
from tests.reporting import begin, end
from tests.watching import FAREWELL, LAST_CHUNK, Raw, Watch, identified

WORKERS = ["gevent", "headway.gunicorn.StreamWorker"]
SOON = 15  # seconds: half of gunicorn's graceful timeout. It takes three on a machine with time to spare


@pytest.fixture
def task(publisher: Publisher) -> Iterator[str]:
    """One that runs, and that the journal knows."""
    attempt = begin()
    assert publisher.flush(10)
    yield attempt.execution.task
    end(attempt)


Start = Callable[..., Web]


@pytest.fixture
def web(server: RedisServer) -> Iterator[Start]:
    """Start the site: `web("gevent", "--access-logfile", "-", HEADWAY_IDLE=1)`."""
    with ExitStack() as stack:

        def start(worker: str, *args: str, **env: object) -> Web:
            said = {name: str(value) for name, value in env.items()}
            site = Web(server.url, worker, app="tests.acceptance.handed:app", args=args, env=said)
            return stack.enter_context(site)

        yield start


@pytest.fixture
def watching(task: str) -> Iterator[Callable[..., list[Raw]]]:
    """Viewers of the task who have had its snapshot."""
    path = f"/own/{task}/stream"
    with ExitStack() as stack:

        def start(site: Web, count: int = 1) -> list[Raw]:
            viewers = [stack.enter_context(Raw(site.port, path)) for _ in range(count)]
            for viewer in viewers:
                viewer.until(b'"snapshot"')
            return viewers

        yield start


Watching = Callable[..., list[Raw]]


def sockets(web: Web) -> int:
    (worker,) = proc.children(web.pid)
    return len(proc.sockets(worker))


# -- the request -----------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", WORKERS)
def test_the_request_is_torn_down_before_the_first_byte(web: Start, task: str, worker: str) -> None:
    site = web(worker)
    viewers = [Raw(site.port, f"/own/{task}/stream") for _ in range(3)]
    for viewer in viewers:
        viewer.until(b"HTTP/1.1 200 OK")
        with Watch(f"{site.url}/sessions") as open_sessions:
            left = int(open_sessions.answer.read())
        assert left <= len(viewers) - 1 - viewers.index(viewer)
        viewer.until(b'"snapshot"')
        viewer.socket.close()


@pytest.mark.parametrize("worker", WORKERS)
def test_streams_take_no_place_from_requests(web: Start, watching: Watching, worker: str) -> None:
    site = web(worker, "--worker-connections", "4")
    viewers = watching(site, 12)
    with Watch(f"{site.url}/healthz", seconds=3) as health:
        assert health.status == 200
    assert all(LAST_CHUNK not in viewer.said for viewer in viewers)


def test_a_middleware_keeps_the_socket_from_the_writer_and_the_stream_from_nobody(
    web: Start, watching: Watching
) -> None:
    """What wraps `start_response` may want to see the body: on gunicorn's own worker a generator serves."""
    (viewer,) = watching(web("gevent", WRAPPED=1))
    assert b"Connection: keep-alive" in viewer.said


def test_a_middleware_is_no_matter_on_the_stream_worker(web: Start, watching: Watching) -> None:
    site = web("headway.gunicorn.StreamWorker", "--worker-connections", "4", WRAPPED=1)
    viewers = watching(site, 8)
    assert all(b"Connection: close" in viewer.said for viewer in viewers)


@pytest.mark.parametrize("worker", WORKERS)
def test_the_access_log_has_one_line_per_stream_when_it_has_ended(
    web: Start, watching: Watching, task: str, worker: str
) -> None:
    form = '%(m)s "%(U)s" %(s)s %(b)s bytes in %(L)s s'
    site = web(worker, "--access-logfile", "-", "--access-logformat", form)
    (viewer,) = watching(site)
    with Watch(f"{site.url}/sessions"):
        pass
    wait_until(lambda: "/sessions" in site.log, what="another request's line")
    line = re.compile(rf'GET "/own/{task}/stream" 200 (\d+) bytes in (\d+\.\d+) s')
    assert not line.search(site.log)
    viewer.socket.close()
    wait_until(lambda: line.search(site.log), what="its line")
    (sent, seconds) = line.findall(site.log)[0]
    assert len(line.findall(site.log)) == 1
    assert int(sent) == len(viewer.said)
    assert 0 < float(seconds) < 60


SERVED = [("gevent", ""), ("headway.gunicorn.StreamWorker", ""), ("gevent", "1")]
HOW = ["taken", "taken too", "generated"]


@pytest.mark.parametrize(("worker", "wrapped"), SERVED, ids=HOW)
def test_whoever_counts_streams_is_told_of_each_when_it_has_ended(
    web: Start, watching: Watching, worker: str, wrapped: str
) -> None:
    site = web(worker, WRAPPED=wrapped)
    told = re.compile(r"a stream of (\d+) bytes in (\d+\.\d+) s")
    for count in (1, 2):  # a receiver that fails is no matter to the next stream
        (viewer,) = watching(site)
        assert len(told.findall(site.log)) == count - 1
        viewer.socket.close()
        wait_until(lambda count=count: len(told.findall(site.log)) == count, what="its end")
        sent, seconds = told.findall(site.log)[-1]
        assert 0 < float(seconds) < 60
        (_, _, body) = viewer.said.partition(b"\r\n\r\n")
        assert abs(int(sent) - len(body)) <= len(viewer.said) - len(body)  # it may count the head
    assert "stream_ended failed" in site.log


# -- what else clients do --------------------------------------------------------------------------


@pytest.mark.parametrize(("worker", "wrapped"), SERVED, ids=HOW)
def test_whatever_else_a_viewer_says_it_is_told_what_happens(
    web: Start, publisher: Publisher, worker: str, wrapped: str
) -> None:
    """Keep a connection, send more behind the request or with it, or be old: all are told what happens."""
    attempt = begin()
    assert publisher.flush(10)
    site, path = web(worker, WRAPPED=wrapped), f"/own/{attempt.execution.task}/stream"
    line = f"GET {path} HTTP/1.1\r\nHost: test\r\n"
    head = f"HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n"
    with ExitStack() as stack:

        def ask(*requests: str) -> Raw:
            return stack.enter_context(Raw(site.port, path, request="".join(requests)))

        kept = ask(head)
        assert kept.until(b"\r\n\r\n").endswith(b"\r\n\r\n")
        assert b"Connection: keep-alive" in kept.said
        kept.socket.sendall(f"{line}\r\n".encode())
        behind = ask(f"{line}\r\n" * 3, "x" * 100_000)
        with_body = ask(f"{line}Content-Length: 100000\r\n\r\n", "x" * 100_000)
        old = ask(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        chunked = [kept, behind, with_body]
        for viewer in (*chunked, old):
            viewer.until(b'"snapshot"')
            viewer.socket.sendall(b"unasked")
        attempt.emit("page", 1)
        for viewer in (*chunked, old):
            viewer.until(b"event: page")
        end(attempt)
        for viewer in chunked:
            viewer.until(LAST_CHUNK)
        old.until(b'"finished"')
    assert [viewer.said.count(b"event: page") for viewer in (*chunked, old)] == [1] * 4
    head, _, body = old.said.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"\r\n" not in body


def test_a_proxy_on_the_same_host_may_come_by_a_unix_socket(
    web: Start, task: str, tmp_path: Path
) -> None:
    address = str(tmp_path / "socket")
    web("gevent", "-b", f"unix:{address}")
    with socket.socket(socket.AF_UNIX) as proxy:
        proxy.settimeout(15)
        proxy.connect(address)
        proxy.sendall(f"GET /own/{task}/stream HTTP/1.0\r\n\r\n".encode())
        said = b""
        while b'"snapshot"' not in said:
            said += proxy.recv(65536) or pytest.fail(f"it ended without a snapshot: {said!r}")
    assert b"Connection: close" in said


def test_one_who_leaves_behind_what_it_said_unasked_is_noticed_at_once(
    web: Start, publisher: Publisher
) -> None:
    attempt = begin()
    assert publisher.flush(10)
    site, path = web("gevent", WRAPPED=1), f"/own/{attempt.execution.task}/stream"
    with Raw(site.port, path) as viewer, Raw(site.port, path) as staying:
        for each in (viewer, staying):
            each.until(b'"snapshot"')
        before = sockets(site)
        viewer.socket.sendall(b"unasked")
        attempt.emit("page", 1)
        viewer.until(b"event: page")  # by now it has been heard
        viewer.socket.close()
        wait_until(lambda: sockets(site) == before - 1, 5, "its socket's end before any heartbeat")
        end(attempt)
        staying.until(b'"finished"')


# -- viewers who do not read -----------------------------------------------------------------------


def test_viewers_who_never_read_cost_bounded_memory_and_are_gone(
    web: Start, publisher: Publisher
) -> None:
    attempt = begin()
    assert publisher.flush(10)
    task = attempt.execution.task
    site = web("gevent", HEADWAY_WRITE_DEADLINE=3)
    (worker,) = proc.children(site.pid)
    with Watch(f"{site.url}/own/{task}/stream") as reader, ExitStack() as stack:
        reader.until_type("snapshot")
        before = resident(worker)
        count = 40
        for _ in range(count):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((HOST, site.port))
            deaf.sendall(f"GET /own/{task}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: len(proc.sockets(worker)) > count, what="their sockets")
        for n in range(300):
            attempt.emit("page", {"n": n, "text": "x" * 30_000})
            assert publisher.flush(10)
        reader.until(lambda told: told.type == "emitted" and told.data["data"]["n"] == 299)
        # What all of them share: the ring, and what was read of Redis. A queue each would be 360 MB.
        assert resident(worker) - before < 90 * 2**20
        wait_until(lambda: len(proc.sockets(worker)) < count, 15, "their end")
        end(attempt)
        assert [each.seq for each in identified(reader.rest())][-1] == 302


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# -- the end of the process ------------------------------------------------------------------------


@pytest.mark.parametrize("worker", WORKERS)
def test_at_its_end_every_stream_is_whole_and_viewers_come_back_spread(
    web: Start, watching: Watching, worker: str
) -> None:
    site = web(worker)
    viewers = watching(site, 200)
    site.signal(signal.SIGTERM)
    farewells = [FAREWELL.search(viewer.rest()) for viewer in viewers]
    assert site.wait(SOON) == 0
    retries = [int(found[1]) for found in farewells if found]
    assert len(retries) == 200
    assert len(set(retries)) > 100
    assert min(retries) >= 1000


@pytest.mark.parametrize("worker", WORKERS)
def test_a_reload_ends_the_old_streams_and_the_new_process_serves_them(
    web: Start, watching: Watching, worker: str
) -> None:
    site = web(worker)
    (viewer,) = watching(site)
    site.signal(signal.SIGHUP)
    assert FAREWELL.search(viewer.rest())
    assert len(watching(site)) == 1


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_that_has_had_its_requests_ends_its_streams(
    web: Start, watching: Watching, worker: str
) -> None:
    site = web(worker, "--max-requests", "3")
    (viewer,) = watching(site)
    for _ in range(5):
        with suppress(OSError), Watch(f"{site.url}/healthz", seconds=5):
            pass
    assert FAREWELL.search(viewer.rest())


# -- a full house ----------------------------------------------------------------------------------


def test_a_full_house_asks_to_come_back_and_answers_everything_else(
    web: Start, watching: Watching, task: str
) -> None:
    site = web("gevent", HEADWAY_MOST_VIEWERS=5)
    viewers = watching(site, 5)
    for _ in range(3):
        with Watch(f"{site.url}/own/{task}/stream") as refused:
            assert refused.status == 200
            assert refused.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert refused.rest() == []
            assert (refused.parser.retry_ms or 0) >= 3000
    with Watch(f"{site.url}/healthz", seconds=3) as health:
        assert health.status == 200
    viewers[0].socket.close()
    wait_until(lambda: served(site, task), 5, "the place that was left")


def served(site: Web, task: str) -> bool:
    with Watch(f"{site.url}/own/{task}/stream") as watch:
        return watch.read() != b"" and b":heartbeat" in watch.raw
