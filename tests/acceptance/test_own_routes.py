"""`stream()` behind a route and a login of one's own, where Headway's own routes are shut."""

from collections.abc import Iterator

import pytest

from tests.acceptance.puppets import Puppets
from tests.processes import RedisServer, Web
from tests.watching import Watch, assert_unbroken, identified, unidentified

MINE = {"Authorization": "Bearer mine"}


@pytest.fixture(scope="module")
def web(server: RedisServer) -> Iterator[Web]:
    with Web(server.url, app="tests.acceptance.own_routes:app") as web:
        yield web


@pytest.fixture(scope="module")
def troupe(server: RedisServer) -> Iterator[Puppets]:
    with Puppets(server.url) as troupe:
        yield troupe


@pytest.fixture
def puppets(troupe: Puppets) -> Iterator[Puppets]:
    yield troupe
    troupe.free()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/headway/tasks/{}"),
        ("GET", "/headway/tasks/{}/events"),
        ("HEAD", "/headway/tasks/{}/events"),
        ("GET", "/headway/events?task={}"),
        ("POST", "/headway/events"),
    ],
)
def test_nothing_is_served_while_nobody_has_said_who_may_watch(
    puppets: Puppets, web: Web, method: str, path: str
) -> None:
    known = puppets.start()
    for task in (known.id, "unknown", "{}"):
        body = {task: None} if method == "POST" else None
        with Watch(web.url + path.format(task), method=method, json_body=body) as watch:
            assert watch.status == 401
            assert watch.headers["WWW-Authenticate"] == "Bearer"
            if method != "HEAD":
                assert watch.headers["Content-Type"] == "application/problem+json"
                assert "allow_anonymous" in watch.json()["detail"]


def test_the_log_says_at_the_start_why_and_what_to_do(web: Web) -> None:
    (line,) = [line for line in web.log.splitlines() if "WARNING" in line and "Headway" in line]
    for word in ("/headway", "401", "stream(task=", "allow_anonymous=True"):
        assert word in line


def test_a_route_of_ones_own_streams_to_whom_it_lets_in(puppets: Puppets, web: Web) -> None:
    puppet = puppets.start()
    url = f"{web.url}/documents/{puppet.id}/stream"
    with Watch(url) as watch:
        assert watch.status == 403
    with Watch(url, headers=MINE) as watch:
        snapshot = watch.until_type("snapshot")
        puppet.emit("token", 1).end()
        told = identified(watch.rest())
    assert_unbroken(told[1:], after=snapshot.seq)
    with Watch(url, told[-2].id, headers=MINE) as watch:
        assert [each.id for each in identified(watch.rest())] == [told[-1].id]
    with Watch(url, told[-1].id, headers=MINE) as watch:
        assert watch.status == 204


def test_a_task_nobody_has_heard_of_is_shown_as_unconfirmed_and_leaves_nothing_in_redis(
    web: Web, server: RedisServer
) -> None:
    with Watch(f"{web.url}/documents/not-yet/stream", headers=MINE) as watch:
        assert watch.status == 200
        snapshot = watch.until_type("snapshot")
    state = snapshot.data["state"]
    assert (state["status"], state["confirmed"]) == ("queued", False)
    assert snapshot.id is None
    assert "gap" not in snapshot.data
    assert server.cli("KEYS", "*not-yet*") == []


def test_an_unconfirmed_task_is_live_once_it_starts(puppets: Puppets, web: Web) -> None:
    with Watch(f"{web.url}/documents/soon/stream", headers=MINE) as watch:
        watch.until_type("snapshot")
        puppet = puppets.send(task="soon")
        watch.until_type("started")
        puppet.emit("token", 1).end()
        told = watch.rest()
    assert [each.id for each in identified(told)] == puppet.ids()
    assert_unbroken([each for each in identified(told) if each.type != "snapshot"], after=0)
    assert set(unidentified(told)) <= {"snapshot", "link", "stalled"}


def test_a_viewer_who_had_a_cursor_of_a_task_that_is_gone_is_told_of_the_loss(web: Web) -> None:
    with Watch(f"{web.url}/documents/gone/stream", "gone/3-77", headers=MINE) as watch:
        assert watch.status == 200
        snapshot = watch.until_type("snapshot")
    assert snapshot.data["gap"]["reason"] in ("fork", "unknown")
    assert snapshot.data["state"]["confirmed"] is False
    assert snapshot.id is None


def test_an_id_that_cannot_be_one_is_404(web: Web) -> None:
    with Watch(f"{web.url}/documents/%7Bx%7D/stream", headers=MINE) as watch:
        assert watch.status == 404
        assert watch.headers["Content-Type"] == "application/problem+json"
