"""What ends a stream besides its task, and what keeps it alive. Each with a web process set for it."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from headway.journal import Journal
from tests import proc
from tests.acceptance.puppets import Puppet, Puppets
from tests.processes import RedisServer, Web, wait_until
from tests.producers import Producer, execution, started
from tests.watching import Told, Watch, assert_unbroken, identified

HEARTBEAT = 0.3


@pytest.fixture(scope="module")
def troupe(server: RedisServer) -> Iterator[Puppets]:
    bounds = {"HEADWAY_LOG_ENTRIES": "2000", "HEADWAY_LOG_BYTES": "50000000"}
    with Puppets(server.url, env=bounds) as troupe:
        yield troupe


@pytest.fixture
def puppets(troupe: Puppets) -> Iterator[Puppets]:
    yield troupe
    troupe.free()


@pytest.fixture
def web(server: RedisServer) -> Iterator[Callable[..., Web]]:
    """Start a web process with settings: `web(idle=1)`."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            Web(
                server.url,
                env={f"HEADWAY_{name.upper()}": str(value) for name, value in settings.items()},
            )
        )


Start = Callable[..., Web]


def url(web: Web, puppet: Puppet) -> str:
    return f"{web.url}/headway/tasks/{puppet.id}/events"


def sockets(web: Web) -> int:
    """How many the worker of this gunicorn holds."""
    (worker,) = proc.children(web.pid)
    return len(proc.sockets(worker))


def settled_sockets(web: Web) -> int:
    """How many it holds without viewers: its connections to Redis are opened as they are needed."""
    counts: list[int] = []

    def same() -> bool:
        counts.append(sockets(web))
        return counts[-3:] == [counts[-1]] * 3

    wait_until(same, what="a steady number of sockets")
    return counts[-1]


# -- signs of life ---------------------------------------------------------------------------------


def test_a_quiet_stream_says_comment_lines_that_are_no_events(puppets: Puppets, web: Start) -> None:
    puppet = puppets.start()
    with Watch(url(web(heartbeat=HEARTBEAT), puppet)) as watch:
        watch.until_type("snapshot")
        quiet = len(watch.raw)
        watch.until_raw(lambda raw: raw[quiet:].count(b":\n") >= 4)
        assert set(watch.raw[quiet:]) == set(b":\n")
        assert b"\n\n" not in watch.raw[quiet:]
        seen = len(watch.seen)
        puppet.end()
        watch.rest()
    assert watch.raw.startswith(b"retry:")
    assert b"\n:heartbeat 0.3\n" in watch.raw[:40]
    assert [each.type for each in watch.seen[seen:]] == ["finished"]


def test_heartbeats_come_in_their_time_and_not_more_often(puppets: Puppets, web: Start) -> None:
    puppet = puppets.start()
    with Watch(url(web(heartbeat=HEARTBEAT), puppet)) as watch:
        watch.until_type("snapshot")
        watch.read()
        start = time.monotonic()
        for _ in range(5):
            assert watch.read() == b":\n"
        # The first may have been on its way while this process was kept from reading.
        assert 4 * HEARTBEAT - 0.1 <= time.monotonic() - start <= 5 * HEARTBEAT + 5


def test_a_stream_that_speaks_needs_no_heartbeat(puppets: Puppets, web: Start) -> None:
    puppet = puppets.start()
    with Watch(url(web(heartbeat=1.5), puppet)) as watch:
        watch.until_type("snapshot")
        for n in range(12):
            puppet.emit("token", n)
            watch.until(lambda told, n=n: told.type == "emitted" and told.data["data"] == n)
        puppet.end()
        watch.rest()
    assert b"\n:\n" not in watch.raw


# -- ends that are not the task's ------------------------------------------------------------------


def assert_closed_to_be_continued(watch: Watch, after: bytes) -> None:
    """The last bytes say when to come back, and are no event."""
    assert watch.ended
    assert re.fullmatch(rb"(:\n)*retry: [123]\d{3}\n+", watch.raw[len(after) :])


