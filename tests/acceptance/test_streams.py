"""What a stream of one task answers, by the rules: real gunicorn, real worker, bytes off the socket."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from tests.acceptance.puppets import Puppet, Puppets
from tests.processes import RedisServer, Web
from tests.watching import Told, Watch, assert_unbroken, identified, unidentified

LOG_ENTRIES = 40  # kept per task by the worker here


@pytest.fixture(scope="module")
def web(server: RedisServer) -> Iterator[Web]:
    with Web(server.url) as web:
        yield web


@pytest.fixture(scope="module")
def troupe(server: RedisServer) -> Iterator[Puppets]:
    with Puppets(server.url, env={"HEADWAY_LOG_ENTRIES": str(LOG_ENTRIES)}) as troupe:
        yield troupe


@pytest.fixture
def puppets(troupe: Puppets) -> Iterator[Puppets]:
    yield troupe
    troupe.free()


@pytest.fixture
def running(puppets: Puppets) -> Puppet:
    return puppets.start()


@pytest.fixture
def ended(puppets: Puppets) -> Puppet:
    """A task that has had seven events: started, enter, token, token, token, leave, finished."""
    puppet = puppets.start().do("enter", "read")
    for n in range(3):
        puppet.emit("token", n)
    return puppet.do("leave").end("fine")


@pytest.fixture
def events(web: Web) -> Callable[[Puppet], str]:
    return lambda puppet: f"{web.url}/headway/tasks/{puppet.id}/events"


URL = Callable[[Puppet], str]


# -- the answer ------------------------------------------------------------------------------------


def test_a_stream_is_never_cached_buffered_or_compressed(running: Puppet, events: URL) -> None:
    with Watch(events(running), headers={"Accept-Encoding": "gzip, br"}) as watch:
        assert watch.status == 200
        assert watch.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert watch.headers["Cache-Control"] == "no-store, no-transform"
        assert watch.headers["X-Accel-Buffering"] == "no"
        assert watch.headers["X-Content-Type-Options"] == "nosniff"
        assert set(watch.headers["Vary"].split(", ")) == {"Cookie", "Authorization", "Origin"}
        assert watch.headers["Content-Encoding"] is None
        assert watch.headers["Content-Length"] is None


def test_head_answers_with_the_headers_alone_and_does_not_wait(
    running: Puppet, events: URL
) -> None:
    with Watch(events(running), method="HEAD") as watch:
        assert watch.status == 200
        assert watch.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert watch.answer.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_told_which_are_allowed(
    running: Puppet, events: URL, method: str
) -> None:
    with Watch(events(running), method=method, body=b"") as watch:
        assert watch.status == 405
        assert {"GET", "HEAD"} <= set(re.split(", *", watch.headers["Allow"]))
        assert watch.headers["Content-Type"] == "application/problem+json"
        assert watch.json()["status"] == 405


def test_the_first_bytes_come_at_once(running: Puppet, events: URL) -> None:
    with Watch(events(running), seconds=1) as watch:
        watch.read()
        assert re.match(rb"retry: \d{4}\n:heartbeat 15\n", watch.raw)
        assert 1000 <= (watch.parser.retry_ms or 0) <= 3000


def test_viewers_are_told_different_times_to_come_back(running: Puppet, events: URL) -> None:
    told = set()
    for _ in range(6):
        with Watch(events(running)) as watch:
            watch.read()
            told.add(watch.parser.retry_ms)
    assert len(told) > 1


# -- the course of a task --------------------------------------------------------------------------


def test_the_first_event_is_a_snapshot_and_the_rest_follows_without_a_hole_to_the_end(
    running: Puppet, events: URL
) -> None:
    with Watch(events(running)) as watch:
        snapshot = watch.until_type("snapshot")
        assert snapshot.id == running.ids()[-1]
        assert snapshot.data["state"]["status"] == "running"
        assert snapshot.data["state"]["confirmed"] is True
        assert "gap" not in snapshot.data
        running.do("enter", "read").emit("token", {"text": "a"}).do("report", "half").do("leave")
        running.end({"pages": 3})
        told = identified(watch.rest())
    assert told[0] is snapshot
    assert_unbroken(told[1:], after=snapshot.seq)
    assert [each.id for each in told] == running.ids()
    assert {each.event for each in told if each.type != "emitted"} == {"message"}
    assert [(each.event, each.data["data"]) for each in told if each.type == "emitted"] == [
        ("token", {"text": "a"})
    ]
    assert (told[-1].type, told[-1].data["status"]) == ("finished", "succeeded")
    assert told[-1].data["result"] == {"pages": 3}
    assert watch.ended


def test_a_failure_says_its_stage_and_ends_the_stream(running: Puppet, events: URL) -> None:
    with Watch(events(running)) as watch:
        running.do("enter", "read").fail("the disk is full")
        end = watch.rest()[-1]
    assert end.data["status"] == "failed"
    assert end.data["error"] == {"type": "Failure", "message": "the disk is full", "stage": "read"}


def test_every_viewer_is_sent_the_same_bytes(running: Puppet, events: URL) -> None:
    with Watch(events(running)) as one, Watch(events(running)) as other:
        for watch in (one, other):
            watch.until_type("snapshot")
        running.emit("token", "é").end()
        one.rest(), other.rest()
    first = f"id: {running.ids()[1]}\n".encode()
    assert one.raw[one.raw.index(first) :] == other.raw[other.raw.index(first) :]


def test_who_has_had_the_end_is_told_to_stay_away(ended: Puppet, events: URL) -> None:
    with Watch(events(ended)) as watch:
        last = identified(watch.rest())[-1].id
    with Watch(events(ended), last) as watch:
        assert watch.status == 204
        assert watch.answer.read() == b""
        assert watch.headers["Cache-Control"] == "no-store"


def test_who_comes_after_the_end_gets_a_snapshot_alone(ended: Puppet, events: URL) -> None:
    with Watch(events(ended)) as watch:
        told = watch.rest()
    (snapshot,) = identified(told)
    assert (snapshot.type, snapshot.id) == ("snapshot", ended.ids()[-1])
    assert snapshot.data["state"]["status"] == "succeeded"
    assert snapshot.data["state"]["result"] == "fine"
    assert [each["status"] for each in snapshot.data["state"]["stages"]] == ["done"]
    assert set(unidentified(told)) <= {"link", "stalled"}


def test_a_title_that_nobody_cleaned_reaches_viewers_mended(puppets: Puppets, events: URL) -> None:
    hostile = "a\ud800\n\ndata: x\n\nid: 9"
    puppet = puppets.start(about={"title": hostile})
    puppet.end()
    with Watch(events(puppet)) as watch:
        (snapshot,) = identified(watch.rest())
    assert snapshot.data["state"]["title"] == hostile.replace("\ud800", "\ufffd")


def test_a_connection_that_served_other_requests_serves_a_stream_and_ends_with_it(
    ended: Puppet, web: Web, events: URL
) -> None:
    with Watch(f"{web.url}/healthz") as watch:
        assert watch.answer.read()
        for method in ("HEAD", "GET"):
            watch.connection.request(method, events(ended))
            answer = watch.connection.getresponse()
            said = answer.read()
        assert answer.headers["Connection"] == "close"
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert said.startswith(b"retry:")
        assert said.endswith(b"\n\n")


def test_a_client_of_http_1_0_gets_the_bytes_as_they_are(ended: Puppet, web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as viewer:
        viewer.sendall(f"GET /headway/tasks/{ended.id}/events HTTP/1.0\r\n\r\n".encode())
        said = b"".join(iter(lambda: viewer.recv(65536), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"retry:")
    assert body.endswith(b"\n\n")


def test_what_is_sent_behind_the_request_is_let_lie(ended: Puppet, web: Web) -> None:
    """Nor does it cost the viewer the end of the stream."""
    request = f"GET /headway/tasks/{ended.id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as viewer:
        viewer.sendall(request * 3 + b"x" * 100_000)
        said = b"".join(iter(lambda: viewer.recv(65536), b""))
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert said.endswith(b"\r\n0\r\n\r\n")


# -- coming back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(6))
def test_who_was_there_before_gets_exactly_what_was_missed(
    ended: Puppet, events: URL, at: int
) -> None:
    ids = ended.ids()
    with Watch(events(ended), ids[at]) as watch:
        told = watch.rest()
    assert [each.id for each in identified(told)] == ids[at + 1 :]
    assert "snapshot" not in [each.type for each in told]


def test_who_comes_back_while_the_task_runs_goes_on_live(running: Puppet, events: URL) -> None:
    running.emit("token", 1).emit("token", 2).said(3)
    with Watch(events(running), running.ids()[1]) as watch:
        watch.until(lambda told: told.id == running.ids()[2])
        running.emit("token", 3).end()
        told = watch.rest()
    assert [each.id for each in identified(told)] == running.ids()[2:]
    assert unidentified(told).count("stalled") == 1  # no snapshot has told it


def test_a_bare_cursor_is_taken_too(ended: Puppet, events: URL) -> None:
    ids = ended.ids()
    with Watch(events(ended), ids[3].rpartition("/")[2]) as watch:
        assert [each.id for each in identified(watch.rest())] == ids[4:]


def test_the_cursor_may_stand_in_the_url(ended: Puppet, events: URL) -> None:
    ids = ended.ids()
    with Watch(f"{events(ended)}?last_event_id={quote(ids[3], safe='')}") as watch:
        assert [each.id for each in identified(watch.rest())] == ids[4:]
    with Watch(f"{events(ended)}?last_event_id={quote(ids[-1], safe='')}") as watch:
        assert watch.status == 204


def test_the_header_goes_before_the_url(ended: Puppet, events: URL) -> None:
    ids = ended.ids()
    with Watch(f"{events(ended)}?last_event_id={quote(ids[1], safe='')}", ids[4]) as watch:
        assert [each.id for each in identified(watch.rest())] == ids[5:]


@pytest.mark.parametrize("zero", ["0", "{id}/0"])
def test_cursor_0_replays_all_that_the_log_holds(ended: Puppet, events: URL, zero: str) -> None:
    with Watch(events(ended), zero.format(id=ended.id)) as watch:
        told = identified(watch.rest())
    assert [each.id for each in told] == ended.ids()
    assert told[0].type == "started"


GARBAGE = {
    "no cursor": "garbage",
    "no number": "x-1",
    "negative": "-1-1",
    "seq 0": "0-1",
    "leading zeros": "0001-1",
    "a number without a chain": "3",
    "another chain": "3-1",
    "a number that has not come yet": "900-1",
    "huge numbers": "9" * 15 + "-" + "9" * 16,
    "too huge numbers": "9" * 40 + "-1",
    "too long": "3-1" * 1000,
    "another task's": "somebody-elses/3-1",
    "this task's, with garbage": "{id}/garbage",
    "twice": "{id}/{id}/3-1",
    "with a line break": "3-1%0Adata: x",
    "braces": "{{}}/3-1",
    "a digest": "*/0123456789abcdef",
    "latin-1": "é-1",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_cursor_that_means_nothing_here_gets_a_snapshot_that_says_so(
    ended: Puppet, events: URL, what: str
) -> None:
    cursor = GARBAGE[what].format(id=ended.id)
    with Watch(events(ended), cursor.encode("latin-1")) as watch:
        assert watch.status == 200
        told = identified(watch.rest())
    assert_snapshot_after_a_gap(told, ended)


def test_a_cursor_in_utf_8_gets_a_snapshot_that_says_so(ended: Puppet, events: URL) -> None:
    """Chromium sends the id's own bytes."""
    with Watch(events(ended), "é\u2028😀-1".encode()) as watch:
        assert watch.status == 200
        assert_snapshot_after_a_gap(identified(watch.rest()), ended)
    with Watch(f"{events(ended)}?last_event_id={quote('é😀-1')}%00%FF") as watch:
        assert watch.status == 200
        assert_snapshot_after_a_gap(identified(watch.rest()), ended)


