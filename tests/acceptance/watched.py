"""A small Flask site with Headway's own routes open and one route of its own. Loaded by gunicorn and `flask run`."""

import os

from celery import Celery
from flask import Flask, Response

import headway.celery
from headway.flask import Headway

app = Flask(__name__)
progress = Headway(app, allow_anonymous=True, cancel=headway.celery.cancel)
headway.celery.install(Celery("watched", broker=os.environ.get("CELERY_BROKER_URL")))


@app.get("/own/<task>/stream")
def own(task: str) -> Response:
    return progress.stream(task=task)


@app.get("/healthz")
def healthy() -> str:
    return "ok"
