"""What goes wrong on a good day: viewers who do not read, a deploy, a full house, everybody coming back at once."""

import statistics
import time
import uuid
from collections.abc import Iterator

import redis

from benchmarks.crowds import VIEWERS
from benchmarks.servers import Bench, Server
from benchmarks.sides import HEADWAY, REST_SECONDS, gathered
from benchmarks.speakers import Reported
from benchmarks.streams import steady
from benchmarks.table import Row, progress
from benchmarks.viewers import Crowd, Delays, crowd, get
from headway.events import Subject
from headway.journal import Journal

SITE, STREAM_WORKER = "benchmarks.web:app", "headway.gunicorn.StreamWorker"
MUTE = 100  # viewers who never read
FILL = (16, 8192)  # events of so many bytes, until the system takes no more for them
EVENTS_A_SECOND = 5
KNOCKS = 200
STREAMS = 1000  # at a SIGTERM
BURST = 100
HERD = 5000
LOGGED = 100  # events, of which those who return have seen half


def rows(bench: Bench) -> Iterator[Row]:
    yield from _full_house(bench)
    yield from _deploy(bench)
    yield from _herd(bench)


# -- who never reads, and a full house -------------------------------------------------------------------------


def _full_house(bench: Bench) -> Iterator[Row]:
    """All seats of a process are taken, some by viewers who never read."""
    rounds = [_held(bench) for _ in range(bench.rounds)]
    without, beside, memory, answers, hard = map(list, zip(*rounds, strict=True))
    what = f"{MUTE} of {VIEWERS:,} never read"
    slow, usual = ([each.p99 for each in side] for side in (beside, without))
    yield Row(f"{what}: p99 of the others, ms", slow, "all read", usual, target=1.2)
    yield Row(f"{what}: KB for each", memory, limit=64)
    what = f"full house of {VIEWERS:,}"
    yield Row(f"{what}: /healthz p99, ms", answers, limit=100)
    yield Row(f"{what}: not told to come back", hard, limit=0)


def _held(bench: Bench) -> tuple[Delays, Delays, float, float, int]:
    progress("viewers who never read")
    seats = {"HEADWAY_MOST_VIEWERS": VIEWERS, "HEADWAY_WRITE_DEADLINE": 120}
    with bench.web(SITE, STREAM_WORKER, **seats) as server:
        speaker = Reported(bench)
        with gathered(HEADWAY, server, speaker, VIEWERS - MUTE) as (others, topics):
            events = range(1, 21 if bench.quick else 41)
            without = _delays(speaker, others, topics, events)
            before = server.resident_bytes()
            request = get(HEADWAY.path.format(topic=topics[0]))
            with crowd(server.port, MUTE, marker="", request=request):
                time.sleep(REST_SECONDS)
                speaker.fill(topics[0], *FILL)
                speaker.say(topics, range(events.stop, events.stop + 1))
                others.wait_for(events.stop)
                others.delays()
                beside = _delays(speaker, others, topics, range(events.stop + 1, 2 * events.stop))
                memory = (server.resident_bytes() - before) / MUTE / 1024
                answers, hard = _knock(server, speaker, topics, 2 * events.stop)
        speaker.end()
    return without, beside, memory, answers, hard


def _delays(speaker: Reported, crowd: Crowd, topics: list[str], places: range) -> Delays:
    steady(speaker, crowd, topics, places, EVENTS_A_SECOND)
    return crowd.delays()


def _knock(server: Server, speaker: Reported, topics: list[str], place: int) -> tuple[float, int]:
    """While events go out: the p99 of /healthz in ms, and how many more viewers were not told when to come back."""
    times, hard, said_at = [], 0, 0.0
    for _ in range(KNOCKS):
        start = time.monotonic()
        if start >= said_at + 1 / EVENTS_A_SECOND:
            speaker.say(topics, range(place, place + 1))
            place, said_at = place + 1, start
        server.asked("/healthz")
        times.append((time.monotonic() - start) * 1e3)
        hard += b"retry:" not in server.asked(HEADWAY.path.format(topic=topics[0]))
    return statistics.quantiles(times, n=100, method="inclusive")[98], hard


# -- a deploy --------------------------------------------------------------------------------------------------


def _deploy(bench: Bench) -> Iterator[Row]:
    rounds = [_ended(bench) for _ in range(bench.rounds)]
    seconds, broken = map(list, zip(*rounds, strict=True))
    what = f"SIGTERM, {STREAMS:,} streams"
    yield Row(f"{what}: seconds to the exit", seconds, limit=5)
    yield Row(f"{what}: torn, or not ended", broken, limit=0)


def _ended(bench: Bench) -> tuple[float, int]:
    progress("a deploy")
    with bench.web(SITE, STREAM_WORKER) as server:
        speaker = Reported(bench)
        with gathered(HEADWAY, server, speaker, STREAMS) as (watching, topics):
            speaker.say(topics, range(1, BURST + 1))  # frames are on their way
            start = time.monotonic()
            server.process.stop()
            seconds = time.monotonic() - start
            watching.wait_closed()
            count = watching.end()
        speaker.end()
    return seconds, count.wrong + count.torn + STREAMS - count.closed


# -- a herd ----------------------------------------------------------------------------------------------------


def _herd(bench: Bench) -> Iterator[Row]:
    rounds = [_returned(bench) for _ in range(bench.rounds)]
    seconds, wrong, reads = map(list, zip(*rounds, strict=True))
    what = f"herd of {HERD:,}"
    yield Row(f"{what}: seconds until all have resumed", seconds)
    yield Row(f"{what}: lost, doubled, reordered", wrong, limit=0)
    yield Row(f"{what}: reads from Redis", reads, limit=100)


def _returned(bench: Bench) -> tuple[float, int, int]:
    progress("a herd")
    speaker, topic, half = Reported(bench), uuid.uuid4().hex, LOGGED // 2
    speaker.begin([topic])
    speaker.say([topic], range(1, LOGGED + 1))
    speaker.end()
    (reading,) = Journal(bench.redis_url).read([(Subject("task", topic), "0")])
    seen, _ = reading.entries[half]  # the first of all is `started`
    request = get(HEADWAY.path.format(topic=topic), f"Last-Event-ID: {topic}/{seen}")
    marker = f'"current":{half + 1},'
    with bench.web(SITE) as server:
        before, start = _reads(bench), time.monotonic()
        with crowd(server.port, HERD, marker=marker, request=request) as returned:
            returned.wait_for(LOGGED)
            seconds, reads = time.monotonic() - start, _reads(bench) - before
            count = returned.end()
    missed = HERD * (LOGGED - half - 1) - count.delivered
    return seconds, count.wrong + abs(missed), reads


def _reads(bench: Bench) -> int:
    """Of a journal's last id, or of its state and log."""
    with redis.Redis.from_url(bench.redis_url) as client:
        done = client.info("commandstats")
    return sum(done.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hget", "hgetall"))
