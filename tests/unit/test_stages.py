"""What task code touches, by the rules of its documentation."""

import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from headway import about, current, emit, plan, report, stage, staged, track
from headway.attempts import LiveStage
from headway.errors import InvalidReport
from headway.events import Emitted, Finished, StageReported, Started
from headway.testing import capture, run
from tests.reported import bar, stage_in, statuses, told

# -- entering and leaving ------------------------------------------------------------------------------------


def test_a_stage_runs_while_it_is_entered_and_is_done_afterwards() -> None:
    with run("read") as heard:
        with stage("read"):
            assert statuses(heard) == {"read": "running"}
        assert statuses(heard) == {"read": "done"}
    first, last = told(heard, "read")
    assert (first.runs, first.finished_at) == (1, None)
    assert last.started_at == first.started_at
    assert last.finished_at is not None


def test_an_exception_fails_the_stage_and_goes_on_its_way() -> None:
    with run("read", "score") as heard, pytest.raises(ZeroDivisionError), stage("read"):
        _ = 1 / 0
    assert statuses(heard) == {"read": "failed", "score": "skipped"}
    assert heard.state().status == "succeeded"


def test_an_exception_that_ends_the_task_names_the_stage_it_came_through() -> None:
    with pytest.raises(ZeroDivisionError), run("read", "score") as heard, stage("read"):
        _ = 1 / 0
    state = heard.state()
    assert statuses(heard) == {"read": "failed", "score": "waiting"}
    assert state.status == "failed"
    assert state.error is not None
    assert (state.error.type, state.error.stage) == ("ZeroDivisionError", "read")


def test_a_stage_whose_failure_was_survived_is_not_blamed_for_the_tasks() -> None:
    def task() -> None:
        with suppress(KeyError), stage("try"):
            raise KeyError
        with stage("use"):
            pass
        _ = 1 / 0

    with pytest.raises(ZeroDivisionError), run("try", "use") as heard:
        task()
    error = heard.state().error
    assert error is not None
    assert error.stage is None


def test_a_stage_entered_again_continues() -> None:
    with run() as heard:
        with stage("read") as read:
            read.report(current=3, total=10)
        with stage("read") as read:
            assert stage_in(heard, "read").status == "running"
            assert stage_in(heard, "read").finished_at is None
            read.advance(4)
    read_stage = stage_in(heard, "read")
    assert (read_stage.runs, read_stage.current, read_stage.total) == (2, 7, 10)
    assert read_stage.started_at == told(heard, "read")[0].started_at


def test_a_stage_entered_while_it_is_entered_ends_once_with_the_outermost() -> None:
    with run() as heard:
        with stage("read"):
            with stage("read"):
                pass
            assert statuses(heard) == {"read": "running"}
        assert statuses(heard) == {"read": "done"}
    assert stage_in(heard, "read").runs == 1


def test_a_declared_stage_object_can_be_entered_any_number_of_times_by_any_task() -> None:
    read = stage("read", label="Reading", unit="page", total=9)
    for _ in range(2):
        with run(read) as heard, read, read:
            pass
        found = stage_in(heard, "read")
        assert (found.label, found.unit, found.total) == ("Reading", "page", 9)
        assert (found.status, found.runs) == ("done", 1)


def test_stages_are_shown_waiting_in_the_order_they_were_declared() -> None:
    with run(stage("b", label="B"), "a", stage("c", needs=["b", stage("a")])) as heard:
        assert [(s.key, s.status) for s in heard.state().stages] == [
            ("b", "waiting"),
            ("a", "waiting"),
            ("c", "waiting"),
        ]
        assert stage_in(heard, "c").needs == ("b", "a")
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].progress == 0.0


def test_a_stage_nobody_declared_is_appended() -> None:
    with run("read") as heard, stage("extra"):
        pass
    assert [s.key for s in heard.state().stages] == ["read", "extra"]


def test_an_inner_stage_is_a_sibling_and_both_run() -> None:
    with run("outer") as heard, stage("outer"):
        with stage("inner"):
            assert statuses(heard) == {"outer": "running", "inner": "running"}
            report("inside")
        report("outside")
    assert stage_in(heard, "inner").message == "inside"
    assert stage_in(heard, "outer").message == "outside"


