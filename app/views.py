"""The page, and what it asks of this site."""

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import paced, tasks
from app.problems import Problem
from headway.events import SUBJECT_ID

pages = Blueprint("pages", __name__)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pages.get("/")
def index() -> str:
    """The page; with `?task=<id>` it goes on showing that task."""
    task = request.args.get("task", "")
    return render_template("index.html", urls=_urls(task) if SUBJECT_ID.fullmatch(task) else {})


@pages.post("/tasks/paced")
def start_paced() -> ResponseReturnValue:
    if not request.is_json:  # also keeps other sites' forms from starting tasks
        raise Problem(415, "Send the body as application/json.")
    task = tasks.start_paced(paced.read(request.get_data()))
    return {"task": task, **_urls(task)}, 202


@pages.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Says that this process answers, and touches nothing else: Redis being away is no reason to kill it."""
    return {"status": "ok"}


@pages.after_app_request
def protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def _urls(task: str) -> dict[str, str]:
    return {
        "events": url_for("headway.events", task=task),
        "state": url_for("headway.state", task=task),
    }
