"""A real Chromium, and the whole demonstration behind it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import require
from tests.processes import RedisServer, Web, Worker

CHROMIUM_OPTIONS = [
    "--no-sandbox",  # CI runs as root, where Chromium's sandbox does not start
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, web: Web) -> Iterator[Page]:
    """A tab of a fresh profile, closed before the site is. What it complains about fails the test."""
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.complaints = complaints
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def web(redis_url: str) -> Iterator[Web]:
    with Web(redis_url) as web:
        yield web


@pytest.fixture
def worker(redis_server: RedisServer, redis_url: str) -> Iterator[Worker]:
    with Worker("threads", redis_url) as worker:
        yield worker
