"""The proxy does to a connection what it says, and nothing else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from tests.chaos.proxy import Proxy
from tests.chaos.shapes import byte_by_byte, late, only
from tests.processes import HOST, wait_until


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it hears."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=[connection], daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    while said := connection.recv(65536):
                        connection.sendall(said)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def say(connection: socket.socket, said: bytes) -> bytes:
    """Send it, and read as many bytes, or what comes until the end."""
    connection.sendall(said)
    heard = b""
    while len(heard) < len(said) and (more := connection.recv(65536)):
        heard += more
    return heard


def test_nothing_is_changed_unless_it_is_told_to(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert say(connection, b"x" * 1_000_000) == b"x" * 1_000_000


def test_a_line_is_reset(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        say(connection, b"hello")
        assert proxy.cut(reset=True) == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_line_is_cut(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        say(connection, b"hello")
        assert proxy.cut() == 1
        assert connection.recv(1) == b""


def test_a_frozen_line_is_silent_and_thaws(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        say(connection, b"hello")
        proxy.freeze()
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            say(connection, b"anybody?")
        connection.settimeout(5)
        proxy.thaw()
        assert connection.recv(100) == b"anybody?"


def test_a_frozen_line_does_not_say_that_its_other_end_is_gone(proxy: Proxy, echo: int) -> None:
    with connect(proxy) as connection:
        say(connection, b"hello")
        proxy.freeze()
        connection.close()
        assert len(proxy.lines) == 1
        proxy.cut()
        wait_until(lambda: not proxy.lines, what="the end of the line")


def test_nobody_is_let_through_while_it_refuses(proxy: Proxy) -> None:
    proxy.refusing = True
    with pytest.raises(ConnectionResetError), connect(proxy) as connection:
        connection.recv(1)


@pytest.mark.parametrize("count", [1, 7, 11])
def test_a_line_ends_after_so_many_bytes(proxy: Proxy, count: int) -> None:
    proxy.shaping = lambda _: only(count)
    with connect(proxy) as connection:
        assert say(connection, b"hello, world") == b"hello, world"[:count]


@pytest.mark.parametrize("shape", [byte_by_byte(5), byte_by_byte(100), late(0.01)])
def test_shapes_change_no_byte(proxy: Proxy, shape: object) -> None:
    proxy.shaping = lambda _: shape  # type: ignore[assignment,return-value]
    with connect(proxy) as connection:
        assert say(connection, b"hello, world") == b"hello, world"
        assert say(connection, b"again") == b"again"


def test_published_messages_are_lost_and_all_else_is_heard(redis_url: str) -> None:
    with (
        redis.Redis.from_url(redis_url) as speaker,
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        redis.Redis.from_url(proxy.redis_url, protocol=2) as client,
        closing(client.pubsub()) as listener,
    ):
        listener.subscribe("a", "b")
        assert [listener.get_message(timeout=5)["type"] for _ in "ab"] == ["subscribe"] * 2
        proxy.losing = lambda message: b"$1\r\na\r\n" in message
        speaker.publish("a", "lost")
        speaker.publish("b", "heard")
        assert listener.get_message(timeout=5)["data"] == b"heard"
        assert proxy.lost == 1


def test_the_reply_to_a_script_is_lost_and_the_script_has_run(redis_url: str) -> None:
    with (
        redis.Redis.from_url(redis_url) as speaker,
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        redis.Redis.from_url(proxy.redis_url, protocol=2, retry=None) as client,
    ):
        sha = speaker.script_load("return redis.call('INCR', 'lost-reply')")
        proxy.mute_replies = 1
        with pytest.raises(redis.ConnectionError):
            client.evalsha(sha, 0)
        assert speaker.get("lost-reply") == b"1"
        assert client.evalsha(sha, 0) == 2