def test_a_stage_declared_with_a_weight_keeps_it_when_it_is_entered_by_its_key() -> None:
    with run(stage("heavy", weight=3), "light") as heard:
        with stage("heavy"):
            pass
        assert bar(heard)[-1] == 0.75


def test_a_total_reported_inside_a_stage_outlives_the_one_it_was_declared_with() -> None:
    with run(stage("read", total=10)) as heard, stage("read", total=10) as read:
        read.report(current=12, total=25)
    assert stage_in(heard, "read").total == 25


def test_a_stage_that_needs_one_other_may_say_so_without_a_list() -> None:
    assert stage("b", needs="abc").needs == ("abc",)


def test_what_a_stage_is_called_is_mended_where_it_is_declared() -> None:
    declared = stage("a\nb", label="\x1b[2J", unit="", needs=["x\r", stage("y\n")])
    assert declared == stage("a b", label="[2J", unit="", needs=["x", "y"])
    assert stage("").key == "stage"


# -- report, skip, emit --------------------------------------------------------------------------------------


def test_a_report_outside_any_stage_is_the_tasks() -> None:
    with run("read") as heard:
        report("warming up", data={"a": 1})
        heard.wait_for(lambda heard: heard.state().message == "warming up")
    assert heard.state().data == {"a": 1}
    assert stage_in(heard, "read").message is None


def test_what_a_report_leaves_out_stays_as_it_was() -> None:
    with run() as heard, stage("read") as read:
        read.report("one", current=1, total=4, data=[1])
        read.report(current=2)
        read.report("two")
    found = stage_in(heard, "read")
    assert (found.message, found.current, found.total, found.data) == ("two", 2, 4, [1])


def test_a_stage_can_be_reported_to_by_its_object_without_being_entered() -> None:
    enrich = stage("enrich")
    with run(enrich) as heard:
        enrich.report("soon", total=4)
        enrich.advance(2)
        heard.wait_for(lambda heard: stage_in(heard, "enrich").current == 2)
        assert stage_in(heard, "enrich").message == "soon"
        assert statuses(heard) == {"enrich": "waiting"}


@pytest.mark.parametrize("inside", [True, False])
def test_a_stage_is_skipped_with_a_reason(inside: bool) -> None:
    with run("tables", "score") as heard:
        if inside:
            with stage("tables") as tables:
                tables.skip("no tables")
        else:
            stage("tables").skip("no tables")
        tables_stage = stage_in(heard, "tables")
        assert (tables_stage.status, tables_stage.message) == ("skipped", "no tables")
        assert tables_stage.finished_at is not None
        assert bar(heard)[-1] == 0.0  # no part of what is to be done
    assert statuses(heard) == {"tables": "skipped", "score": "skipped"}


def test_an_event_of_ones_own_is_sent_at_once_and_as_it_is() -> None:
    with run() as heard, stage("write"):
        emit("token", {"text": "…"})
        event = heard.events[-1]
    assert isinstance(event, Emitted)
    assert (event.name, event.data, event.task) == ("token", {"text": "…"}, "test")


