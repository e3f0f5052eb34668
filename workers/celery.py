"""The worker's Celery app. `celery -A workers worker` finds it here."""

import os

from celery import Celery

import headway.celery

INCLUDED = ["workers.paced", "workers.documents", "workers.videos", "workers.graphs"]

app = Celery("workers", include=INCLUDED)
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL")
    or os.environ.get("HEADWAY_REDIS_URL")
    or "redis://localhost:6379/0",
    # Progress and results reach viewers through the journal; Celery's own backend is for those who ask.
    result_backend=os.environ.get("CELERY_RESULT_BACKEND"),
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    broker_connection_retry_on_startup=True,
)
headway.celery.install(app)
