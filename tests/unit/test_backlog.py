"""What a source has said and Redis has not confirmed: what is replaced, dropped, kept, and said again."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import backlog, events
from headway.backlog import Outbox
from headway.events import Emitted, Event, MessageReported, Stage, StageReported, Started
from headway.journal import Letter
from tests.producers import (
    execution,
    finished,
    fold,
    queued,
    retrying,
    said,
    stage,
    started,
    supervisor,
)


def ticked(name: str, current: float, **fields: Any) -> StageReported:
    return stage(name, at=current, status="running", current=current, **fields)


def message(text: str) -> MessageReported:
    return MessageReported(task="t", at=3, message=text)


@pytest.fixture
def outbox() -> Outbox:
    """That of an execution whose beginning Redis has."""
    outbox = Outbox(execution("one"))
    outbox.put(started())
    confirm(outbox)
    return outbox


def confirm(outbox: Outbox) -> list[Letter]:
    """Redis takes all that is due."""
    sent: list[Letter] = []
    while letters := outbox.letters():
        outbox.hear([(letter, "OK", "1") for letter in letters])
        sent += letters
    return sent


def answer(outbox: Outbox, letters: Sequence[Letter], *answers: tuple[Any, str]) -> None:
    outbox.hear([(sent, *said) for sent, said in zip(letters, answers, strict=True)])


def contents(letters: Sequence[Letter]) -> list[Event]:
    return [letter.event for letter in letters]


# -- ticks and transitions -------------------------------------------------------------------------------------


def test_of_the_ticks_of_a_stage_the_newest_is_sent(outbox: Outbox) -> None:
    outbox.put(ticked("a", 1))
    for current in (2, 3, 4):
        outbox.put(ticked("a", current))
    assert contents(outbox.letters()) == [ticked("a", 1), ticked("a", 4)]


def test_of_the_messages_the_newest_is_sent(outbox: Outbox) -> None:
    outbox.put(message("one"))
    outbox.put(message("two"))
    assert contents(outbox.letters()) == [message("two")]


def test_a_tick_is_told_from_a_transition_by_the_status_and_the_run_of_its_stage(
    outbox: Outbox,
) -> None:
    assert outbox.put(stage("a", status="waiting"))
    assert outbox.put(ticked("a", 1, runs=1))
    assert not outbox.put(ticked("a", 2, runs=1))
    assert outbox.put(ticked("a", 3, runs=2))
    assert outbox.put(stage("a", status="done", runs=2))
    assert not outbox.put(message("one"))
    assert outbox.put(said("one"))
    assert outbox.put(finished())


def test_a_tick_never_overtakes_a_transition_of_its_stage(outbox: Outbox) -> None:
    first, done = ticked("a", 1), stage("a", at=3, status="done")
    after = stage("a", at=4, status="done", message="so")
    for event in (first, ticked("a", 2), done, after):
        outbox.put(event)
    assert contents(outbox.letters()) == [first, done, after]


def test_what_is_sent_last_was_reported_last_so_that_progress_never_goes_back(
    outbox: Outbox,
) -> None:
    begins: list[Event] = [ticked("a", 1), ticked("b", 2)]
    for event in (*begins, ticked("a", 3), ticked("b", 4), said("x"), ticked("a", 5)):
        outbox.put(event)
    assert contents(outbox.letters()) == [*begins, ticked("b", 4), said("x"), ticked("a", 5)]


def test_stages_are_begun_in_the_order_they_were(outbox: Outbox) -> None:
    names = [f"s{i}" for i in range(30)]
    for name in names:
        outbox.put(ticked(name, 1))
    for name in reversed(names):
        outbox.put(ticked(name, 2))
    confirm(outbox)
    assert [stage.key for stage in outbox.state.stages] == names


def test_emitted_events_are_never_replaced(outbox: Outbox) -> None:
    for _ in range(3):
        outbox.put(said("same"))
    assert contents(outbox.letters()) == [said("same")] * 3


def test_what_was_sent_is_replaced_by_nothing(outbox: Outbox) -> None:
    outbox.put(message("one"))
    sent = outbox.letters()
    outbox.put(message("two"))
    assert contents(outbox.letters()) == [message("one"), message("two")]
    assert outbox.letters()[0] is sent[0]


# -- numbers ---------------------------------------------------------------------------------------------------


def test_numbers_are_dense_whatever_was_replaced(outbox: Outbox) -> None:
    for current in range(10):
        outbox.put(ticked("a", current))
        outbox.put(said("x"))
    assert [letter.number for letter in outbox.letters()] == list(range(2, 14))


def test_what_is_sent_again_is_the_same_letter(outbox: Outbox) -> None:
    outbox.put(said("a"))
    assert outbox.letters() == outbox.letters()


def test_a_round_trip_carries_a_batch_and_the_rest_follows(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 3)
    for i in range(7):
        outbox.put(said(str(i)))
    first = outbox.letters()
    assert [letter.number for letter in first] == [2, 3, 4]
    answer(outbox, first, ("OK", ""), ("OK", ""), ("OK", ""))
    assert not outbox.empty.is_set()
    assert [letter.number for letter in confirm(outbox)] == [5, 6, 7, 8]
    assert outbox.empty.is_set()


def test_an_event_that_cannot_be_encoded_is_left_out_and_leaves_no_hole(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    for event in (said("a"), Emitted(task="t", at=3, name="bad", data=object()), said("b")):
        outbox.put(event)
    letters = outbox.letters()
    assert [letter.number for letter in letters] == [2, 3]
    assert contents(letters) == [said("a"), said("b")]
    assert "An event of task t cannot be sent: left out." in caplog.text


def test_a_beginning_that_cannot_be_encoded_is_made_good(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(execution("one"))
    outbox.put(started(title=object()))
    outbox.put(said("a"))
    answer(outbox, outbox.letters(), ("BEGIN", ""))
    anew, again = outbox.letters()
    assert (anew.begins, again.event) == (True, said("a"))


def test_the_attempt_that_redis_numbered_is_told_it_when_beginning_again(outbox: Outbox) -> None:
    outbox = Outbox(execution("one"))
    outbox.put(started())
    (begin,) = outbox.letters()
    assert (begin.begins, begin.attempt) == (True, 0)
    answer(outbox, [begin], ("OK", "7"))
    outbox.put(said("a"))
    answer(outbox, outbox.letters(), ("BEGIN", ""))
    assert [(letter.number, letter.attempt) for letter in outbox.letters()] == [(1, 7), (2, 0)]


# -- what Redis asks again -------------------------------------------------------------------------------------


def test_redis_is_sent_again_what_it_lost(outbox: Outbox) -> None:
    for i in range(4):
        outbox.put(said(str(i)))
    before = confirm(outbox)
    outbox.put(said("new"))
    answer(outbox, outbox.letters(), ("RESEND", "3"))
    assert outbox.letters()[:-1] == before[1:]
    assert not outbox.empty.is_set()


def test_after_the_first_letter_to_be_sent_again_the_other_answers_mean_nothing(
    outbox: Outbox,
) -> None:
    for i in range(3):
        outbox.put(said(str(i)))
    letters = outbox.letters()
    answer(outbox, letters, ("OK", ""), ("RESEND", "3"), ("TERMINAL", ""))
    assert outbox.letters() == letters[1:]


def test_a_lost_begin_is_said_again_with_all_that_followed(outbox: Outbox) -> None:
    outbox.put(said("a"))
    confirm(outbox)
    outbox.put(said("b"))
    answer(outbox, outbox.letters(), ("BEGIN", ""))
    letters = outbox.letters()
    assert contents(letters) == [started(), said("a"), said("b")]
    assert [letter.number for letter in letters] == [1, 2, 3]


@pytest.mark.parametrize("asked", [("RESEND", "2"), ("BEGIN", "")])
def test_asked_for_more_than_it_keeps_it_says_its_whole_state(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, str]
) -> None:
    monkeypatch.setattr(backlog, "RING", 3)
    outbox.put(stage("a", status="running"))
    for i in range(9):
        outbox.put(said(str(i)))
        confirm(outbox)
    outbox.put(stage("a", at=9, status="done"))
    outbox.put(said("unconfirmed"))
    last = outbox.letters()[-1].number
    answer(outbox, outbox.letters(), asked, asked)
    anew, again = outbox.letters()
    assert isinstance(anew.event, Started)
    assert (anew.begins, anew.event.gap, anew.number) == (True, True, last + 1)
    assert anew.event.stages == (Stage(key="a", status="done"),)
    assert again.event == said("unconfirmed")  # no state keeps it
    confirm(outbox)
    assert outbox.empty.is_set()
    outbox.put(said("next"))
    assert [letter.number for letter in confirm(outbox)] == [last + 3]
    assert outbox._ring_bytes == sum(len(letter.payload) for letter in outbox._ring)


@pytest.mark.parametrize("end", [finished("failed", at=8), retrying(at=8)])
def test_an_end_is_said_again_after_the_state_was_said_anew(outbox: Outbox, end: Event) -> None:
    outbox.put(stage("a", status="running"))
    outbox.put(end)
    confirm(outbox)
    before = outbox.state
    outbox._ring.clear()  # Redis asks for more than is kept
    answer(outbox, [Letter(end, outbox.source, 3, b"", ())], ("RESEND", "1"))
    anew, again = confirm(outbox)
    assert (anew.begins, again.event) == (True, end)
    assert outbox.state == before
    assert outbox.over


# -- more than there is room for -------------------------------------------------------------------------------


def test_ticks_take_no_room(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "UNSENT", 5)
    outbox.put(ticked("a", 0))
    for current in range(1000):
        outbox.put(ticked("a", current))
        outbox.put(message(str(current)))
    assert contents(outbox.letters()) == [ticked("a", 0), ticked("a", 999), message("999")]


def test_over_the_limit_the_oldest_go_and_the_state_said_anew_holds_them(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "UNSENT", 4)
    history: list[Event] = [ticked("a", 1), message("half"), stage("a", status="done")]
    history += [said(str(i)) for i in range(5)]
    for event in history:
        outbox.put(event)
    anew, *rest = outbox.letters()
    assert isinstance(anew.event, Started)
    assert anew.event.gap is True
    assert anew.event.message == "half"
    assert contents(rest) == history[-4:]
    dropped = fold([started(), *history[:-4]])
    assert (anew.event.stages, anew.event.progress) == (dropped.stages, dropped.progress)
    confirm(outbox)
    assert outbox.state == fold([started(), *history])


def test_a_beginning_that_was_dropped_unsent_is_in_the_state_said_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "UNSENT", 2)
    outbox = Outbox(execution("one"))
    plan = (Stage(key="a"), Stage(key="b"))
    outbox.put(started(name="tasks.work", title="report", worker="w", stages=plan))
    for i in range(5):
        outbox.put(said(str(i)))
    anew, *rest = outbox.letters()
    assert isinstance(anew.event, Started)
    assert (anew.event.name, anew.event.title, anew.event.worker) == ("tasks.work", "report", "w")
    assert (anew.event.stages, anew.number, anew.begins) == (plan, 1, True)
    assert contents(rest) == [said("3"), said("4")]


def test_nothing_that_was_sent_is_dropped_before_it_is_confirmed(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "UNSENT", 3)
    outbox.put(said("sent"))
    sent = outbox.letters()
    for i in range(20):
        outbox.put(said(str(i)))
    for _ in range(3):
        assert outbox.letters() == sent  # Redis is still away
    answer(outbox, sent, ("OK", ""))
    assert not outbox.empty.is_set()
    anew, *rest = confirm(outbox)
    assert isinstance(anew.event, Started)
    assert contents(rest) == [said("17"), said("18"), said("19")]
    assert outbox.empty.is_set()


def test_the_ring_is_bounded_by_count(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "RING", 5)
    for i in range(50):
        outbox.put(said(str(i)))
        confirm(outbox)
    assert [letter.number for letter in outbox._ring] == [47, 48, 49, 50, 51]


def test_the_ring_is_bounded_by_bytes(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "RING_BYTES", 10_000)
    for i in range(50):
        outbox.put(said("x" * (i * 97 % 3000)))
        confirm(outbox)
        held = sum(len(letter.payload) for letter in outbox._ring)
        assert held == outbox._ring_bytes <= 10_000


def test_what_is_not_confirmed_stays_in_the_ring_whatever_its_bounds(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "RING", 2)
    for i in range(9):
        outbox.put(said(str(i)))
    sent = outbox.letters()
    outbox.put(said("more"))
    assert outbox.letters()[:9] == sent


# -- ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["FENCED", "TERMINAL", "REFUSED", "UNKNOWN"])
def test_what_redis_wants_no_more_of_is_dropped(outbox: Outbox, verdict: str) -> None:
    for i in range(3):
        outbox.put(said(str(i)))
    letters = outbox.letters()
    outbox.put(said("unsent"))
    answer(outbox, letters, ("OK", ""), (verdict, "why"), ("BEGIN", ""))
    assert outbox.empty.is_set()
    assert outbox.letters() == []
    assert not outbox.put(said("later"))
    assert outbox.letters() == []
    assert outbox.empty.is_set()


def test_what_redis_wants_no_more_of_is_over_when_its_source_has_ended(outbox: Outbox) -> None:
    """Until then it must be known: whoever forgets it takes its next event for a new beginning."""
    outbox.put(said("a"))
    answer(outbox, outbox.letters(), ("TERMINAL", ""))
    assert not outbox.over
    outbox.put(finished())
    assert outbox.over


def test_a_verdict_while_too_much_was_reported_leaves_nothing_to_say(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "UNSENT", 2)
    outbox.put(said("sent"))
    letters = outbox.letters()
    for i in range(5):
        outbox.put(said(str(i)))
    answer(outbox, letters, ("TERMINAL", ""))
    assert outbox.empty.is_set()
    assert outbox.letters() == []


def test_a_source_is_over_when_it_has_ended_and_redis_has_it(outbox: Outbox) -> None:
    assert not outbox.over
    outbox.put(finished())
    assert not outbox.over
    confirm(outbox)
    assert outbox.over


@pytest.mark.parametrize(
    ("source", "event"),
    [(events.Sender(task="t"), queued()), (supervisor(), finished("failed"))],
    ids=["sender", "supervisor"],
)
def test_who_has_one_thing_to_say_is_over_when_redis_has_it(
    source: events.Source, event: Event
) -> None:
    outbox = Outbox(source)
    outbox.put(event)
    assert not outbox.over
    confirm(outbox)
    assert outbox.over


@pytest.mark.parametrize(("ended", "warned"), [("succeeded", True), ("", False)])
def test_a_sender_is_warned_of_an_id_whose_end_is_remembered(
    caplog: pytest.LogCaptureFixture, ended: str, warned: bool
) -> None:
    caplog.set_level(logging.INFO)
    outbox = Outbox(events.Sender(task="t"))
    outbox.put(queued())
    answer(outbox, outbox.letters(), ("KNOWN", ended))
    assert outbox.over
    assert ("WARNING" in caplog.text) == warned


# -- whatever happens ------------------------------------------------------------------------------------------

reports = st.one_of(
    st.builds(ticked, st.sampled_from("abc"), st.integers(0, 9), runs=st.integers(1, 2)),
    st.builds(stage, st.sampled_from("abcd"), status=st.sampled_from(["running", "done"])),
    st.builds(message, st.sampled_from(["one", "two"])),
    st.builds(said, st.text(max_size=3)),
)


@given(st.lists(reports | st.integers(0, 9), max_size=60), st.booleans())
def test_whatever_is_lost_on_the_way_redis_gets_a_history_with_the_right_end(
    story: list[Event | int], small: bool
) -> None:
    """A number is a round trip in which Redis takes only that many and its answer is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog, "RING", 4 if small else 1000)
        patch.setattr(backlog, "UNSENT", 5 if small else 1000)
        outbox, taken = Outbox(execution("one")), dict[int, Event]()
        outbox.put(started())
        for step in story:
            if isinstance(step, int):
                taken |= {letter.number: letter.event for letter in outbox.letters()[:step]}
            else:
                outbox.put(step)
        taken |= {letter.number: letter.event for letter in confirm(outbox)}
        reported = [started(), *(step for step in story if not isinstance(step, int))]
        history = [taken[number] for number in sorted(taken)]
        truth = fold(reported)
        assert (fold(history).stages, fold(history).message) == (truth.stages, truth.message)
        assert list(taken) == list(range(1, len(taken) + 1))
        if not small:
            emitted = [event for event in history if isinstance(event, Emitted)]
            assert emitted == [event for event in reported if isinstance(event, Emitted)]
