"""The doubles: what they promise to those who test with them."""

import threading

import pytest
from celery.exceptions import Ignore, Reject, Retry

from headway import current, emit, report, reported, stage, track
from headway.errors import Failure, InvalidReport
from headway.events import (
    Execution,
    Finished,
    Queued,
    Retrying,
    Sender,
    StageReported,
    Started,
    Supervisor,
)
from headway.testing import Recorder, capture, run
from tests.reported import statuses


def execution(task: str = "t", retries: int = 0) -> Execution:
    return Execution(task=task, nonce="n", retries=retries, boot="b", began=0.0)


# -- run -----------------------------------------------------------------------------------------------------


def test_run_is_a_task_that_succeeds_at_the_end_of_the_block() -> None:
    with run("read", stage("score", weight=3)) as heard:
        assert current().task == "test"
        assert heard.state().status == "running"
        list(track("ab", "read"))
    assert current().task is None
    state = heard.state()
    assert (state.status, state.attempt, state.progress) == ("succeeded", 1, 1.0)
    assert statuses(heard) == {"read": "done", "score": "skipped"}


def test_run_is_a_task_that_fails_by_the_exception_it_lets_pass() -> None:
    error = ValueError("not for viewers")
    with pytest.raises(ValueError, match="not for viewers") as raised, run("read") as heard:
        raise error
    assert raised.value is error
    failed = heard.state().error
    assert failed is not None
    assert (heard.state().status, failed.type, failed.message) == ("failed", "ValueError", None)


def test_run_shows_what_a_failure_says() -> None:
    with pytest.raises(Failure), run() as heard:
        raise Failure("No pages.")
    failed = heard.state().error
    assert failed is not None
    assert failed.message == "No pages."


@pytest.mark.parametrize("error", [Ignore(), Reject(), KeyboardInterrupt()], ids=repr)
def test_run_ends_without_a_verdict_by_what_is_none(error: BaseException) -> None:
    with pytest.raises(type(error)), run() as heard:
        raise error
    assert heard.state().status == "running"
    assert current().task is None


def test_run_is_retrying_after_a_retry() -> None:
    with pytest.raises(Retry), run() as heard:
        raise Retry(when=30)  # type: ignore[arg-type]
    assert isinstance(heard.events[-1], Retrying)
    assert (heard.state().status, heard.events[-1].delay) == ("retrying", 30)


def test_run_is_lenient_unless_it_is_strict() -> None:
    with run():
        emit("error")
    with pytest.raises(InvalidReport), run(strict=True):
        emit("error")


def test_run_can_be_any_number_of_tasks_one_inside_the_other() -> None:
    with run(task="outer") as outer:
        with run(task="inner") as inner:
            assert current().task == "inner"
        assert current().task == "outer"
        assert outer.state().status == "running"
    assert inner.state().task == "inner"
    assert outer.state("inner").status == "succeeded"
    assert outer.state().task == "outer"


def test_run_leaves_no_receiver_behind() -> None:
    before = len(reported.receivers)
    with pytest.raises(ZeroDivisionError), run():
        _ = 1 / 0
    with run(), capture():
        assert len(reported.receivers) == before + 2
    assert len(reported.receivers) == before


# -- capture and what it gives -------------------------------------------------------------------------------


def test_capture_hears_every_task_and_folds_the_one_that_is_named() -> None:
    with capture() as heard:
        with run(task="one"):
            pass
        assert heard.state().task == "one"
        with run(task="two"):
            pass
    assert {event.task for event in heard.events} == {"one", "two"}
    assert heard.state("two").status == "succeeded"


def test_a_state_nobody_has_told_of_is_an_error_that_says_so() -> None:
    heard = Recorder()
    with pytest.raises(LookupError, match="0 tasks"):
        heard.state()
    with pytest.raises(LookupError, match="'t'"):
        heard.state("t")
    heard(event=Queued(task="a", at=1.0), source=Sender(task="a"))
    heard(event=Queued(task="b", at=1.0), source=Sender(task="b"))
    with pytest.raises(LookupError, match=r"\['a', 'b'\]"):
        heard.state()


def test_attempts_are_numbered_as_a_journal_would() -> None:
    heard, first, second = Recorder(), execution(), execution(retries=1)
    heard(event=Started(task="t", at=1.0, name="app.task"), source=first)
    heard(event=Retrying(task="t", at=2.0), source=first)
    heard(event=Started(task="t", at=3.0), source=second)
    state = heard.state()
    assert (state.attempt, state.status, state.name) == (2, "running", "app.task")


def test_what_an_older_attempt_says_too_late_is_not_folded() -> None:
    heard, first, second = Recorder(), execution(), execution(retries=1)
    heard(event=Started(task="t", at=1.0), source=first)
    heard(event=Started(task="t", at=2.0), source=second)
    heard(event=Retrying(task="t", at=3.0), source=first)
    heard(event=Started(task="t", at=3.5), source=execution(retries=0))
    assert (heard.state().status, heard.state().attempt) == ("running", 2)
    heard(event=Finished(task="t", at=4.0, status="succeeded"), source=second)
    heard(event=Finished(task="t", at=5.0, status="failed"), source=first)
    assert heard.state().status == "succeeded"
    assert len(heard.events) == 6


def test_an_end_comes_once_but_lost_can_be_withdrawn() -> None:
    heard, source = Recorder(), execution()
    supervisor = Supervisor(task="t", retries=0, boot="b")
    heard(event=Queued(task="t", at=0.5), source=Sender(task="t"))
    heard(event=Started(task="t", at=1.0), source=source)
    heard(event=Finished(task="t", at=2.0, status="lost"), source=supervisor)
    assert heard.state().status == "lost"
    heard(event=Queued(task="t", at=2.5), source=Sender(task="t"))
    heard(event=Finished(task="t", at=3.0, status="succeeded"), source=source)
    heard(event=Finished(task="t", at=4.0, status="failed"), source=supervisor)
    assert heard.state().status == "succeeded"


def test_waiting_ends_with_the_event_that_makes_it_true() -> None:
    heard = Recorder()
    event = Queued(task="t", at=1.0)
    timer = threading.Timer(0.05, lambda: heard(event=event, source=Sender(task="t")))
    timer.start()
    heard.wait_for(lambda heard: heard.events)
    timer.join()
    heard.wait_for(lambda heard: heard.state().status == "queued", seconds=0)


def test_waiting_for_what_does_not_come_fails_and_says_what_came() -> None:
    heard = Recorder()
    heard(event=Queued(task="t", at=1.0, name="app.task"), source=Sender(task="t"))
    with pytest.raises(AssertionError, match=r"Not so within 0\.01 s.*app\.task"):
        heard.wait_for(lambda heard: False, seconds=0.01)


def test_what_is_waited_for_may_report_itself() -> None:
    with run() as heard, stage("read"):

        def reports(heard: Recorder) -> bool:
            report("asked")
            return any(
                isinstance(event, StageReported) and event.stage.message == "asked"
                for event in heard.events
            )

        heard.wait_for(reports)
