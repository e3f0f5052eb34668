"""What a stream of Flower's pages holds for its viewer, and what the list is told of a task. Needs no server."""

import asyncio
from types import SimpleNamespace

import pytest

from headway.board import Board
from headway.flower_pages import MOST_CHANGED, Stream, as_row


def stream(task: str | None = None) -> Stream:
    async def made() -> Stream:
        made = object.__new__(Stream)
        made.initialize(Board())
        made._task = task
        return made

    return asyncio.run(made())


def test_what_changes_often_is_held_once():
    mine = stream()
    for whole in (False, True, False):
        mine.note("t", whole=whole)
    assert mine._changed == {"t": True}


def test_a_viewer_of_one_task_hears_of_that_one():
    mine = stream("t")
    mine.note("other", whole=True)
    assert mine._changed == {}
    mine.note("t", whole=False)
    assert mine._changed == {"t": False}


def test_a_viewer_that_falls_behind_is_told_to_look_anew():
    mine = stream()
    for number in range(MOST_CHANGED + 1):
        mine.note(f"t-{number}", whole=True)
    assert mine._behind
    assert mine._changed == {}


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (None, ""),
        ({"progress": None}, ""),
        ({"progress": 0.999}, "99%"),
        ({"progress": 1.0}, "100%"),
    ],
)
def test_a_row_says_the_percentage_where_nothing_draws_it(progress, text):
    task = SimpleNamespace(progress=progress, as_dict=lambda: {"uuid": "t"})
    assert as_row(task) == {"uuid": "t", "progress": text, "headway": progress}
