"""The pages as they come from the server: what is in them before any script has run. There is no Redis."""

import io
import json
import re
from types import SimpleNamespace
from uuid import uuid4

import pypdf
import pytest

from app import create_app, pages
from headway.errors import JournalUnavailable
from headway.events import Stage, State

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
GRAPH = {
    "nodes": [
        {"id": "page", "kind": "fetch", "params": {"path": "/"}},
        {"id": "answer", "kind": "write"},
    ],
    "edges": [{"source": "page", "target": "answer"}],
}


class Journals:
    """What Headway knows of tasks, by their ids."""

    def __init__(self):
        self.states = {}
        self.away = False

    def state(self, task):
        if self.away:
            raise JournalUnavailable("Redis does not answer")
        return self.states.get(task)


@pytest.fixture
def journals():
    return Journals()


@pytest.fixture
def client(shared_folder, journals):
    app = create_app()
    app.extensions["progress"] = journals
    return app.test_client()


def state(task="some-id", **more):
    stages = (Stage(key="read", status="running", current=3, total=12, unit="page"),)
    told = {"title": "report.pdf", "status": "running", "stages": stages, "progress": 0.25}
    return State(task=task, confirmed=True, **told | more)


def start(client, **asked):
    return client.post("/tasks/paced", json=asked)


def seeds(page):
    return [
        json.loads(found)
        for found in re.findall(r'<script type="application/json">(.*?)</script>', page.text)
    ]


def test_a_browser_that_has_started_nothing_is_told_so(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "Nothing yet" in page.text
    assert '<p id="empty" class="quiet">' in page.text
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("path", ["/", "/tasks/nobody", "/tasks/some-id", "/graphs/" + "0" * 32])
def test_a_page_has_one_heading_a_title_and_no_inline_code(client, journals, path):
    journals.states["some-id"] = state()
    page = client.get(path, headers=HTML)
    assert page.text.count("<h1") == 1
    assert len(re.findall(r"<title>[^<]+</title>", page.text)) == 1
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page.text)
    scripts = re.findall(r"<script([^>]*)>", page.text)
    assert all('src="/' in each or 'type="application/json"' in each for each in scripts)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_what_was_started_is_on_the_next_page_with_its_state(client, sent, journals):
    assert start(client).status_code == 202
    journals.states["some-id"] = state()
    page = client.get("/")
    assert 'href="/tasks/some-id">report.pdf</a>' in page.text
    assert seeds(page)[0]["stages"][0]["current"] == 3
    assert "Running 25%" in page.text


