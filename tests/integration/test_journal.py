"""Who may write a journal, and what becomes of it: the script on a real server, one test per way to get it wrong."""

import logging
import time

import pytest
import redis
from redis.crc import key_slot

from headway import backlog, events
from headway.events import SUBJECT_ID, Subject
from headway.journal import Journal
from headway.keys import key
from tests.producers import (
    TASK,
    Past,
    Producer,
    chained,
    execution,
    finished,
    fold,
    letter,
    log,
    queued,
    retrying,
    said,
    stage,
    started,
    state,
    supervisor,
    told,
)


def texts(journal: Journal) -> list[str]:
    """What was emitted, in order."""
    return [event.data for event in told(journal) if isinstance(event, events.Emitted)]


# -- ids -------------------------------------------------------------------------------------------------------


def test_ids_are_dense_and_each_commits_to_all_that_came_before(journal: Journal) -> None:
    Producer(journal, events.Sender(task="t")).say(queued())
    Producer(journal, execution("one")).say(started(), said("a"), said("é"), said("b"))
    Producer(journal, supervisor()).say(finished("failed"))
    written = log(journal)
    writers = [("sender", "0"), *(("one", str(n)) for n in range(1, 5))]
    writers.append(("supervisor", "Finished failed 0 boot 0"))
    previous = "0"
    for (id, payload), (who, number) in zip(written, writers, strict=True):
        assert id == chained(previous, who, number, payload)
        previous = id
    assert [id.partition("-")[0] for id, _ in written] == ["1", "2", "3", "4", "5", "6"]


