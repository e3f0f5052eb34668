"""A real Chromium, and the whole demonstration behind it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.visits import LISTENER, SECONDS, Open, Visit
from tests.conftest import require
from tests.pipelines import Site, site
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


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site("prefork", tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def patience() -> Iterator[None]:
    expect.set_options(timeout=SECONDS)
    yield
    expect.set_options(timeout=5_000)  # Playwright's own


@pytest.fixture
def visit(browser: Browser, running: Site, patience: None) -> Iterator[Open]:
    """Open a page. When the test is over nothing may have gone wrong in it, unless it was forgiven: browsers
    say every answer above 399 in the console."""
    visits: list[tuple[Visit, re.Pattern[str] | None]] = []

    def open_page(path: str = "/", *, forgiving: str | None = None, **options: Any) -> Visit:
        context = browser.new_context(**options)
        visit = Visit(context.new_page(), str(running.client.base_url))
        visits.append((visit, re.compile(forgiving) if forgiving else None))
        visit.page.add_init_script(LISTENER)
        return visit.go(path)

    yield open_page
    for visit, forgiven in visits:
        visit.page.context.close()
        assert [each for each in visit.errors if not (forgiven and forgiven.search(each))] == []