def test_the_cookie_is_signed_and_not_for_scripts_or_other_sites(client, sent):
    cookie = start(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    client.set_cookie("headway-tasks", "eyJ0YXNrcyI6W1siZm9yZ2VkIiwicGFjZWQiLDAsIiJdXX0.x.x")
    assert client.get("/tasks").json == {"tasks": []}


def test_fifty_tasks_fit_into_the_cookie_newest_first(client, monkeypatch, shared_folder):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    ids = [str(uuid4()) for _ in range(60)]
    coming = iter(ids)
    monkeypatch.setattr(
        pages.documents.tasks.celery,
        "send_task",
        lambda *_, **__: SimpleNamespace(id=next(coming)),
    )
    for _ in ids:
        answer = client.post(f"/graphs/{graph}/runs", json={"prompt": "Why?"})
        assert len(answer.headers["Set-Cookie"]) < 4000
    kept = client.get("/tasks").json["tasks"]
    assert [each["task"] for each in kept] == ids[:9:-1]
    assert {(each["kind"], each["graph"]) for each in kept} == {("graph", graph)}


def test_what_was_refused_is_not_remembered(client, sent):
    start(client, stages=0)
    assert client.get("/tasks").json == {"tasks": []}


def test_a_cancelled_task_is_not_one_that_was_started(client):
    client.post("/headway/tasks/some-id/cancel", json={})
    assert client.get("/tasks").json == {"tasks": []}


def test_the_page_of_a_task_says_how_far_it_is(client, journals):
    journals.states["some-id"] = state()
    page = client.get("/tasks/some-id")
    assert page.status_code == 200
    assert "<title>report.pdf · Headway</title>" in page.text
    assert "read: Running, 3 of 12" in page.text
    assert seeds(page)[0]["title"] == "report.pdf"
    assert 'http-equiv="refresh"' in page.text


def test_the_page_of_an_ended_task_reloads_no_more(client, journals):
    journals.states["some-id"] = state(status="succeeded")
    assert 'http-equiv="refresh"' not in client.get("/tasks/some-id").text


@pytest.mark.parametrize("task", ["nobody", "x" * 200, "<script>", "%00", "é"])
def test_a_task_nobody_knows_has_a_page_that_says_so(client, task):
    page = client.get(f"/tasks/{task}")
    assert page.status_code == 404
    assert "There is no such task" in page.text
    assert "<script>" not in page.text


def test_a_task_of_ones_own_that_is_forgotten_is_told_from_an_unknown_one(
    client, sent, monkeypatch
):
    start(client)
    assert client.get("/tasks/some-id").status_code == 200  # it may just not have been heard of
    monkeypatch.setattr(pages, "NEW_SECONDS", -1)
    page = client.get("/tasks/some-id")
    assert page.status_code == 404
    assert "no longer kept" in page.text
    assert "no longer kept" in client.get("/").text


def test_pages_are_there_while_redis_is_away(client, sent, journals):
    start(client)
    journals.away = True
    assert "some-id" in client.get("/").text
    assert client.get("/tasks/some-id").status_code == 200


def test_what_a_task_says_stays_text(client, sent, journals):
    evil = "</script><img src=x onerror=alert(1)>"
    start(client)
    journals.states["some-id"] = state(title=evil, message=evil, data={evil: evil})
    for path in ("/", "/tasks/some-id"):
        page = client.get(path)
        assert "<img" not in page.text
        assert seeds(page)[0]["title"] == evil


def test_a_graph_has_a_page_for_people_and_json_for_programs(client):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    page = client.get(f"/graphs/{graph}", headers=HTML)
    assert page.content_type.startswith("text/html")
    assert "Accept" in page.headers["Vary"]
    assert '<th scope="row">answer</th><td>write</td><td>page</td>' in page.text
    programs = ("*/*", "application/json", "application/*", "text/html;q=0.1,*/*", "image/png")
    for accept in programs:
        answer = client.get(f"/graphs/{graph}", headers={"Accept": accept})
        assert answer.json["graph"] == graph, accept
        assert answer.headers["Vary"] == "Accept"
    assert client.get(f"/graphs/{graph}").is_json  # without an Accept
    assert client.head(f"/graphs/{graph}", headers=HTML).content_type == page.content_type


def test_an_error_is_a_page_for_people_and_a_problem_for_programs(client):
    for path, said in (("/nowhere", "not found"), ("/files/0/a.json", "Files are kept for a day")):
        page = client.get(path, headers=HTML)
        assert (page.status_code, page.content_type) == (404, "text/html; charset=utf-8")
        assert said in page.text
        assert page.headers["Vary"] == "Accept"
        assert client.get(path).content_type == "application/problem+json"
        assert client.get(path, headers={"Accept": "*/*"}).json["status"] == 404
    refused = client.post("/tasks/paced", json=[], headers=HTML)  # a form's script, not a visit
    assert refused.content_type == "application/problem+json"
    allowed = client.get("/documents", headers=HTML).headers["Allow"]
    assert sorted(allowed.split(", ")) == ["OPTIONS", "POST"]


def test_a_graph_that_is_not_there_has_a_page_that_says_so(client):
    page = client.get("/graphs/" + "0" * 32, headers=HTML)
    assert page.status_code == 404
    assert "There is no such graph" in page.text


def test_a_graph_lists_its_own_runs(client, sent, journals):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    other = client.post("/graphs", json=GRAPH).json["graph"]
    client.post(f"/graphs/{graph}/runs", json={"prompt": "Why?"})
    assert "some-id" in client.get(f"/graphs/{graph}", headers=HTML).text
    assert "some-id" not in client.get(f"/graphs/{other}", headers=HTML).text
    journals.states["some-id"] = state()
    assert f"/graphs/{graph}" in client.get("/tasks/some-id").text


@pytest.mark.parametrize(
    ("flower", "link"),
    [
        ("http://localhost:5555", "http://localhost:5555/task/some-id"),
        ("https://ops.example.org/flower/", "https://ops.example.org/flower/task/some-id"),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_a_task_is_linked_to_flower_where_there_is_one(
    monkeypatch, shared_folder, journals, flower, link
):
    monkeypatch.setenv("FLOWER_URL", flower)
    app = create_app()
    app.extensions["progress"] = journals
    journals.states["some-id"] = state()
    page = app.test_client().get("/tasks/some-id").text
    assert ("In Flower" in page) == bool(link)
    assert link is None or f'href="{link}"' in page


@pytest.mark.parametrize("name", ["SECRET_KEY", "HEADWAY_SECRET_KEY"])
def test_processes_with_one_key_know_each_others_cookies(monkeypatch, shared_folder, sent, name):
    monkeypatch.setenv(name, "a long random text")
    one, other = create_app().test_client(), create_app().test_client()
    cookie = start(one).headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    other.set_cookie("headway-tasks", cookie)
    assert [each["task"] for each in other.get("/tasks").json["tasks"]] == ["some-id"]


def test_without_a_key_there_is_a_random_one_and_a_line_in_the_log(
    shared_folder, caplog, monkeypatch
):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    keys = {create_app().config["SECRET_KEY"] for _ in range(2)}
    assert len(keys) == 2
    assert "SECRET_KEY" in caplog.text


def test_the_sample_document_is_a_pdf_with_text(client):
    answer = client.get("/samples/report.pdf")
    read = pypdf.PdfReader(io.BytesIO(answer.data))
    assert len(read.pages) == 299
    assert "tidal" in read.pages[0].extract_text().lower()
    text = client.get("/samples/report.txt").text
    said = "".join(page.extract_text() for page in read.pages)
    assert said.encode("ascii", "ignore").split()[-20:] == text.encode().split()[-20:]
    assert len(text) < 1_000_000  # what a graph reads of a page
