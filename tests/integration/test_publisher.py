"""The publisher against a real Redis that is killed, hung and restarted: nothing lost, nobody held, no noise."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery
from celery.exceptions import Ignore

from headway import events, publisher, staged
from headway.backlog import PATIENCE, RING_ENDED
from headway.events import Emitted, Event, Execution, Source, Subject
from headway.journal import Answer, Journal, Letter
from headway.lifecycle import Lifecycle
from headway.publisher import Publisher
from tests.processes import RedisServer, wait_until
from tests.producers import (
    TASK,
    Past,
    execution,
    finished,
    log,
    queued,
    retrying,
    said,
    stage,
    started,
    state,
    told,
)

OwnRedis = Callable[..., RedisServer]
SLACK = 0.05  # seconds a busy machine may add to a promise


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "PAUSE", 0.05)
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 3600)


@pytest.fixture
def published(redis_url: str) -> Iterator[Publisher]:
    """On the shared server, which the next test empties: nothing of this one may then be said again."""
    published = Publisher(Journal(redis_url))
    yield published
    published.flush(5)
    with published.flusher._lock:
        published.flusher._outboxes.clear()
        published.flusher._kept.clear()


class Counting(Journal):
    """Counts what becomes of the letters."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.answers: Counter[str] = Counter()
        self.tries = 0

    def write(self, letters: list[Letter]) -> list[tuple[Answer, str]]:  # type: ignore[override]
        self.tries += 1
        answers = super().write(letters)
        self.answers.update(answer for answer, _ in answers)
        return answers


def report(to: Publisher, source: Source, *told: Event) -> None:
    for event in told:
        to(event=event, source=source)


def texts(journal: Journal, subject: Subject = TASK) -> list[str]:
    return [event.data for event in told(journal, subject) if isinstance(event, Emitted)]


def arrive(journal: Journal, last: str, subject: Subject = TASK) -> None:
    wait_until(lambda: texts(journal, subject)[-1:] == [last], what=f"{last!r} in the log")


# -- nothing is lost -------------------------------------------------------------------------------------------


def test_events_arrive_in_order_and_once(journal: Journal, published: Publisher) -> None:
    one = execution("one")
    report(published, one, started(), *(said(str(i)) for i in range(500)), finished())
    assert published.flush(10)
    assert texts(journal) == [str(i) for i in range(500)]
    assert state(journal).status == "succeeded"


def test_nothing_is_lost_while_redis_is_killed_and_comes_back(own_redis: OwnRedis) -> None:
    server = own_redis(appendonly="yes")
    journal, published = Journal(server.url, timeout=5), Publisher(Journal(server.url))
    one = execution("one")
    report(published, one, started())
    for i in range(300):
        report(published, one, said(str(i)))
        if i in (50, 150):
            server.kill()
        elif i in (100, 200):
            server.start()
    report(published, one, finished())
    assert published.flush(20)
    assert texts(journal) == [str(i) for i in range(300)]
    assert [type(event) for event in told(journal)].count(events.Finished) == 1


def test_nothing_is_lost_or_doubled_while_redis_hangs(own_redis: OwnRedis) -> None:
    server = own_redis()
    journal, published = Journal(server.url, timeout=5), Publisher(Journal(server.url))
    one = execution("one")
    report(published, one, started(), said("before"))
    arrive(journal, "before")
    server.pause()
    try:
        report(published, one, *(said(str(i)) for i in range(50)))
        wait_until(lambda: published.flusher._away, what="the outage is noticed")
        report(published, one, said("meanwhile"))
    finally:
        server.resume()
    report(published, one, said("after"), finished())
    assert published.flush(10)
    assert texts(journal) == ["before", *(str(i) for i in range(50)), "meanwhile", "after"]
    assert len(log(journal)) == 55


def test_a_restart_that_kept_nothing_is_told_all_again(own_redis: OwnRedis) -> None:
    server = own_redis()
    journal, published = Journal(server.url, timeout=5), Publisher(Journal(server.url))
    one = execution("one")
    report(published, one, started(), *(said(str(i)) for i in range(150)))
    arrive(journal, "149")
    before = log(journal)
    server.kill()
    server.start()
    report(published, one, said("after"))
    arrive(journal, "after")
    assert log(journal)[:-1] == before


def test_what_redis_has_lost_comes_back_although_nobody_says_more(
    journal: Journal, published: Publisher, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 0.1)
    report(published, execution("n"), started(), said("one"), said("two"))
    arrive(journal, "two")
    before = log(journal)
    client.flushall()
    arrive(journal, "two")
    assert log(journal) == before  # with the same ids


