"""Leases, and what others make of them: who is alive, what is stalled, what is lost."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from headway import leases
from headway.errors import JournalUnavailable
from headway.events import Sender, State
from headway.journal import Journal
from headway.keys import EXPIRING, WORKERS
from headway.leases import Lease, Reaper, Sign, Worker, signs, workers
from tests.hubs import MakeHub, Viewer
from tests.journals import Book
from tests.processes import RedisServer, wait_until
from tests.producers import Producer, execution, finished, queued, started

LOST_AFTER = 0.3
LEASE, TASKS = "headway:b:{boot}:lease", "headway:b:{boot}:tasks"


@pytest.fixture
def active() -> set[str]:
    """What the worker has in hand."""
    return set()


@pytest.fixture
def lease(redis_url: str, active: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    lease = Lease(lambda: Journal(redis_url, timeout=5), "boot", lambda: set(active), 3600)
    lease.start()
    yield lease
    lease.stop()


@pytest.fixture
def runs(journal: Journal) -> Callable[..., Producer]:
    def make(task: str = "t", **about: object) -> Producer:
        producer = Producer(journal, execution(task, task=task, **about))  # type: ignore[arg-type]
        producer.say(started(task=task))
        return producer

    return make


def state(redis_url: str, task: str = "t") -> State:
    return Book(redis_url, task).state()


# -- a worker's ------------------------------------------------------------------------------------------------


def test_a_worker_says_that_it_lives_and_what_it_works_on(
    lease: Lease, active: set[str], client: redis.Redis
) -> None:
    active |= {"a", "b"}
    wait_until(lambda: client.smembers(TASKS) == {b"a", b"b"}, what="its tasks")
    assert 0 < client.ttl(LEASE) <= leases.LEASE_SECONDS
    active.remove("a")
    wait_until(lambda: client.smembers(TASKS) == {b"b"}, what="a task less")


def test_what_came_and_went_between_two_beats_is_forgotten(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(leases, "TIDY_BEATS", 3)
    client.sadd(TASKS, "short")
    lease = Lease(lambda: Journal(redis_url, timeout=5), "boot", lambda: {"a"}, 3600)
    lease.start()
    wait_until(lambda: client.smembers(TASKS) == {b"a"}, what="the stranger's end")
    lease.stop()


def test_after_an_orderly_end_nobody_waits_for_the_lease_to_expire(
    lease: Lease, client: redis.Redis
) -> None:
    wait_until(lambda: client.exists(LEASE), what="the lease")
    lease.stop()
    wait_until(lambda: not client.exists(LEASE), what="its end")


def test_a_redis_that_comes_back_empty_is_told_everything_again(
    lease: Lease, active: set[str], client: redis.Redis
) -> None:
    active.add("a")
    wait_until(lambda: client.smembers(TASKS) == {b"a"}, what="its task")
    client.flushall()
    wait_until(lambda: client.smembers(TASKS) == {b"a"} and client.exists(LEASE), what="all of it")


def test_a_lease_goes_on_when_redis_is_back(
    own_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    server = own_redis()
    lease = Lease(lambda: Journal(server.url), "boot", lambda: {"a"}, 3600)
    lease.start()
    wait_until(lambda: server.cli("EXISTS", LEASE), what="the lease")
    server.kill()
    server.start()
    wait_until(lambda: server.cli("EXISTS", LEASE, TASKS) == 2, what="the lease again")
    lease.stop()


# -- signs -----------------------------------------------------------------------------------------------------


def test_signs_tell_who_works_on_what(
    journal: Journal, client: redis.Redis, runs: Callable[..., Producer]
) -> None:
    for task in ("works", "dropped"):
        runs(task)
    runs("orphan", boot="gone")
    runs("eager", boot="")
    client.sadd(WORKERS, "boot", "gone")
    client.set(LEASE, 1)
    client.srem(TASKS, "dropped")
    tasks = ["works", "dropped", "orphan", "eager", "unknown"]
    where = workers(journal, tasks)
    assert where == [Worker(boot, late=False) for boot in ("boot", "boot", "gone", "", "")]
    assert signs(journal, list(zip(tasks, where, strict=True))) == [
        Sign(alive=True, active=True, late=False),
        Sign(alive=True, active=False, late=False),
        Sign(alive=False, active=True, late=False),
        Sign(alive=None, active=False, late=False),
        Sign(alive=None, active=False, late=False),
    ]


def test_viewers_are_told_of_a_silent_worker_and_when_it_is_back(
    make_hub: MakeHub, journal: Journal, client: redis.Redis, runs: Callable[..., Producer]
) -> None:
    producer = runs()
    client.sadd(WORKERS, "boot")
    client.set(LEASE, 1)
    client.sadd(TASKS, "t")
    viewer = Viewer(make_hub(journal))
    assert viewer.topic.stalled is None
    client.delete(LEASE)
    wait_until(lambda: viewer.topic.stalled, what="the news")
    assert viewer.topic.stalled == "Its worker gives no sign of life."
    client.set(LEASE, 1)
    wait_until(lambda: viewer.topic.stalled is None, what="the good news")
    client.srem(TASKS, "t")
    wait_until(lambda: viewer.topic.stalled, what="the other news")
    assert viewer.topic.stalled == "Its worker does not work on it any more."
    producer.say(finished())
    wait_until(lambda: viewer.topic.stalled is None, what="the end")


# -- the reaper ------------------------------------------------------------------------------------------------


def orphan(client: redis.Redis, *tasks: str) -> None:
    """Their worker has been killed."""
    client.sadd(WORKERS, "boot")
    client.sadd(TASKS, *tasks)


def reap_for(reaper: Reaper, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        reaper.reap()
        time.sleep(0.02)


def test_what_a_dead_worker_had_in_hand_is_lost_once_nobody_can_doubt_it(
    journal: Journal, client: redis.Redis, redis_url: str, runs: Callable[..., Producer]
) -> None:
    runs()
    orphan(client, "t", "of which there is no journal")
    reaper = Reaper(journal, LOST_AFTER)
    reaper.reap()
    assert state(redis_url).status == "running"
    wait_until(lambda: reaper.reap() or state(redis_url).status == "lost", what="the verdict")
    assert state(redis_url).error == leases.LOST
    reaper.reap()
    assert not client.exists(TASKS, WORKERS)


def test_all_that_a_dead_worker_had_in_hand_is_said_at_once(
    journal: Journal,
    client: redis.Redis,
    redis_url: str,
    runs: Callable[..., Producer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tasks = [f"t{n}" for n in range(20)]
    for task in tasks:
        runs(task)
    orphan(client, *tasks)
    written, write = [], journal.write
    monkeypatch.setattr(journal, "write", lambda letters: written.append(letters) or write(letters))
    reap_for(Reaper(journal, 0), 0.1)
    assert {state(redis_url, task).status for task in tasks} == {"lost"}
    assert len([letters for letters in written if letters]) == 1


def test_what_is_acknowledged_late_is_never_lost(
    journal: Journal, client: redis.Redis, redis_url: str, runs: Callable[..., Producer]
) -> None:
    runs(late=True)
    orphan(client, "t")
    reap_for(Reaper(journal, LOST_AFTER), 4 * LOST_AFTER)
    assert state(redis_url).status == "running"
    assert client.sismember(WORKERS, "boot")


def test_what_runs_elsewhere_by_now_or_has_ended_is_left_alone(
    journal: Journal, client: redis.Redis, redis_url: str, runs: Callable[..., Producer]
) -> None:
    runs("elsewhere", boot="another")
    client.set("headway:b:{another}:lease", 1)
    runs("ended").say(finished(task="ended"))
    orphan(client, "elsewhere", "ended")
    reaper = Reaper(journal, LOST_AFTER)
    wait_until(lambda: reaper.reap() or not client.sismember(WORKERS, "boot"), what="the burial")
    assert not client.exists(TASKS)
    assert state(redis_url, "elsewhere").status == "running"
    assert state(redis_url, "ended").status == "succeeded"


def test_what_nobody_began_in_time_has_expired(
    journal: Journal,
    client: redis.Redis,
    redis_url: str,
    runs: Callable[..., Producer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RabbitMQ drops it, and no worker ever hears of it."""
    monkeypatch.setattr(leases, "EXPIRED_SECONDS", 0.2)
    now = time.time()
    for task in ("dropped", "began", "far", "forgotten"):
        expires = now + 3600 if task == "far" else now
        sender = Producer(journal, Sender(task=task, queue="docs", expires=expires))
        sender.say(queued(task=task))
    runs("began")
    client.delete("headway:t:{forgotten}:state")
    reaper = Reaper(journal, 3600)
    reaper.reap()
    assert state(redis_url, "dropped").status == "queued"
    wait_until(lambda: reaper.reap() or state(redis_url, "dropped").status == "expired")
    assert state(redis_url, "began").status == "running"
    assert state(redis_url, "far").status == "queued"
    assert not Book(redis_url, "forgotten").known()
    assert client.zrange(EXPIRING, 0, -1) == [b"far"]


