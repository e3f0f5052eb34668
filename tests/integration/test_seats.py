"""A seat that knows more than its hub, or than Redis."""

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
        time.sleep(max(0.0, min(0.05, stream.due_at() - time.monotonic())))
    assert len(counting.reads) < 10


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
