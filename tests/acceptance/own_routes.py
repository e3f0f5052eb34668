"""A site that streams from a route of its own, and has not said who may use Headway's."""

from flask import Flask, Response, abort, request

from headway.flask import Headway

app = Flask(__name__)
progress = Headway(app)


@app.get("/documents/<task>/stream")
def stream(task: str) -> Response:
    if request.headers.get("Authorization") != "Bearer mine":
        abort(403)
    return progress.stream(task=task)


@app.get("/healthz")
def healthz() -> str:
    return "ok"
