"""The checker bites: each design that Headway rejects turns red by the same schedules that leave Headway green.

`HEADWAY_TEST_SCENE_SEEDS=5000` tries more seeds, `HEADWAY_TEST_SCENE_SEED=7` repeats one;
`HEADWAY_TEST_SCENE_EVENTS=2` has one event more where every order is tried: thousands instead of hundreds.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from headway import hub as hubs
from headway import seats, streams, topics
from tests.chaos.rejected import HEADWAY, REJECTED, Design, scripted
from tests.chaos.scenes import Scene
from tests.chaos.schedules import WATCHED, Choose, all_ways, as_told, at_random
from tests.chaos.violations import Violation
from tests.chaos.wires import Clock

SEEDS = int(os.environ.get("HEADWAY_TEST_SCENE_SEEDS", "100"))
EVENTS = int(os.environ.get("HEADWAY_TEST_SCENE_EVENTS", "1"))
ONE_SEED = os.environ.get("HEADWAY_TEST_SCENE_SEED")
STEPS, WRITES = 100, 16
MOST_SEEDS = 300  # until one breaks a rejected design: the rarest needs three faults in a row
FAULTS = {
    "trim": 2,
    "drop": 12,
    "cut": 1,
    "leave": 1,
    "deploy": 1,
    "copy": 3,
    "fail": 4,
    "rival": 4,
    "late": 1,
    "audit": 1,
    "end": 1,
}

Play = Callable[..., list[Violation]]


@pytest.fixture
def play(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """Play one scene of a design and say what was wrong."""
    clock = Clock()
    for module in (hubs, seats, streams, topics):
        monkeypatch.setattr(module, "time", clock)
    client = redis.Redis.from_url(redis_url)
    journals = {kind: kind(redis_url) for kind in {each.journal for each in (HEADWAY, *REJECTED)}}

    def play(design: Design, choose: Choose, **scene: Any) -> list[Violation]:
        with scripted(design):
            played = Scene(client, journals[design.journal], clock, design.hub, **scene)
            wrong = played.play(choose)
        print(*played.steps)  # the schedule to play again, if the test fails
        return wrong

    yield play
    for journal in journals.values():
        journal.close()
    client.close()


def told(design: Design) -> dict[str, Any]:
    """What its schedule needs."""
    return {"writes": design.schedule.split().count("write"), "faults": FAULTS}


def random_play(play: Play, design: Design, seed: int) -> list[Violation]:
    schedule = as_told(WATCHED, then=at_random(seed, STEPS))
    return play(design, schedule, writes=WRITES, faults=FAULTS)


each_rejected = pytest.mark.parametrize(
    "design", REJECTED, ids=[design.name for design in REJECTED]
)


@each_rejected
def test_a_rejected_design_breaks_as_it_is_said_to(play: Play, design: Design) -> None:
    wrong = play(design, as_told(design.schedule), **told(design))
    assert {violation.kind for violation in wrong} == design.kinds, wrong


@each_rejected
def test_what_breaks_a_rejected_design_leaves_headway_whole(play: Play, design: Design) -> None:
    assert play(HEADWAY, as_told(design.schedule), **told(design)) == []


@each_rejected
def test_no_step_of_its_schedule_is_there_for_nothing(play: Play, design: Design) -> None:
    """Without any one of them the design holds: what is shown is the shortest way to break it."""
    words = design.schedule.split()
    for at in range(len(words)):
        fewer = " ".join(words[:at] + words[at + 1 :])
        assert not play(design, as_told(fewer), **told(design)), fewer


@each_rejected
def test_random_schedules_break_each_rejected_design(play: Play, design: Design) -> None:
    assert any(random_play(play, design, seed) for seed in range(MOST_SEEDS))


def test_no_random_schedule_breaks_headway(play: Play) -> None:
    for seed in [int(ONE_SEED)] if ONE_SEED else range(SEEDS):
        wrong = random_play(play, HEADWAY, seed)
        assert wrong == [], f"HEADWAY_TEST_SCENE_SEED={seed}"


# -- every way there is ----------------------------------------------------------------------------------------

END = {"end": 1}
EVERY_WAY: dict[str, tuple[str, dict[str, Any]]] = {
    "a viewer comes": ("", {"writes": EVENTS - 1, "faults": END}),
    "a viewer comes who wants all there is": ("open", {"cursor": "0", "faults": END}),
    "its subject is read": ("open reach hear read", {"writes": 1, "faults": END}),
    "a message is lost": (WATCHED, {"writes": EVENTS, "faults": END | {"drop": 1}}),
    "the connection breaks": (WATCHED, {"writes": EVENTS - 1, "faults": END | {"cut": 1}}),
    "a viewer comes back": (WATCHED, {"writes": 1, "faults": END | {"leave": 1}}),
    "Redis fails over to another execution": (
        f"{WATCHED} write",
        {"writes": EVENTS, "faults": {"fail": 1, "rival": 1, "drop": 1}},
    ),
    "an old execution comes last": (WATCHED, {"writes": EVENTS, "faults": {"late": 1}}),
}
BREAK_WHILE = {
    "nothing is audited": "a message is lost",
    "published messages are passed on blindly": "a message is lost",
    "read before the subscription is acknowledged": "a viewer comes",
    "the next number follows": "Redis fails over to another execution",
    "attempts are numbered as they arrive": "an old execution comes last",
    "a cursor is believed for its number": "Redis fails over to another execution",
    "a reconnect goes on where it was": "the connection breaks",
}


def every_way(play: Play, design: Design, name: str) -> Iterator[list[Violation]]:
    """Play one of them in every order in which its steps can follow one another."""
    begin, scene = EVERY_WAY[name]
    return all_ways(lambda choose: play(design, as_told(begin, then=choose), **scene))


@pytest.mark.parametrize("name", EVERY_WAY)
def test_headway_holds_in_every_order_of_events_while(play: Play, name: str) -> None:
    assert [wrong for wrong in every_way(play, HEADWAY, name) if wrong] == []


@each_rejected
def test_an_order_that_breaks_a_rejected_design_is_among_them(play: Play, design: Design) -> None:
    assert any(every_way(play, design, BREAK_WHILE[design.name]))


ONCE_BROKEN = {
    "a read that is asked for during a read": (
        "open reach rival rival hear read integrate take deploy open reach fail write hear read integrate hear "
        "rival read take answer integrate take write read hear hear write hear hear"
    ),
    "a viewer further behind than the ring that is torn": (
        "open reach hear read integrate take write write hear write trim cut"
    ),
}


@pytest.mark.parametrize("schedule", ONCE_BROKEN.values(), ids=ONCE_BROKEN.keys())
def test_what_once_broke_headway_does_not_any_more(play: Play, schedule: str) -> None:
    writes = schedule.split().count("write")
    assert play(HEADWAY, as_told(schedule), writes=writes, faults=FAULTS) == []
