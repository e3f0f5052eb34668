"""The signal between tasks and everybody who listens."""

import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from headway import events, reported, stage, track
from headway.events import Event, Execution, Finished, StageReported, Started
from headway.signals import Reported
from headway.testing import capture, run
from tests.reported import statuses

Connect = Callable[[Callable[..., Any]], None]


@pytest.fixture
def connected() -> Iterator[Connect]:
    """Connect a receiver for the length of the test."""
    receivers: list[Callable[..., Any]] = []

    def connect(receiver: Callable[..., Any]) -> None:
        reported.connect(receiver, weak=False)
        receivers.append(receiver)

    yield connect
    for receiver in receivers:
        reported.disconnect(receiver)


def test_a_receiver_gets_every_event_with_who_says_it(connected: Connect) -> None:
    got: list[tuple[Event, Any, Any]] = []
    connected(lambda *, event, source, sender, **_: got.append((event, source, sender)))
    with run("read", task="t") as heard, stage("read"):
        pass
    assert [event for event, _, _ in got] == heard.events
    assert [type(event) for event, _, _ in got] == [Started, StageReported, StageReported, Finished]
    (source,) = {id(source): source for _, source, _ in got}.values()
    assert isinstance(source, Execution)
    assert (source.task, source.retries) == ("t", 0)
    assert {sender for _, _, sender in got} == {"t"}


def test_a_soft_time_limit_that_lands_in_a_receiver_reaches_the_task(connected: Connect) -> None:
    def struck(*, event: Event, **_: Any) -> None:
        if isinstance(event, StageReported):
            raise SoftTimeLimitExceeded

    connected(struck)
    with pytest.raises(SoftTimeLimitExceeded), run("read") as heard, stage("read"):
        pytest.fail("The stage was entered.")
    assert heard.state().status == "failed"


def test_the_other_receivers_hear_the_event_that_a_time_limit_cut_off(connected: Connect) -> None:
    def struck(**_: Any) -> None:
        raise SoftTimeLimitExceeded

    signal, after = Reported(name="test"), mock.MagicMock()
    signal.connect(struck, weak=False)
    signal.connect(after, weak=False)
    with pytest.raises(SoftTimeLimitExceeded):
        signal.send(sender="t", event=1, source=2)
    after.assert_called_once()


def test_whatever_else_a_receiver_raises_is_logged_and_stops_nobody(
    connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    connected(broken)
    with run("read") as heard:
        assert list(track([1, 2], "read")) == [1, 2]
    assert statuses(heard) == {"read": "done"}
    assert heard.state().status == "succeeded"
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == len(heard.events)


def test_send_gives_what_the_receivers_answered() -> None:
    signal = Reported(name="test")
    answering = mock.MagicMock(return_value=7)
    signal.connect(answering, weak=False)
    assert signal.send(sender="t", event=1, source=2) == [(answering, 7)]


def test_a_closure_is_forgotten_unless_it_is_connected_strongly() -> None:
    def connect(signal: Reported, got: list[object], weak: bool) -> None:
        def receiver(*, event: object, **_: object) -> None:
            got.append(event)

        signal.connect(receiver, weak=weak)

    signal, weakly, strongly = Reported(name="test"), list[object](), list[object]()
    connect(signal, weakly, weak=True)
    connect(signal, strongly, weak=False)
    gc.collect()
    signal.send(sender="t", event=1, source=2)
    assert (weakly, strongly) == ([], [1])


def test_what_has_been_disconnected_hears_nothing_more() -> None:
    with capture() as heard, run(task="one"):
        pass
    known = len(heard.events)
    with run(task="two"):
        pass
    assert len(heard.events) == known


def test_without_a_receiver_a_task_runs_and_nothing_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with run("read") as heard:
        monkeypatch.setattr(reported, "receivers", [])  # whatever else this process has imported
        for kind in ("Started", "StageReported", "MessageReported", "Emitted", "Stage"):
            monkeypatch.setattr(events, kind, mock.MagicMock(side_effect=AssertionError(kind)))
        assert list(track([1, 2], "read")) == [1, 2]
        monkeypatch.undo()
    assert [type(event) for event in heard.events] == [Started, Finished]
