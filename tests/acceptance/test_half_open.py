"""Viewers whose host is gone: nothing says so, and nothing they are sent is ever acknowledged."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from headway.attempts import Attempt
from headway.events import Subject
from headway.keys import key
from headway.publisher import Publisher
from tests import proc
from tests.processes import RedisServer, Web, wait_until
from tests.reporting import end, tasks_of
from tests.watching import Watch, assert_unbroken, identified

TCP_MD5SIG = 14  # Linux


Tasks = Callable[[], Attempt]


@pytest.fixture
def tasks(publisher: Publisher) -> Iterator[Tasks]:
    with tasks_of(publisher) as begin:
        yield begin


def vanish(viewer: socket.socket) -> None:
    """From now on the system drops, without a word, what it is sent, and its peer what it sends: it has agreed
    upon signatures (RFC 2385) with itself alone. Needs no privilege.
    """
    host, port = viewer.getpeername()
    peer = struct.pack(
        "=H2s4s120x", socket.AF_INET, struct.pack("!H", port), socket.inet_aton(host)
    )
    secret = struct.pack("=BBHi80s", 0, 0, 6, 0, b"secret")
    try:
        viewer.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, peer + secret)
    except OSError as error:
        pytest.skip(f"this system cannot let a connection vanish: {error}")


def sockets(site: Web, server: RedisServer) -> int:
    """All but those to Redis, which come and go."""
    (worker,) = proc.children(site.pid)
    return len(proc.sockets(worker) - proc.tcp_connections(server.port))


@pytest.mark.parametrize("wrapped", ["", "1"], ids=["written", "generated"])
def test_one_who_is_sent_but_heartbeats_is_gone_soon_after_its_host_and_all_it_held_is_free(
    server: RedisServer, tasks: Tasks, wrapped: str
) -> None:
    shared, own = tasks(), tasks()
    said = {"HEADWAY_HEARTBEAT": "0.5", "HEADWAY_WRITE_DEADLINE": "2", "WRAPPED": wrapped}
    with Web(server.url, app="tests.acceptance.spread:app", env=said) as site, ExitStack() as stack:

        def watch(attempt: Attempt) -> Watch:
            path = f"/headway/tasks/{attempt.execution.task}/events"
            viewer = stack.enter_context(Watch(site.url + path))
            viewer.until_type("snapshot")
            return viewer

        staying = watch(shared)
        before = sockets(site, server)
        cut_off = [watch(shared), watch(own)]
        assert sockets(site, server) == before + 2
        for viewer in cut_off:
            vanish(viewer.socket)
        wait_until(lambda: sockets(site, server) == before, 15, "their sockets' end")
        channel = key(Subject("task", own.execution.task))
        wait_until(
            lambda: server.cli("PUBSUB", "NUMSUB", channel)[1] == 0, what="its subscription's end"
        )
        for n in range(3):
            shared.emit("page", n)
        end(shared)
        told = identified(staying.rest())
        assert [each.type for each in told] == ["snapshot", *["emitted"] * 3, "finished"]
        assert_unbroken(told[1:], after=told[0].seq)