def test_a_stream_without_events_is_closed_and_its_viewer_comes_back_by_cursor(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    site = web(idle=1)
    with Watch(url(site, puppet)) as watch:
        snapshot = watch.until_type("snapshot")
        told = watch.raw
        start = time.monotonic()
        watch.rest()
        assert 0.8 <= time.monotonic() - start <= 3
        assert_closed_to_be_continued(watch, told)
    puppet.emit("token", 1).said(2)
    with Watch(url(site, puppet), watch.parser.last_id) as watch:
        watch.until_type("emitted")
        puppet.end()
        assert [each.seq for each in identified(watch.rest())] == [
            snapshot.seq + 1,
            snapshot.seq + 2,
        ]


def test_heartbeats_do_not_keep_an_idle_stream_open(puppets: Puppets, web: Start) -> None:
    puppet = puppets.start()
    with Watch(url(web(idle=1, heartbeat=0.2), puppet)) as watch:
        watch.until_type("snapshot")
        told = watch.raw
        watch.rest()
    assert_closed_to_be_continued(watch, told)
    assert watch.raw[len(told) :].count(b":\n") >= 2


def test_an_old_stream_is_closed_although_it_speaks_and_goes_on_where_it_was(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    site = web(lifetime=1)
    told, last, streams = [], None, 0
    while streams < 3:
        with Watch(url(site, puppet), last) as watch:
            start = time.monotonic()
            while watch.read():
                puppet.emit("token")
                time.sleep(0.05)  # a pace, not a wait: it never falls silent
            assert 0.5 <= time.monotonic() - start <= 3
            assert watch.parser.retry_ms
            told += identified(watch.seen)
            last, streams = watch.parser.last_id, streams + 1
    puppet.end()
    with Watch(url(site, puppet), last) as watch:
        told += identified(watch.rest())
    assert [each.type for each in told].count("snapshot") == 1
    assert_unbroken(told[1:], after=told[0].seq)
    assert told[-1].type == "finished"


# -- viewers who leave, or do not read -------------------------------------------------------------


def test_a_viewer_who_leaves_frees_its_place_at_once(puppets: Puppets, web: Start) -> None:
    puppet = puppets.start()
    site = web()
    with Watch(url(site, puppet)) as watch:
        watch.until_type("snapshot")
    before = settled_sockets(site)
    watches = [Watch(url(site, puppet)) for _ in range(20)]
    for watch in watches:
        watch.until_type("snapshot")
    wait_until(lambda: sockets(site) == before + 20, what="a socket for each viewer")
    for watch in watches[:19]:
        watch.close()
    wait_until(lambda: sockets(site) == before + 1, 1, "their sockets' end before any heartbeat")
    puppet.emit("token", 1)
    watches[19].until_type("emitted")
    watches[19].close()


def test_a_viewer_who_resets_its_connection_frees_its_place_at_once(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    site = web()
    with Watch(url(site, puppet)) as watch:
        watch.until_type("snapshot")
    before = settled_sockets(site)
    watch = Watch(url(site, puppet))
    watch.until_type("snapshot")
    linger = b"\1\0\0\0\0\0\0\0"  # on, for no time: close resets
    watch.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    watch.close()
    wait_until(lambda: sockets(site) == before, 1, "its socket's end")


def test_a_viewer_who_goes_on_sending_is_served_like_any_other(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    with Watch(url(web(), puppet)) as watch:
        watch.until_type("snapshot")
        watch.socket.sendall(b"x" * 1000)
        puppet.emit("token", 1)
        watch.until_type("emitted")
        puppet.end()
        assert watch.rest()[-1].type == "finished"


class Deaf:
    """A viewer who asks and never reads."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())


def test_a_viewer_who_does_not_read_is_gone_and_nobody_else_notices(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    site = web(write_deadline=1)
    with Watch(url(site, puppet)) as watch:
        watch.until_type("snapshot")
        before = settled_sockets(site)
        deaf = [Deaf(url(site, puppet)) for _ in range(3)]
        wait_until(lambda: sockets(site) == before + 3, what="a socket for each of them")
        count = 200
        puppet.do("emit_many", "token", 50_000, count)  # more than all buffers on the way take
        watch.until(lambda told: told.type == "emitted" and told.data["data"]["n"] == count - 1)
        assert_unbroken(identified(watch.seen)[1:], after=1)
        wait_until(lambda: sockets(site) == before, 5, "their end")
        puppet.end()
        assert watch.rest()[-1].type == "finished"
    for each in deaf:
        each.socket.close()


def told_slowly(site: Web, puppet: Puppet, events: int) -> list[Told]:
    """What a viewer is told who begins to read when everything is over."""
    with Watch(url(site, puppet), receive_buffer=65536) as slow:
        slow.until_type("snapshot")
        for said in range(0, events, 300):  # its worker would not keep more for Redis at once
            puppet.do("emit_many", "token", 10_000, 300).said(said + 300)
        puppet.end()
        with Watch(url(site, puppet)) as late:  # the web process has heard it all, too
            assert identified(late.rest())[-1].id == puppet.ids()[-1]
        return identified(slow.rest())


def test_a_viewer_who_reads_slowly_is_served_from_the_journal_and_misses_nothing(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    told = told_slowly(web(write_deadline=60), puppet, 1500)
    assert_unbroken(told[1:], after=told[0].seq)
    assert told[-1].type == "finished"


def test_a_viewer_who_reads_too_slowly_is_told_what_is_missing(
    puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    told = told_slowly(web(write_deadline=60), puppet, 3000)
    at = next(n for n, each in enumerate(told) if n and each.type == "snapshot")
    before, snapshot, after = told[:at], told[at], told[at + 1 :]
    assert_unbroken(before[1:], after=before[0].seq)
    assert_unbroken(after, after=snapshot.seq)
    assert snapshot.data["gap"]["reason"] == "trimmed"
    assert snapshot.data["gap"]["first"] == before[-1].seq + 1
    assert told[-1].id == puppet.ids()[-1]


# -- history that is taken away ---------------------------------------------------------------------


def forget(server: RedisServer, task: str) -> None:
    """Take its journal from Redis."""
    server.cli("DEL", *(f"headway:t:{{{task}}}:{part}" for part in ("state", "log")))


def begin(server: RedisServer, task: str) -> None:
    """Have it begun by somebody who is not there any more."""
    journal = Journal(server.url, timeout=5)
    Producer(journal, execution("n", task=task)).say(started(task=task))


def test_a_journal_that_vanishes_with_its_producer_is_told_as_a_loss_and_ends_the_stream(
    server: RedisServer, web: Start
) -> None:
    begin(server, "gone")
    events = f"{web().url}/headway/tasks/gone/events"
    with Watch(events) as watch:
        watch.until_type("snapshot")
        forget(server, "gone")
        told = watch.rest()
        assert watch.parser.retry_ms
    assert told[-1].type == "snapshot"
    assert told[-1].id is None
    assert told[-1].data["gap"]["reason"] == "fork"
    assert told[-1].data["state"]["confirmed"] is False
    with Watch(events, watch.parser.last_id) as watch:
        assert watch.status == 404  # a plain client stops here


def test_a_journal_that_vanishes_while_its_task_speaks_is_written_again_and_nobody_notices(
    server: RedisServer, puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start().emit("token", 1).said(2)
    with Watch(url(web(), puppet)) as watch:
        watch.until_type("snapshot")
        forget(server, puppet.id)
        puppet.emit("token", 2)
        watch.until_type("emitted")
        puppet.end()
        told = identified(watch.rest())
    assert [each.type for each in told] == ["snapshot", "emitted", "finished"]
    assert [each.id for each in told] == puppet.ids()[1:]


def test_another_history_under_the_same_id_is_told_as_a_loss(
    server: RedisServer, puppets: Puppets, web: Start
) -> None:
    begin(server, "twice")
    with Watch(f"{web().url}/headway/tasks/twice/events") as watch:
        before = watch.until_type("snapshot")
        forget(server, "twice")
        again = puppets.start(task="twice")
        told = watch.until(lambda told: told.type == "snapshot" and "gap" in told.data)
        assert told[-1].data["gap"]["reason"] == "fork"
        assert told[-1].data["state"]["status"] == "running"
        assert told[-1].id != before.id
        again.end()
        after = identified(watch.rest())
    assert after[-1].id == again.ids()[-1]
    assert after[-1].type == "finished"


# -- Redis away ------------------------------------------------------------------------------------


@pytest.fixture
def kept_redis() -> Iterator[RedisServer]:
    """A Redis that still knows everything when it comes back."""
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


def test_a_stream_opened_while_redis_is_away_says_so_and_tells_the_truth_when_it_is_back(
    kept_redis: RedisServer,
) -> None:
    with Puppets(kept_redis.url, concurrency=1) as puppets:
        puppet = puppets.start().emit("token", 1).end("fine")
    with Web(kept_redis.url, env={"HEADWAY_HEARTBEAT": "0.5"}) as site:
        kept_redis.stop()
        with Watch(url(site, puppet)) as watch:
            assert watch.status == 200
            link = watch.until(lambda told: told.type == "link" and not told.data["live"])[-1]
            assert link.id is None
            assert "snapshot" not in [each.type for each in watch.seen]
            kept_redis.start()
            told = watch.rest()
    (snapshot,) = identified(told)
    assert snapshot.data["state"]["status"] == "succeeded"
    assert snapshot.data["state"]["result"] == "fine"
    assert "gap" not in snapshot.data


def test_a_viewer_is_told_when_redis_goes_and_when_it_is_back(kept_redis: RedisServer) -> None:
    with Puppets(kept_redis.url, concurrency=1) as puppets, Web(kept_redis.url) as site:
        puppet = puppets.start()
        with Watch(url(site, puppet)) as watch:
            watch.until_type("snapshot")
            kept_redis.stop()
            watch.until(lambda told: told.type == "link" and not told.data["live"])
            down = len(watch.seen)
            kept_redis.start()
            watch.until(lambda _: watch.seen[down:] and watch.seen[-1].type == "link")
            assert watch.seen[-1].data["live"] is True
            assert identified(watch.seen[1:]) == []  # nothing happened, nothing is said


def test_a_redis_that_hangs_keeps_no_viewer_waiting_for_the_first_bytes(
    server: RedisServer, puppets: Puppets, web: Start
) -> None:
    puppet = puppets.start()
    site = web(heartbeat=0.5)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with Watch(url(site, puppet)) as watch:
            assert watch.status == 200
            watch.read()
            assert time.monotonic() - start < 4
            watch.until(lambda told: told.type == "link" and not told.data["live"])
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_the_state_cannot_be_told_while_redis_is_away_and_its_address_never(
    kept_redis: RedisServer,
) -> None:
    with Web(kept_redis.url) as site:
        kept_redis.stop()
        with Watch(f"{site.url}/headway/tasks/t1") as watch:
            assert watch.status == 503
            assert watch.headers["Content-Type"] == "application/problem+json"
            problem = watch.json()
    assert "Redis" in problem["detail"]
    assert str(kept_redis.port) not in str(problem)
