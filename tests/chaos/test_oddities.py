"""The checker, on logs made by hand: what looks odd and is right is not called wrong."""

import pytest
from msgspec.structs import replace

from headway import events, sse
from headway.events import Ended, Gap, Link, Stalled
from tests.chaos.made import (
    DUE,
    FORK,
    GAPS,
    LOG,
    NOWHERE,
    OTHER,
    TRIMMED,
    Made,
    Play,
    Written,
    ticked,
    whole,
)
from tests.chaos.records import SOMEWHERE
from tests.producers import finished, retrying, started


def all_in_one_go(made: Made) -> None:
    whole(made)
    made.closes("ended")


def all_of_it_again(made: Made) -> None:
    made.opens("0")
    made.gets(*range(1, 8))


def comes_back(made: Made) -> None:
    whole(made, 3)
    made.closes()
    made.opens(LOG.id(3))
    made.gets(4, 5)
    made.closes("ended")
    made.opens(LOG.id(5))
    made.closes("refused")
    made.opens(LOG.id(5))
    made.gets(6, 7)


def torn_frame(made: Made) -> None:
    """What was torn was never an event: the same comes again."""
    whole(made, 3)
    id, payload = LOG.entries[3]
    made.sent(sse.frame(payload, id=f"t/{id}")[:-1])
    made.closes()
    made.opens(LOG.id(3))
    made.gets(4, 5, 6, 7)


def goes_back_by_itself(made: Made) -> None:
    """A page that is shown again goes on from where it was made."""
    whole(made, 6)
    made.closes()
    made.opens(LOG.id(2))
    made.gets(3, 4, 5, 6)
    made.snapshot(7, TRIMMED)


def new_again(made: Made) -> None:
    whole(made, 6)
    made.closes()
    made.opens(None)
    made.snapshot(5)
    made.gets(6, 7)


def a_gap_and_a_snapshot(made: Made) -> None:
    whole(made, 3)
    made.snapshot(5, Gap(reason="trimmed", first=4))
    made.gets(6, 7)


def a_fork_that_was_said(made: Made) -> None:
    """Numbers, progress and even an end may go back then."""
    whole(made)
    made.snapshot(4, FORK, of=OTHER)
    made.gets(5, 6, 7, of=OTHER)
    made.written = OTHER


def a_cursor_that_never_was(made: Made) -> None:
    made.opens("99-123")
    made.snapshot(7, FORK)


def who_cannot_say_where_it_was(made: Made) -> None:
    whole(made, 3)
    made.closes()
    made.opens(SOMEWHERE)
    made.snapshot(6, NOWHERE)
    made.gets(7)


def the_same_snapshot_again(made: Made) -> None:
    whole(made)
    made.closes()
    made.opens(LOG.id(7))
    made.at = DUE + 1
    made.snapshot(7)


def no_journal_yet(made: Made) -> None:
    made.opens()
    made.snapshot(0, identified=False)
    made.gets(*range(1, 8))


def what_the_log_still_holds(made: Made) -> None:
    """A whole state without an id, then older events: they say it again."""
    made.opens("0")
    made.snapshot(7, Gap(reason="trimmed", first=1, last=3), identified=False)
    made.gets(4, 5, 6, 7)


def an_end_without_a_log(made: Made) -> None:
    made.opens("0")
    made.snapshot(7, Gap(reason="trimmed", first=1), identified=False)


def a_journal_that_vanished(made: Made) -> None:
    whole(made, 4)
    made.written = Written()
    made.snapshot(0, FORK, identified=False)


def what_the_server_says(made: Made) -> None:
    """Heartbeats, when to come back, the link, and whose worker is silent: none of it is history."""
    made.opens()
    made.sent(sse.opening(1000, 15))
    made.snapshot(1, state=replace(LOG.state(1), stalled=True))
    made.sent(sse.HEARTBEAT)
    for live in (False, True):
        made.sent(sse.frame(events.encode(Link(at=1.0, live=live))))
        made.sent(sse.frame(events.encode(Stalled(task="t", at=1.0, stalled=not live))))
    made.gets(*range(2, 8))
    made.sent(sse.frame(events.encode(Ended(at=1.0, tasks=1)), id="*/0123456789abcdef"))
    made.sent(sse.closing(1000))


def lost_and_found(made: Made) -> None:
    """`lost` is no end: what was only cut off comes back."""
    made.written = Written(finished("lost"), ticked(0.8), finished(), before=LOG, keep=6)
    whole(made, 9)


def attempts(made: Made) -> None:
    again = (retrying(), started(4.0, attempt=2), ticked(0.1), ticked(None), finished())
    made.written = Written(*again, before=LOG, keep=6)
    whole(made, 11)


def left(made: Made) -> None:
    whole(made, 3)
    made.closes("left")


def another_viewer_later(made: Made) -> None:
    whole(made)
    made.opens(viewer="w")
    made.snapshot(7, viewer="w")


RIGHT: list[tuple[Play, dict[str, object]]] = [
    (all_in_one_go, {"emitted": (1, 2), "ended": "succeeded"}),
    (all_of_it_again, {}),
    (comes_back, {}),
    (torn_frame, {}),
    (goes_back_by_itself, {"gaps": GAPS}),
    (new_again, {}),
    (a_gap_and_a_snapshot, {"gaps": GAPS}),
    (a_fork_that_was_said, {"gaps": GAPS}),
    (a_cursor_that_never_was, {}),
    (who_cannot_say_where_it_was, {}),
    (the_same_snapshot_again, {}),
    (no_journal_yet, {}),
    (what_the_log_still_holds, {"gaps": GAPS}),
    (an_end_without_a_log, {"gaps": GAPS}),
    (a_journal_that_vanished, {"gaps": GAPS}),
    (what_the_server_says, {}),
    (lost_and_found, {"ended": "succeeded"}),
    (attempts, {}),
    (left, {}),
    (another_viewer_later, {}),
    (whole, {"log": LOG.entries[3:], "emitted": (1, 2)}),
    (whole, {"log": []}),
]


@pytest.mark.parametrize(("play", "truth"), RIGHT, ids=[play.__name__ for play, _ in RIGHT])
def test_what_only_looks_odd_is_not_called_wrong(play: Play, truth: dict[str, object]) -> None:
    made = Made(LOG)
    play(made)
    assert made.kinds(**truth) == []
