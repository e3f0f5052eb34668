"""What the blueprint answers without a Redis."""

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from headway.flask import STATIC, Headway

NOWHERE = "redis://localhost:1/0"


def client(**settings: object) -> FlaskClient:
    app = Flask("test")
    Headway(app, redis_url=NOWHERE, **settings)
    return app.test_client()


def test_the_browsers_half_is_served_as_what_it_is() -> None:
    web = client()
    for file in STATIC.glob("*.js"):
        answer = web.get(f"/headway/static/{file.name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer.close()


@pytest.mark.parametrize("name", ["nothing.js", "types.d.ts", "../flask.py", "..%2fflask.py", "."])
def test_nothing_else_is_served(name: str) -> None:
    assert client().get(f"/headway/static/{name}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/headway/tasks/x", "/headway/tasks/x/events", "/headway/events?task=x"]
)
def test_without_permission_every_route_says_how_to_mend_it(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "allow_anonymous=True" in json.loads(answer.data)["detail"]


def test_a_site_that_lets_nobody_watch_says_so_when_it_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client()
    assert "nothing says who may watch" in caplog.text
    caplog.clear()
    client(allow_anonymous=True)
    assert caplog.text == ""


def test_a_state_that_cannot_be_read_is_a_503_with_the_reason() -> None:
    answer = client(allow_anonymous=True).get("/headway/tasks/x")
    assert answer.status_code == 503
    assert "Redis does not answer" in json.loads(answer.data)["detail"]


def test_a_site_that_cannot_cancel_says_what_it_lacks() -> None:
    answer = client(allow_anonymous=True).post("/headway/tasks/x/cancel")
    assert answer.status_code == 501
    assert "headway.celery.cancel" in json.loads(answer.data)["detail"]