def test_a_cursor_of_another_task_gets_a_snapshot_that_says_so(
    ended: Puppet, puppets: Puppets, events: URL
) -> None:
    other = puppets.start().emit("token").said(2)
    with Watch(events(ended), other.ids()[-1]) as watch:
        assert_snapshot_after_a_gap(identified(watch.rest()), ended)


def assert_snapshot_after_a_gap(told: list[Told], puppet: Puppet) -> None:
    (snapshot,) = told
    assert snapshot.type == "snapshot"
    assert snapshot.id == puppet.ids()[-1]
    assert snapshot.data["gap"]["reason"] in ("unknown", "fork")
    assert snapshot.data["state"]["status"] == "succeeded"


def test_a_cursor_older_than_the_log_gets_a_snapshot_that_counts_what_is_lost(
    running: Puppet, events: URL
) -> None:
    running.emit("token", 1).emit("token", 2).said(3)
    old = running.ids()[1]
    running.do("emit_many", "token", 10, 3 * LOG_ENTRIES).said(3 + 3 * LOG_ENTRIES).end()
    assert len(running.ids()) == LOG_ENTRIES
    with Watch(events(running), old) as watch:
        assert watch.status == 200
        (snapshot,) = identified(watch.rest())
    last = int(running.ids()[-1].rpartition("/")[2].partition("-")[0])
    assert snapshot.data["gap"] == {"reason": "trimmed", "first": 3, "last": last}
    assert snapshot.id == running.ids()[-1]


