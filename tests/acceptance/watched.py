"""A small Flask site with Headway's own routes open and one route of its own. Loaded by gunicorn and `flask run`."""

from flask import Flask, Response

from headway.flask import Headway

app = Flask(__name__)
progress = Headway(app, allow_anonymous=True)


@app.get("/own/<task>/stream")
def own(task: str) -> Response:
    return progress.stream(task=task)


@app.get("/healthz")
def healthy() -> str:
    return "ok"
