"""The checker, on logs made by hand: each thing that can be wrong is called by its name."""

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from headway import events, sse
from headway.events import Gap, Link
from tests.chaos import records
from tests.chaos.made import (
    BEGUN,
    DUE,
    FORK,
    GAPS,
    LOG,
    OTHER,
    RUNNING,
    TRIMMED,
    Made,
    Play,
    Written,
    numbered,
    ticked,
    whole,
)
from tests.chaos.records import SOMEWHERE, Closed, Got, Opened
from tests.producers import finished, queued, started


def doubled(made: Made) -> None:
    whole(made, 5)
    made.gets(4, 5, 6, 7)


def reordered(made: Made) -> None:
    made.opens()
    made.snapshot(3)
    made.gets(5, 4, 6, 7)


def hole(made: Made) -> None:
    made.opens()
    made.snapshot(1)
    made.gets(2, 4, 5, 6, 7)


def skipped_by_a_snapshot(made: Made) -> None:
    whole(made, 3)
    made.closes()
    made.opens(LOG.id(3))
    made.snapshot(7)


def taken_back(made: Made) -> None:
    whole(made, 5)
    made.snapshot(3)
    made.gets(4, 5, 6, 7)


def no_snapshot(made: Made) -> None:
    made.opens()
    made.gets(1, 2, 3, 4, 5, 6, 7)


def forked_in_silence(made: Made) -> None:
    """5 follows another 4 than the viewer had: by its number alone it follows."""
    whole(made, 4)
    made.written = OTHER
    made.gets(5, 6, 7)


def other_branch_at_one_place(made: Made) -> None:
    whole(made, 4)
    made.gets(4, of=OTHER)


def untrue_snapshot(made: Made) -> None:
    made.opens()
    made.snapshot(4, state=LOG.state(3))
    made.gets(5, 6, 7)


def two_snapshots_at_one_id(made: Made) -> None:
    made.opens()
    made.snapshot(7, FORK)
    made.opens(viewer="w")
    made.snapshot(7, state=replace(LOG.state(), title="another"), viewer="w")


def untrue_in_the_end(made: Made) -> None:
    made.opens()
    made.snapshot(7, state=replace(LOG.state(), title="another"))


def another_payload(made: Made) -> None:
    whole(made, 6)
    made.sent(sse.frame(events.encode(finished("failed")), id=f"t/{LOG.id(7)}"))


def gap_for_nothing(made: Made) -> None:
    whole(made, 4)
    made.snapshot(7, FORK)


def gap_that_begins_late(made: Made) -> None:
    whole(made, 3)
    made.snapshot(7, Gap(reason="trimmed", first=5))


def gap_that_ends_early(made: Made) -> None:
    whole(made, 3)
    made.snapshot(7, Gap(reason="trimmed", first=4, last=6))


def no_gap_for_who_cannot_say_where_it_was(made: Made) -> None:
    whole(made, 3)
    made.closes()
    made.opens(SOMEWHERE)
    made.snapshot(7)


def left_behind(made: Made) -> None:
    whole(made, 5)


def late(made: Made) -> None:
    whole(made, 6)
    made.at = DUE + 1
    made.gets(7)


def nothing_came(made: Made) -> None:
    made.opens()


def told_that_the_link_is_down(made: Made) -> None:
    made.written = RUNNING
    whole(made, 6)
    made.sent(sse.frame(events.encode(Link(at=1.0, live=False))))


def two_ends(made: Made) -> None:
    made.written = Written(finished("failed"), before=LOG, keep=7)
    whole(made, 7)
    made.gets(8)


def not_last(made: Made) -> None:
    made.written = Written(numbered(3), before=LOG, keep=7)
    whole(made, 7)
    made.gets(8)


def alive_after_its_end(made: Made) -> None:
    made.written = Written(numbered(3), before=LOG, keep=7)
    whole(made, 7)
    made.snapshot(8, TRIMMED, state=RUNNING.state())


def progress_falls(made: Made) -> None:
    made.written = Written(ticked(0.6), before=LOG, keep=6)
    whole(made, 6)
    made.gets(7)


def attempt_falls(made: Made) -> None:
    made.written = Written(*BEGUN, started(attempt=3), started(attempt=2))
    whole(made, 4)


def snapshot_of_less_progress(made: Made) -> None:
    made.written = Written(numbered(3), ticked(0.3), before=RUNNING, keep=6)
    whole(made, 6)
    made.snapshot(8, TRIMMED)


def anothers(made: Made) -> None:
    whole(made)
    event = queued(task="u")
    made.sent(sse.frame(events.encode(event), id=f"u/{LOG.id(1)}"))


def anothers_under_its_id(made: Made) -> None:
    made.written = Written(*BEGUN, replace(numbered(1), task="u"))
    whole(made, 3)


def without_an_id(made: Made) -> None:
    whole(made)
    made.sent(sse.frame(events.encode(numbered(3))))


