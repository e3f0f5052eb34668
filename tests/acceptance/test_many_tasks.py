"""Many tasks on one connection: `GET /headway/events?task=…` and `POST /headway/events`."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.puppets import Puppet, Puppets
from tests.processes import RedisServer, Web
from tests.watching import Told, Watch, assert_unbroken


@pytest.fixture(scope="module")
def web(server: RedisServer) -> Iterator[Web]:
    with Web(server.url) as web:
        yield web


@pytest.fixture(scope="module")
def troupe(server: RedisServer) -> Iterator[Puppets]:
    with Puppets(server.url) as troupe:
        yield troupe


@pytest.fixture
def puppets(troupe: Puppets) -> Iterator[Puppets]:
    yield troupe
    troupe.free()


@pytest.fixture
def ended(puppets: Puppets) -> list[Puppet]:
    """Two tasks that have had four events each."""
    return [puppets.start().emit("token", n).emit("token", n).end(n) for n in range(2)]


def url(web: Web, *tasks: str) -> str:
    return f"{web.url}/headway/events?" + "&".join(f"task={quote(task, safe='')}" for task in tasks)


def of(told: list[Told], puppet: Puppet) -> list[Told]:
    """Those that move the cursor of one task."""
    return [each for each in told if each.id and each.id.startswith(f"{puppet.id}/")]


def gaps(told: list[Told]) -> list[Any]:
    return [each.data.get("gap") for each in told if each.type == "snapshot"]


# -- asking ----------------------------------------------------------------------------------------


def test_tasks_on_one_connection_each_come_without_a_hole(puppets: Puppets, web: Web) -> None:
    one, other = puppets.start(), puppets.start()
    with Watch(url(web, one.id, other.id)) as watch:
        for puppet in (one, other):
            watch.until(lambda told, puppet=puppet: of([told], puppet))
        for n in range(3):
            one.emit("token", n)
            other.emit("token", n)
        one.end("first")
        watch.until(lambda told: told.type == "finished")
        other.emit("after", None).end("second")
        told = watch.rest()
    for puppet in (one, other):
        mine = of(told, puppet)
        assert mine[0].type == "snapshot"
        assert_unbroken(mine[1:], after=mine[0].seq)
        assert [each.id for each in mine] == puppet.ids()
        assert mine[-1].type == "finished"


def test_the_frames_are_those_of_the_tasks_own_streams(puppets: Puppets, web: Web) -> None:
    puppet = puppets.start()
    own = f"{web.url}/headway/tasks/{puppet.id}/events"
    with Watch(own) as alone, Watch(url(web, puppet.id)) as among_many:
        for watch in (alone, among_many):
            watch.until_type("snapshot")
        puppet.emit("token", 1).end()
        alone.rest(), among_many.rest()
    first = f"id: {puppet.ids()[1]}\n".encode()
    frames = alone.raw[alone.raw.index(first) :]
    assert among_many.raw[among_many.raw.index(first) :].startswith(frames)


def test_each_task_may_come_with_its_own_cursor(ended: list[Puppet], web: Web) -> None:
    one, other = ended
    first, second = one.ids()[0], other.ids()[2]
    cursors = [each.rpartition("/")[2] for each in (first, second)]
    asked = url(web, f"{one.id}@{cursors[0]}", f"{other.id}@{cursors[1]}")
    with Watch(asked) as watch:
        told = watch.rest()
    assert [each.id for each in of(told, one)] == one.ids()[1:]
    assert [each.id for each in of(told, other)] == other.ids()[3:]
    assert gaps(told) == []


def test_a_post_asks_for_tasks_and_their_cursors_in_its_body(ended: list[Puppet], web: Web) -> None:
    one, other = ended
    asked = {one.id: one.ids()[1], other.id: None}
    with Watch(f"{web.url}/headway/events", method="POST", json_body=asked) as watch:
        assert watch.status == 200
        assert watch.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        told = watch.rest()
    assert [each.id for each in of(told, one)] == one.ids()[2:]
    assert [(each.type, each.id) for each in of(told, other)] == [("snapshot", other.ids()[-1])]
    assert gaps(told) == [None]


def test_a_cursor_of_a_task_that_means_nothing_is_that_tasks_gap_alone(
    ended: list[Puppet], web: Web
) -> None:
    one, other = ended
    asked = {one.id: "garbage", other.id: other.ids()[0]}
    with Watch(f"{web.url}/headway/events", method="POST", json_body=asked) as watch:
        told = watch.rest()
    assert [(each.type, each.data["gap"]["reason"]) for each in of(told, one)] == [
        ("snapshot", "unknown")
    ]
    assert [each.id for each in of(told, other)] == other.ids()[1:]


def test_a_task_asked_for_twice_comes_once(ended: list[Puppet], web: Web) -> None:
    one, _ = ended
    with Watch(url(web, one.id, one.id)) as watch:
        assert [each.id for each in of(watch.rest(), one)] == one.ids()[-1:]


# -- coming back -----------------------------------------------------------------------------------


def test_a_plain_client_gets_the_one_task_exactly_and_snapshots_of_the_others(
    ended: list[Puppet], web: Web
) -> None:
    one, other = ended
    with Watch(url(web, one.id, other.id), one.ids()[1]) as watch:
        told = watch.rest()
    assert [each.id for each in of(told, one)] == one.ids()[2:]
    (snapshot,) = of(told, other)
    assert snapshot.type == "snapshot"
    assert snapshot.data["gap"]["reason"] == "unknown"
    assert snapshot.data["state"]["status"] == "succeeded"


def test_a_plain_client_goes_on_live_with_all_of_them(puppets: Puppets, web: Web) -> None:
    one, other = puppets.start(), puppets.start()
    one.emit("token", 1).said(2)
    with Watch(url(web, one.id, other.id), one.ids()[0]) as watch:
        watch.until(lambda told: of([told], other))
        for puppet in (other, one):
            puppet.emit("token", 2).end()
        told = watch.rest()
    assert [each.id for each in of(told, one)] == one.ids()[1:]
    assert [each.id for each in of(told, other)] == other.ids()


def test_an_own_cursor_goes_before_the_one_that_came_last(ended: list[Puppet], web: Web) -> None:
    one, other = ended
    cursor = one.ids()[2].rpartition("/")[2]
    with Watch(url(web, f"{one.id}@{cursor}", other.id), one.ids()[0]) as watch:
        told = watch.rest()
    assert [each.id for each in of(told, one)] == one.ids()[3:]


def test_the_last_event_says_that_all_have_ended_and_only_its_id_is_told_to_stay_away(
    ended: list[Puppet], web: Web
) -> None:
    one, other = ended
    asked = url(web, one.id, other.id)
    with Watch(asked) as watch:
        last = watch.rest()[-1]
    assert re.fullmatch(r"\*/[0-9a-f]{16}", last.id or "")
    assert (last.event, last.type, last.data["tasks"]) == ("message", "ended", 2)
    with Watch(asked, last.id) as watch:
        assert watch.status == 204
    with Watch(url(web, other.id, one.id), last.id) as watch:
        assert watch.status == 204  # the order in which tasks are named says nothing
    for cursor in (one.ids()[-1], other.ids()[-1], "*/0123456789abcdef", None):
        with Watch(asked, cursor) as watch:
            assert watch.status == 200, cursor
            again = watch.rest()[-1]
            assert (again.id, again.type) == (last.id, "ended")


def test_the_last_id_of_other_tasks_is_none_of_these(ended: list[Puppet], web: Web) -> None:
    one, other = ended
    with Watch(url(web, one.id)) as watch:
        digest = watch.rest()[-1].id
    with Watch(url(web, one.id, other.id), digest) as watch:
        assert watch.status == 200
        assert [gap["reason"] for gap in gaps(watch.rest())] == ["unknown", "unknown"]


def test_while_one_task_runs_nobody_is_told_that_all_have_ended(
    puppets: Puppets, ended: list[Puppet], web: Web
) -> None:
    running = puppets.start()
    with Watch(url(web, ended[0].id, running.id)) as watch:
        watch.until(lambda told: of([told], running))
        watch.until(lambda told: of([told], ended[0]))
        assert "ended" not in [each.type for each in watch.seen]
        running.end()
        assert watch.rest()[-1].type == "ended"


def test_cursors_that_redis_has_lost_are_waited_for_together_and_hold_up_nobody_else(
    puppets: Puppets, web: Web
) -> None:
    lost = [puppets.start().end() for _ in range(6)]
    running = puppets.start()
    asked = [*(f"{puppet.id}@900-1" for puppet in lost), running.id]
    start = time.monotonic()
    with Watch(url(web, *asked), seconds=30) as watch:
        watch.until(lambda told: of([told], running))
        assert time.monotonic() - start < 2
        running.end()
        told = watch.rest()
    assert time.monotonic() - start < 6  # a producer has three seconds to send them again
    for puppet in lost:
        (snapshot,) = of(told, puppet)
        assert snapshot.data["gap"]["reason"] == "fork"


# -- asking for too much ---------------------------------------------------------------------------


def problem(watch: Watch) -> dict[str, Any]:
    assert watch.headers["Content-Type"] == "application/problem+json"
    said = watch.json()
    assert said["status"] == watch.status
    assert isinstance(said, dict)
    return said


def test_no_task_and_too_many_are_refused_with_what_to_do(web: Web) -> None:
    with Watch(f"{web.url}/headway/events") as watch:
        assert watch.status == 400
        assert "?task=" in problem(watch)["detail"]
    with Watch(url(web, *(f"t{n}" for n in range(51)))) as watch:
        assert watch.status == 400
        assert re.search("50.*POST", problem(watch)["detail"])
    body = {f"t{n}": None for n in range(1001)}
    with Watch(f"{web.url}/headway/events", method="POST", json_body=body) as watch:
        assert watch.status == 400
        assert "1000" in problem(watch)["detail"]


def test_fifty_and_a_thousand_are_not_too_many(puppets: Puppets, web: Web) -> None:
    tasks = [f"t{n}" for n in range(1000)]
    with Watch(url(web, *tasks[:50])) as watch:
        assert watch.status == 404
        assert problem(watch)["tasks"] == tasks[:50]
    body = dict.fromkeys(tasks)
    with Watch(f"{web.url}/headway/events", method="POST", json_body=body) as watch:
        assert watch.status == 404
        assert problem(watch)["tasks"] == tasks


BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b'["t1"]',
    "a number for a cursor": b'{"t1": 1}',
    "no tasks": b"{}",
    "not UTF-8": b'{"\xff": null}',
    "deep": b"[" * 50_000,
    "half a surrogate": b'{"\\ud800": null}',
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_cannot_be_read_is_refused_with_an_example(web: Web, what: str) -> None:
    asked = f"{web.url}/headway/events"
    headers = {"Content-Type": "application/json"}
    with Watch(asked, method="POST", body=BODIES[what], headers=headers) as watch:
        assert watch.status == 400
        assert problem(watch)["detail"]


def test_one_unknown_task_refuses_them_all_and_is_named(ended: list[Puppet], web: Web) -> None:
    with Watch(url(web, ended[0].id, "unknown")) as watch:
        assert watch.status == 404
        assert problem(watch)["tasks"] == ["unknown"]
    with Watch(url(web, ended[0].id, "{x}\n")) as watch:
        assert watch.status == 404
        assert problem(watch)["tasks"] == []  # what cannot be an id is not said back


def test_other_methods_are_told_which_are_allowed(web: Web) -> None:
    with Watch(f"{web.url}/headway/events", method="DELETE") as watch:
        assert watch.status == 405
        assert {"GET", "HEAD", "POST"} <= set(re.split(", *", watch.headers["Allow"]))
