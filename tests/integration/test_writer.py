"""One writer and real sockets: who is sent what, when some of them do not read."""

import itertools
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from msgspec.structs import replace

from headway.hub import Hub
from headway.journal import Journal
from headway.settings import WebSettings
from headway.streams import Stream
from headway.writer import Writer
from tests.eventstream import Parser
from tests.processes import wait_until
from tests.producers import TASK, Producer, execution, said, stage, started
from tests.watching import Told, assert_unbroken, identified, told_of

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="the writer needs epoll")
SETTINGS = WebSettings(redis_url="redis://nowhere", heartbeat=60)
SMALL = 4096  # bytes of a socket's buffer, or as few as the system lets it have


class Loop:
    """Turns happen when the test says so, and what waits is done between them."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.poll = select.epoll()
        self.writer = Writer(self)
        self._work: list[Callable[[], None]] = []

    def wake(self) -> None: ...

    def pause(self) -> None: ...

    def spawn(self, work: Callable[..., None], *args: object) -> None:
        self._work.append(lambda: work(*args))

    def turn(self) -> None:
        with self.hub.lock:  # the hub has threads here, and news would come in the middle
            self.writer.hear()
            self.writer.turn()
        while self._work:
            self._work.pop()()


class Viewer:
    def __init__(
        self, loop: Loop, *, chunked: bool = False, settings: WebSettings = SETTINGS
    ) -> None:
        self.loop = loop
        self.socket, theirs = socket.socketpair()
        theirs.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        self.socket.setblocking(False)
        self.raw = b""
        self.seen: list[Told] = []
        self.gone = False
        self._parser = Parser()
        stream = Stream(loop.hub, {TASK: None}, settings)
        stream.open()
        loop.writer.add(stream, theirs, b"", chunked, self._leave)

    def _leave(self, since: float, sent: int) -> None:
        self.gone = True

    def read(self) -> None:
        while True:
            try:
                some = self.socket.recv(65536)
            except BlockingIOError:
                return
            if not some:
                return
            self.raw += some
            self.seen += told_of(self._parser.feed(some))

    def reads_until(self, condition: Callable[[], object]) -> None:
        def met() -> object:
            self.loop.turn()
            self.read()
            return condition()

        wait_until(met, what="what it is to be sent")

    def last_seq(self) -> int:
        return next((each.seq for each in reversed(self.seen) if each.id), 0)


@pytest.fixture
def producer(journal: Journal) -> Producer:
    producer = Producer(journal, execution("n"))
    producer.say(started())
    return producer


@pytest.fixture
def loop(hub: Hub) -> Iterator[Loop]:
    loop = Loop(hub)
    yield loop
    loop.writer.end()


@pytest.fixture
def viewers(loop: Loop, producer: Producer) -> Iterator[Callable[..., Viewer]]:
    """Viewers who have had their snapshot."""
    with ExitStack() as stack:

        def start(**options: Any) -> Viewer:
            viewer = Viewer(loop, **options)
            stack.enter_context(viewer.socket)
            viewer.reads_until(viewer.last_seq)
            return viewer

        yield start


Viewers = Callable[..., Viewer]


def audiences(hub: Hub) -> int:
    """How many are told separately."""
    with hub.lock:
        return len(hub.attach(TASK, audiences_waker).wakers) - 1


def audiences_waker() -> None: ...


def say(producer: Producer, hub: Hub, count: int, size: int) -> int:
    """Emit so many events, let the hub hear them, and say which was the last."""
    topic = hub.attach(TASK, audiences_waker)
    for n in range(0, count, 20):
        producer.say(*(said("x" * size) for _ in range(min(20, count - n))))
    (last,) = producer.journal.lasts([TASK])
    wait_until(lambda: topic.cursor == last, what="the hub to hear all")
    return int((last or "0").partition("-")[0])


def after_the_snapshot(raw: bytes) -> bytes:
    """What was emitted."""
    return raw.partition(b"event: said")[2]


def test_viewers_in_one_place_are_one_audience_and_are_sent_the_same(
    hub: Hub, producer: Producer, viewers: Viewers
) -> None:
    some = [viewers() for _ in range(5)]
    last = say(producer, hub, 3, 10)
    for viewer in some:
        viewer.reads_until(lambda viewer=viewer: viewer.last_seq() == last)  # type: ignore[misc]
    assert audiences(hub) == 1
    assert len({after_the_snapshot(viewer.raw) for viewer in some}) == 1


def test_chunks_and_bytes_as_they_are_never_mix(
    hub: Hub, producer: Producer, viewers: Viewers
) -> None:
    plain, chunked = viewers(), viewers(chunked=True)
    last = say(producer, hub, 3, 10)
    for viewer in (plain, chunked):
        viewer.reads_until(lambda viewer=viewer: b"id: t/%d-" % last in viewer.raw)  # type: ignore[misc]
    assert audiences(hub) == 2
    assert b"\r\n" not in plain.raw
    rest, whole = chunked.raw, b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) :]
        assert rest.startswith(b"\r\n")
        rest = rest[2:]
    assert after_the_snapshot(whole) == after_the_snapshot(plain.raw)


def test_one_who_stops_reading_leaves_the_others_and_goes_on_at_the_very_byte(
    hub: Hub, producer: Producer, viewers: Viewers
) -> None:
    quick, slow = viewers(), viewers()
    last = 1
    for _ in range(10):
        last = say(producer, hub, 20, 3000)
        quick.reads_until(lambda last=last: quick.last_seq() == last)  # type: ignore[misc]
    assert audiences(hub) == 2
    assert_unbroken(identified(quick.seen)[1:], after=1)
    slow.reads_until(lambda: slow.last_seq() == last)
    assert_unbroken(identified(slow.seen)[1:], after=1)
    say(producer, hub, 1, 10)
    quick.reads_until(lambda: quick.last_seq() == last + 1)
    slow.reads_until(lambda: slow.last_seq() == last + 1)
    assert audiences(hub) == 1


def test_one_who_takes_nothing_is_gone_after_the_write_deadline_and_frees_everything(
    hub: Hub, producer: Producer, viewers: Viewers
) -> None:
    """Here only the writer can tell: there is no TCP that would."""
    settings = replace(SETTINGS, write_deadline=0.5)
    quick, deaf = viewers(settings=settings), viewers(settings=settings)
    begun = time.monotonic()
    for _ in range(10):
        last = say(producer, hub, 20, 3000)
        quick.reads_until(lambda last=last: quick.last_seq() == last)  # type: ignore[misc]
    quick.reads_until(lambda: deaf.gone)
    assert time.monotonic() - begun >= 0.5
    assert audiences(hub) == 1
    assert not quick.gone
    deaf.read()
    assert deaf.socket.recv(1) == b""
    assert_unbroken(identified(quick.seen)[1:], after=1)


def test_one_who_fell_out_of_the_ring_is_served_from_the_journal(
    hub: Hub, producer: Producer, viewers: Viewers
) -> None:
    slow = viewers()
    last = say(producer, hub, 900, 500)
    slow.reads_until(lambda: slow.last_seq() == last)
    assert_unbroken(identified(slow.seen)[1:], after=1)


def test_ticks_that_were_overtaken_are_not_kept_for_who_was_slow(
    hub: Hub, producer: Producer, viewers: Viewers
) -> None:
    """Nothing is lost with them: no gap is told."""
    slow, topic = viewers(), hub.attach(TASK, audiences_waker)
    for n in range(200):
        # Another run each time makes it a transition, which the producer does not leave out.
        producer.say(
            stage("read", status="running", current=n, total=200, runs=n, message="x" * 900)
        )
        slow.loop.turn()
    (last,) = producer.journal.lasts([TASK])
    wait_until(lambda: topic.cursor == last, what="the hub to hear all")
    slow.reads_until(lambda: slow.last_seq() == 201)
    snapshot = next(each for each in slow.seen[1:] if each.type == "snapshot")
    assert "gap" not in snapshot.data
    assert snapshot.data["state"]["stages"][0]["current"] == 199
    assert len(slow.seen) < 150


@pytest.mark.parametrize("seed", range(3))
def test_whoever_reads_however_slowly_misses_nothing_that_was_emitted(
    hub: Hub, producer: Producer, viewers: Viewers, seed: int
) -> None:
    chance, topic = random.Random(seed), hub.attach(TASK, audiences_waker)
    some = [viewers(chunked=False) for _ in range(6)]
    emitted = []
    for n in range(300):
        text = "x" * chance.choice([10, 500, 5000])
        if chance.random() < 0.3:
            emitted.append(f"{n} {text}")
            producer.say(said(emitted[-1]))
        else:
            producer.say(stage("read", status="running", current=n, runs=n, message=text))
        some[0].loop.turn()
        for viewer in some:
            if chance.random() < 0.1:
                viewer.read()
    (last,) = producer.journal.lasts([TASK])
    wait_until(lambda: topic.cursor == last, what="the hub to hear all")
    for viewer in some:
        viewer.reads_until(lambda viewer=viewer: viewer.last_seq() == 301)  # type: ignore[misc]
        told = identified(viewer.seen)
        assert [each.data["data"] for each in told if each.type == "emitted"] == emitted
        for before, after in itertools.pairwise(told):
            assert after.seq == before.seq + 1 or (
                after.type == "snapshot" and after.seq > before.seq
            )
        assert not any("gap" in each.data for each in told)


def test_what_goes_wrong_with_one_stream_ends_that_one_alone(
    hub: Hub, producer: Producer, viewers: Viewers, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = viewers()
    good = viewers(chunked=True)
    (audience,) = {
        each.audience for each in bad.loop.writer._connections.values() if not each.audience.chunked
    }
    monkeypatch.setattr(type(audience.stream), "due", fails_for(audience.stream))
    last = say(producer, hub, 1, 10)
    good.reads_until(lambda: b"id: t/%d-" % last in good.raw)
    assert bad.gone
    assert not good.gone


def fails_for(stream: Stream) -> Callable[[Stream], bytes]:
    due = Stream.due

    def fail(self: Stream) -> bytes:
        if self is stream:
            raise RuntimeError("for the test")
        return due(self)

    return fail


def test_a_viewer_who_has_gone_is_noticed_without_a_word_and_frees_everything(
    hub: Hub, viewers: Viewers
) -> None:
    viewer = viewers()
    viewer.socket.close()
    start = time.monotonic()
    viewer.loop.turn()
    assert viewer.gone
    assert time.monotonic() - start < SETTINGS.heartbeat / 2
    assert audiences(hub) == 0