def test_cursor_0_of_a_trimmed_log_says_what_is_lost_and_replays_the_rest(
    running: Puppet, events: URL
) -> None:
    running.do("emit_many", "token", 10, 2 * LOG_ENTRIES).said(1 + 2 * LOG_ENTRIES).end()
    with Watch(events(running), "0") as watch:
        told = watch.rest()
    snapshot = next(each for each in told if each.type == "snapshot")
    first = identified(told)[0].seq
    assert snapshot.id is None
    assert snapshot.data["gap"] == {"reason": "trimmed", "first": 1, "last": first - 1}
    assert [each.id for each in identified(told)] == running.ids()


def test_a_viewer_who_was_there_misses_nothing_that_the_log_has_lost(
    running: Puppet, events: URL
) -> None:
    """What the log no longer holds the web process may still hold."""
    with Watch(events(running)) as watch:
        watch.until_type("snapshot")
        running.do("emit_many", "token", 10, 3 * LOG_ENTRIES).end()
        told = identified(watch.rest())
        assert_unbroken(told, after=0)
    with Watch(events(running), told[2].id) as watch:
        assert [each.id for each in identified(watch.rest())] == [each.id for each in told[3:]]


# -- what is not there, and the state --------------------------------------------------------------


@pytest.mark.parametrize(
    "task", ["unknown", "a b", "{x}", "a\nb", "é", "x" * 129, "..", "a*", "%00"], ids=ascii
)
@pytest.mark.parametrize("route", ["/headway/tasks/{}/events", "/headway/tasks/{}"])
def test_an_id_that_is_unknown_or_cannot_be_one_is_404(web: Web, route: str, task: str) -> None:
    with Watch(web.url + route.format(quote(task, safe=""))) as watch:
        assert watch.status == 404
        assert watch.headers["Content-Type"] == "application/problem+json"
        problem = watch.json()
    assert (problem["status"], bool(problem["title"]), bool(problem["detail"])) == (404, True, True)
    assert not re.search(r"[\n<{]", json.dumps(problem["detail"]))


def test_asking_for_what_is_unknown_leaves_nothing_in_redis(web: Web, server: RedisServer) -> None:
    with Watch(f"{web.url}/headway/tasks/never-was/events") as watch:
        assert watch.status == 404
    assert server.cli("KEYS", "*never-was*") == []


def test_the_state_of_a_task_is_json(ended: Puppet, web: Web) -> None:
    with Watch(f"{web.url}/headway/tasks/{ended.id}") as watch:
        assert watch.status == 200
        assert watch.headers["Content-Type"] == "application/json"
        assert watch.headers["Cache-Control"] == "no-store"
        state = watch.json()
    assert (state["task"], state["status"], state["result"]) == (ended.id, "succeeded", "fine")
    assert state["name"] == "tests.puppet"
    assert [(each["key"], each["status"]) for each in state["stages"]] == [("read", "done")]
    assert "owner" not in state
