"""Takes the pictures of progress inside Flower that the docs show. `python -m tests.browser.flower_pictures`."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from celery import Celery
from playwright.sync_api import Page, expect

from headway import about
from tests.browsers import chromium
from tests.flowers import Flower
from tests.processes import ROOT, RedisServer, Worker

FOLDER = ROOT / "docs/pictures"
LIST = {"width": 1480, "height": 700}  # pixels
TASK = {"width": 1200, "height": 640}
LONG = 30_000  # milliseconds

#: Titles and how their tasks run, in the order they are started: the last stands first in the list.
SENT = [
    ("harbour-1874.pdf", {"stages": 3, "steps": 20, "seconds": 1.5}),
    ("letters.pdf", {"stages": 5, "steps": 20, "seconds": 3, "fail_at": 3}),
    ("minutes-of-the-council.pdf", {"stages": 4, "steps": 50, "seconds": 40}),
    ("annual-report.pdf", {"stages": 4, "steps": 50, "seconds": 16}),
    ("breakwater-survey.pdf", {"stages": 5, "steps": 40, "seconds": 24}),
    ("tide-tables.pdf", {"stages": 6, "steps": 25, "seconds": 40}),
]


@contextmanager
def running() -> Iterator[tuple[Celery, str]]:
    """The demonstration's workers and its Flower."""
    with RedisServer() as redis, TemporaryDirectory() as data:
        env = {"HEADWAY_DATA": data, "HEADWAY_PAGE": "http://localhost:8000/tasks/{task}"}
        with (
            Worker("prefork", redis.url, concurrency=6, args=("-E",), env=env),
            Flower(redis.url) as flower,
            Celery("pictures", broker=redis.url, set_as_current=False) as app,
        ):
            flower.hear()
            yield app, flower.url


def take(page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(400)  # Flower's own fading
        path = FOLDER / f"{name}-{scheme}.png"
        page.screenshot(path=path)
        print(path.relative_to(ROOT))
    page.emulate_media(color_scheme="light")


def send(app: Celery) -> list[str]:
    headers = [about(title=title) for title, _ in SENT]
    return [
        str(app.send_task("workers.paced", kwargs=kwargs, headers=head).id)
        for head, (_, kwargs) in zip(headers, SENT, strict=True)
    ]


def main() -> None:
    program = shutil.which("chromium")
    assert program, "chromium is not installed"
    FOLDER.mkdir(exist_ok=True)
    with running() as (app, url), chromium(program) as browser:
        page = browser.new_page(viewport=LIST)
        page.goto(f"{url}/tasks")
        ids = send(app)
        rows = page.locator("#tasks-table tbody tr")
        expect(rows).to_have_count(len(ids), timeout=LONG)
        expect(rows.filter(has_text="FAILURE")).to_have_count(1, timeout=LONG)
        expect(rows.filter(has_text="SUCCESS")).to_have_count(1, timeout=LONG)
        going = page.locator(f'tr[id="{ids[4]}"] [part~=facts]')
        expect(going).to_contain_text(re.compile(r"Stage 2 · [23]\d"), timeout=LONG)
        app.control.revoke(ids[2], terminate=True)
        expect(rows.filter(has_text="REVOKED")).to_have_count(1, timeout=LONG)
        take(page, "flower-tasks")
        page.set_viewport_size(TASK)
        page.goto(f"{url}/task/{ids[4]}")
        stages = page.locator("headway-progress [part~=stages] > li")
        expect(stages.nth(2)).to_contain_text(re.compile(r"1\d of 40"), timeout=LONG)
        take(page, "flower-task")


if __name__ == "__main__":
    main()