BAD_NAMES = ["message", "error", "open", "", "a b", "x\ndata: y", "x" * 65, None]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_no_event_may_have_is_left_out_and_logged(
    name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with run() as heard:
        emit(name, 1)
    assert not any(isinstance(event, Emitted) for event in heard.events)
    assert "Left out of a report" in caplog.text


class Unsendable:
    """In no table."""


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: emit("error", 1),
        lambda: emit("token", Unsendable()),
        lambda: report(data=Unsendable()),
        lambda: report(current="many", total=3),  # type: ignore[arg-type]
        lambda: stage("read").report(current=[]),  # type: ignore[arg-type]
        lambda: stage("read").report(data=Unsendable()),
        lambda: list(stage("read").track([1], total="x")),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
def test_a_report_that_cannot_be_sent_is_logged_and_only_strict_raises(
    mistake: Callable[[], object], strict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with run(strict=strict) as heard:
        if strict:
            with pytest.raises(InvalidReport):
                mistake()
        else:
            mistake()
            assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert heard.state().status == "succeeded"


def test_to_advance_by_what_is_no_number_is_a_report_that_cannot_be_sent() -> None:
    with run(strict=True), stage("read") as read:
        for by in ("one", None, Unsendable()):
            with pytest.raises(InvalidReport):
                read.advance(by)  # type: ignore[arg-type]


def test_to_advance_by_nobody_knows_how_much_keeps_the_count() -> None:
    with run() as heard, stage("read") as read:
        read.advance(2)
        read.advance(float("nan"))
        assert read.current == 2
    assert stage_in(heard, "read").current == 2


def test_a_text_that_is_too_long_is_cut_even_when_strict() -> None:
    with run(strict=True) as heard, stage("read" * 100) as read:
        read.report("x" * 5000)
    (only,) = heard.state().stages
    assert (len(only.key), len(only.message or "")) == (100, 2000)


# -- plan ----------------------------------------------------------------------------------------------------


def test_a_plan_made_at_run_time_is_a_graph() -> None:
    with run("load") as heard:
        plan("split", stage("left", needs=["split"]), stage("join", needs=["left"], weight=2))
        found = heard.state().stages
        assert [(s.key, s.needs, s.status) for s in found] == [
            ("load", (), "waiting"),
            ("split", (), "waiting"),
            ("left", ("split",), "waiting"),
            ("join", ("left",), "waiting"),
        ]
        with stage("join"):
            pass
        assert stage_in(heard, "join").needs == ("left",)
        assert bar(heard)[-1] == 0.4


def test_a_plan_changes_nothing_of_what_has_begun() -> None:
    with run() as heard, stage("read") as read:
        read.report(current=1)
        plan("read", "score")
        assert statuses(heard) == {"read": "running", "score": "waiting"}
    assert [record.status for record in told(heard, "read")] == ["running", "done"]


# -- outside a task ------------------------------------------------------------------------------------------


def test_outside_a_task_everything_is_a_no_op_that_lets_the_work_go_on() -> None:
    read = stage("read")
    with capture() as heard:
        with read as entered:
            entered.report("x", current=1, total=2, data=[1])
            entered.advance(2)
            entered.skip("y")
            report("z")
        with stage("named") as entered:
            assert isinstance(entered, LiveStage)
        assert list(track([1, 2], "chunk")) == [1, 2]
        assert list(read.track(iter([3]), total=1)) == [3]
        assert list(current().track([4], read)) == [4]
        plan("a", stage("b", needs=["a"]))
        report("x", current=1, total=2, data=1)
        emit("token", 1)
        emit("not a name", Unsendable())
        read.report("x")
        read.advance()
        read.skip()
        assert current().run(lambda a, b: a + b, 1, b=2) == 3
        assert current().task is None
    assert heard.events == []


def test_outside_a_task_exceptions_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), stage("read"):
        _ = 1 / 0
    with pytest.raises(TypeError):
        list(track(None, "chunk"))  # type: ignore[arg-type]


# -- marks ---------------------------------------------------------------------------------------------------


def test_a_mark_gives_back_the_very_function() -> None:
    def process(path: str, *, fast: bool = False) -> int:
        """Document."""
        return len(path)

    assert staged(process) is process
    assert staged()(process) is process
    assert staged("read", stage("score"))(process) is process
    assert str(inspect.signature(process)) == "(path: str, *, fast: bool = False) -> int"
    assert (process.__name__, process.__doc__, process("abc")) == ("process", "Document.", 3)


def test_headers_say_what_may_be_known_before_a_task_starts() -> None:
    assert about() == {"headway": {}}
    assert about(title="t", owner=7, workflow="w") == {
        "headway": {"title": "t", "owner": "7", "workflow": "w"}
    }
    assert about(title="x" * 5000)["headway"]["title"] == "x" * 1999 + "…"


def test_an_owner_numbered_zero_is_an_owner() -> None:
    assert about(owner=0) == {"headway": {"owner": "0"}}


# -- all of one task -----------------------------------------------------------------------------------------


def test_the_events_of_a_task_come_in_order_and_end_with_its_end() -> None:
    with run("read") as heard:
        list(track("ab", "read"))
    kinds = [type(event) for event in heard.events]
    assert kinds == [Started, StageReported, StageReported, Finished]
    assert all(one.at <= two.at for one, two in zip(heard.events, heard.events[1:], strict=False))
