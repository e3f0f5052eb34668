"""The hub when history is not what it saw: forks, what comes again, what never does; replays; and processes."""

import subprocess
import sys
import textwrap
import threading
import time

import pytest
import redis
from msgspec.structs import replace

from headway import hub as hubs
from headway.errors import JournalUnavailable
from headway.events import Subject
from headway.hub import Hub
from headway.journal import Journal, Reading
from headway.keys import key
from headway.seats import Seat
from tests.hubs import NEVER, Counting, Viewer, cut, silence
from tests.processes import ROOT, wait_until
from tests.producers import (
    EVERYTHING,
    TASK,
    Past,
    Producer,
    execution,
    finished,
    log,
    said,
    started,
    state,
)

# -- history that went another way -----------------------------------------------------------------------------


def test_after_a_fork_viewers_are_shown_what_is_now_true(
    hub: Hub, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    past = Past(client)
    viewer = Viewer(hub)
    producer.say(said("a"))
    viewer.catches_up(journal)
    past.restore()
    other = Producer(journal, execution("two", retries=1))
    other.say(started(), said("b"))
    viewer.catches_up(journal)
    assert viewer.gaps == 1
    assert viewer.topic.gap is not None
    assert viewer.topic.gap.reason == "fork"
    other.say(said("c"))
    viewer.catches_up(journal)
    assert viewer.gaps == 1


def test_what_redis_lost_and_is_told_again_is_no_gap(
    hub: Hub,
    counting: Counting,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "AHEAD_SECONDS", NEVER)
    past = Past(client)
    viewer = Viewer(hub)
    producer.say(said("a"))
    viewer.catches_up(journal)
    past.restore()
    cut(client)
    wait_until(lambda: viewer.topic.missing_since, what="the loss is noticed")
    producer.say(said("b"))
    producer.settle()
    viewer.catches_up(journal)
    assert (len(viewer.frames), viewer.gaps) == (2, 0)


def test_each_loss_is_waited_for_anew(
    hub: Hub,
    counting: Counting,
    client: redis.Redis,
    journal: Journal,
    producer: Producer,
) -> None:
    """The first is made good without a new event; the second, later, must not be judged by the first's clock."""
    past = Past(client)
    viewer = Viewer(hub)
    producer.say(said("a"))
    viewer.catches_up(journal)
    whole = Past(client)
    past.restore()
    cut(client)
    wait_until(lambda: viewer.topic.missing_since, what="the first loss is noticed")
    whole.restore()
    wait_until(lambda: not viewer.topic.missing_since, what="it is made good")
    assert viewer.gaps == 0


def test_what_redis_lost_for_good_is_a_gap_after_a_while(
    hub: Hub, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    past = Past(client)
    viewer = Viewer(hub)
    producer.say(said("a"))
    viewer.catches_up(journal)
    past.restore()
    cut(client)
    wait_until(lambda: viewer.topic.missing_since, what="the loss is noticed")
    assert viewer.gaps == 0
    viewer.catches_up(journal)
    assert viewer.gaps == 1


def test_a_journal_that_vanishes_is_waited_for_and_then_gone(
    hub: Hub, client: redis.Redis, producer: Producer
) -> None:
    viewer = Viewer(hub)
    client.delete(f"{key(TASK)}:state", f"{key(TASK)}:log")
    cut(client)
    wait_until(lambda: viewer.topic.missing_since, what="the loss is noticed")
    assert not viewer.topic.gone
    wait_until(lambda: viewer.topic.gone, what="the end of the wait")
    assert (viewer.gaps, viewer.cursor) == (1, "0")


def test_a_journal_that_comes_back_after_it_was_gone_is_gone_no_more(
    hub: Hub, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    viewer = Viewer(hub)
    client.delete(f"{key(TASK)}:state", f"{key(TASK)}:log")
    cut(client)
    wait_until(lambda: viewer.topic.gone, what="the end of the wait")
    producer.say(said("a"))
    producer.settle()
    viewer.catches_up(journal)
    assert not viewer.topic.gone


def test_a_log_trimmed_beyond_what_is_held_is_a_gap_that_says_so(
    hub: Hub, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    viewer = Viewer(hub)
    with silence():
        producer.say(*(said("x") for _ in range(20)))
    client.xtrim(f"{key(TASK)}:log", maxlen=5, approximate=False)
    producer.say(said("heard"))
    viewer.catches_up(journal)
    assert viewer.gaps == 1
    assert viewer.topic.gap is not None
    assert (viewer.topic.gap.reason, viewer.topic.gap.first) == ("trimmed", 3)


def test_the_beginning_of_a_log_that_has_expired_is_a_gap_whose_end_nobody_knows(
    hub: Hub, client: redis.Redis, journal: Journal, producer: Producer
) -> None:
    producer.say(finished())
    client.delete(f"{key(TASK)}:log")
    seat = Seat(hub, TASK, "0", lambda seat: None)
    wait_until(seat.topic.ready.is_set, what="the first reading")
    (told,) = seat.catch_up(hub)
    assert b'"gap":{"reason":"trimmed","first":1,"last":null}' in told
    assert seat.over


# -- replays ---------------------------------------------------------------------------------------------------


def test_viewers_who_come_back_to_one_place_share_one_read(
    hub: Hub, counting: Counting, journal: Journal, producer: Producer
) -> None:
    cursor = log(journal)[0][0]
    all_wait, found = threading.Event(), list[Reading]()
    counting.after_read = lambda: all_wait.wait(5)
    threads = [
        threading.Thread(target=lambda: found.append(hub.replay(TASK, cursor))) for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: counting.reads, what="the read")
    all_wait.set()
    for thread in threads:
        thread.join()
    assert len(counting.reads) < 30
    assert all(reading.entries == log(journal)[1:] for reading in found)
    counting.reads.clear()
    hub.replay(TASK, cursor)
    assert counting.reads == [(TASK, cursor)]


def test_a_shared_read_that_fails_fails_for_all_and_is_tried_again(
    hub: Hub, counting: Counting, journal: Journal, producer: Producer
) -> None:
    cursor, failed = log(journal)[0][0], list[JournalUnavailable]()
    asked, answer = threading.Barrier(2), threading.Event()

    def fail() -> None:
        asked.wait(5)
        answer.wait(5)
        raise JournalUnavailable("away")

    def replay() -> None:
        try:
            hub.replay(TASK, cursor)
        except JournalUnavailable as error:
            failed.append(error)

    counting.after_read = fail
    threads = [threading.Thread(target=replay) for _ in range(5)]
    threads[0].start()
    asked.wait(5)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.05)  # for them to join; one that comes later reads by itself, and fails likewise
    counting.after_read = fail_again
    answer.set()
    for thread in threads:
        thread.join()
    assert len(failed) == 5
    counting.after_read = lambda: None
    assert hub.replay(TASK, cursor).entries == log(journal)[1:]


def fail_again() -> None:
    raise JournalUnavailable("away")


# -- processes -------------------------------------------------------------------------------------------------


def test_a_hub_made_before_a_fork_is_not_used_after(redis_url: str, producer: Producer) -> None:
    program = """
        import os, sys
        from flask import Flask
        from headway.events import Subject
        from headway.flask import Headway

        app = Flask("app")
        Headway(app, redis_url=sys.argv[1], allow_anonymous=True)
        edge = app.extensions["headway"]
        parents = edge.hub
        topic = parents.attach(Subject("task", "t"), lambda: None)
        assert topic.ready.wait(5)
        child = os.fork()
        if child:
            assert edge.hub is parents
            sys.exit(os.waitpid(child, 0)[1])
        assert edge.hub is not parents and edge.hub is edge.hub
        topic = edge.hub.attach(Subject("task", "t"), lambda: None)
        assert topic.ready.wait(5)
        assert topic.state().status == "running"
        """
    code = textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", code, redis_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_the_state_is_read_when_asked_for(hub: Hub, journal: Journal, producer: Producer) -> None:
    assert hub.state(TASK) == replace(state(journal), stalled=True)  # its worker has no lease
    assert hub.state(Subject("task", "other")) is None
    assert len(journal.read([(TASK, "0")], count=EVERYTHING)[0].entries) == 2
