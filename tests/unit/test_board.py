"""What Flower makes of what it hears of progress, without a Flower."""

import logging
import sys
from types import SimpleNamespace

import pytest

import headway.flower
from headway.board import MOST_EARLY, Board, progress_of, read


class Stream:
    def __init__(self) -> None:
        self.noted: list[tuple[str, bool]] = []

    def note(self, id: str, *, whole: bool) -> None:
        self.noted.append((id, whole))


@pytest.fixture
def board():
    board = Board()
    board.streams.add(Stream())
    return board


def noted(board: Board) -> list[tuple[str, bool]]:
    (stream,) = board.streams
    return stream.noted


def task(state: str = "STARTED", id: str = "t") -> dict[str, SimpleNamespace]:
    return {id: SimpleNamespace(uuid=id, state=state, timestamp=9.0)}


def said(id: str = "t", *, attempt: int = 1, at: float = 1.0, **fields) -> dict:
    stages = [{"key": "a", "status": "done"}, {"key": "b", "status": "running", "current": 3}]
    progress = {"progress": 0.5, "status": "running", "attempt": attempt, "stages": stages}
    return {"uuid": id, "progress": {**progress, "started_at": at, "updated_at": at, **fields}}


def stages(progress: dict) -> list[str]:
    return [stage["status"] for stage in progress["stages"]]


def test_progress_is_kept_with_the_task_and_streams_are_told(board):
    tasks = task()
    board.hear(tasks, said())
    assert progress_of(tasks["t"])["progress"] == 0.5
    assert stages(progress_of(tasks["t"])) == ["done", "running"]
    assert noted(board) == [("t", False)]


def test_what_comes_before_the_task_waits_for_it(board):
    board.hear({}, said())
    assert noted(board) == []
    tasks = task("RECEIVED")
    board.follow(tasks, "t")
    assert progress_of(tasks["t"])["progress"] == 0.5
    assert noted(board) == [("t", True)]


def test_only_so_many_wait(board):
    for number in range(MOST_EARLY + 1):
        board.hear({}, said(f"t-{number}"))
    for id, kept in (("t-0", False), ("t-1", True)):
        tasks = task(id=id)
        board.follow(tasks, id)
        assert (progress_of(tasks[id]) is not None) is kept


def test_an_attempt_that_is_over_does_not_overwrite_the_next(board):
    tasks = task()
    board.hear(tasks, said(attempt=2, at=5.0))
    board.hear(tasks, said(attempt=1, at=6.0, status="retrying"))
    board.hear(tasks, said(attempt=2, at=4.0, progress=0.1))
    assert progress_of(tasks["t"])["progress"] == 0.5
    board.hear(tasks, said(attempt=2, at=5.0, updated_at=7.0, progress=0.7))
    assert progress_of(tasks["t"])["progress"] == 0.7


@pytest.mark.parametrize(
    ("state", "status", "stage", "progress"),
    [
        ("SUCCESS", "succeeded", "done", 1.0),
        ("FAILURE", "failed", "failed", 0.5),
        ("REVOKED", "cancelled", "failed", 0.5),
    ],
)
@pytest.mark.parametrize("order", ["flower first", "progress first"])
def test_of_a_task_that_has_ended_nothing_runs(board, state, status, stage, progress, order):
    tasks = task("STARTED" if order == "progress first" else state)
    board.hear(tasks, said(page="https://x/t"))
    tasks["t"].state = state
    board.follow(tasks, "t")
    found = progress_of(tasks["t"])
    assert (found["status"], found["progress"], found["finished_at"]) == (status, progress, 9.0)
    assert stages(found) == ["done", stage]
    assert found["page"] == "https://x/t"


@pytest.mark.parametrize(
    "state", ["RECEIVED", "STARTED", "RETRY", "REJECTED", "A-STATE-OF-ONES-OWN"]
)
def test_any_other_state_says_nothing_of_progress(board, state):
    tasks = task(state)
    board.hear(tasks, said())
    assert progress_of(tasks["t"])["status"] == "running"


def test_tasks_nobody_reports_of_are_followed_and_left_alone(board):
    tasks = task()
    board.follow(tasks, "t")
    board.follow(tasks, "gone")
    assert vars(tasks["t"]).keys() == {"uuid", "state", "timestamp"}
    assert noted(board) == [("t", True)]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"uuid": "t"},
        {"uuid": "t", "progress": None},
        {"uuid": "t", "progress": "half"},
        {"uuid": ["t"], "progress": {}},
        {"uuid": "t", "progress": {"stages": 7}},
        {"uuid": "t", "progress": {"stages": [{"key": None}]}},
        {"uuid": "t", "progress": {"status": "<b>"}},
        {"uuid": "t", "progress": {"message": object()}},
    ],
)
def test_garbage_is_no_progress(board, event):
    assert read(event) is None
    board.hear(task(), event)
    assert noted(board) == []


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("https://site.example/tasks/t", True),
        ("http://site.example/tasks/t", True),
        ("javascript:alert(1)", False),
        (" https://site.example", False),
        ("//site.example", False),
        (["https://"], False),
    ],
)
def test_only_an_address_of_the_web_becomes_a_link(page, kept):
    assert ("page" in read(said(page=page))) is kept


@pytest.mark.parametrize(("told", "kept"), [(1e308, 1.0), (-3, 0.0), (0.25, 0.25)])
def test_a_share_is_a_share(told, kept):
    assert read(said(progress=told))["progress"] == kept


def test_numbers_that_are_none_do_not_reach_a_page():
    found = read(said(progress=float("nan"), remaining=float("inf")))
    assert found["progress"] is None
    assert "remaining" not in found


@pytest.mark.parametrize("version", ["2.0.1", "2.1.0", "2.20.0", "3.0.0", "22.0"])
def test_a_version_it_does_not_know_is_left_as_it_is(monkeypatch, caplog, version):
    monkeypatch.setattr(headway.flower, "version", lambda _: version)
    monkeypatch.setitem(sys.modules, "headway.flower_pages", None)  # to import it would fail
    caplog.set_level(logging.WARNING, "headway.flower")
    headway.flower.install()
    assert f"Flower {version} shows no progress: Headway knows Flower 2.2 only." in caplog.text
    assert "pip install 'flower==2.2.*'" in caplog.text
