"""How long stages usually take, the weights that follow, and the time left."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import usual
from headway.events import Stage, State
from headway.usual import Usual

seconds = st.floats(0, 1e6)
learned_keys = st.dictionaries(st.sampled_from("abcde"), seconds.map(lambda s: Usual(s, s, s)))
declared_keys = st.dictionaries(st.sampled_from("abcdefg"), st.floats(0, allow_infinity=False))


def ten(key: str = "a", low: float = 8.0, high: float = 12.0) -> dict[str, Usual]:
    return {key: Usual(low, 10.0, high)}


# -- of ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durations", [[], [1.0], [1.0, 2.0]])
def test_fewer_than_three_runs_say_nothing(durations: list[float]) -> None:
    assert usual.of(durations) is None


def test_half_of_the_runs_lie_between_low_and_high() -> None:
    assert usual.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Usual(2.0, 3.0, 4.0)


def test_one_run_that_hung_hardly_moves_what_is_usual() -> None:
    assert usual.of([10.0] * 9 + [86_400.0]) == Usual(10.0, 10.0, 10.0)


@settings(deadline=None)
@given(st.lists(seconds, min_size=3, max_size=usual.KEPT))
def test_low_middle_and_high_come_in_this_order_and_within_what_was_seen(
    durations: list[float],
) -> None:
    found = usual.of(durations)
    assert found is not None
    slack = 1e-6 * max(durations)
    ordered = [min(durations), found.low, found.middle, found.high, max(durations)]
    assert all(one <= next + slack for one, next in pairwise(ordered))


# -- durations -----------------------------------------------------------------------------------------------


def done(key: str, started_at: float | None, finished_at: float | None, **more: object) -> Stage:
    fields = {"status": "done", "runs": 1} | more
    return Stage(key=key, started_at=started_at, finished_at=finished_at, **fields)  # type: ignore[arg-type]


def test_a_task_that_succeeded_tells_how_long_its_stages_took() -> None:
    stages = (done("a", 100.0, 101.2345), done("b", 101.5, 101.5))
    state = State(task="t", status="succeeded", stages=stages)
    assert usual.durations(state) == {"a": 1.234, "b": 0.0}


@pytest.mark.parametrize("status", ["running", "failed", "cancelled", "retrying", "lost"])
def test_a_task_that_did_not_succeed_tells_nothing(status: str) -> None:
    state = State(task="t", status=status, stages=(done("a", 1.0, 2.0),))  # type: ignore[arg-type]
    assert usual.durations(state) == {}


@pytest.mark.parametrize(
    "stage",
    [
        done("a", 1.0, 2.0, status="skipped"),
        done("a", 1.0, 2.0, status="failed"),
        done("a", 1.0, 2.0, runs=2),
        done("a", None, 2.0),
        done("a", 1.0, None),
        done("a", 2.0, 1.0),
    ],
    ids=["skipped", "failed", "entered twice", "no start", "no end", "a clock set back"],
)
def test_a_stage_that_was_not_done_in_one_go_tells_nothing(stage: Stage) -> None:
    assert usual.durations(State(task="t", status="succeeded", stages=(stage,))) == {}


# -- weights -------------------------------------------------------------------------------------------------


def test_while_nothing_is_learned_declared_weights_count() -> None:
    assert usual.weights({}, {"a": 1.0, "b": 5.0}) == {"a": 1.0, "b": 5.0}


def test_what_was_learned_goes_before_what_was_declared() -> None:
    learned = {"a": Usual(1, 2, 3), "b": Usual(5, 6, 7)}
    assert usual.weights(learned, {"a": 5.0, "b": 1.0}) == {"a": 2, "b": 6}


def test_a_stage_not_learned_yet_is_scaled_to_those_that_are() -> None:
    assert usual.weights(ten(), {"a": 2.0, "b": 1.0}) == {"a": 10.0, "b": 5.0}


def test_what_was_learned_of_stages_that_are_no_more_does_not_count() -> None:
    assert usual.weights(ten("gone"), {"a": 2.0}) == {"a": 2.0}


def test_stages_that_take_no_time_at_all_fall_back_on_what_was_declared() -> None:
    assert usual.weights({"a": Usual(0, 0, 0)}, {"a": 2.0, "b": 1.0}) == {"a": 2.0, "b": 1.0}


def test_a_learned_stage_declared_to_weigh_nothing_gives_no_scale() -> None:
    assert usual.weights(ten(), {"a": 0.0, "b": 1.0}) == {"a": 0.0, "b": 1.0}


@settings(deadline=None)
@given(learned_keys, declared_keys)
def test_every_declared_stage_has_a_weight_and_weights_add_up_to_something_finite(
    learned: dict[str, Usual], declared: dict[str, float]
) -> None:
    weights = usual.weights(learned, declared)
    assert weights.keys() == declared.keys()
    assert all(weight >= 0 for weight in weights.values())
    assert sum(weights.values()) < float("inf")


# -- progress ------------------------------------------------------------------------------------------------


def test_progress_is_what_is_done_of_what_each_stage_weighs() -> None:
    stages = [done("a", 0, 1), Stage(key="b", status="running", current=1, total=4), Stage(key="c")]
    assert usual.progress(stages, {"a": 1, "b": 2, "c": 1}) == (1 + 2 / 4) / 4


def test_what_is_skipped_is_no_part_of_what_is_to_be_done() -> None:
    stages = [done("a", 0, 1), Stage(key="b", status="skipped"), Stage(key="c")]
    assert usual.progress(stages, {"a": 1, "b": 98, "c": 1}) == 0.5


@pytest.mark.parametrize("stages", [[], [Stage(key="a")], [Stage(key="b", status="skipped")]])
def test_where_nothing_weighs_anything_nothing_is_said(stages: list[Stage]) -> None:
    assert usual.progress(stages, {"a": 0, "b": 1}) is None


@pytest.mark.parametrize(
    ("stage", "share"),
    [
        (Stage(key="k"), 0.0),
        (Stage(key="k", status="running"), 0.0),
        (Stage(key="k", status="running", current=3), 0.0),
        (Stage(key="k", status="running", total=3), 0.0),
        (Stage(key="k", status="running", current=3, total=0), 0.0),
        (Stage(key="k", status="running", current=1, total=4), 0.25),
        (Stage(key="k", status="running", current=5, total=4), 1.0),
        (Stage(key="k", status="failed", current=1, total=4), 0.25),
        (Stage(key="k", status="done", current=1, total=4), 1.0),
        (Stage(key="k", status="skipped"), 1.0),
    ],
    ids=repr,
)
def test_a_stage_is_as_far_as_its_count_says_until_it_is_over(stage: Stage, share: float) -> None:
    assert usual.share(stage) == share


@settings(deadline=None)
@given(st.one_of(st.none(), st.floats()), st.one_of(st.none(), st.floats()))
def test_a_share_lies_between_nothing_and_all(current: float | None, total: float | None) -> None:
    assert 0.0 <= usual.share(Stage(key="k", current=current, total=total)) <= 1.0


# -- remaining -----------------------------------------------------------------------------------------------


def running(key: str = "a", started_at: float | None = 100.0, **more: object) -> Stage:
    return Stage(key=key, status="running", started_at=started_at, **more)  # type: ignore[arg-type]


def test_without_stages_nobody_knows_the_time_left() -> None:
    assert usual.remaining(ten(), [], 0.0) is None


def test_a_stage_nobody_has_learned_makes_the_time_left_unknown() -> None:
    assert usual.remaining(ten(), [running(), Stage(key="b")], 100.0) is None


def test_a_stage_that_is_over_needs_no_time_even_if_nobody_has_learned_it() -> None:
    over = [Stage(key=str(n), status=s) for n, s in enumerate(("done", "skipped", "failed"))]  # type: ignore[arg-type]
    assert usual.remaining(ten(), over, 0.0) == 0.0
    assert usual.remaining(ten(), [*over, Stage(key="a")], 0.0) == 10.0


def test_waiting_stages_take_their_usual_time_one_after_another() -> None:
    learned = ten("a") | ten("b")
    assert usual.remaining(learned, [Stage(key="a"), Stage(key="b")], 0.0) == 20.0


def test_a_running_stage_without_a_count_has_what_is_left_of_its_usual_time() -> None:
    assert usual.remaining(ten(), [running()], 104.0) == 6.0


def test_a_stage_that_takes_longer_than_usual_is_about_to_end() -> None:
    assert usual.remaining(ten(), [running()], 150.0) == 0.0


def test_a_count_that_has_come_far_enough_says_more_than_history() -> None:
    assert usual.remaining(ten(), [running(current=1, total=4)], 110.0) == 30.0


def test_a_count_that_has_hardly_begun_says_less_than_history() -> None:
    assert usual.remaining(ten(), [running(current=1, total=100)], 105.0) == 5.0


@pytest.mark.parametrize("stage", [running(), running(current=1, total=2)], ids=["bare", "counted"])
def test_a_clock_set_back_makes_no_time_left_longer_than_usual_or_negative(stage: Stage) -> None:
    left = usual.remaining(ten(), [stage], 50.0)
    assert left is not None
    assert 0.0 <= left <= 10.0


@settings(deadline=None)
@given(
    learned_keys,
    st.lists(
        st.builds(
            Stage,
            key=st.sampled_from("abcde"),
            status=st.sampled_from(["waiting", "running", "done", "failed", "skipped"]),
            current=st.none() | st.integers(0, 1000) | seconds,
            total=st.none() | st.integers(0, 1000) | seconds,
            started_at=st.none() | seconds,
        )
    ),
    seconds,
)
def test_the_time_left_is_unknown_or_no_less_than_nothing(
    learned: dict[str, Usual], stages: list[Stage], now: float
) -> None:
    left = usual.remaining(learned, stages, now)
    assert left is None or 0 <= left < float("inf")
