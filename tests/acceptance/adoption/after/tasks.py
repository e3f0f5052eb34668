"""The tasks of a small site that turns scans into text."""

import os
import time

from celery import Celery

import headway.celery
from headway import staged, track

app = Celery("tasks", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])
headway.celery.install(app)


@app.task
@staged("read", "save")
def convert(document: int) -> int:
    pages = load(document)
    words = 0
    for page in track(pages, "read"):
        words += recognise(page)
    save(document, words)
    return words


@app.task
def clean_up() -> None:
    pass


def load(document: int) -> list[str]:
    return [f"page {n} of document {document}" for n in range(20)]


def recognise(page: str) -> int:
    time.sleep(0.05)
    return len(page.split())


def save(document: int, words: int) -> None:
    time.sleep(0.1)
