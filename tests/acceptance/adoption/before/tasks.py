"""The tasks of a small site that turns scans into text."""

import os
import time

from celery import Celery

app = Celery("tasks", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])


@app.task(bind=True)
def convert(self, document: int) -> int:
    pages = load(document)
    words = 0
    for n, page in enumerate(pages):
        words += recognise(page)
        self.update_state(state="PROGRESS", meta={"current": n + 1, "total": len(pages)})
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
