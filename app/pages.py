"""The pages a person sees, and which tasks this browser has started.

Their ids are in the signed session cookie and nowhere else: nobody signs in here. What a page first shows of a task
is read from its journal, so that it is right before any script has run; the scripts then keep it live.
"""

import json
import os
import re
import secrets
import time
from typing import Any, NamedTuple
from urllib.parse import quote

from flask import Blueprint, Response, current_app, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app import documents, graph_rules, graphs, problems, samples, videos
from app.shelf import shelf
from headway.errors import JournalUnavailable
from headway.events import SUBJECT_ID, encode

MOST_TASKS = 50  # in the cookie, which has room for 4 KB
NEW_SECONDS = 60  # a task so young may not have been heard of yet

KINDS = {  # endpoint that starts a task → what is said of it
    "documents.start": "document",
    "videos.start": "video",
    "graphs.run": "graph",
    "views.start_paced": "paced",
}

# Where Flower is for the people who look at the pages; only http(s), since it becomes a link.
FLOWER = re.compile(r"https?://\S+")

routes = Blueprint("pages", __name__)


class Mine(NamedTuple):
    """A task that this browser has started."""

    task: str
    kind: str
    started: int
    graph: str


class Row(NamedTuple):
    mine: Mine
    state: Any  # as JSON; None if nothing is known of it
    kept: bool  # False when its progress has been forgotten


@routes.record_once
def _prepare(setup: Any) -> None:
    app = setup.app
    key = os.environ.get("HEADWAY_SECRET_KEY") or os.environ.get("SECRET_KEY")
    if not key:
        app.logger.warning(
            "SECRET_KEY is not set, so a random one is used: browsers forget which tasks they started when this"
            " process ends, and with several processes at every other request. Set it to a long random text."
        )
    app.config.update(
        SECRET_KEY=key or secrets.token_hex(32),
        SESSION_COOKIE_NAME="headway-tasks",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    flower = os.environ.get("FLOWER_URL") or ""
    app.config["FLOWER_URL"] = flower.rstrip("/") if FLOWER.fullmatch(flower) else ""


@routes.app_template_filter("clock")
def _clock(at: float) -> str:
    """A time for people without scripts; a script says it in their own zone."""
    return time.strftime("%H:%M UTC", time.gmtime(at))


@routes.app_template_filter("iso")
def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


# -- pages -----------------------------------------------------------------------------------------------------


@routes.get("/")
def index() -> ResponseReturnValue:
    caps = {"document": documents.MOST_BYTES, "video": videos.MOST_BYTES}
    return _page("index.html", rows=_rows(_mine()), caps=caps)


@routes.get("/tasks")
def mine() -> ResponseReturnValue:
    """What this browser has started, newest first; a page that comes back from the history asks what is new."""
    tasks = [each._asdict() for each in _mine()]
    return {"tasks": tasks}, 200, {"Cache-Control": "no-store", "Vary": "Cookie"}


@routes.get("/tasks/<task>")
def task(task: str) -> ResponseReturnValue:
    """One task. While its journal cannot be read the page is there all the same, and goes on trying."""
    known = next((each for each in _mine() if each.task == task), None)
    try:
        state = _state(task)
    except JournalUnavailable:
        state = None
    else:
        new = known is not None and time.time() - known.started < NEW_SECONDS
        if state is None and not new:
            return _page("unknown.html", what="task", expired=known is not None), 404
    if not SUBJECT_ID.fullmatch(task):
        return _page("unknown.html", what="task", expired=False), 404
    flower = current_app.config["FLOWER_URL"]
    return _page(
        "task.html",
        task=task,
        state=state,
        graph=known.graph if known else "",
        flower=f"{flower}/task/{quote(task, safe='')}" if flower else "",
    )


@routes.get("/graphs/<graph>")
def graph(graph: str) -> ResponseReturnValue:
    """A graph has one address: people get a page, programs the JSON."""
    if not problems.for_people():
        return {"graph": graph, **graphs.stored(graph)}, 200, {"Vary": "Accept"}
    known = shelf().graph(graph)
    if known is None:
        return _page("unknown.html", what="graph", expired=False), 404
    needs, runs = graph_rules.needs(known), [each for each in _mine() if each.graph == graph]
    page = _page("graph.html", graph=graph, nodes=known["nodes"], needs=needs, rows=_rows(runs))
    page.headers["Vary"] = "Accept, Cookie"
    return page


@routes.get("/samples/report.pdf")
def sample() -> Response:
    """A document for those who have none at hand."""
    return Response(samples.report(), content_type="application/pdf")


@routes.get("/samples/report.txt")
def sample_text() -> Response:
    """What it says: graphs read it."""
    return Response(samples.text(), content_type="text/plain; charset=utf-8")


def _page(template: str, **values: Any) -> Response:
    page = Response(render_template(template, **values), content_type=problems.HTML)
    page.headers["Cache-Control"] = "private, no-cache"
    page.headers["Vary"] = "Cookie"
    return page


# -- the browser's own tasks -----------------------------------------------------------------------------------


@routes.after_app_request
def remember(response: Response) -> Response:
    """Whatever was just started is this browser's."""
    kind = KINDS.get(request.endpoint or "")
    if kind and response.status_code == 202:
        started = response.get_json()["task"]
        graph = (request.view_args or {}).get("graph", "")
        entry = [started, kind, int(time.time()), graph]
        kept = [each for each in session.get("tasks", []) if each[0] != started]
        session["tasks"] = [entry, *kept][:MOST_TASKS]
        session.permanent = True
    return response


def _mine() -> list[Mine]:
    return [Mine(*each) for each in session.get("tasks", [])]


def _state(task: str) -> Any:
    state = current_app.extensions["progress"].state(task)
    return None if state is None else json.loads(encode(state))


def _rows(mine: list[Mine]) -> list[Row]:
    """What is known of each. When Redis is away they are shown without it, after one wait and not fifty."""
    rows, away = [], False
    for each in mine:
        state = None
        try:
            state = None if away else _state(each.task)
        except JournalUnavailable:
            away = True
        kept = bool(state) or away or time.time() - each.started < NEW_SECONDS
        rows.append(Row(each, state, kept))
    return rows


@routes.app_template_global("library")
def _library(name: str) -> str:
    """The address of one of the library's own scripts or styles."""
    return url_for("headway.static", name=name)
