"""The pages when something is wrong: servers that go, browsers that leave and return, many tabs, tasks long gone."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import CHROMIUM_OPTIONS
from tests.browser.visits import LONG, Open, Visit, violations
from tests.conftest import require
from tests.pipelines import Site
from tests.processes import RedisServer, Web, Worker

KEY = "of the tests"
DAY_SECONDS = 24 * 3600


class Own:
    """A site of one's own, to be stopped and started, and a browser that remembers what it has started."""

    def __init__(self, browser: Browser, redis: RedisServer, worker: Worker, web: Web) -> None:
        self.redis = redis
        self.worker = worker
        self.web = web
        self.context = browser.new_context()

    def visit(self, path: str = "/") -> Visit:
        return Visit(self.context.new_page(), self.web.url).go(path)


@pytest.fixture
def own(browser: Browser, patience: None) -> Iterator[Own]:
    with (
        RedisServer() as redis,
        Worker("prefork", redis.url) as worker,
        Web(redis.url, env={"SECRET_KEY": KEY}) as web,
    ):
        own = Own(browser, redis, worker, web)
        yield own
        own.context.close()


def notice(seen: Visit) -> Locator:
    return seen.page.locator("headway-progress [part~=said]")


# -- what is behind the page goes and comes back --------------------------------------------------------------


def test_a_page_survives_its_server_and_shows_what_came_meanwhile(own: Own) -> None:
    seen = own.visit()
    seen.start_and_open(Stages=2, Steps_in_each=20, Seconds_in_all=5)
    expect(seen.stages.first).to_contain_text(re.compile(r"[3-9] of 20"))
    own.web.kill()
    expect(notice(seen)).to_contain_text("Live updates interrupted")
    expect(seen.stages.first).to_contain_text("of 20")  # what was known stays
    own.context.set_offline(True)
    expect(notice(seen)).to_contain_text("You are offline")
    own.web.start()
    own.context.set_offline(False)
    seen.has_ended("Done")
    expect(notice(seen)).to_be_hidden()


def test_a_page_survives_a_redis_that_comes_back_empty(own: Own) -> None:
    seen = own.visit()
    seen.start_and_open(Stages=2, Steps_in_each=40, Seconds_in_all=10)
    expect(seen.stages.first).to_contain_text(re.compile(r"[5-9] of 40"))
    own.redis.kill()
    expect(notice(seen)).to_contain_text("The server has lost touch with the workers")
    expect(seen.stages.first).to_contain_text("of 40")
    own.redis.start()
    seen.has_ended("Done")
    expect(notice(seen)).to_be_hidden()
    expect(seen.stages).to_have_count(2)


def test_a_page_waits_for_a_task_of_which_an_empty_redis_knows_only_that_it_was_sent(
    own: Own,
) -> None:
    seen = own.visit()
    seen.start_and_open(Stages=2, Steps_in_each=40, Seconds_in_all=10)
    expect(seen.stages.first).to_contain_text(re.compile(r"[5-9] of 40"))
    own.worker.pause()
    own.redis.kill()
    seen.page.reload()  # there is a page all the same
    expect(seen.page.get_by_role("heading", level=1)).to_be_visible()
    own.redis.start()
    expect(seen.status).to_contain_text("Queued")  # which the page's own server says again
    own.worker.resume()
    seen.has_ended("Done")
    expect(seen.stages).to_have_count(2)
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("2 stages in 10 s")


# -- one browser, many pages ----------------------------------------------------------------------------------


def test_seven_tabs_of_seven_tasks_are_all_live_and_leave_room_for_more(own: Own) -> None:
    """Over HTTP/1.1 a browser makes six connections to a host: with one for each tab nothing more would load."""
    start = own.visit()
    for number in range(1, 8):  # two of them run, the others wait for a worker
        start.start_paced(Stages=1, Steps_in_each=600, Seconds_in_all=120)
        expect(start.page.locator("#mine li")).to_have_count(number)
    paths = [row.get_attribute("href") or "" for row in start.page.locator("#mine a").all()]
    tabs = [own.visit(path) for path in paths]
    for tab in tabs:
        expect(tab.status).to_contain_text(re.compile("Running|Queued"))
    running = tabs[-1]
    expect(running.stages.first).to_contain_text(re.compile(r"\d+ of 600 steps"))
    for tab in tabs[:4]:  # each in turn is the tab that asks for all
        tab.page.close()
        told = running.stages.first.inner_text()
        expect(running.stages.first).not_to_have_text(told)
    for tab in tabs[4:]:
        tab.page.get_by_role("button", name="Cancel").click()
    for tab in tabs[4:]:
        tab.has_ended("Cancelled")
    own.visit("/tasks/nobody").page.close()
    expect(start.page.locator("#mine li").last).to_contain_text("Cancelled")


