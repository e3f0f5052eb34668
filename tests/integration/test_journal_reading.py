"""What a cursor finds, and how long and how much of a journal is kept."""

import time

import pytest
import redis

from headway import events, values
from headway.events import Subject
from headway.journal import READ_BATCH, Journal, Retention
from headway.keys import key
from tests.producers import (
    TASK,
    Past,
    Producer,
    execution,
    finished,
    log,
    queued,
    retrying,
    said,
    started,
    state,
    supervisor,
)

STATE, LOG = f"{key(TASK)}:state", f"{key(TASK)}:log"
HOUR, DAY = 3600, 24 * 3600


def keeping(redis_url: str, **bounds: int) -> Journal:
    return Journal(redis_url, retention=Retention(**bounds), timeout=5)


@pytest.fixture
def history(journal: Journal) -> list[tuple[str, bytes]]:
    """A log of six events, the last of them emitted."""
    Producer(journal, execution("one")).say(started(), *(said(str(i)) for i in range(5)))
    return log(journal)


# -- cursors ---------------------------------------------------------------------------------------------------


def test_what_follows_a_cursor_is_exactly_what_was_missed(
    journal: Journal, history: list[tuple[str, bytes]]
) -> None:
    for i, (id, _) in enumerate(history):
        (reading,) = journal.read([(TASK, id)])
        assert reading.past == "same"
        assert reading.entries == history[i + 1 :]
        assert reading.last == history[-1][0]


def test_zero_is_followed_by_all_the_log_holds(
    journal: Journal, history: list[tuple[str, bytes]]
) -> None:
    (reading,) = journal.read([(TASK, "0")])
    assert (reading.past, reading.entries, reading.first) == ("same", history, 1)


def test_without_a_cursor_only_the_state_is_read(
    journal: Journal, history: list[tuple[str, bytes]]
) -> None:
    (reading,) = journal.read([(TASK, None)])
    assert (reading.past, reading.entries) == ("same", [])
    assert reading.last == history[-1][0]


@pytest.mark.usefixtures("history")
def test_a_cursor_with_another_chain_is_a_fork(journal: Journal) -> None:
    for forged in ("1-1", "3-4503599627370495", "6-0"):
        assert journal.read([(TASK, forged)])[0].past == "fork"


@pytest.mark.usefixtures("history")
def test_a_cursor_that_redis_has_not_reached_is_ahead(journal: Journal) -> None:
    assert journal.read([(TASK, "7-1")])[0].past == "ahead"
    assert journal.read([(TASK, "999999999999999-1")])[0].past == "ahead"


def test_a_cursor_that_was_trimmed_says_where_the_log_begins(redis_url: str) -> None:
    journal = keeping(redis_url, entries=3)
    producer = Producer(journal, execution("one"))
    producer.say(started())
    seen = log(journal)[0][0]
    producer.say(*(said(str(i)) for i in range(5)))
    (since, all_of_it) = journal.read([(TASK, seen), (TASK, "0")])
    assert (since.past, since.first, since.entries) == ("trimmed", 4, [])
    assert (all_of_it.past, all_of_it.first, len(all_of_it.entries)) == ("trimmed", 4, 3)


def test_the_last_cursor_needs_no_log_and_an_older_one_does(
    journal: Journal, client: redis.Redis, history: list[tuple[str, bytes]]
) -> None:
    client.delete(LOG)
    last, older = journal.read([(TASK, history[-1][0]), (TASK, history[-2][0])])
    assert (last.past, last.entries) == ("same", [])
    assert (older.past, older.first) == ("trimmed", 0)


def test_a_journal_that_is_not_there_is_gone(journal: Journal, client: redis.Redis) -> None:
    (reading,) = journal.read([(TASK, "3-7")])
    assert (reading.past, reading.last, reading.state(TASK)) == ("gone", "0", None)


