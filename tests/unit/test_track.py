"""Loops that tell how far they are."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from headway import report, stage, track
from headway.testing import Recorder, run
from tests.reported import stage_in, statuses, told


def failed_in_a_loop() -> Recorder:
    with suppress(ZeroDivisionError), run("chunk", "score") as heard:
        for _ in track([1, 2, 3], "chunk"):
            _ = 1 / 0
    return heard


def test_track_yields_the_plain_items_and_counts_them() -> None:
    items = [object(), object(), object()]
    with run("chunk") as heard:
        assert list(track(items, "chunk")) == items
    chunk = stage_in(heard, "chunk")
    assert (chunk.status, chunk.current, chunk.total) == ("done", 3, 3)


@pytest.mark.parametrize(
    "make", [iter, lambda items: (n for n in items), lambda items: map(int, items)]
)
def test_track_over_what_has_no_length_counts_towards_an_unknown_total(
    make: Callable[[Any], Any],
) -> None:
    with run("chunk") as heard:
        assert list(track(make([1, 2]), "chunk")) == [1, 2]
    chunk = stage_in(heard, "chunk")
    assert (chunk.current, chunk.total) == (2, None)
    assert {record.total for record in told(heard, "chunk")} == {None}


def test_track_believes_the_total_it_is_told() -> None:
    with run("chunk") as heard:
        list(track(iter([1, 2]), "chunk", total=2))
        list(stage("read", total=5).track([1, 2]))
    assert stage_in(heard, "chunk").total == 2
    assert stage_in(heard, "read").total == 5


def test_track_of_nothing_is_done_at_once() -> None:
    with run("chunk") as heard:
        assert list(track([], "chunk")) == []
    chunk = stage_in(heard, "chunk")
    assert (chunk.status, chunk.current, chunk.total, chunk.runs) == ("done", 0, 0, 1)


def test_an_item_is_counted_when_its_turn_is_over() -> None:
    with run() as heard:
        for _ in track("ab", "chunk"):
            report("x")
            heard.wait_for(lambda heard: stage_in(heard, "chunk").message == "x")
            break
        assert stage_in(heard, "chunk").current == 0


def test_a_second_loop_over_the_same_stage_counts_on_towards_a_larger_total() -> None:
    with run() as heard:
        list(track([1, 2], "chunk"))
        list(track([1, 2, 3], "chunk"))
    chunk = stage_in(heard, "chunk")
    assert (chunk.current, chunk.total, chunk.runs) == (5, 5, 2)


def test_track_inside_the_stage_it_counts_is_one_run_of_it() -> None:
    with run() as heard, stage("read") as read:
        assert list(read.track([1, 2])) == [1, 2]
        assert statuses(heard) == {"read": "running"}
    found = stage_in(heard, "read")
    assert (found.status, found.runs, found.current, found.total) == ("done", 1, 2, 2)


def test_loops_nest_and_a_report_belongs_to_the_innermost() -> None:
    with run("outer", "inner") as heard:
        for outer in track("ab", "outer"):
            for inner in track([1, 2], "inner"):
                report(f"{outer}{inner}")
    assert stage_in(heard, "inner").message == "b2"
    assert stage_in(heard, "outer").message is None
    assert stage_in(heard, "inner").runs == 2
    assert [s.status for s in heard.state().stages] == ["done", "done"]


def test_a_loop_left_early_stays_open_until_the_next_stage_begins() -> None:
    with run("chunk", "score") as heard:
        for item in track([1, 2, 3], "chunk"):
            if item == 2:
                break
        assert statuses(heard) == {"chunk": "running", "score": "waiting"}
        with stage("score"):
            assert statuses(heard) == {"chunk": "done", "score": "running"}
    assert stage_in(heard, "chunk").current == 1


def test_a_loop_left_early_takes_the_outcome_of_the_task() -> None:
    with run("chunk") as heard:
        for _ in track([1, 2, 3], "chunk"):
            break
    assert statuses(heard) == {"chunk": "done"}
    assert statuses(failed_in_a_loop()) == {"chunk": "failed", "score": "waiting"}


def test_an_exception_in_a_loop_that_ends_the_task_names_the_stage_of_the_loop() -> None:
    error = failed_in_a_loop().state().error
    assert error is not None
    assert error.stage == "chunk"


def test_what_the_items_themselves_raise_fails_the_stage() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with run("chunk") as heard, pytest.raises(ZeroDivisionError):
        list(track(items(), "chunk"))
    chunk = stage_in(heard, "chunk")
    assert (chunk.status, chunk.current, chunk.total) == ("failed", 1, None)


def test_items_that_cannot_tell_their_number_are_iterated_all_the_same() -> None:
    class Shy(list[int]):
        def __len__(self) -> int:
            raise RuntimeError("not loaded yet")

    class Hinting:
        def __iter__(self) -> Iterator[int]:
            return iter([1])

        def __length_hint__(self) -> int:
            raise RuntimeError

    with run() as heard:
        assert [next(track(items, "chunk")) for items in (Shy([1]), Hinting())] == [1, 1]
    assert stage_in(heard, "chunk").total is None


def test_nothing_is_entered_until_a_loop_begins() -> None:
    with run("chunk") as heard:
        loop = track([1], "chunk")
        assert statuses(heard) == {"chunk": "waiting"}
        assert list(loop) == [1]
