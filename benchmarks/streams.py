"""The web process's side: one topic, up to a thousand viewers, ours beside each peer.

First a closed loop: event k+1 only after k has reached every viewer, so nothing can be joined into one write and
the cost per delivery is honest. Then a burst, where joining is the point. Then a steady load, for the delays. Each
run has a fresh server, and all send the same events. The publisher, Redis and the viewers are outside the measured
core.
"""

import http.client
import time
import uuid
from collections.abc import Iterator

import redis

from benchmarks.servers import Bench
from benchmarks.sides import (
    REST_SECONDS,
    SIDES,
    Figures,
    Side,
    closed_loop,
    compared,
    gathered,
    measured,
    wrong,
)
from benchmarks.speakers import Speaker
from benchmarks.table import Row, progress
from benchmarks.viewers import Crowd
from tests.processes import HOST

FEW = 100
VIEWERS = 1000
EVENTS_A_SECOND = 20
REDIS_MOST = 3  # connections of a web process


def rows(bench: Bench) -> Iterator[Row]:
    runs = measured(bench, measure, *SIDES)
    what = f"{VIEWERS:,} viewers"
    yield from compared(f"{what}: CPU per delivery, µs", "cpu", runs)
    yield from compared(f"{FEW} viewers: CPU per delivery, µs", "few", runs)
    yield from compared("1 viewer: CPU per event, µs", "event", runs)
    yield from compared(f"{what}, burst: CPU per delivery, µs", "burst", runs)
    steady = f"{what}, {EVENTS_A_SECOND} events/s"
    yield from compared(f"{steady}: p50, ms", "p50", runs)
    yield from compared(f"{steady}: p99, ms", "p99", runs)
    yield from compared(f"{what}: connections to Redis", "redis", runs, limit=REDIS_MOST)
    yield wrong(what, runs)
    (ours, *_) = runs.values()
    polls = [poll(bench) for _ in range(bench.rounds)]
    cpu = [each["cpu"] for each in ours]
    yield Row("one delivery beside one poll: CPU, µs", cpu, "a status route", polls)


def measure(bench: Bench, side: Side) -> Figures:
    events = 30 if bench.quick else 100
    figures: Figures = {"wrong": 0}
    with side.serve(bench) as server:
        speaker = side.speaker(bench, server)
        with gathered(side, server, speaker, 1) as (crowd, topics):
            figures["event"] = closed_loop(server, speaker, crowd, topics, events) / events
        with gathered(side, server, speaker, FEW) as (crowd, topics):
            figures["few"] = closed_loop(server, speaker, crowd, topics, events) / events / FEW
        with gathered(side, server, speaker, VIEWERS) as (crowd, topics):
            connections = _connections(bench)
            deliveries = events * VIEWERS
            figures["cpu"] = closed_loop(server, speaker, crowd, topics, events) / deliveries
            cpu = server.cpu_seconds()
            speaker.say(topics, range(events + 1, 2 * events + 1))
            crowd.wait_for(2 * events)
            figures["burst"] = (server.cpu_seconds() - cpu) / deliveries * 1e6
            count = crowd.end()
            figures["wrong"] += count.wrong + abs(2 * deliveries - count.delivered)
        with gathered(side, server, speaker, VIEWERS) as (crowd, topics):
            steady(speaker, crowd, topics, range(1, events + 1), EVENTS_A_SECOND)
            delays = crowd.delays()
            figures["p50"], figures["p99"] = delays.p50, delays.p99
            figures["wrong"] += crowd.end().wrong
    time.sleep(REST_SECONDS)  # until Redis has seen it end
    figures["redis"] = connections - _connections(bench)
    speaker.end()
    return figures


def steady(
    speaker: Speaker, crowd: Crowd, topics: list[str], places: range, a_second: float
) -> None:
    start = time.monotonic()
    for number, place in enumerate(places):
        time.sleep(max(0.0, start + number / a_second - time.monotonic()))
        speaker.say(topics, range(place, place + 1))
    crowd.wait_for(places[-1])


def poll(bench: Bench) -> float:
    """µs of CPU for one answer of a route that shows a Celery task's state."""
    progress("polling")
    polls, path = 200 if bench.quick else 1000, f"/status/{uuid.uuid4().hex}"
    with bench.web("benchmarks.peers.polling:app") as server:
        connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
        for number in range(polls + 50):
            if number == 50:  # it has connected to Redis, and loaded all that is loaded late
                cpu = server.cpu_seconds()
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()
        return (server.cpu_seconds() - cpu) / polls * 1e6


def _connections(bench: Bench) -> int:
    with redis.Redis.from_url(bench.redis_url) as client:
        return int(client.info("clients")["connected_clients"])