def test_an_end_that_a_failover_lost_is_said_again(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 0.1)
    server = own_redis()
    journal, published = Journal(server.url, timeout=5), Publisher(Journal(server.url))
    source, sent = execution("n"), events.Sender(task="sent", queue="docs")
    report(published, sent, queued(task="sent"))
    report(published, source, started(), said("one"))
    arrive(journal, "one")
    with redis.Redis.from_url(server.url) as client:
        past = Past(client)
        report(published, source, said("two"), finished())
        published.flusher.end(source)
        wait_until(lambda: state(journal).status == "succeeded", what="the end")
        after = log(journal)
        wait_until(lambda: published.flusher._incarnation, what="a look at who answers")
        past.restore()
        client.delete("headway:t:{sent}:state")
        client.zrem("headway:q:{docs}", "sent")  # somebody has taken it out since
        assert state(journal).status == "running"
        monkeypatch.setattr(Journal, "incarnation", lambda _: "the one that was its replica")
        wait_until(lambda: state(journal).status == "succeeded", what="the end again")
        assert log(journal) == after
        wait_until(lambda: journal.lasts([Subject("task", "sent")]) != [None], what="the other")
        assert not client.exists("headway:q:{docs}")  # that it waits there is not said again


def test_of_what_has_ended_no_more_is_kept_than_a_moment_may_lose(
    journal: Journal, published: Publisher, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 0.1)
    source = execution("n")
    report(published, source, started(), *(said(str(i)) for i in range(RING_ENDED)), finished())
    published.flusher.end(source)
    wait_until(lambda: published.flusher._kept, what="all of it in the log")
    wait_until(lambda: published.flusher._incarnation, what="a look at who answers")
    client.flushall()
    monkeypatch.setattr(Journal, "incarnation", lambda _: "one that has nothing")
    wait_until(lambda: len(log(journal)) > 1, what="the task again")
    begun, ended = told(journal)
    assert isinstance(begun, events.Started)
    assert begun.gap is True
    assert isinstance(ended, events.Finished)


