"""How a task ends: once, last, and by whoever may say so; only `lost` can be withdrawn."""

import pytest
import redis

from headway import events
from headway.journal import Journal, Letter, Retention
from headway.keys import key
from tests.producers import (
    TASK,
    Producer,
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

# -- ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "expired"])
def test_nothing_follows_an_end(journal: Journal, status: str) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), finished(status))
    last = log(journal)[-1][0]
    late = [letter(producer.source, 3, said("late")), letter(supervisor(), 1, finished("lost"))]
    assert journal.write(late) == [("TERMINAL", last), ("TERMINAL", last)]
    retry = Producer(journal, execution("two", retries=1))
    assert retry.say(started()) == ["TERMINAL"]
    assert retry.outbox.empty.is_set()
    assert log(journal)[-1][0] == last
    assert state(journal).status == status


def test_lost_is_withdrawn_by_a_sign_of_life(journal: Journal) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), stage("read", status="running"))
    Producer(journal, supervisor()).say(finished("lost", error=events.Error(type="Lost")))
    assert state(journal).status == "lost"
    assert producer.say(said("alive")) == ["OK"]
    back = state(journal)
    assert (back.status, back.error, back.finished_at) == ("running", None, None)
    assert back.stages[0].status == "running"
    assert producer.say(finished()) == ["OK"]
    assert state(journal).status == "succeeded"
    assert state(journal) == fold(told(journal))


def test_lost_is_withdrawn_by_a_newer_execution_and_not_by_an_older(
    journal: Journal, client: redis.Redis
) -> None:
    Producer(journal, execution("two", ago=10)).say(started())
    Producer(journal, supervisor()).say(finished("lost"))
    assert Producer(journal, execution("one", ago=60)).say(started()) == ["FENCED"]
    assert state(journal).status == "lost"
    assert Producer(journal, execution("three", ago=1)).say(started()) == ["OK"]
    assert state(journal).status == "running"
    assert state(journal).finished_at is None
    assert client.hget(f"{key(TASK)}:state", "_term") is None


def test_lost_can_be_said_again_after_it_was_withdrawn(journal: Journal) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    Producer(journal, supervisor()).say(finished("lost"))
    producer.say(said("alive"))
    assert Producer(journal, supervisor()).say(finished("lost", at=9)) == ["OK"]
    assert state(journal).status == "lost"


def test_lost_can_be_said_of_each_delivery_to_the_same_worker(journal: Journal) -> None:
    for nonce, ago in (("one", 60), ("two", 10)):
        assert Producer(journal, execution(nonce, ago=ago)).say(started()) == ["OK"]
        assert Producer(journal, supervisor()).say(finished("lost")) == ["OK"]
    assert state(journal).status == "lost"


# -- supervisors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "about",
    [supervisor(retries=0), supervisor(retries=1, boot="another")],
    ids=["an attempt before", "another worker's run of this attempt"],
)
def test_a_supervisor_that_means_another_execution_is_fenced(
    journal: Journal, about: events.Supervisor
) -> None:
    Producer(journal, execution("one", retries=0, ago=60)).say(started())
    Producer(journal, execution("two", retries=1)).say(started())
    assert Producer(journal, about).say(finished("failed")) == ["FENCED"]
    assert state(journal).status == "running"


def test_a_supervisor_ends_the_execution_it_means(journal: Journal) -> None:
    Producer(journal, execution("one")).say(started(), stage("read", status="running"))
    error = events.Error(type="WorkerLostError")
    assert Producer(journal, supervisor()).say(finished("failed", error=error)) == ["OK"]
    ended = state(journal)
    assert (ended.status, ended.error, ended.stages[0].status) == ("failed", error, "failed")
    assert ended == fold(told(journal))


def test_a_supervisor_ends_what_has_not_begun(journal: Journal) -> None:
    Producer(journal, events.Sender(task="t")).say(queued(name="tasks.work"))
    assert Producer(journal, supervisor()).say(finished("expired")) == ["OK"]
    assert (state(journal).status, state(journal).name) == ("expired", "tasks.work")


def test_a_supervisor_ends_a_retry_that_never_began(journal: Journal) -> None:
    error = events.Error(type="Trouble")
    Producer(journal, execution("one")).say(started(), retrying(error=error))
    assert Producer(journal, supervisor(retries=1)).say(finished("cancelled")) == ["OK"]
    assert (state(journal).status, state(journal).error) == ("cancelled", None)
    assert state(journal) == fold(told(journal))


def test_a_verdict_whose_reply_was_lost_is_written_once(journal: Journal) -> None:
    Producer(journal, execution("one")).say(started())
    main = Producer(journal, supervisor())
    main.outbox.put(finished("lost"))
    main.send_and_hear_nothing()
    assert main.send() == ["DUP"]
    assert len(log(journal)) == 2


def test_another_verdict_about_the_same_execution_is_not_taken_for_the_first(
    journal: Journal,
) -> None:
    Producer(journal, execution("one")).say(started())
    Producer(journal, supervisor()).say(finished("lost"))
    assert Producer(journal, supervisor()).say(finished("failed", at=9)) == ["OK"]
    assert state(journal).status == "failed"


def test_a_verdict_of_no_worker_ends_only_what_has_not_begun_and_creates_nothing(
    journal: Journal, client: redis.Redis
) -> None:
    nobody = supervisor(boot="")
    assert Producer(journal, nobody).say(finished("cancelled")) == ["UNKNOWN"]
    assert client.dbsize() == 0
    producer = Producer(journal, execution("one"))
    producer.say(started())
    assert Producer(journal, nobody).say(finished("cancelled")) == ["FENCED"]
    client.flushall()
    Producer(journal, events.Sender(task="t")).say(queued())
    assert Producer(journal, nobody).say(finished("cancelled")) == ["OK"]
    assert producer.say(said("too late")) == ["BEGIN"]
    assert producer.settle() == ["TERMINAL", "BEGIN"]
    assert state(journal).status == "cancelled"


def test_the_main_process_ends_a_task_that_redis_has_never_heard_of(journal: Journal) -> None:
    """The worker's main process may be the only one left who can say that a task failed."""
    assert Producer(journal, supervisor()).say(finished("failed")) == ["OK"]
    assert state(journal).status == "failed"
    assert Producer(journal, execution("one")).say(started()) == ["TERMINAL"]


# -- who asks for an end ---------------------------------------------------------------------------------------


def asked() -> Letter:
    return letter(supervisor(retries=-1, boot=""), 1, events.Cancelling(task="t", at=4))


def test_an_end_is_asked_for_once_and_in_time(journal: Journal) -> None:
    assert journal.write([asked()]) == [("UNKNOWN", "")]
    assert journal.lasts([TASK]) == [None]
    producer = Producer(journal, execution("one"))
    producer.say(started())
    assert [answer for answer, _ in journal.write([asked(), asked()])] == ["OK", "DUP"]
    assert state(journal).cancelling
    assert producer.say(finished()) == ["OK"]
    assert not state(journal).cancelling
    assert [answer for answer, _ in journal.write([asked()])] == ["TERMINAL"]
    assert state(journal) == fold(told(journal))


def test_what_waits_is_not_kept_for_less_because_somebody_asked_for_its_end(
    journal: Journal, client: redis.Redis
) -> None:
    Producer(journal, events.Sender(task="t")).say(queued())
    journal.write([asked()])
    assert client.ttl(f"{key(TASK)}:state") > Retention().running
    assert client.ttl(f"{key(TASK)}:log") > Retention().running