WRONG: list[tuple[Play, set[str], dict[str, object]]] = [
    (doubled, {"doubled"}, {}),
    (reordered, {"lost", "reordered"}, {}),
    (hole, {"lost", "undetected"}, {}),
    (skipped_by_a_snapshot, {"lost", "undetected"}, {}),
    (taken_back, {"reordered"}, {}),
    (no_snapshot, {"lost", "undetected"}, {}),
    (forked_in_silence, {"undetected"}, {}),
    (other_branch_at_one_place, {"undetected", "not converged"}, {}),
    (untrue_snapshot, {"undetected"}, {}),
    (two_snapshots_at_one_id, {"undetected"}, {"gaps": GAPS}),
    (untrue_in_the_end, {"undetected"}, {}),
    (another_payload, {"two payloads", "undetected"}, {}),
    (gap_for_nothing, {"false gap"}, {}),
    (gap_for_nothing, {"false gap"}, {"gaps": {"trimmed"}}),
    (gap_that_begins_late, {"wrong gap"}, {"gaps": GAPS}),
    (gap_that_ends_early, {"wrong gap"}, {"gaps": GAPS}),
    (no_gap_for_who_cannot_say_where_it_was, {"lost", "undetected"}, {}),
    (left_behind, {"not converged"}, {}),
    (late, {"not converged"}, {}),
    (nothing_came, {"not converged"}, {}),
    (told_that_the_link_is_down, {"not converged"}, {}),
    (two_ends, {"ended twice"}, {}),
    (not_last, {"not last"}, {}),
    (alive_after_its_end, {"not last", "undetected", "backwards"}, {"gaps": GAPS}),
    (progress_falls, {"backwards"}, {}),
    (attempt_falls, {"backwards"}, {}),
    (snapshot_of_less_progress, {"backwards"}, {"gaps": GAPS}),
    (anothers, {"foreign"}, {}),
    (anothers_under_its_id, {"foreign", "not converged"}, {}),
    (without_an_id, {"lost"}, {}),
    # The journal itself.
    (whole, {"lost"}, {"emitted": (1, 2, 3)}),
    (whole, {"not converged"}, {"ended": "failed"}),
    (whole, {"undetected"}, {"state": replace(LOG.state(), title="another")}),
]


@pytest.mark.parametrize(
    ("play", "kinds", "truth"), WRONG, ids=[play.__name__ for play, _, _ in WRONG]
)
def test_what_is_wrong_is_called_what_it_is(
    play: Play, kinds: set[str], truth: dict[str, object]
) -> None:
    made = Made(LOG)
    play(made)
    assert set(made.kinds(**truth)) == kinds


def test_a_journal_that_says_a_number_twice_is_wrong() -> None:
    made = Made(Written(*BEGUN, numbered(1), numbered(1, at=4.0)))
    whole(made, 4)
    assert made.kinds() == ["doubled"]


def test_who_says_its_state_anew_has_said_what_is_missing() -> None:
    made = Made(Written(*BEGUN, numbered(3), started(4.0, attempt=1, gap=True), numbered(6)))
    whole(made, 5)
    assert made.kinds(emitted=(3, 4, 5, 6)) == []
    assert made.kinds(emitted=(2, 3, 6, 7)) == ["lost"]


def test_a_violation_says_where_to_look() -> None:
    made = Made(LOG)
    whole(made, 3)
    made.closes()
    made.opens(LOG.id(3), viewer="v")
    made.gets(5)
    (violation,) = made.checker.violations
    assert violation.kind == "lost"
    assert (violation.viewer, violation.task, violation.connection) == ("v", "t", 2)
    assert violation.said == "4 to 4"


def test_what_no_viewer_can_have_written_is_refused() -> None:
    made = Made(LOG)
    whole(made, 3)
    with pytest.raises(ValueError, match="open connection"):
        made.checker.see(Got("v", 2, 1.0, "t", LOG.id(4), "stage", "{}"))
    made.closes()
    with pytest.raises(ValueError, match="open connection"):
        made.gets(4)


def test_records_go_through_a_file(tmp_path: Path) -> None:
    written: list[records.Record] = [
        Opened("v", 1, 0.5, {"t": None, "u": "3-4"}),
        records.got("v", 1, 1.0, f"t/{LOG.id(1)}", LOG.entries[0][1].decode()),
        records.got("v", 1, 1.0, None, '{"type":"link","at":1,"live":true}'),
        Closed("v", 1, 2.0, "cut"),
    ]
    with (tmp_path / "log").open("wb") as file:
        records.write(file, written)
        file.write(b'["got","v",1,')
    assert list(records.read(tmp_path / "log")) == written
    assert written[1] == Got("v", 1, 1.0, "t", LOG.id(1), "queued", LOG.entries[0][1].decode())


# -- any one thing that goes wrong -----------------------------------------------------------------------------


def test_any_event_that_is_left_out_repeated_or_swapped_is_noticed() -> None:
    """The whole stream with one random fault, in many ways: never unseen."""
    for seed in range(300):
        chosen = random.Random(seed)
        middle = [numbered(n) if chosen.random() < 0.5 else ticked(None) for n in range(1, 20)]
        made = Made(Written(*BEGUN, *middle, finished()))
        seqs = list(range(2, 23))
        at = chosen.randrange(len(seqs) - 1)
        match chosen.choice(["left out", "repeated", "swapped"]):
            case "left out":
                del seqs[at]
            case "repeated":
                seqs.insert(chosen.randrange(at + 1, len(seqs)), seqs[at])
            case _:
                seqs[at], seqs[at + 1] = seqs[at + 1], seqs[at]
        made.opens()
        made.snapshot(1)
        made.gets(*seqs)
        assert made.kinds(), f"seed {seed}: {seqs}"