def test_what_has_ended_is_not_kept_for_ever(
    journal: Journal, published: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(publisher, "KEEP_SECONDS", 0.2)
    monkeypatch.setattr(publisher, "MOST_KEPT", 3)
    for each in range(5):
        source = execution("n", task=f"t{each}")
        report(published, source, started(task=f"t{each}"), finished(task=f"t{each}"))
        published.flusher.end(source)
    wait_until(lambda: not published.flusher._outboxes, what="all in the log")
    assert len(published.flusher._kept) <= 3
    wait_until(lambda: not published.flusher._kept, what="nothing kept")


def test_ten_threads_may_report_at_once(journal: Journal, published: Publisher) -> None:
    shared = execution("shared")
    report(published, shared, started())

    def work(i: int) -> None:
        own = execution(f"n{i}", task=f"t{i}")
        report(published, own, started(task=own.task))
        for n in range(100):
            report(published, shared, said(f"{i}:{n}"))
            report(published, own, said(str(n), task=own.task))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert published.flush(20)
    heard = texts(journal)
    for i in range(10):
        assert [text for text in heard if text.startswith(f"{i}:")] == [
            f"{i}:{n}" for n in range(100)
        ]
        assert texts(journal, Subject("task", f"t{i}")) == [str(n) for n in range(100)]


def test_one_event_that_cannot_be_sent_holds_up_no_other(
    journal: Journal, published: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = execution("one"), execution("two", task="t2")
    report(published, two, started(task="t2"))
    bad = Emitted(task="t", at=3, name="bad", data=object())
    report(published, one, started(), bad, said("a"), finished())
    report(published, two, said("b", task="t2"))
    assert published.flush(5)
    assert texts(journal) == ["a"]
    assert texts(journal, Subject("task", "t2")) == ["b"]
    assert "An event of task t cannot be sent" in caplog.text


def test_a_stage_can_be_watched_while_it_runs(journal: Journal, published: Publisher) -> None:
    one: Execution = execution("one")
    report(published, one, started(), stage("read", status="running", current=1))
    wait_until(
        lambda: journal.read([(TASK, None)])[0].state(TASK) and state(journal).stages,
        what="the stage",
    )
    assert state(journal).stages[0].current == 1


# -- nobody is held --------------------------------------------------------------------------------------------


def test_a_source_is_held_no_longer_than_its_patience_in_all(own_redis: OwnRedis) -> None:
    server = own_redis()
    published = Publisher(Journal(server.url))
    one = execution("one")
    report(published, one, started())
    published.flusher.wait(one)
    server.pause()
    try:
        begun = time.monotonic()
        for i in range(20):
            report(published, one, said(str(i)))
            published.flusher.wait(one)
        assert time.monotonic() - begun < PATIENCE + SLACK
    finally:
        server.resume()


def test_while_redis_is_known_to_be_away_nobody_waits_at_all(own_redis: OwnRedis) -> None:
    server = own_redis()
    published = Publisher(Journal(server.url))
    server.kill()
    report(published, execution("one"), started())
    wait_until(lambda: published.flusher._away, what="the outage is noticed")
    begun = time.monotonic()
    for i in range(100):
        sender = events.Sender(task=f"t{i}")
        report(published, sender, queued(task=sender.task))
        published.flusher.wait(sender)
    assert time.monotonic() - begun < SLACK


def test_whoever_waits_goes_on_when_redis_has_it(journal: Journal, published: Publisher) -> None:
    for i in range(50):
        sender = events.Sender(task=f"t{i}")
        report(published, sender, queued(task=sender.task))
        published.flusher.wait(sender)
        assert journal.lasts([Subject("task", sender.task)]) != [None]


def test_nobody_is_held_while_a_long_backlog_is_sent(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PAUSE", 1.0)  # so that it finds all of it at once
    server = own_redis()
    published = Publisher(Journal(server.url))
    server.kill()
    report(published, execution("zero"), started())
    wait_until(lambda: published.flusher._away, what="the outage is noticed")
    running = [execution(f"n{i}", task=f"t{i}") for i in range(300)]
    for one in running:
        report(published, one, started(task=one.task), *(said("x", task=one.task),) * 100)
    server.start()
    longest, flushing = 0.0, threading.Thread(target=published.flush, args=(30,))
    flushing.start()
    while flushing.is_alive():
        begun = time.monotonic()
        report(published, running[0], said("meanwhile", task="t0"))
        longest = max(longest, time.monotonic() - begun)
        flushing.join(0.005)
    assert published.flush(5)
    assert longest < PATIENCE + SLACK


def test_waiting_for_a_source_that_said_nothing_is_no_wait(published: Publisher) -> None:
    published.flusher.wait(execution("one"))
    assert published.flush(0)


def test_a_flush_while_redis_is_away_gives_up_in_time(own_redis: OwnRedis) -> None:
    server = own_redis()
    server.kill()
    published = Publisher(Journal(server.url))
    report(published, execution("one"), started())
    begun = time.monotonic()
    assert not published.flush(0.2)
    assert time.monotonic() - begun < 0.2 + SLACK


# -- no noise --------------------------------------------------------------------------------------------------


def test_there_is_one_warning_per_outage_and_one_when_it_is_over(
    own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis()
    journal, counting = Journal(server.url, timeout=5), Counting(server.url)
    published, one = Publisher(counting), execution("one")
    report(published, one, started())
    for outage in (1, 2):
        server.kill()
        for i in range(5):
            tries = counting.tries
            report(published, one, said(f"{outage}:{i}"))
            wait_until(lambda tries=tries: counting.tries > tries, what="another try")  # type: ignore[misc]
        server.start()
        arrive(journal, f"{outage}:4")
        wait_until(lambda: not published.flusher._away, what="the good news")
        assert caplog.text.count("has been sent") == outage
        assert caplog.text.count("Tasks go on; their progress is kept") == outage
    assert Counter(record.levelno for record in caplog.records) == {logging.WARNING: 4}


def test_an_outage_met_by_a_look_up_is_over_with_the_next_one(own_redis: OwnRedis) -> None:
    server = own_redis()
    published = Publisher(Journal(server.url))
    server.kill()
    published.flusher.learned("tasks.work")
    wait_until(lambda: published.flusher._away, what="the outage is noticed")
    server.start()
    published.flusher.learned("tasks.other")
    wait_until(lambda: not published.flusher._away, what="the end of the outage is noticed")


# -- bounds ----------------------------------------------------------------------------------------------------


def test_what_waits_in_a_long_outage_is_bounded(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publisher, "MOST_OUTBOXES", 10)
    server = own_redis()
    journal, published = Journal(server.url, timeout=5), Publisher(Journal(server.url))
    server.kill()
    senders = [events.Sender(task=f"t{i}") for i in range(30)]
    for sender in senders:
        report(published, sender, queued(task=sender.task))
        assert len(published.flusher._outboxes) <= 10
    server.start()
    assert published.flush(10)
    known = journal.lasts([Subject("task", sender.task) for sender in senders])
    assert [last is not None for last in known] == [False] * 20 + [True] * 10
    assert "The backlog is full: the progress of task t0 is dropped." in caplog.text


def test_a_task_that_still_runs_is_not_what_a_full_backlog_drops(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its later events would be numbered from 1 again, taken for repetitions, and vanish."""
    monkeypatch.setattr(publisher, "MOST_OUTBOXES", 10)
    server = own_redis(appendonly="yes")
    journal, published = Journal(server.url, timeout=5), Publisher(Journal(server.url))
    one = execution("one")
    report(published, one, started(), *(said(str(i)) for i in range(20)))
    arrive(journal, "19")
    server.kill()
    for i in range(30):
        sender = events.Sender(task=f"t{i}")
        report(published, sender, queued(task=sender.task))
    server.start()
    report(published, one, said("after"), finished())
    assert published.flush(10)
    assert texts(journal)[-1] == "after"
    assert state(journal).status == "succeeded"


@pytest.mark.parametrize("end", [finished(), retrying()], ids=["finished", "retrying"])
def test_what_redis_has_the_end_of_is_forgotten(published: Publisher, end: Event) -> None:
    report(published, execution("one"), started(), end)
    assert published.flush(5)
    wait_until(lambda: not published.flusher._outboxes, 5, "an empty backlog")


def test_a_task_that_ends_without_a_verdict_leaves_nothing_behind(redis_url: str) -> None:
    """Ignored, rejected, replaced: nothing ends its journal here, and nothing more will come of it here."""
    app = Celery("tasks", broker="memory://")
    app.conf.task_always_eager = True
    lifecycle = Lifecycle(app, {"redis_url": redis_url})
    lifecycle.connect()

    @app.task
    @staged
    def ignored() -> None:
        raise Ignore

    try:
        for _ in range(3):
            ignored.delay()
        assert lifecycle.publisher.flush(5)
        wait_until(lambda: not lifecycle.publisher.flusher._outboxes, 5, "an empty backlog")
    finally:
        lifecycle.disconnect()


def test_a_zombie_that_goes_on_reporting_costs_redis_nothing(
    redis_url: str, journal: Journal
) -> None:
    counting = Counting(redis_url)
    published = Publisher(counting)
    zombie, live = execution("one", ago=60), execution("two")
    report(published, zombie, started())
    assert published.flush(5)
    report(published, live, started())
    assert published.flush(5)
    for i in range(20):
        report(published, zombie, said(str(i)))
        assert published.flush(5)
    assert counting.answers == {"OK": 2, "BEGIN": 2, "FENCED": 1}
    assert len(log(journal)) == 2


def test_a_zombie_is_forgotten_when_it_ends(redis_url: str) -> None:
    published = Publisher(Journal(redis_url))
    zombie, live = execution("one", ago=60), execution("two")
    for source, event in (
        (zombie, started()),
        (live, started()),
        (zombie, said("late")),
        (zombie, finished()),
        (live, finished()),
    ):
        report(published, source, event)
        assert published.flush(5)
    wait_until(lambda: not published.flusher._outboxes, 5, "an empty backlog")


def test_a_refused_task_is_warned_of_once(
    client: redis.Redis, published: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    client.set("headway:t:{t}:state", "somebody else's")
    one = execution("one")
    report(published, one, started())
    for i in range(5):
        report(published, one, said(str(i)))
        assert published.flush(5)
    assert caplog.text.count("Redis refuses the progress of task t") == 1


# -- durations -------------------------------------------------------------------------------------------------


def test_what_succeeded_teaches_how_long_its_stages_take(published: Publisher) -> None:
    for i in range(4):
        one = execution(f"n{i}", task=f"t{i}")
        read = {"key": "read", "runs": 1, "started_at": 10.0}
        done = events.Stage(**read, status="done", finished_at=12.0)  # type: ignore[arg-type]
        report(published, one, started(task=one.task, name="tasks.work"))
        report(published, one, events.StageReported(task=one.task, at=12, stage=done))
        report(published, one, finished(task=one.task))
    assert published.flush(5)
    assert published.flusher.learned("tasks.work") == {}  # it is asked for meanwhile
    usual = wait_until(lambda: published.flusher.learned("tasks.work"), what="the durations")
    assert usual["read"].middle == 2.0
