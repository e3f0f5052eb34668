"""The web frontend: a user of the library. It sends tasks by name and never imports the workers."""

import os
from pathlib import Path

from flask import Flask

import headway.celery
from app import documents, graphs, pages, problems, shelf, tasks, videos, views
from headway.flask import Headway

MOST_BODY_BYTES = 64 * 1024  # uploads have caps of their own


def create_app() -> Flask:
    """Headway reads HEADWAY_* from the environment itself, and falls back to the broker's Redis.

    HEADWAY_DATA names the folder that is shared with the workers; nothing is made in it before it is needed.
    """
    app = Flask(__name__)
    app.config.update(CELERY_BROKER_URL=tasks.BROKER_URL, MAX_CONTENT_LENGTH=MOST_BODY_BYTES)
    app.extensions["shelf"] = shelf.Shelf(Path(os.environ.get("HEADWAY_DATA") or "var"))
    # A demonstration: who knows a task's id may watch it, and stop it.
    progress = Headway(app, allow_anonymous=True, cancel=headway.celery.cancel)
    app.extensions["progress"] = progress
    routes = (views.routes, documents.routes, videos.routes, graphs.routes, pages.routes)
    for blueprint in (*routes, shelf.files):
        app.register_blueprint(blueprint)
    problems.register(app)
    return app
