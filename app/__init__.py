"""The web frontend: a user of the library. It sends tasks by name and never imports the workers."""

from flask import Flask

from app import problems, tasks, views
from headway.flask import Headway

MOST_BODY_BYTES = 64 * 1024


def create_app() -> Flask:
    """Headway reads HEADWAY_* from the environment itself, and falls back to the broker's Redis."""
    app = Flask(__name__)
    app.config.update(CELERY_BROKER_URL=tasks.BROKER_URL, MAX_CONTENT_LENGTH=MOST_BODY_BYTES)
    Headway(app, allow_anonymous=True)  # a demonstration: who knows a task's id may watch it
    app.register_blueprint(views.pages)
    problems.register(app)
    return app
