"""The short form of `python -m tests.chaos.cycles`."""

from tests.chaos.cycles import grown, run


def test_streams_that_come_and_go_leave_nothing_behind() -> None:
    before, *_, after = run(1500, seed=7)
    assert grown(before, after) == []
