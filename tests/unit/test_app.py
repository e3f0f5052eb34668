"""The site's own routes. Nothing is sent: the broker is a list."""

import pytest
from celery.exceptions import OperationalError

from app import tasks
from tests.asking import problem_of

DEFAULTS = {"stages": 4, "steps": 25, "seconds": 5.0, "fail_at": None}


def test_a_paced_task_is_sent_by_name_with_its_defaults(client, sent):
    answer = client.post("/tasks/paced", json={})
    assert answer.status_code == 202
    assert answer.json == {
        "task": "some-id",
        "events": "/headway/tasks/some-id/events",
        "state": "/headway/tasks/some-id",
    }
    assert [(name, kwargs) for name, kwargs, _ in sent] == [("workers.paced", DEFAULTS)]


@pytest.mark.parametrize(
    "body",
    [
        {"stages": 1, "steps": 1, "seconds": 0, "fail_at": 1},
        {"stages": 50, "steps": 10_000, "seconds": 600, "fail_at": 50},
        {"seconds": 0.25},
        {"fail_at": None},
    ],
)
def test_what_is_allowed_is_sent_as_it_was_asked_for(client, sent, body):
    assert client.post("/tasks/paced", json=body).status_code == 202
    assert sent[0][1] == DEFAULTS | body


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ('{"stages": 0}', "stages", "1 to 50"),
        ('{"stages": 51}', "stages", "1 to 50"),
        ('{"stages": 4.0}', "stages", "whole number"),
        ('{"stages": "4"}', "stages", "whole number"),
        ('{"stages": true}', "stages", "whole number"),
        ('{"stages": null}', "stages", "whole number"),
        ('{"stages": [4]}', "stages", "whole number"),
        ('{"steps": 0}', "steps", "1 to 10000"),
        ('{"steps": 10001}', "steps", "1 to 10000"),
        ('{"steps": false}', "steps", "whole number"),
        ('{"seconds": -0.1}', "seconds", "0 to 600"),
        ('{"seconds": 600.1}', "seconds", "0 to 600"),
        ('{"seconds": NaN}', "seconds", "0 to 600"),
        ('{"seconds": Infinity}', "seconds", "0 to 600"),
        ('{"seconds": 1e999}', "seconds", "0 to 600"),
        ('{"seconds": 1' + "0" * 400 + "}", "seconds", "0 to 600"),
        ('{"seconds": true}', "seconds", "a number"),
        ('{"fail_at": 0}', "fail_at", "1 to 4"),
        ('{"fail_at": 5}', "fail_at", "1 to 4"),
        ('{"stages": 2, "fail_at": 3}', "fail_at", "1 to 2"),
        ('{"fail_at": true}', "fail_at", "null"),
        ('{"speed": 1}', "speed", "stages, steps, seconds, fail_at"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(client, sent, body, field, allowed):
    answer = client.post("/tasks/paced", data=body, content_type="application/json")
    problem = problem_of(answer, 422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert allowed in problem["errors"][0]["detail"]
    assert sent == []


def test_all_wrong_fields_are_named_at_once(client, sent):
    answer = client.post("/tasks/paced", json={"stages": 0, "steps": "x", "fail_at": 51, "a": 1})
    named = {error["field"] for error in problem_of(answer, 422)["errors"]}
    assert named == {"stages", "steps", "fail_at", "a"}


@pytest.mark.parametrize("body", ["[]", "null", "3", '"text"'])
def test_json_that_is_no_object_is_refused(client, sent, body):
    answer = client.post("/tasks/paced", data=body, content_type="application/json")
    assert "object" in problem_of(answer, 422)["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b"9" * 5_000])
def test_what_is_no_json_is_refused(client, sent, body):
    answer = client.post("/tasks/paced", data=body, content_type="application/json")
    assert "JSON" in problem_of(answer, 400)["detail"]


def test_a_form_of_another_site_cannot_start_a_task(client, sent):
    problem_of(client.post("/tasks/paced", data={"stages": "1"}), 415)
    assert sent == []


def test_a_body_that_is_too_large_is_refused_unread(client, sent):
    answer = client.post("/tasks/paced", data=b" " * 70_000, content_type="application/json")
    problem_of(answer, 413)


def test_a_wrong_method_is_told_the_right_one(client):
    answer = client.get("/documents")
    problem_of(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_a_broker_that_does_not_answer_is_a_503_that_says_what_to_set(client, monkeypatch):
    def send_task(*_, **__):
        raise OperationalError("refused")

    monkeypatch.setattr(tasks.celery, "send_task", send_task)
    problem = problem_of(client.post("/tasks/paced", json={}), 503)
    assert "CELERY_BROKER_URL" in problem["detail"]


def test_an_unknown_page_is_a_problem_document(client):
    problem_of(client.get("/nowhere"), 404)


def test_health_says_nothing_of_redis(client):
    assert client.get("/healthz").json == {"status": "ok"}
