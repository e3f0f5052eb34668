"""What does not belong to one pipeline: the paced task, health, and the headers of every answer."""

from dataclasses import asdict

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from app import bodies, paced, tasks

routes = Blueprint("views", __name__)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@routes.post("/tasks/paced")
def start_paced() -> ResponseReturnValue:
    wanted = paced.read(bodies.json_object())
    title = f"Paced task: {wanted.stages} stages in {wanted.seconds:g} s"
    return tasks.start("workers.paced", title=title, **asdict(wanted))


@routes.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Says that this process answers, and touches nothing else: Redis being away is no reason to kill it."""
    return {"status": "ok"}


@routes.after_app_request
def protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response