def test_the_same_number_does_not_prove_the_same_past(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    past = Past(client)
    producer.say(said("b"))
    seen = log(journal)[-1][0]
    past.restore()
    other = Producer(journal, execution("two", retries=1))
    other.say(started(), said("c"))
    assert log(journal)[2][0].startswith("3-")
    assert log(journal)[2][0] != seen
    (reading,) = journal.read([(TASK, seen)])
    assert reading.past == "fork"


# -- sent again ------------------------------------------------------------------------------------------------


def test_an_event_whose_reply_was_lost_is_written_once(journal: Journal) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    for event in (said("b"), said("c"), finished()):
        producer.outbox.put(event)
    producer.send_and_hear_nothing()
    written = log(journal)
    assert producer.send() == ["DUP", "DUP", "DUP"]
    assert log(journal) == written
    assert texts(journal) == ["a", "b", "c"]


def test_a_begin_whose_reply_was_lost_is_one_attempt(journal: Journal) -> None:
    producer = Producer(journal, execution("one"))
    producer.outbox.put(started())
    producer.send_and_hear_nothing()
    assert producer.send() == ["DUP"]
    assert state(journal).attempt == 1
    assert len(log(journal)) == 1


def test_a_lost_suffix_is_sent_again_under_identical_ids(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    past = Past(client)
    producer.say(said("b"), said("c"))
    before = log(journal)
    past.restore()
    assert len(log(journal)) == 2
    assert producer.say(said("d")) == ["RESEND"]
    assert producer.settle() == ["OK", "OK", "OK"]
    assert log(journal)[:4] == before
    assert texts(journal) == ["a", "b", "c", "d"]


def test_after_total_loss_a_lone_producer_repeats_its_history_under_identical_ids(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"), said("b"))
    before = log(journal)
    client.flushall()
    assert producer.say(said("c")) == ["BEGIN"]
    producer.settle()
    assert log(journal)[:3] == before
    assert texts(journal) == ["a", "b", "c"]


def test_after_total_loss_what_others_wrote_is_gone_and_ids_differ(
    journal: Journal, client: redis.Redis
) -> None:
    Producer(journal, events.Sender(task="t")).say(queued())
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    seen = log(journal)[-2][0]
    client.flushall()
    producer.say(said("b"))
    producer.settle()
    (reading,) = journal.read([(TASK, seen)])
    assert reading.past == "fork"
    assert texts(journal) == ["a", "b"]


def test_a_producer_asked_for_more_than_it_keeps_says_its_whole_state_anew(
    journal: Journal, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "RING", 5)
    producer = Producer(journal, execution("one"))
    plan = (events.Stage(key="read"), events.Stage(key="write"))
    producer.say(started(name="tasks.work", worker="w1", stages=plan))
    producer.say(stage("read", status="running", current=7), stage("extra", status="done"))
    for i in range(20):
        producer.say(said(str(i)))
    client.flushall()
    producer.say(stage("write", status="running"), said("unconfirmed"))
    producer.settle()
    anew, last = told(journal)
    assert isinstance(anew, events.Started)
    assert anew.gap is True
    assert (anew.attempt, anew.name, anew.worker) == (1, "tasks.work", "w1")
    assert [(s.key, s.status) for s in anew.stages] == [
        ("read", "running"),
        ("write", "running"),
        ("extra", "done"),
    ]
    assert last == said("unconfirmed")
    assert state(journal) == fold(told(journal))


def test_a_state_said_anew_is_taken_at_any_number_and_goes_on_from_there(journal: Journal) -> None:
    one = execution("one")
    journal.write([letter(one, 1, started())])
    answers = journal.write([letter(one, 40, started()), letter(one, 41, said("a"))])
    assert answers[0] == ("OK", "1")
    assert answers[1][0] == "OK"
    assert journal.write([letter(one, 40, started()), letter(one, 43, said("c"))]) == [
        ("DUP", "1"),
        ("RESEND", "42"),
    ]


# -- which execution is the current one ------------------------------------------------------------------------


def test_an_attempt_that_arrives_after_its_retry_is_fenced(journal: Journal) -> None:
    first = Producer(journal, execution("one", retries=0, ago=60))
    second = Producer(journal, execution("two", retries=1, ago=10))
    first.outbox.put(started(1))
    first.outbox.put(retrying(2))
    assert second.say(started(3), said("live")) == ["OK", "OK"]
    assert first.send()[0] == "FENCED"
    assert second.say(finished()) == ["OK"]
    assert state(journal).status == "succeeded"
    assert [event.at for event in told(journal)] == [3, 3, 5]


def test_of_two_deliveries_the_later_start_is_current_whichever_arrives_first(
    journal: Journal,
) -> None:
    first = Producer(journal, execution("one", ago=60))
    second = Producer(journal, execution("two", ago=10))
    assert second.say(started()) == ["OK"]
    assert first.say(started()) == ["FENCED"]
    assert second.say(said("live")) == ["OK"]


def test_a_begin_repeated_after_a_lost_reply_does_not_fence_the_retry(journal: Journal) -> None:
    first = Producer(journal, execution("one", retries=0, ago=60))
    first.outbox.put(started())
    first.send_and_hear_nothing()
    second = Producer(journal, execution("two", retries=1, ago=10))
    second.say(started())
    assert first.send() == ["FENCED"]
    assert second.say(said("live"), finished()) == ["OK", "OK"]
    assert state(journal).attempt == 2


def test_a_zombie_is_fenced_and_drops_what_it_holds(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    zombie = Producer(journal, execution("one", ago=60))
    zombie.say(started(), said("a"))
    Producer(journal, execution("two")).say(started())
    written = log(journal)
    assert zombie.say(said("b"), finished()) == ["BEGIN", "BEGIN"]
    assert zombie.settle()[0] == "FENCED"
    assert log(journal) == written
    assert zombie.outbox.over
    assert "not taken any more: FENCED" in caplog.text


def test_a_begin_lost_in_failover_is_said_again_and_swallows_nothing(
    journal: Journal, client: redis.Redis
) -> None:
    first = Producer(journal, execution("one", ago=60))
    first.say(started())
    past = Past(client)
    second = Producer(journal, execution("two", ago=10))
    second.say(started(), said("a"))
    past.restore()
    assert second.say(said("b")) == ["BEGIN"]
    second.settle()
    assert texts(journal) == ["a", "b"]
    assert state(journal).attempt == 2
    assert first.say(said("zombie")) == ["BEGIN"]
    assert first.send()[0] == "FENCED"


def test_an_attempt_keeps_its_number_when_all_before_it_is_lost(
    journal: Journal, client: redis.Redis
) -> None:
    for number in range(3):
        producer = Producer(journal, execution(f"n{number}", retries=number))
        producer.say(started())
    client.flushall()
    producer.say(said("a"))
    producer.settle()
    assert state(journal).attempt == 3
    assert client.hget(f"{key(TASK)}:state", "_retries") == b"2"


def test_two_copies_of_one_execution_are_one_writer(journal: Journal) -> None:
    """Why a handle is inert in a forked child: whatever the copy said under the same numbers would vanish."""
    one = execution("one")
    parent, child = Producer(journal, one), Producer(journal, one)
    parent.say(started(), said("parent"))
    assert child.say(started(), said("child")) == ["DUP", "DUP"]
    assert texts(journal) == ["parent"]


# -- state and log are one thing -------------------------------------------------------------------------------


def test_a_log_without_its_state_is_dropped(journal: Journal, client: redis.Redis) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    client.delete(f"{key(TASK)}:state")
    assert journal.read([(TASK, "0")])[0].past == "gone"
    assert producer.say(said("b")) == ["BEGIN"]
    assert client.exists(f"{key(TASK)}:log") == 0
    producer.settle()
    assert texts(journal) == ["a", "b"]
    assert state(journal) == fold(told(journal))


def test_a_state_without_its_log_goes_on(journal: Journal, client: redis.Redis) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    seen = log(journal)[-1][0]
    client.delete(f"{key(TASK)}:log")
    assert journal.read([(TASK, seen)])[0].past == "same"
    assert producer.say(said("b"), said("c")) == ["OK", "OK"]
    assert [id.partition("-")[0] for id, _ in log(journal)] == ["3", "4"]
    assert state(journal).attempt == 1


def test_a_new_attempt_keeps_nothing_of_the_one_before_but_what_the_sender_said(
    journal: Journal,
) -> None:
    Producer(journal, events.Sender(task="t")).say(queued(name="tasks.work", title="report"))
    first = Producer(journal, execution("one"))
    first.say(started(2, stages=(events.Stage(key="a"),)), stage("undeclared", status="running"))
    first.say(events.MessageReported(task="t", at=3, message="half", data=[1], progress=0.5))
    first.say(retrying(4, error=events.Error(type="Trouble")))
    second = Producer(journal, execution("two", retries=1))
    second.say(started(9, stages=(events.Stage(key="b"),)))
    now = state(journal)
    assert [s.key for s in now.stages] == ["b"]
    assert (now.message, now.data, now.progress, now.error) == (None, None, None, None)
    assert (now.name, now.title, now.queued_at, now.attempt) == ("tasks.work", "report", 1, 2)
    assert now == fold(told(journal))


def test_stages_keep_their_order_beyond_ten(journal: Journal) -> None:
    names = [f"s{i}" for i in range(25)]
    plan = tuple(events.Stage(key=name) for name in names)
    producer = Producer(journal, execution("one"))
    producer.say(started(stages=plan))
    producer.say(*(stage(name, status="running") for name in reversed(names)))
    assert [s.key for s in state(journal).stages] == names


def test_a_plan_of_any_length_is_kept_whole(journal: Journal) -> None:
    plan = tuple(events.Stage(key=f"s{i}") for i in range(500))
    Producer(journal, execution("one")).say(started(stages=plan))
    assert state(journal).stages == plan


# -- queued ----------------------------------------------------------------------------------------------------


def test_queued_is_taken_by_an_empty_journal_only(journal: Journal) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    sender = Producer(journal, events.Sender(task="t"))
    assert sender.say(queued()) == ["KNOWN"]
    assert sender.outbox.over
    assert state(journal).status == "running"
    assert producer.say(said("a")) == ["OK"]


def test_sending_a_finished_id_again_is_refused_with_a_warning(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    Producer(journal, execution("one")).say(started(), finished())
    assert Producer(journal, events.Sender(task="t")).say(queued()) == ["KNOWN"]
    assert "Task t was sent again" in caplog.text
    assert state(journal).status == "succeeded"


def test_a_task_that_ends_before_its_sender_is_heard_was_not_sent_again(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    at = 1763730000.123456
    Producer(journal, execution("one")).say(started(queued_at=at), finished())
    assert Producer(journal, events.Sender(task="t")).say(queued(at)) == ["KNOWN"]
    assert "was sent again" not in caplog.text


# -- names and numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["", "}", "a{b", "a}b", "a/b", "a b", "ä", "a\n", "a" * 129])
def test_an_id_that_could_name_other_keys_is_none(id: str) -> None:
    assert SUBJECT_ID.fullmatch(id) is None


@pytest.mark.parametrize("id", ["a", "-", ":", "a:log", "t:{", "0f" * 64, "A.b_c:d-9"])
def test_all_keys_of_a_subject_live_in_one_slot(id: str) -> None:
    if not SUBJECT_ID.fullmatch(id):
        id = id.strip("{")
    base = key(Subject("task", id))
    assert base.startswith("headway:t:{")
    slots = {key_slot(name.encode()) for name in (f"{base}:state", f"{base}:log", id)}
    assert len(slots) == 1


def test_numbers_keep_their_digits_and_empty_lists_stay_lists(
    journal: Journal, client: redis.Redis
) -> None:
    at, data = 1763730000.123456, {"list": [], "object": {}, "big": 2**53, "small": 1e-7}
    producer = Producer(journal, execution("one"))
    producer.say(started(at), events.MessageReported(task="t", at=at, message="m", data=data))
    assert state(journal).data == data
    assert state(journal).updated_at == at
    assert b"1763730000.123456" in log(journal)[1][1]
    began = client.hget(f"{key(TASK)}:state", "_began")
    assert isinstance(began, bytes)
    assert abs(float(began) - time.time()) < 60
    assert len(began.partition(b".")[2]) == 6


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_a_value_that_python_holds_equal_to_the_last_is_told_all_the_same(
    journal: Journal, old: object, new: object
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), events.MessageReported(task="t", at=3, data=old))
    producer.say(events.MessageReported(task="t", at=3, data=new))
    assert repr(state(journal).data) == repr(new)


# -- watching --------------------------------------------------------------------------------------------------


def test_watching_creates_nothing(journal: Journal, client: redis.Redis) -> None:
    assert journal.read([(TASK, None), (TASK, "0"), (TASK, "5-7")])[2].past == "gone"
    assert journal.lasts([TASK]) == [None]
    assert journal.owner(TASK) is None
    assert journal.learned("tasks.work") == {}
    feed = journal.follow()
    feed.subscribe([TASK])
    assert len(feed.read(5)) == 1
    feed.close()
    assert client.dbsize() == 0