def test_a_page_from_the_back_forward_cache_is_live_again(
    browser: Browser, running: Site, patience: None
) -> None:
    program = require("chromium")
    own = browser.browser_type.launch(
        executable_path=program,
        args=CHROMIUM_OPTIONS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    try:
        seen = Visit(own.new_page(), str(running.client.base_url))
        seen.page.add_init_script(
            'addEventListener("pageshow", ({ persisted }) => (document.documentElement.dataset.persisted = persisted))'
        )
        seen.go().start_paced(Stages=2, Steps_in_each=40, Seconds_in_all=12)
        row = seen.page.locator("#mine li")
        expect(row).to_contain_text(re.compile(r"\d+%"))
        away_and_back(seen)
        expect(row).to_contain_text(re.compile(r"[3-9]\d%|Done"))
        row.get_by_role("link").click()
        expect(seen.stages.first).to_contain_text(re.compile(r"\d of 40"))
        away_and_back(seen)
        seen.has_ended("Done")
        expect(seen.stages.last).to_contain_text("40 of 40")
        assert all("404" in each for each in seen.errors)
    finally:
        own.close()


def away_and_back(seen: Visit) -> None:
    """To a page that has nothing to watch, and back to the very one that was left."""
    here = seen.page.url
    seen.go("/nowhere")
    seen.page.go_back(wait_until="commit")
    seen.page.wait_for_url(here, wait_until="commit")
    seen.page.locator("html[data-persisted=true]").wait_for()


# -- what is long over ----------------------------------------------------------------------------------------


def test_somebody_else_opens_a_task_that_has_ended(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=3, Steps_in_each=4, Seconds_in_all=0.5)
    seen.has_ended("Done")
    late = visit(urlsplit(seen.page.url).path)
    late.has_ended("Done")
    expect(late.stages).to_have_count(3)
    expect(late.page).to_have_title(re.compile("^✓ Paced task"))
    assert not [path for _, path in late.asked() if path.endswith("/events")]
    expect(late.go().page.get_by_text("Nothing yet")).to_be_visible()  # it is not theirs


def test_fifty_tasks_of_which_most_are_forgotten_are_a_list_that_says_so(own: Own) -> None:
    seen = own.visit()
    seen.start_paced(Stages=1, Steps_in_each=1, Seconds_in_all=0)
    expect(seen.page.locator("#mine li")).to_contain_text("Done")
    kept = seen.page.locator("#mine li").get_attribute("data-task")
    now = int(own.redis.cli("TIME")[0])
    gone = [[str(uuid4()), "document", now - DAY_SECONDS - each, ""] for each in range(49)]
    remember(own, [[kept, "paced", now - DAY_SECONDS, ""], *gone])
    seen.go()
    expect(seen.page.locator("#mine li")).to_have_count(50)
    expect(seen.page.locator("#mine li").first).to_contain_text("Done")
    expect(seen.page.get_by_text("Its progress is no longer kept")).to_have_count(49)
    own.redis.cli("FLUSHALL")  # as if its day had passed, too
    seen.page.reload()
    expect(seen.page.get_by_text("Its progress is no longer kept")).to_have_count(50)
    seen.page.locator("#mine a").first.click()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Its progress is no longer kept")
    seen.page.get_by_role("link", name="Start a task, or see yours").click()
    seen.start_paced(Stages=1, Steps_in_each=1, Seconds_in_all=0)
    expect(seen.page.locator("#mine li").first).to_contain_text("Done")
    expect(seen.page.locator("#mine li")).to_have_count(50)  # the oldest gave way


def remember(own: Own, tasks: list[Any]) -> None:
    """Give the browser the cookie of somebody who has started these."""
    app = Flask(__name__)
    app.secret_key = KEY
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert signer
    value = str(signer.dumps({"_permanent": True, "tasks": tasks}))
    cookie = {"name": "headway-tasks", "value": value, "url": own.web.url}
    own.context.add_cookies([cookie])  # type: ignore[list-item]


# -- uploads, addresses ---------------------------------------------------------------------------------------


def slowly(page: Page) -> None:
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1024**2}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)


