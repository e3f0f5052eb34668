"""Where a viewer is, what it knows, when it comes back: by hand, without a connection."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path

import msgspec
import pytest

from headway import viewer as viewers
from headway.events import Emitted, Snapshot, State, encode
from headway.sse import frame as frame_of
from headway.viewer import Refused, StreamBroken, Told, Viewer
from tests.sites import emitted, finished, frame, message, snapshot

STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}
OF_ITSELF = ("snapshot", "stalled", "link", "ended")  # the server says; no part of a history
FOLDER = Path(__file__).parents[1] / "fixtures" / "fold"


def hear(viewer: Viewer, *parts: bytes) -> list[Told]:
    return [told for part in parts for told in viewer.hear(part)]


def types(told: list[Told]) -> list[str]:
    return [json.loads(each.json)["type"] for each in told]


# -- what is asked -----------------------------------------------------------------------------------


def test_one_task_is_asked_for_at_its_own_address_and_by_its_cursor() -> None:
    viewer = Viewer("a")
    assert viewer.asks().path == "/tasks/a/events"
    assert "Last-Event-ID" not in viewer.asks().headers
    hear(viewer, snapshot(7))
    assert viewer.asks().headers["Last-Event-ID"] == "7-7"


def test_several_tasks_are_asked_for_at_once_each_by_its_own_cursor() -> None:
    viewer = Viewer("a", "b")
    hear(viewer, snapshot(7, "b"))
    assert viewer.asks().path == "/events?task=a&task=b@7-7"


def test_more_than_a_url_should_hold_are_asked_for_in_a_body() -> None:
    viewer = Viewer(*(f"t{n}" for n in range(51)), cursors={"t3": "4-4"})
    asked = viewer.asks()
    assert asked.path == "/events"
    assert asked.headers["Content-Type"] == "application/json"
    wanted = json.loads(asked.body or b"")
    assert (len(wanted), wanted["t3"], wanted["t4"]) == (51, "4-4", None)


def test_a_task_that_has_ended_is_not_asked_for_again() -> None:
    viewer = Viewer("a", "b")
    hear(viewer, snapshot(1, "a"), snapshot(1, "b"), finished(2, task="a"))
    assert viewer.asks().path == "/tasks/b/events"
    assert not viewer.over


def test_what_cannot_be_an_id_is_not_asked_for() -> None:
    for odd in ("", "a/b", "a b", "é", "x" * 129, "{a}", "a\n"):
        with pytest.raises(Refused) as refused:
            Viewer(odd)
        assert refused.value.status == 404
    viewer = Viewer("a", "b/c")
    assert viewer.asks().path == "/tasks/a/events"
    assert viewer.refused.keys() == {"b/c"}


@pytest.mark.parametrize("odd", ["1", "x-1", "1-1&task=b", "1-", "-1", "", "1-1\n"])
def test_what_is_no_cursor_is_refused(odd: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        Viewer("a", cursors={"a": odd})


# -- what is heard -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_state_is_the_fold_of_what_is_heard(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    task = case["state"]["task"]
    history = [event for event in case["events"] if event["type"] not in OF_ITSELF]
    stream = b"".join(frame(event, seq, task) for seq, event in enumerate(history, 1))
    expected = msgspec.convert(case["state"], State)
    for size in (1, 7, len(stream)):
        viewer = Viewer(task)
        hear(viewer, *(stream[at : at + size] for at in range(0, len(stream), size)))
        assert viewer.states[task] == expected


def test_events_that_come_twice_are_taken_once() -> None:
    viewer = Viewer("a")
    told = hear(
        viewer, snapshot(1), message(2, "x"), message(2, "x"), message(1, "old"), snapshot(2)
    )
    assert types(told) == ["snapshot", "message", "snapshot"]
    assert viewer.states["a"].message == "x"


@pytest.mark.parametrize("id", ["a/3-3", "a/1-99"])
def test_an_event_after_a_hole_or_of_another_history_is_not_taken(id: str) -> None:
    viewer = Viewer("a")
    said = json.dumps({"type": "message", "task": "a", "at": 3, "message": "third"}).encode()
    hear(viewer, snapshot(1))
    with pytest.raises(StreamBroken):
        hear(viewer, frame_of(said, id=id))
    assert viewer.states["a"].message is None
    assert viewer.cursors["a"] == "1-1"


def test_a_snapshot_with_a_gap_is_the_truth() -> None:
    viewer = Viewer("a")
    gap = {"reason": "trimmed", "first": 2, "last": 8}
    (_, told) = hear(viewer, snapshot(1), snapshot(9, gap=gap, status="retrying"))
    assert isinstance(told.event, Snapshot)
    assert viewer.states["a"].status == "retrying"
    assert types(hear(viewer, message(10, "on"))) == ["message"]


def test_a_snapshot_without_an_id_leaves_the_place_open() -> None:
    viewer = Viewer("a", cursors={"a": "0"})
    hear(viewer, snapshot(0, gap={"reason": "trimmed"}), message(40, "x"), message(41, "y"))
    assert viewer.cursors["a"] == "41-41"
    assert viewer.states["a"].message == "y"


def test_what_a_newer_server_says_moves_the_cursor_and_changes_nothing() -> None:
    viewer = Viewer("a")
    hear(viewer, snapshot(1))
    before = viewer.states["a"]
    new = frame({"type": "sparkled", "task": "a", "at": 2, "colour": 7}, 2)
    (told,) = hear(viewer, new)
    assert (told.event, told.cursor) == (None, "2-2")
    assert viewer.states["a"] is before
    assert types(hear(viewer, message(3, "on"))) == ["message"]


def test_what_is_no_event_of_ours_is_passed_over() -> None:
    viewer = Viewer("a")
    odd = [b"hello", b"7", b"null", b"[]", b'{"type":null}', b'{"type":', b"\xff", b"[" * 100_000]
    assert hear(viewer, *(b"data: %s\n\n" % data for data in odd)) == []
    assert types(hear(viewer, snapshot(1, "b"), snapshot(1))) == ["snapshot"]  # b is not watched


def test_the_server_says_of_itself_that_it_has_lost_its_redis() -> None:
    viewer = Viewer("a")
    hear(viewer, snapshot(1))
    assert viewer.link.server_live
    assert viewer.link.lost_at is None
    hear(viewer, frame({"type": "link", "at": time.time(), "live": False}))
    assert not viewer.link.server_live
    assert viewer.link.lost_at is not None
    hear(viewer, frame({"type": "link", "at": time.time(), "live": True}))
    assert viewer.link.lost_at is None


def test_a_stalled_worker_shows_in_the_state() -> None:
    viewer = Viewer("a")
    hear(viewer, snapshot(1), frame({"type": "stalled", "task": "a", "at": 2, "stalled": True}))
    assert viewer.states["a"].stalled
    assert viewer.cursors["a"] == "1-1"
    hear(viewer, snapshot(1, stalled=False, message="is not news"))
    assert not viewer.states["a"].stalled
    assert viewer.states["a"].message is None


def test_the_server_clock_is_told_by_what_it_stamps_as_it_sends() -> None:
    viewer = Viewer("a")
    hear(viewer, frame({"type": "link", "at": time.time() + 3600, "live": True}))
    assert viewer.link.clock_offset == pytest.approx(3600, abs=60)


def test_after_the_end_nothing_is_listened_to() -> None:
    viewer = Viewer("a")
    told = hear(viewer, snapshot(1) + finished(2) + message(3, "more"), message(4, "and more"))
    assert types(told) == ["snapshot", "finished"]
    assert viewer.over
    assert viewer.link.status == "closed"


def test_lost_is_no_end() -> None:
    viewer = Viewer("a")
    hear(viewer, snapshot(1), finished(2, status="lost"))
    assert not viewer.over
    hear(viewer, message(3, "back"))
    assert viewer.states["a"].status == "running"


def test_a_stream_of_many_ends_with_the_last_of_them() -> None:
    viewer = Viewer("a", "b")
    hear(viewer, snapshot(1, "a"), frame({"type": "ended", "at": 0, "tasks": 2}))
    assert viewer.over


def test_a_route_of_ones_own_may_call_its_task_as_it_likes() -> None:
    viewer = Viewer("the report", own_route=True)
    assert viewer.asks().path == ""
    hear(viewer, snapshot(1, "e7"), message(2, "x", "e7"))
    assert viewer.states["the report"].message == "x"
    assert viewer.asks().headers["Last-Event-ID"] == "2-2"


def test_a_line_without_end_breaks_the_stream() -> None:
    viewer = Viewer("a")
    with pytest.raises(StreamBroken, match="1 MiB"):
        hear(viewer, *[b"x" * 65536] * 40)


# -- what an answer means ----------------------------------------------------------------------------


def test_a_stream_is_to_be_read() -> None:
    assert Viewer("a").answered(200, STREAM)
    assert Viewer("a").answered(200, {"content-type": "Text/Event-Stream"})


def test_204_is_the_end() -> None:
    viewer = Viewer("a", cursors={"a": "9-9"})
    assert not viewer.answered(204, {})
    assert viewer.over
    assert viewer.delay() == 0


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_some_answers_are_worth_another_try(status: int) -> None:
    viewer = Viewer("a")
    assert not viewer.answered(status, {})
    assert not viewer.over
    assert 0 <= viewer.delay() <= viewers.MIN_SECONDS
    assert viewer.link.status == "reconnecting"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 301])
def test_others_are_final_and_say_why(status: int) -> None:
    viewer = Viewer("a")
    body = json.dumps({"title": "No", "detail": "Mend it so."}).encode()
    with pytest.raises(Refused, match=r"Mend it so\.") as refused:
        viewer.answered(status, {}, body)
    assert (refused.value.status, refused.value.tasks) == (status, ("a",))
    assert viewer.over
    assert viewer.link.status == "closed"


@pytest.mark.parametrize("body", [b"", b"<h1>No</h1>", b"\xff", b"[]", b'{"detail": 7}'])
def test_a_refusal_without_a_reason_says_its_status(body: bytes) -> None:
    with pytest.raises(Refused, match="HTTP 403"):
        Viewer("a").answered(403, {}, body)


def test_a_page_in_the_stream_s_place_such_as_a_login_is_final() -> None:
    with pytest.raises(Refused) as refused:
        Viewer("a").answered(200, {"Content-Type": "text/html"})
    assert refused.value.status == 200


def test_of_many_only_those_named_are_refused_and_the_others_asked_for_at_once() -> None:
    viewer = Viewer("a", "b", "c")
    body = json.dumps({"detail": "No such task.", "tasks": ["b", "z"]}).encode()
    assert not viewer.answered(404, {}, body)
    assert viewer.refused.keys() == {"b"}
    assert viewer.delay() == 0
    assert viewer.asks().path == "/events?task=a&task=c"


# -- when it comes back ------------------------------------------------------------------------------


def test_delays_grow_spread_at_random_up_to_their_limit() -> None:
    viewer = Viewer("a")
    delays = [viewer.delay() for _ in range(60)]
    assert delays[0] <= viewers.MIN_SECONDS
    assert max(delays) <= viewers.MAX_SECONDS
    assert max(delays[5:]) > 2
    assert min(delays[5:]) < 2
    hear(viewer, snapshot(1))
    assert viewer.delay() <= viewers.MIN_SECONDS


@pytest.mark.parametrize(
    ("said", "least"), [(b"3000", 3.0), (b"999999999999", 60.0), (b"0", 0.5), (b"9" * 5000, 60.0)]
)
def test_retry_is_the_least_there_is_to_wait_within_reason(said: bytes, least: float) -> None:
    viewer = Viewer("a")
    hear(viewer, b"retry: " + said + b"\n", snapshot(1))
    assert least <= viewer.delay() <= least + viewers.MIN_SECONDS


def test_retry_after_is_the_least_there_is_to_wait_seconds_or_a_date() -> None:
    viewer = Viewer("a")
    viewer.answered(503, {"Retry-After": "20"})
    assert 20 <= viewer.delay() < 21
    viewer.answered(429, {"retry-after": formatdate(time.time() + 90)})
    assert 80 < viewer.delay() < 92
    for nonsense in ("soon", "-5", "nan", ""):
        viewer.answered(503, {"Retry-After": nonsense})
        assert viewer.delay() <= viewers.MAX_SECONDS
    viewer.answered(503, {"Retry-After": "1e300"})
    assert viewer.delay() <= viewers.MOST_RETRY_AFTER + viewers.MAX_SECONDS


def test_silence_is_three_of_the_server_s_heartbeats() -> None:
    viewer = Viewer("a")
    assert viewer.silence == 45
    hear(viewer, b":heartbeat 2\n")
    assert viewer.silence == 6
    for nonsense in (b"x", b"-1", b"nan", b"0", b""):
        hear(viewer, b":heartbeat " + nonsense + b"\n")
        assert viewer.silence == 6
    hear(viewer, b":heartbeat 1e300\n")
    assert viewer.silence <= 3 * viewers.MOST_HEARTBEAT


def test_the_link_is_told_apart_from_the_task() -> None:
    viewer = Viewer("a")
    seen = [viewer.link.status]
    viewer.asks()
    seen.append(viewer.link.status)
    hear(viewer, b"retry: 1000\n")
    seen.append(viewer.link.status)
    viewer.delay()
    lost_at = viewer.link.lost_at
    seen.append(viewer.link.status)
    viewer.asks()
    assert viewer.link.lost_at == lost_at is not None
    seen.append(viewer.link.status)
    hear(viewer, snapshot(1))
    seen.append(viewer.link.status)
    assert seen == ["idle", "connecting", "open", "reconnecting", "reconnecting", "open"]
    assert viewer.link.retry_in is None


# -- over any asynchronous stream ----------------------------------------------------------------------


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_asynchronous_bytes_give_every_event() -> None:
    async def read() -> list[Told]:
        stream = chunks(snapshot(1) + emitted(2, "token", "x"), finished(3), b"never read")
        return [told async for told in viewer.tell(stream)]

    viewer = Viewer("a")
    told = asyncio.run(read())
    assert types(told) == ["snapshot", "emitted", "finished"]
    assert isinstance(told[1].event, Emitted)
    assert viewer.over


def test_asynchronous_bytes_give_the_newest_state_of_each_piece() -> None:
    async def read() -> list[str | None]:
        stream = chunks(snapshot(1), message(2, "x") + message(3, "y"), b":\n", finished(4))
        return [state.message or state.status async for state in viewer.show(stream)]

    viewer = Viewer("a")
    assert asyncio.run(read()) == ["running", "y", "y"]
    assert viewer.states["a"].status == "succeeded"


def test_every_event_there_is_can_be_told() -> None:
    state = State(task="a")
    for event in (Snapshot(task="a", at=1.0, state=state), Emitted(task="a", at=1.0, name="x")):
        (told,) = hear(Viewer("a"), frame_of(encode(event), id="a/1-1"))
        assert told.event == event
