"""The plain page in a real browser: what somebody sees, hears and types."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from tests.browser.demonstration import demonstration
from tests.processes import Web

SECONDS = 15_000  # milliseconds that a condition is waited for

# Everything that was drawn, in order: the statuses of all stages, whenever one of them changed.
RECORDER = """
addEventListener("DOMContentLoaded", () => {
  window.drawn = [];
  const list = document.getElementById("stages");
  new MutationObserver(() => {
    const now = [...list.children].map((row) => row.dataset.status).join(" ");
    if (drawn.at(-1) !== now) drawn.push(now);
  }).observe(list, { subtree: true, childList: true, attributes: true });
});
"""


class Visit:
    """A page, and all that its browser said and asked for meanwhile."""

    def __init__(self, page: Page, web: Web) -> None:
        self.page = page
        self.web = web
        self.errors: list[str] = []
        self.requests: list[Request] = []
        page.set_default_timeout(SECONDS)
        page.add_init_script(RECORDER)
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # violations of the content security policy are said in the console, too
        page.on("console", lambda said: self._hear(said.type, said.text))

    def _note(self, request: Request) -> None:
        self.requests.append(request)

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def start(self, **fields: object) -> None:
        """Fill in the form and press its button."""
        for label, value in fields.items():
            self.page.get_by_label(label.replace("_", " ")).fill(str(value))
        self.page.get_by_role("button", name="Start").click()

    @property
    def stages(self) -> Locator:
        return self.page.get_by_role("listitem")

    def status(self) -> Locator:
        return self.page.locator("#status")

    def has_ended(self, outcome: str) -> None:
        expect(self.status()).to_contain_text(outcome, timeout=SECONDS)

    def drawn(self) -> list[str]:
        drawn = self.page.evaluate("drawn")
        assert isinstance(drawn, list)
        return drawn

    def asked(self) -> list[tuple[str, str]]:
        return [(each.method, urlsplit(each.url).path) for each in self.requests]


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with demonstration() as web:
        yield web


@pytest.fixture
def visit(browser: Browser, web: Web) -> Iterator[Callable[..., Visit]]:
    """Open the page. When the test is over nothing may have gone wrong in it, unless it was forgiven."""
    visits: list[tuple[Visit, bool]] = []

    def open_page(path: str = "/", *, forgiving: bool = False) -> Visit:
        visit = Visit(browser.new_page(), web)
        visits.append((visit, forgiving))
        visit.page.goto(web.url + path)
        return visit

    yield open_page
    for visit, forgiving in visits:
        visit.page.close()
        assert forgiving or visit.errors == []


Open = Callable[..., Visit]


def test_stages_move_to_done_before_ones_eyes(visit: Open) -> None:
    seen = visit()
    seen.page.evaluate("window.stayed = true")
    seen.start(Stages=3, Steps_in_each=4, Seconds_in_all=1.5)
    seen.has_ended("succeeded")
    expect(seen.stages).to_have_count(3)
    course = [
        "running waiting waiting",
        "done running waiting",
        "done done running",
        "done done done",
    ]
    assert [each for each in seen.drawn() if each in course] == course
    assert seen.drawn()[-1] == course[-1]
    assert seen.page.evaluate("window.stayed") is True
    expect(seen.status()).to_have_text(re.compile(r"succeeded.*100 %.*\d s"))
    expect(seen.stages.first).to_contain_text("4 of 4 step")


def test_a_task_that_fails_says_in_which_stage_and_why(visit: Open) -> None:
    seen = visit()
    seen.start(Stages=3, Steps_in_each=4, Seconds_in_all=0.6, Fail_in_stage=2)
    seen.has_ended("failed")
    assert seen.drawn()[-1] == "done failed waiting"
    expect(seen.stages.nth(1)).to_contain_text("Stage 2 was told to fail")
    expect(seen.page.locator("#said")).to_contain_text("Stage 2 was told to fail")
    expect(seen.page.get_by_text("Traceback")).to_have_count(0)


def test_a_reload_in_the_middle_goes_on_showing_the_task(visit: Open) -> None:
    seen = visit()
    seen.start(Stages=2, Steps_in_each=30, Seconds_in_all=4)
    expect(seen.stages.first).to_contain_text(re.compile(r"([5-9]|1\d) of 30"), timeout=SECONDS)
    overall = seen.page.get_by_role("progressbar").first
    before = float(overall.get_attribute("value") or 0)
    seen.page.reload()
    expect(seen.stages).to_have_count(2)
    expect(seen.page.get_by_role("heading", level=2).last).to_contain_text("2 stages in 4 s")
    assert float(overall.get_attribute("value") or 0) >= before > 0
    seen.has_ended("succeeded")
    assert seen.drawn()[-1] == "done done"


def test_a_reload_after_the_end_shows_the_end(visit: Open) -> None:
    seen = visit()
    seen.start(Stages=1, Steps_in_each=2, Seconds_in_all=0.1)
    seen.has_ended("succeeded")
    seen.page.reload()
    seen.has_ended("succeeded")
    expect(seen.stages).to_have_count(1)


def test_two_pages_show_the_same_task(visit: Open) -> None:
    one = visit()
    one.start(Stages=2, Steps_in_each=10, Seconds_in_all=2)
    expect(one.stages).to_have_count(2)
    other = visit("/?" + urlsplit(one.page.url).query)
    for seen in (one, other):
        seen.has_ended("succeeded")
    assert one.page.locator("#task").inner_text() == other.page.locator("#task").inner_text()


def test_a_keyboard_is_enough(visit: Open) -> None:
    seen = visit()
    keyboard = seen.page.keyboard
    for value in ("2", "3", "0.4"):
        keyboard.press("Tab")
        keyboard.press("Control+A")
        keyboard.type(value)
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(seen.page.get_by_role("button", name="Start")).to_be_focused()
    keyboard.press("Enter")
    seen.has_ended("succeeded")
    expect(seen.stages).to_have_count(2)
    expect(seen.stages.first).to_contain_text("3 of 3")


def test_whoever_starts_a_task_by_keyboard_stays_where_they_were(visit: Open) -> None:
    seen = visit()
    button = seen.page.get_by_role("button", name="Start")
    button.focus()
    seen.page.keyboard.press("Enter")
    expect(seen.stages).to_have_count(4)
    expect(button).to_be_focused()


def test_one_request_starts_a_task_and_one_shows_it(visit: Open) -> None:
    """Nothing is polled, and nothing is asked for after the end."""
    seen = visit()
    seen.page.wait_for_load_state("networkidle")
    loaded = len(seen.requests)
    seen.start(Stages=2, Steps_in_each=20, Seconds_in_all=2)
    seen.has_ended("succeeded")
    seen.page.wait_for_load_state("networkidle")
    task = urlsplit(seen.page.url).query.removeprefix("task=")
    asked = [each for each in seen.asked()[loaded:] if not each[1].startswith("/static/")]
    assert asked == [
        ("POST", "/tasks/paced"),
        ("GET", f"/headway/tasks/{task}/events"),
    ]


def test_transitions_are_announced_and_ticks_are_not(visit: Open) -> None:
    seen = visit()
    seen.page.evaluate(
        """() => {
          window.announced = [];
          const region = document.getElementById("announcement");
          new MutationObserver(() => announced.push(region.textContent)).observe(region, { childList: true });
        }"""
    )
    seen.start(Stages=2, Steps_in_each=20, Seconds_in_all=2)
    seen.has_ended("succeeded")
    announced = seen.page.evaluate("announced")
    stages = [f"Task running, stage {n} of 2: Stage {n}" for n in (1, 2)]
    assert announced[-3:] == [*stages, "Task succeeded"]
    assert set(announced[:-3]) <= {"Task queued", "Task running"}
    assert seen.page.locator("#announcement").get_attribute("role") == "status"


def test_everything_has_a_name_for_those_who_do_not_see_it(visit: Open) -> None:
    seen = visit()
    seen.start(Stages=2, Steps_in_each=10, Seconds_in_all=1)
    seen.has_ended("succeeded")
    for name in ("Stage 1", "Stage 2", re.compile("Paced task")):
        expect(seen.page.get_by_role("progressbar", name=name)).to_have_count(1)
    expect(seen.page.get_by_role("list")).to_have_count(1)
    expect(seen.page.get_by_role("region", name=re.compile("Paced task"))).to_have_count(1)


def test_what_the_site_refuses_is_said_at_the_form(visit: Open) -> None:
    seen = visit(forgiving=True)  # a browser says every 422 in its console
    seen.start(Stages=2, Fail_in_stage=5)
    alert = seen.page.get_by_role("alert")
    expect(alert).to_contain_text("fail_at")
    expect(alert).to_contain_text("from 1 to 2")
    expect(seen.page.get_by_role("button", name="Start")).to_be_enabled()
    assert len(seen.errors) == 1
    assert "422" in seen.errors[0]


def test_a_task_that_is_not_there_is_said_to_be_so(visit: Open) -> None:
    seen = visit("/?task=unknown", forgiving=True)  # a browser says every 404 in its console
    expect(seen.page.locator("#notice")).to_contain_text("There is no such task")
    assert all("404" in error for error in seen.errors)


def test_markup_in_a_tasks_address_stays_text(visit: Open) -> None:
    seen = visit("/?task=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", forgiving=True)
    seen.page.wait_for_load_state("networkidle")
    expect(seen.page.locator("img")).to_have_count(0)
    expect(seen.page.get_by_role("button", name="Start")).to_be_enabled()
    assert "/x" not in [path for _, path in seen.asked()]


def test_no_policy_is_needed_that_would_let_in_the_code_of_others(visit: Open) -> None:
    answer = visit().page.request.get(visit().web.url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_is_usable_on_a_narrow_screen(visit: Open) -> None:
    seen = visit()
    seen.page.set_viewport_size({"width": 320, "height": 640})
    seen.start(Stages=2, Steps_in_each=10, Seconds_in_all=0.5)
    seen.has_ended("succeeded")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_page_survives_its_server_and_shows_what_came_meanwhile(browser: Browser) -> None:
    with demonstration() as web:
        seen = Visit(browser.new_page(), web)
        seen.page.goto(web.url)
        seen.start(Stages=2, Steps_in_each=20, Seconds_in_all=3)
        expect(seen.stages.first).to_contain_text(re.compile(r"[5-9] of 20"), timeout=SECONDS)
        web.kill()
        expect(seen.page.locator("#notice")).to_contain_text("interrupted")
        expect(seen.stages.first).to_contain_text("of 20")  # what was known stays
        web.start()
        seen.has_ended("succeeded")
        expect(seen.page.locator("#notice")).to_be_hidden()
        assert seen.drawn()[-1] == "done done"
        seen.page.close()