def test_after_a_failover_the_cursor_is_ahead_until_the_events_come_again(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    past = Past(client)
    producer.say(said("b"))
    seen = log(journal)[-1][0]
    past.restore()
    assert journal.read([(TASK, seen)])[0].past == "ahead"
    producer.say(said("c"))
    producer.settle()
    (reading,) = journal.read([(TASK, seen)])
    assert (reading.past, len(reading.entries)) == ("same", 1)


@pytest.mark.parametrize("cursor", ["first", "0"])
def test_one_event_more_than_asked_for_says_that_there_are_more(
    journal: Journal, history: list[tuple[str, bytes]], cursor: str
) -> None:
    since, following = ("0", history) if cursor == "0" else (history[0][0], history[1:])
    for count, expected in ((2, 3), (len(following) - 1, len(following)), (99, len(following))):
        (reading,) = journal.read([(TASK, since)], count=count)
        assert reading.entries == following[:expected]


def test_many_subjects_are_read_in_the_order_asked(journal: Journal) -> None:
    subjects = [Subject("task", f"t{i}") for i in range(READ_BATCH + 20)]
    for subject in subjects:
        one = execution("one", task=subject.id)
        Producer(journal, one).say(started(task=subject.id, name=subject.id))
    readings = journal.read(
        [(subject, "0" if i % 2 else None) for i, subject in enumerate(subjects)]
    )
    states = [reading.state(subject) for reading, subject in zip(readings, subjects, strict=True)]
    assert [found and found.name for found in states] == [subject.id for subject in subjects]
    assert [len(reading.entries) for reading in readings] == [i % 2 for i in range(len(subjects))]
    assert journal.lasts(subjects) == [reading.last for reading in readings]


def test_the_owner_is_kept_and_told_to_no_viewer(journal: Journal) -> None:
    Producer(journal, events.Sender(task="t", owner="user-7")).say(queued())
    assert journal.owner(TASK) == "user-7"
    assert b"user-7" not in events.encode(state(journal)) + b"".join(p for _, p in log(journal))


def test_an_execution_tells_the_owner_that_the_sender_could_not(journal: Journal) -> None:
    one = events.Execution(
        task="t", nonce="n", retries=0, boot="b", began=time.monotonic(), owner="7"
    )
    Producer(journal, one).say(started())
    assert journal.owner(TASK) == "7"


# -- how long --------------------------------------------------------------------------------------------------


def kept(client: redis.Redis) -> list[int]:
    """Hours that the state and the log are kept, rounded."""
    return [round(client.ttl(name) / HOUR) for name in (STATE, LOG)]


def test_a_queued_task_is_kept_seven_days(journal: Journal, client: redis.Redis) -> None:
    Producer(journal, events.Sender(task="t")).say(queued(time.time()))
    assert kept(client) == [7 * 24, 7 * 24]


def test_a_scheduled_task_is_kept_seven_days_beyond_its_time(
    journal: Journal, client: redis.Redis
) -> None:
    now = time.time()
    Producer(journal, events.Sender(task="t")).say(queued(now, due_at=now + 30 * DAY))
    assert kept(client) == [37 * 24, 37 * 24]
    assert state(journal).status == "scheduled"


def test_a_running_task_is_kept_a_day_after_its_last_event(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    client.expire(STATE, 60)
    client.expire(LOG, 60)
    producer.say(said("a"))
    assert kept(client) == [24, 24]


def test_a_task_that_waits_for_its_retry_is_kept_until_then(
    journal: Journal, client: redis.Redis
) -> None:
    Producer(journal, execution("one")).say(started(), retrying(delay=3.0 * DAY))
    assert kept(client) == [4 * 24, 4 * 24]


def test_a_finished_task_keeps_its_state_a_day_and_its_log_an_hour(
    journal: Journal, client: redis.Redis
) -> None:
    Producer(journal, execution("one")).say(started(), finished())
    assert kept(client) == [24, 1]


def test_a_task_that_comes_back_from_lost_is_kept_like_any_that_runs(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    Producer(journal, supervisor()).say(finished("lost"))
    assert kept(client) == [24, 1]
    producer.say(said("alive"))
    assert kept(client) == [24, 24]


def test_all_of_it_can_be_set(redis_url: str, client: redis.Redis) -> None:
    journal = keeping(
        redis_url, queued=2 * HOUR, running=3 * HOUR, finished=4 * HOUR, finished_log=5 * HOUR
    )
    Producer(journal, events.Sender(task="t")).say(queued())
    assert kept(client) == [2, 2]
    producer = Producer(journal, execution("one"))
    producer.say(started())
    assert kept(client) == [3, 3]
    producer.say(finished())
    assert kept(client) == [4, 5]


# -- how much --------------------------------------------------------------------------------------------------


def test_the_log_is_bounded_by_entries_exactly(redis_url: str, client: redis.Redis) -> None:
    journal = keeping(redis_url, entries=7)
    producer = Producer(journal, execution("one"))
    producer.say(started())
    for i in range(30):
        producer.say(said(str(i)))
        assert client.xlen(LOG) == min(7, i + 2)
    assert state(journal).updated_at == 3


def test_the_log_is_bounded_by_bytes_exactly(redis_url: str, client: redis.Redis) -> None:
    most = 10_000
    journal = keeping(redis_url, bytes=most)
    producer = Producer(journal, execution("one"))
    sizes = [len(events.encode(started(attempt=1)))]
    producer.say(started())
    for i in range(60):
        event = said("x" * (i * 37 % 900))
        producer.say(event)
        sizes.append(len(events.encode(event)))
        held = [len(payload) for _, payload in log(journal)]
        assert held == sizes[-len(held) :]
        assert sum(held) <= most
        assert len(held) == len(sizes) or sum(sizes[-len(held) - 1 :]) > most
        assert client.hget(STATE, "_bytes") == str(sum(held)).encode()


def test_an_event_larger_than_the_log_may_be_is_kept_alone(redis_url: str) -> None:
    journal = keeping(redis_url, bytes=1000)
    Producer(journal, execution("one")).say(started(), said("a"), said("x" * 5000), said("b"))
    assert [len(payload) > 5000 for _, payload in log(journal)] == [False]
    Producer(journal, execution("two", retries=1)).say(started(), said("x" * 5000))
    assert [len(payload) > 5000 for _, payload in log(journal)] == [True]


def test_a_log_that_was_evicted_does_not_count_any_more(
    redis_url: str, client: redis.Redis
) -> None:
    journal = keeping(redis_url, bytes=1000)
    producer = Producer(journal, execution("one"))
    producer.say(started(), *(said("x" * 100) for _ in range(10)))
    client.delete(LOG)
    producer.say(said("a"), said("b"), said("c"))
    assert client.xlen(LOG) == 3
    assert client.hget(STATE, "_bytes") == str(sum(len(p) for _, p in log(journal))).encode()


def test_the_largest_events_there_may_be_go_through_whole(journal: Journal) -> None:
    data = values.data("é" * (values.MAX_BYTES // 6 - 1))
    producer = Producer(journal, execution("one"))
    producer.say(started(), said(data))
    for i in range(40):
        message = events.MessageReported(task="t", at=3, message=str(i), data=data)
        assert producer.say(message) == ["OK"]
    assert state(journal).data == data
    assert len(log(journal)) == Retention().bytes // len(events.encode(message))
    assert events.decode(log(journal)[-1][1]) == message


# -- durations -------------------------------------------------------------------------------------------------


def test_usual_durations_are_learned_from_the_last_runs(
    journal: Journal, client: redis.Redis
) -> None:
    journal.learn("tasks.work", {"read": 1.0})
    assert journal.learned("tasks.work") == {}
    for i in range(40):
        journal.learn("tasks.work", {"read": 10.0 + i % 2, "write": 3.0})
    usual = journal.learned("tasks.work")
    assert 10.0 <= usual["read"].low <= usual["read"].high <= 11.0
    assert usual["write"].middle == 3.0
    assert journal.learned("tasks.other") == {}
    (name,) = client.keys("headway:u:*")
    assert client.llen(name) == 20
    assert client.ttl(name) > 29 * DAY