def test_an_upload_says_how_long_it_will_take_and_can_be_stopped(visit: Open) -> None:
    seen = visit()
    slowly(seen.page)
    form = seen.form("document")
    text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"A line of text. " * 2**19}
    form.locator("input[type=file]").set_input_files(text)
    form.get_by_role("button", name="Read it").click()
    expect(form.locator(".upload")).to_contain_text(
        re.compile(r"of 8\.0 MB, (about|a few) .+ left")
    )
    form.get_by_role("button", name="Stop the upload").click()
    expect(form.locator(".refusal")).to_have_text("The upload was stopped. Nothing was started.")
    expect(form.locator(".upload")).to_be_hidden()
    expect(form.get_by_role("button", name="Read it")).to_be_enabled()
    seen.page.reload()
    expect(seen.page.get_by_text("Nothing yet")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/nowhere", "Not Found"),
        ("/files/0/chunks.json", "Not Found"),
        ("/tasks/nobody", "There is no such task"),
        ("/graphs/nothing", "There is no such graph"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_page(visit: Open, path: str, heading: str) -> None:
    seen = visit(path, forgiving="404")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(heading)
    seen.page.get_by_role("link", name="Start a task, or see yours").click()
    expect(seen.form("document")).to_be_visible()


# -- for everybody --------------------------------------------------------------------------------------------

MOVING = """() => {
  const roots = [document, ...[...document.querySelectorAll("headway-progress")].map((each) => each.shadowRoot)];
  const all = roots.flatMap((root) => root.getAnimations());
  return all.filter(({ playState }) => playState === "running").length;
}"""


def test_nothing_moves_for_who_wants_it_so(visit: Open) -> None:
    for preference, moves in (("reduce", False), ("no-preference", True)):
        seen = visit(reduced_motion=preference)
        seen.start_and_open(Stages=2, Steps_in_each=20, Seconds_in_all=4)
        expect(seen.stages.first).to_contain_text(re.compile(r"\d of 20"))
        assert bool(seen.page.evaluate(MOVING)) == moves


def running_graph(seen: Visit) -> None:
    seen.page.get_by_label("Compare words and figures").check()
    seen.form("graph").get_by_role("button").click()
    seen.at_task()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(visit: Open, scheme: Any) -> None:
    seen = visit(color_scheme=scheme, bypass_csp=True, forgiving="404", reduced_motion="reduce")
    assert violations(seen.page) == []
    running_graph(seen)
    seen.has_ended("Done")
    seen.page.get_by_text("Event log").click()
    expect(seen.page.locator("#log li").first).to_be_visible()
    assert violations(seen.page) == []
    seen.page.get_by_role("link", name="The graph, to run it again").click()
    expect(seen.page.locator("#drawing [part~=node]").first).to_be_visible()
    assert violations(seen.page) == []
    text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"Ada Lovelace wrote notes. " * 40}
    seen.go().form("document").locator("input[type=file]").set_input_files(text)
    seen.form("document").get_by_role("button", name="Read it").click()
    seen.at_task()
    expect(seen.result).to_be_visible(timeout=LONG)
    assert violations(seen.page) == []
    seen.go().start_and_open(Stages=2, Steps_in_each=40, Seconds_in_all=60)
    expect(seen.stages.first).to_contain_text(re.compile(r"\d of 40"))
    assert violations(seen.page) == []
    seen.page.get_by_role("button", name="Cancel").click()
    seen.has_ended("Cancelled")
    assert violations(seen.page) == []
    seen.go().start_and_open(Stages=2, Steps_in_each=2, Seconds_in_all=0, Fail_in_stage=1)
    seen.has_ended("Failed")
    assert violations(seen.page) == []
    assert violations(seen.go().page) == []
    assert violations(seen.go("/tasks/nobody").page) == []
    assert violations(seen.go("/nowhere").page) == []
