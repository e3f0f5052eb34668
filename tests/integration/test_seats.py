"""A seat whose cursor is ahead of the log: Redis has lost what it saw, and its producer may send it again."""

import time

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


def test_it_waits_for_each_loss_anew(
    hub: Hub,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seats, "AHEAD_SECONDS", 0.2)
    past = Past(client)
    producer.say(said("a"))
    (cursor,) = journal.lasts([TASK])
    past.restore()
    seat = Seat(hub, TASK, cursor, lambda seat: None)
    wait_until(seat.topic.ready.is_set, what="the first reading")
    assert seat.catch_up(hub) == []
    first = seat.waits_until or 0
    with silence():
        producer.say(said("b"))
        producer.settle()
    (frame,) = seat.catch_up(hub)  # what it waited for is there again, and goes on
    assert b'"b"' in frame
    wait_until(lambda: time.monotonic() > first, what="the end of the first wait")
    past.restore()
    assert seat.catch_up(hub) == []  # not a gap at once


def test_who_once_was_ahead_does_not_ask_redis_without_a_pause(
    hub: Hub,
    counting: Counting,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seats, "AHEAD_SECONDS", 0.2)
    past = Past(client)
    producer.say(said("a"))
    (cursor,) = journal.lasts([TASK])
    past.restore()
    stream = Stream(hub, {TASK: cursor}, WebSettings())
    stream.open()
    stream.due()
    with silence():
        producer.say(said("b"))
        producer.settle()
    ends = time.monotonic() + 1
    while time.monotonic() < ends:
        stream.due()
        time.sleep(min(0.05, stream.seconds()))
    assert len(counting.reads) < 10