def test_a_worker_that_dies_before_its_first_beat_is_missed_too(
    journal: Journal, redis_url: str, runs: Callable[..., Producer]
) -> None:
    runs()  # and no lease
    assert signs(journal, [("t", Worker("boot", False))]) == [Sign(False, True, False)]
    reaper = Reaper(journal, LOST_AFTER)
    wait_until(lambda: reaper.reap() or state(redis_url).status == "lost", what="the verdict")


def test_one_reaps_at_a_time(
    journal: Journal, client: redis.Redis, redis_url: str, runs: Callable[..., Producer]
) -> None:
    runs()
    orphan(client, "t")
    one, other = Reaper(journal, 3600), Reaper(journal, LOST_AFTER)
    one.reap()
    client.expire(leases.REAPER, 1)
    one.reap()
    assert client.ttl(leases.REAPER) > 1  # for as long as it comes back
    reap_for(other, 4 * LOST_AFTER)
    assert state(redis_url).status == "running"
    client.delete(leases.REAPER)  # it has died
    wait_until(lambda: other.reap() or state(redis_url).status == "lost", what="the other one's")


def test_an_outage_begins_the_time_anew(
    own_redis: Callable[..., RedisServer], runs: Callable[..., Producer]
) -> None:
    server = own_redis(appendonly="yes", appendfsync="always")
    journal = Journal(server.url, timeout=2)
    Producer(journal, execution("t")).say(started())
    with redis.Redis.from_url(server.url) as client:
        orphan(client, "t")
    reaper = Reaper(journal, 2.0)
    reap_for(reaper, 1.5)
    server.kill()
    server.start()
    reap_for(reaper, 1.0)  # a run of Redis that it had not observed
    assert state(server.url).status == "running"
    server.pause()
    with pytest.raises(JournalUnavailable):
        reaper.reap()
    server.resume()
    reap_for(reaper, 1.5)
    assert state(server.url).status == "running"
    wait_until(lambda: reaper.reap() or state(server.url).status == "lost", what="the verdict")


def test_a_worker_that_was_only_cut_off_withdraws_it(
    journal: Journal, client: redis.Redis, redis_url: str, runs: Callable[..., Producer]
) -> None:
    producer = runs()
    orphan(client, "t")
    reap_for(Reaper(journal, 0), 0.1)
    assert state(redis_url).status == "lost"
    assert producer.say(finished()) == ["OK"]
    assert state(redis_url).status == "succeeded"
    assert state(redis_url).error is None
