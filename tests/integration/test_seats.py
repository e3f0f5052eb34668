"""A seat that knows more than its hub, or than Redis."""

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
import redis

from headway import seats
from headway.hub import Hub
from headway.journal import Journal
from headway.seats import Seat
from headway.settings import WebSettings
from headway.streams import Stream
from tests.hubs import Counting, silence
from tests.processes import wait_until
from tests.producers import TASK, Past, Producer, said


class Loss(NamedTuple):
    """Redis has lost the event whose id is `cursor`; `again` loses whatever came since."""

    cursor: str
    again: Callable[[], None]


@pytest.fixture
def loss(
    client: redis.Redis, journal: Journal, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> Loss:
    monkeypatch.setattr(seats, "AHEAD_SECONDS", 0.2)
    past = Past(client)
    producer.say(said("a"))
    (cursor,) = journal.lasts([TASK])
    past.restore()
    assert cursor
    return Loss(cursor, past.restore)


def test_it_waits_for_each_loss_anew(hub: Hub, loss: Loss, producer: Producer) -> None:
    seat = Seat(hub, TASK, loss.cursor, lambda seat: None)
    wait_until(seat.topic.ready.is_set, what="the first reading")
    assert seat.catch_up(hub) == []
    first = seat.waits_until or 0
    producer.say(said("b"))
    producer.settle()

    def taken() -> bytes:
        with hub.lock:
            return b"".join(seat.take() or [])

    wait_until(lambda: b'"b"' in taken(), what="what follows what it waited for")
    wait_until(lambda: time.monotonic() > first, what="the end of the first wait")
    loss.again()
    assert seat.catch_up(hub) == []  # not a gap at once


def test_who_once_was_ahead_does_not_ask_redis_without_a_pause(
    hub: Hub, counting: Counting, loss: Loss, producer: Producer
) -> None:
    stream = Stream(hub, {TASK: loss.cursor}, WebSettings())
    wait_until(stream.topic.ready.is_set, what="the first reading")

    def turn() -> None:
        """One of the generator's that drives a stream."""
        stream.catch_up()
        stream.due()
        if not stream.behind:
            time.sleep(max(0.0, min(0.05, stream.due_at() - time.monotonic())))

    def looks() -> int:
        return counting.reads.count((TASK, loss.cursor))

    wait_until(lambda: turn() or looks(), what="the look that finds it ahead")
    with silence():  # the hub cannot tell it
        producer.outbox.doubt()
        assert producer.settle() == ["OK"]
    wait_until(lambda: turn() or looks() == 2, what="the look that finds all of it there again")
    ends = time.monotonic() + 1
    while time.monotonic() < ends:
        turn()
    assert looks() < 10


def test_a_gap_is_not_filled_with_a_snapshot_older_than_what_the_viewer_has(
    hub: Hub, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    watched = Seat(hub, TASK, None, lambda seat: None)
    wait_until(watched.topic.ready.is_set, what="the first reading")
    with silence():  # and then nothing reaches this hub
        producer.say(said("a"))
        (cursor,) = journal.lasts([TASK])
        producer.say(said("b"), said("c"))
        client.xtrim("headway:t:{t}:log", maxlen=1, approximate=False)
    seat = Seat(hub, TASK, cursor, lambda seat: None)
    told = wait_until(lambda: seat.catch_up(hub) or seat.take(), what="the gap")
    assert b'"gap":{"reason":"trimmed","first":4,"last":5}' in told[0]
