"""One execution of a task: who reports to it from where, how far it is, and what is left when it ends."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import attempts, current, emit, plan, report, stage, track
from headway.attempts import Attempt
from headway.errors import Failure
from headway.events import Emitted, Error, MessageReported, encode
from headway.testing import capture, run
from headway.usual import Usual
from tests.reported import bar, stage_in, statuses, told

THREADS = 8


def attempt_here() -> Attempt:
    attempt, _ = attempts.here.get()
    assert attempt is not None
    return attempt


def in_threads(*functions: Callable[[], object]) -> None:
    """Run them at once; what one raises is raised here."""
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result(timeout=10)


# -- from elsewhere ------------------------------------------------------------------------------------------


def test_a_thread_is_nowhere_unless_it_is_told() -> None:
    with run() as heard:
        in_threads(lambda: emit("token", current().task))
    assert not any(isinstance(event, Emitted) for event in heard.events)


def test_a_handle_makes_other_threads_part_of_the_task() -> None:
    together = threading.Barrier(2)

    def work(key: str) -> None:
        with stage(key):
            together.wait(5)
            seen.append(statuses(heard))
            report(f"from {key}")
            together.wait(5)

    seen: list[dict[str, str]] = []
    with run("left", "right") as heard:
        handle = current()
        in_threads(lambda: handle.run(work, "left"), lambda: handle.run(work, "right"))
    assert seen == [{"left": "running", "right": "running"}] * 2
    assert statuses(heard) == {"left": "done", "right": "done"}
    assert stage_in(heard, "left").message == "from left"
    assert stage_in(heard, "right").message == "from right"


def test_a_handle_has_the_verbs_itself() -> None:
    def work() -> None:
        handle.plan("planned")
        handle.report("to the stage it was taken in")
        handle.emit("token", handle.task)
        assert list(handle.track([1, 2], "tracked")) == [1, 2]
        with handle.stage("entered") as entered:
            entered.advance(3)
            report("found by what runs inside")
        handle.stage("skipped").skip("why not")

    with run() as heard, stage("outer"):
        handle = current()
        in_threads(work)
    assert statuses(heard) == {
        "outer": "done",
        "planned": "skipped",
        "tracked": "done",
        "entered": "done",
        "skipped": "skipped",
    }
    assert stage_in(heard, "outer").message == "to the stage it was taken in"
    assert stage_in(heard, "tracked").current == 2
    assert stage_in(heard, "entered").message == "found by what runs inside"
    assert [e.data for e in heard.events if isinstance(e, Emitted)] == ["test"]


def test_a_handle_leaves_the_thread_as_it_was() -> None:
    with run(task="outer"):
        handle = current()
    with run(task="inner"):
        assert handle.run(lambda: current().task) == "outer"
        assert current().task == "inner"
        with pytest.raises(ZeroDivisionError):
            handle.run(lambda: 1 / 0)
        assert current().task == "inner"
    assert current().task is None


def test_asyncio_carries_the_task_into_coroutines_and_threads() -> None:
    async def work(key: str, together: asyncio.Barrier) -> None:
        with stage(key):
            await together.wait()
            report(f"from {key}")
            await together.wait()

    async def main() -> None:
        together = asyncio.Barrier(2)
        await asyncio.gather(work("left", together), work("right", together))
        await asyncio.to_thread(lambda: list(track([1, 2], "thread")))

    with run() as heard:
        asyncio.run(main())
    assert statuses(heard) == {"left": "done", "right": "done", "thread": "done"}
    assert stage_in(heard, "left").message == "from left"
    assert stage_in(heard, "right").message == "from right"


def test_a_generator_may_yield_inside_a_stage() -> None:
    def body() -> Iterator[int]:
        with stage("read") as read:
            yield from read.track([1, 2])
        with stage("write"):
            yield 3

    with run() as heard:
        steps = body()
        assert next(steps) == 1
        assert statuses(heard) == {"read": "running"}
        assert list(steps) == [2, 3]
    assert statuses(heard) == {"read": "done", "write": "done"}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another context"])
def test_a_generator_that_is_given_up_leaves_its_stage_to_the_next(elsewhere: bool) -> None:
    def body() -> Iterator[int]:
        with stage("read"):
            yield 1

    with run() as heard:
        steps: Any = body()
        next(steps)
        if elsewhere:
            contextvars.copy_context().run(steps.close)
        else:
            steps.close()
        assert statuses(heard) == {"read": "running"}
        with stage("write"):
            assert statuses(heard) == {"read": "done", "write": "running"}


def test_tasks_nest_and_each_keeps_its_own() -> None:
    with capture() as heard, run("a", task="outer"), stage("a"):
        with run("a", task="inner"):
            report("of the inner")
            heard.wait_for(lambda heard: heard.state("inner").message == "of the inner")
        assert current().task == "outer"
        report("of the outer's stage")
    assert heard.state("inner").stages[0].status == "skipped"
    assert heard.state("outer").stages[0].message == "of the outer's stage"


# -- many at once --------------------------------------------------------------------------------------------


@contextmanager
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def test_to_advance_from_eight_threads_is_exact() -> None:
    def advance() -> None:
        for _ in range(500):
            read.advance()

    with run() as heard, stage("read") as read, switching_often():
        in_threads(*[advance] * THREADS)
    assert stage_in(heard, "read").current == 500 * THREADS


def test_stages_entered_and_planned_from_eight_threads_are_all_told_in_order() -> None:
    def work(name: int) -> None:
        for n in range(25):
            handle.plan(f"planned {name} {n}")
            with handle.stage(f"entered {name} {n}") as entered:
                entered.advance()

    with run() as heard, switching_often():
        handle = current()
        in_threads(*[lambda name=name: work(name) for name in range(THREADS)])
        assert len(heard.state().stages) == THREADS * 50
    told_by_key = {stage.key: told(heard, stage.key) for stage in heard.state().stages}
    entered = [records for key, records in told_by_key.items() if key.startswith("entered")]
    assert {tuple(r.status for r in records)[-1] for records in entered} == {"done"}
    assert bar(heard) == sorted(bar(heard))


def test_one_stage_entered_by_several_threads_ends_with_the_last() -> None:
    inside, leave = threading.Barrier(3), threading.Event()

    def work() -> None:
        with handle.stage("shared"):
            inside.wait(5)
            leave.wait(5)

    with run() as heard:
        handle = current()
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(work) for _ in range(2)]
            inside.wait(5)
            assert statuses(heard) == {"shared": "running"}
            leave.set()
            for future in futures:
                future.result(5)
        assert statuses(heard) == {"shared": "done"}
    assert [record.status for record in told(heard, "shared")] == ["running", "done"]


# -- how far it is -------------------------------------------------------------------------------------------


def test_stages_count_by_their_weight() -> None:
    with run("read", stage("score", weight=3)) as heard:
        list(track([1, 2], "read"))
        assert bar(heard)[-1] == 0.25
        with stage("score") as score:
            score.report(current=1, total=2)
            heard.wait_for(lambda heard: bar(heard)[-1] == 0.625)
    assert heard.state().progress == 1.0


def test_what_was_learned_goes_before_declared_weights_and_tells_the_time_left() -> None:
    with run(stage("read", weight=9), "score") as heard:
        attempt_here().learned = {"read": Usual(1, 2, 3), "score": Usual(5, 6, 7)}
        with stage("read"):
            assert stage_in(heard, "read").expected == (1, 3)
            assert heard.state().remaining == pytest.approx(8, abs=0.5)
        assert bar(heard)[-1] == 0.25
        assert heard.state().remaining == 6


def test_the_bar_holds_when_stages_nobody_declared_are_appended() -> None:
    with run("a") as heard:
        with stage("a"):
            pass
        for key in "bcd":
            plan(key)
            with stage(key * 2):
                pass
        assert bar(heard) == [0.0] + [1.0] * (len(bar(heard)) - 1)


def test_the_bar_holds_when_a_stage_is_entered_again() -> None:
    with run("a", "b") as heard:
        list(track([1, 2], "a"))
        with stage("a") as again:
            again.report(current=0)
        assert bar(heard)[-2:] == [0.5, 0.5]


keys = st.sampled_from("abcdef")
counts = st.integers(0, 10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["enter", "count", "skip", "plan", "fail"]), keys, counts))
)
def test_whatever_a_task_does_the_bar_never_goes_back(
    steps: list[tuple[str, str, int]],
) -> None:
    with run("a", stage("b", weight=5), "c") as heard:
        for verb, key, count in steps:
            with suppress(KeyError), stage(key) if verb in ("enter", "fail") else nullcontext():
                stage(key).report(current=count, total=10)
                attempt_here().sample()
                if verb == "skip":
                    stage(key).skip()
                if verb == "plan":
                    plan(stage(key + "2", weight=count))
                if verb == "fail":
                    raise KeyError
    assert bar(heard) == sorted(bar(heard))
    assert all(0 <= progress <= 1 for progress in bar(heard))


def test_a_task_without_stages_counts_for_itself_and_never_goes_back() -> None:
    with run() as heard:
        for count in (1, 3, 2):
            report(current=count, total=4)
            attempt_here().sample()
        assert heard.state().progress == 0.75
        report(current=9, total=4)
        attempt_here().sample()
        assert heard.state().progress == 1.0


def test_a_task_with_stages_has_no_count_of_its_own() -> None:
    with run("read") as heard:
        report("half of what?", current=1, total=2)
        heard.wait_for(lambda heard: heard.state().message == "half of what?")
        assert heard.state().progress == 0.0


@pytest.mark.parametrize("total", [0, float("nan"), -1])
def test_a_count_towards_a_total_that_is_none_says_nothing(total: float) -> None:
    with run() as heard:
        report("x", current=5, total=total)
        heard.wait_for(lambda heard: heard.state().message == "x")
        assert heard.state().progress is None


# -- the end -------------------------------------------------------------------------------------------------


def test_the_last_words_of_a_task_are_sent_before_its_end() -> None:
    with run() as heard:
        report("last words", data=[1])
    assert heard.state().message == "last words"
    assert isinstance(heard.events[-2], MessageReported)


def test_the_last_count_of_a_loop_left_early_is_sent_before_the_end() -> None:
    with run() as heard:
        for n in track(range(10), "read"):
            if n == 7:
                break
    assert stage_in(heard, "read").current == 7


def test_an_attempt_without_a_verdict_tells_the_last_that_was_said() -> None:
    with capture() as heard, suppress(Ignore), run("read"), stage("read") as read:
        read.report("the last words", current=7)
        raise Ignore
    assert stage_in(heard, "read").message == "the last words"


def test_an_exception_that_failed_another_task_before_names_none_of_its_stages() -> None:
    error = ValueError("kept and raised again")
    with suppress(ValueError), run(), stage("of another task"):
        raise error
    with suppress(ValueError), run() as heard:
        raise error
    assert heard.state().error == Error(type="ValueError")


def test_when_the_attempt_has_ended_its_verbs_do_nothing() -> None:
    with capture() as heard:
        with run("read"):
            handle, attempt, read = current(), attempt_here(), current().stage("read")
        known = len(heard.events)
        with handle.stage("late"), read:
            handle.report("late", current=1, total=2)
            read.report("late")
            read.advance()
        read.skip("late")
        handle.plan("late", "later")
        handle.emit("late", 1)
        assert list(handle.track([1], "late")) == [1]
        assert handle.run(lambda: list(track([1], "late"))) == [1]
        attempt.sample()
        attempt.close()
    assert len(heard.events) == known
    assert heard.state().status == "succeeded"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError(), "failed"),
        (SoftTimeLimitExceeded(), "failed"),
        (Retry(), "failed"),
        (Ignore(), "running"),
        (Reject(), "running"),
        (KeyboardInterrupt(), "running"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_is_a_verdict_closes_the_stage_it_comes_through(
    error: BaseException, status: str
) -> None:
    with run() as heard:
        with suppress(BaseException), stage("read"):
            raise error
        assert statuses(heard) == {"read": status}


def test_what_a_failure_says_is_for_viewers_to_read() -> None:
    with pytest.raises(Failure), run() as heard, stage("outer"), stage("inner"):
        raise Failure("The scan is empty.\nUpload it again.")
    state = heard.state()
    assert stage_in(heard, "inner").message == "The scan is empty.\nUpload it again."
    assert state.error is not None
    assert (state.error.type, state.error.message) == (
        "Failure",
        "The scan is empty.\nUpload it again.",
    )


def test_what_any_other_exception_says_is_nowhere_in_the_events() -> None:
    canary = "canary-4711"

    class Private(RuntimeError):
        def __str__(self) -> str:
            return canary

    def task() -> None:
        with suppress(Private), stage("survived"):
            raise Private(canary)
        for _ in track([1], "loop"):
            with stage("inner"):
                raise Private(canary) from ValueError(canary)

    with pytest.raises(Private), run() as heard:
        task()
    assert heard.state().error is not None
    assert all(canary.encode() not in encode(event) for event in heard.events)
    assert all(canary not in repr(event) for event in heard.events)
