"""The same streams from every server that can run the app."""

import sys
from collections.abc import Iterator

import pytest

from tests.acceptance.puppets import Puppets
from tests.processes import HOST, RedisServer, Web
from tests.watching import Told, Watch, assert_unbroken, identified

GUNICORN = {
    "gevent": ("gevent", []),
    "gthread": ("gthread", ["--threads", "8"]),
    "two gevent workers, loaded before the fork": ("gevent", ["--preload", "-w", "2"]),
    "two gthread workers, loaded before the fork": (
        "gthread",
        ["--preload", "-w", "2", "--threads", "8"],
    ),
}
VIEWERS = 6


class FlaskRun(Web):
    """Flask's own server."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(redis_url)
        flask = [sys.executable, "-m", "flask", "--app", "app.wsgi", "run"]
        self.command = [*flask, "--host", HOST, "--port", str(self.port)]


@pytest.fixture(scope="module", params=[*GUNICORN, "flask run"])
def web(server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Web]:
    if request.param == "flask run":
        site: Web = FlaskRun(server.url)
    else:
        worker_class, args = GUNICORN[request.param]
        site = Web(server.url, worker_class, args=args, env={"HEADWAY_HEARTBEAT": "0.3"})
    with site:
        yield site


@pytest.fixture(scope="module")
def troupe(server: RedisServer) -> Iterator[Puppets]:
    with Puppets(server.url) as troupe:
        yield troupe


@pytest.fixture
def puppets(troupe: Puppets) -> Iterator[Puppets]:
    yield troupe
    troupe.free()


def test_viewers_see_the_whole_course_and_come_back_to_the_rest(puppets: Puppets, web: Web) -> None:
    puppet = puppets.start()
    url = f"{web.url}/headway/tasks/{puppet.id}/events"
    watches = [Watch(url) for _ in range(VIEWERS)]
    for watch in watches:
        assert watch.status == 200
        watch.until_type("snapshot")
    puppet.do("enter", "read").emit("token", "é\u2028").said(3)
    for watch in watches[:2]:
        watch.until(lambda told: told.seq == 3 if told.id else False)
        watch.close()
    puppet.do("report", "half").do("leave").end({"pages": 3})
    ids = puppet.ids()
    for watch in watches[2:]:
        told = identified(watch.rest())
        assert_complete(told)
        assert [each.id for each in told] == ids
    for watch in watches[:2]:
        with Watch(url, watch.parser.last_id) as back:
            assert [each.id for each in identified(back.rest())] == ids[3:]
    for cursor, expected in ((None, ids[-1:]), ("0", ids), (ids[2], ids[3:])):
        with Watch(url, cursor) as late:
            assert [each.id for each in identified(late.rest())] == expected
    for _ in range(4):  # whichever process answers
        with Watch(url, ids[-1]) as gone:
            assert gone.status == 204
    for watch in watches:
        watch.close()


def assert_complete(told: list[Told]) -> None:
    assert told[0].type == "snapshot"
    assert_unbroken(told[1:], after=told[0].seq)
    (token,) = [each for each in told if each.type == "emitted"]
    assert (token.event, token.data["data"]) == ("token", "é\u2028")
    assert (told[-1].type, told[-1].data["result"]) == ("finished", {"pages": 3})


def test_what_is_unknown_is_404_and_a_garbled_cursor_a_gap(puppets: Puppets, web: Web) -> None:
    with Watch(f"{web.url}/headway/tasks/unknown/events") as watch:
        assert watch.status == 404
    puppet = puppets.start().end()
    with Watch(f"{web.url}/headway/tasks/{puppet.id}/events", "garbage") as watch:
        (snapshot,) = identified(watch.rest())
    assert snapshot.data["gap"]["reason"] == "unknown"


def test_head_does_not_wait_and_the_server_goes_on_answering(puppets: Puppets, web: Web) -> None:
    puppet = puppets.start()
    url = f"{web.url}/headway/tasks/{puppet.id}/events"
    with Watch(url) as watch:
        watch.until_type("snapshot")
        with Watch(url, method="HEAD") as head:
            assert (head.status, head.answer.read()) == (200, b"")
        with Watch(f"{web.url}/healthz") as health:
            assert health.status == 200
        puppet.end()
        assert watch.rest()[-1].type == "finished"
