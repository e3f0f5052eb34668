"""What has changed is told soon, by nobody's doing, and as often as it can be seen, not as often as it changes."""

import threading
import time

import pytest

from headway import report, stage, track
from headway.sampler import SAMPLE_SECONDS, Sampler
from headway.testing import run
from tests.reported import stage_in, told


def test_a_count_is_told_within_a_second_without_any_further_report() -> None:
    with run() as heard, stage("read") as read:
        read.report(current=3, total=9)
        heard.wait_for(lambda heard: stage_in(heard, "read").current == 3, seconds=1)
        read.advance(2)
        heard.wait_for(lambda heard: stage_in(heard, "read").current == 5, seconds=1)


def test_a_loop_that_turns_slow_is_told_where_it_is() -> None:
    with run() as heard:
        for n in track(range(4), "read"):
            if n == 3:
                heard.wait_for(lambda heard: stage_in(heard, "read").current == 3, seconds=1)


@pytest.mark.parametrize("field", ["message", "total", "data"])
def test_whatever_changes_is_told(field: str) -> None:
    with run() as heard, stage("read") as read:
        read.report(**{field: "7" if field == "message" else 7})  # type: ignore[arg-type]
        heard.wait_for(lambda heard: getattr(stage_in(heard, "read"), field) in (7, "7"), seconds=1)


def test_what_the_task_itself_says_is_told() -> None:
    with run() as heard:
        report("warming up", current=1, total=4)
        heard.wait_for(lambda heard: heard.state().message == "warming up", seconds=1)
        assert heard.state().progress == 0.25


def test_a_hundred_thousand_counts_are_a_few_events_and_the_last_is_among_them() -> None:
    begun = time.monotonic()
    with run() as heard:
        for _ in track(range(100_000), "read"):
            pass
    samples = (time.monotonic() - begun) / SAMPLE_SECONDS
    assert len(told(heard, "read")) <= 3 + samples
    assert stage_in(heard, "read").current == 100_000


def test_the_last_of_many_values_is_told_though_nothing_follows_it() -> None:
    with run() as heard, stage("read") as read:
        for n in range(10_000):
            read.report(current=n)
        heard.wait_for(lambda heard: stage_in(heard, "read").current == 9_999, seconds=1)


def test_what_has_not_changed_is_not_told_again() -> None:
    with run() as heard, stage("still"), stage("read") as read:
        for n in (1, 2, 3):
            read.report(current=n)
            heard.wait_for(lambda heard, n=n: stage_in(heard, "read").current == n)  # type: ignore[misc]
        assert len(told(heard, "still")) == 1


class Counting:
    """Something to sample."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.times = 0
        self.often = threading.Event()

    def forked(self) -> None:
        """Not tried here."""

    def sample(self) -> None:
        self.times += 1
        if self.times >= 3:
            self.often.set()
        if self.fails:
            raise ZeroDivisionError


def test_one_that_fails_is_logged_and_keeps_no_other_from_being_sampled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sampler, bad, good = Sampler(), Counting(fails=True), Counting()
    sampler.watch(bad)
    sampler.watch(good)
    try:
        assert good.often.wait(5)
        assert bad.often.wait(5)
    finally:
        sampler.forget(bad)
        sampler.forget(good)
    assert "ZeroDivisionError" in caplog.text


def test_one_that_was_forgotten_is_left_alone() -> None:
    sampler, gone, kept = Sampler(), Counting(), Counting()
    sampler.watch(gone)
    sampler.forget(gone)
    sampler.forget(gone)
    known = gone.times
    sampler.watch(kept)
    assert kept.often.wait(5)
    sampler.forget(kept)
    assert gone.times <= known + 1  # a round may have been under way


def test_however_many_attempts_there_are_one_thread_samples_them() -> None:
    with run(task="a"):
        before = threading.active_count()
        with run(task="b"), run(task="c"):
            assert threading.active_count() == before
