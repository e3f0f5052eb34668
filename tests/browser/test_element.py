"""<headway-progress>, in every state that it can show."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.element_site import ElementSite, element_site
from tests.browser.states import NOW, RUNNING, STATES, Stage, State, stage, task
from tests.conftest import require
from tests.processes import ROOT, wait_until

AXE = ROOT / "tests/js/node_modules/axe-core/axe.min.js"
VARIANTS = ("full", "stepper", "bar", "compact")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def site() -> Iterator[ElementSite]:
    with element_site() as site:
        yield site


@pytest.fixture
def open_page(browser: Browser, site: ElementSite) -> Iterator[Open]:
    """Tabs of a fresh profile. What they complain about fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC"} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.complaints = complaints
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


@pytest.fixture
def on_stage(page: Page, site: ElementSite) -> Stage:
    return Stage(page, site.url)


def put(page: Page, site: ElementSite, **attributes: str) -> Locator:
    """A page with one element that has these attributes, and a record of what it says and fires."""
    page.goto(site.url)
    page.evaluate(
        """attributes => {
          globalThis.element = document.createElement("headway-progress");
          for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
          globalThis.fired = [];
          for (const name of ["change", "event", "done", "cancel"]) {
            element.addEventListener(`headway:${name}`, ({ detail }) => fired.push([name, detail]));
          }
          document.querySelector("main").append(element);
        }""",
        attributes,
    )
    return page.locator("headway-progress")


def frame(page: Page) -> None:
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


# -- every state -----------------------------------------------------------------------------------

WORDS = {
    "queued": ["Queued", "Waiting for a worker · 12 s"],
    "queued-behind": ["Queued", "2 ahead in line · 12 s"],
    "queued-next": ["Queued", "Next in line · 47 s"],
    "unconfirmed": ["documents.process", "Queued", "Sent, but not heard of yet"],
    "connecting": ["Connecting…"],
    "scheduled": ["Scheduled", "Starts at 15:02"],
    "scheduled-soon": ["Scheduled", "Starts in 12 s"],
    "scheduled-later": ["Scheduled", "Starts at 22 Nov, 14:20"],
    "running": ["Running", "62%", "1 min 42 s elapsed", "about 1 min left", "211 of 340 chunks", "usually 20–40 s"],
    "running-indeterminate": ["Running", "1,204 records"],
    "running-without-stages": ["Running", "Reading the archive"],
    "running-late": ["taking longer than usual"],
    "parallel": ["1,730 of 4,100 frames", "0:41:10", "about 3 min left"],
    "graph": ["Graph", "Code ×3"],
    "retrying": ["Retrying in 8 s", "Rate limited by provider", "attempt 1 failed"],
    "retrying-due": ["Retry due now", "attempt 1 failed"],
    "second-attempt": ["attempt 2 · "],
    "resumed": ["attempt 2, resumed at Chunk · "],
    "cancelling": ["Cancelling…", "goes on until its worker stops it", "62%"],
    "skipped": ["Skipped", "no tables"],
    "succeeded": ["Done", "took 1 min 42 s", "340 of 340 chunks"],
    "failed": ["Failed", "Chunk: The file is encrypted.", "page 7: a table of 40 columns"],
    "failed-without-words": ["Chunk: ValueError"],
    "cancelled": ["Cancelled"],
    "lost": ["Lost", "The worker stopped without a word."],
    "expired": ["Expired", "It was not begun in time."],
    "stalled": ["Stalled", "No sign of life from the worker for 40 s."],
    "reconnecting": [
        "Live updates interrupted — reconnecting. Your job is still running; showing progress as of 12 s ago.",
        "Retry now",
    ],
    "offline": ["You are offline. Your job is still running; showing progress as of 12 s ago."],
    "source-down": ["The server has lost touch with the workers", "as of 12 s ago"],
    "unreachable": ["The server cannot be reached"],
    "unknown": ["Not found", "There is no such job, or its progress is no longer kept."],
    "forbidden": ["No access", "You may not see this job."],
    "access-expired": ["No access", "your access has run out", "211 of 340 chunks"],
    "gap": ["Some updates were missed while disconnected."],
    "many-stages": ["96%", "The last of them"],
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_each_state_is_said_in_words(on_stage, name):
    on_stage.show(name)
    for words in WORDS[name]:
        expect(on_stage.page.locator("headway-progress")).to_contain_text(words)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(open_page, site, scheme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm --prefix tests/js ci")
    page = open_page(color_scheme=scheme)
    page.add_init_script(path=AXE)
    on_stage = Stage(page, site.url)
    found = []
    for name in STATES:
        for variant in VARIANTS if name in {"running", "reconnecting", "failed"} else ("full",):
            on_stage.show(name, variant)
            page.evaluate(
                "element.shadowRoot.querySelectorAll('details').forEach((each) => (each.open = true))"
            )
            frame(page)
            result = page.evaluate("rules => axe.run({ runOnly: rules })", RULES)
            found += [
                (name, variant, each["id"], each["nodes"][0]["html"])
                for each in result["violations"]
            ]
    assert found == []


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_no_state_is_wider_than_the_smallest_screen(open_page, site, direction):
    on_stage = Stage(open_page(viewport={"width": 320, "height": 600}), site.url)
    on_stage.page.evaluate("direction => (document.dir = direction)", direction)
    wide = []
    for name in STATES:
        for variant in VARIANTS:
            on_stage.show(name, variant)
            if on_stage.page.evaluate("document.documentElement.scrollWidth") > 320:
                wide.append((name, variant))
    assert wide == []


def test_the_palette_of_the_page_is_that_of_the_element():
    def palette(file: str) -> dict[str, str]:
        text = (ROOT / "headway/static" / file).read_text()
        return dict(re.findall(r"--headway-(\w+)[:,] (light-dark\(.*?\))", text))

    of_page = palette("headway.css")
    assert of_page.pop("bg")  # the element has none of its own
    assert of_page == palette("element.js")


def test_a_theme_is_taken_from_the_system_the_page_or_the_element(open_page, site):
    page = open_page(color_scheme="dark")
    on_stage = Stage(page, site.url)
    on_stage.show("running")
    color = "getComputedStyle(element).color"
    dark, light = "rgb(230, 237, 246)", "rgb(15, 23, 42)"
    assert page.evaluate(color) == dark
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert page.evaluate(color) == light
    page.evaluate("element.dataset.theme = 'dark'")
    assert page.evaluate(color) == dark


def test_from_right_to_left_everything_is_mirrored(on_stage):
    page = on_stage.page
    page.evaluate("document.dir = 'rtl'")
    on_stage.show("graph")
    page.get_by_text("Timeline").click()
    box = lambda selector: page.locator(selector).first.bounding_box()  # noqa: E731
    bar, fill = box("[part~=bar]"), box("[part=fill]")
    assert fill["x"] == pytest.approx(
        bar["x"] + 0.52 * bar["width"], abs=2
    )  # of 48 %, the right end shows
    assert box(".stage > .icon")["x"] > box(".stage .label")["x"]
    nodes = page.locator(".node").evaluate_all(
        "all => all.map((node) => node.getBoundingClientRect().x)"
    )
    assert nodes[0] == max(nodes)
    assert nodes[-1] == min(nodes)
    assert box(".lane .span")["width"] > 5
    lanes = page.locator(".lane .span").evaluate_all(
        "all => all.map((span) => span.getBoundingClientRect().right)"
    )
    assert lanes[0] == max(lanes) > 0


def test_nothing_moves_for_who_wants_no_motion(open_page, site):
    moving = "element.shadowRoot.getAnimations().length"
    for motion, moves in [("no-preference", True), ("reduce", False)]:
        on_stage = Stage(open_page(reduced_motion=motion), site.url)
        on_stage.show("running-indeterminate")
        assert (on_stage.page.evaluate(moving) > 0) is moves
    expect(on_stage.page.locator("[part~=status]")).to_have_text("Running")


def test_forced_colours_keep_bars_apart_from_their_tracks(open_page, site):
    on_stage = Stage(open_page(forced_colors="active"), site.url)
    on_stage.show("running")
    styles = on_stage.page.evaluate(
        """() => [".bar", ".fill"].map((name) => {
          const style = getComputedStyle(element.shadowRoot.querySelector(name));
          return [style.backgroundColor, style.borderTopWidth];
        })"""
    )
    (track, border), (fill, _) = styles
    assert track != fill
    assert border == "1px"


# -- what a progress bar tells ---------------------------------------------------------------------


def test_a_bar_has_a_name_and_says_how_far_it_is(on_stage):
    on_stage.show("running")
    bars = on_stage.page.get_by_role("progressbar")
    whole = bars.and_(on_stage.page.get_by_label("invoice-2026-11.pdf"))
    expect(whole).to_have_attribute("aria-valuenow", "62")
    expect(whole).to_have_attribute("aria-valuetext", "62 percent, Step 3 of 5: Chunk")
    chunk = bars.and_(on_stage.page.get_by_label("Chunk"))
    expect(chunk).to_have_attribute("aria-valuenow", "62")
    expect(chunk).to_have_attribute("aria-valuetext", "211 of 340 chunks")
    expect(bars).to_have_count(2)
    expect(on_stage.page.locator("[aria-current=step]")).to_have_count(1)


def test_a_bar_without_a_total_claims_no_value(on_stage):
    on_stage.show("running-indeterminate")
    bars = on_stage.page.get_by_role("progressbar")
    expect(bars).to_have_count(2)
    for bar in bars.all():
        assert bar.get_attribute("aria-valuenow") is None
        assert bar.get_attribute("aria-valuetext")


def test_a_bar_never_says_more_than_is_done(on_stage):
    page = on_stage.page
    on_stage.show("running")
    page.evaluate("element.state = { ...element.state, progress: 0.9999 }")
    expect(page.locator("[part=facts]")).to_contain_text("99%")
    page.evaluate("element.state = { ...element.state, progress: 7 }")
    expect(page.locator("[part=facts]")).to_contain_text("100%")


# -- announcements ---------------------------------------------------------------------------------


class Listener:
    """What a screen reader hears, on a clock of its own."""

    def __init__(self, page: Page, site: ElementSite) -> None:
        self.page = page
        page.clock.install(time=datetime.fromtimestamp(NOW - 60, UTC))
        put(page, site)
        page.clock.pause_at(datetime.fromtimestamp(NOW, UTC))
        page.evaluate("globalThis.heard = []")
        self.show(RUNNING)
        page.evaluate(
            """() => {
              for (const name of ["live", "alert"]) {
                const region = element.shadowRoot.querySelector(`.${name}`);
                if (region.textContent) heard.push(`at first: ${region.textContent}`);
                new MutationObserver(() => heard.push(`${name}: ${region.textContent}`)).observe(region, { childList: true });
              }
            }"""
        )

    def show(self, state: State, seconds: float = 2) -> None:
        self.page.evaluate("state => (element.state = state)", state)
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        self.page.clock.run_for(int(seconds * 1000))

    def heard(self) -> list[str]:
        return self.page.evaluate("heard.splice(0)")


@pytest.fixture
def listener(page: Page, site: ElementSite) -> Listener:
    return Listener(page, site)


def test_a_transition_is_said_once_and_a_tick_never(listener):
    for current in range(212, 230):
        stages = [
            each | {"current": current} if each["key"] == "chunk" else each
            for each in RUNNING["stages"]
        ]
        listener.show(RUNNING | {"stages": stages}, 0.1)
    listener.wait(20)
    assert listener.heard() == []
    statuses = ["done", "done", "done", "running", "waiting"]
    stages = [
        each | {"status": status} for each, status in zip(RUNNING["stages"], statuses, strict=True)
    ]
    listener.show(RUNNING | {"stages": stages})
    assert listener.heard() == ["live: Chunk: Done. Step 4 of 5: Enrich"]
    listener.wait(60)
    assert listener.heard() == []


def test_what_happens_quickly_is_said_together(listener):
    keys = "abcdefgh"
    for i, _ in enumerate(keys):
        stages = [
            stage(key, "done" if j < i else "running" if j == i else "waiting")
            for j, key in enumerate(keys)
        ]
        listener.show(RUNNING | {"stages": stages}, 0.2)
    listener.wait(5)
    heard = listener.heard()
    assert len(heard) <= 3
    assert heard[-1].endswith("Step 8 of 8: H")


def test_percentages_are_said_at_quarters_and_ten_seconds_apart(listener):
    bare = task("running", progress=0.1, started_at=5)
    listener.show(bare)
    listener.heard()
    for percent in range(10, 100, 2):
        listener.show(bare | {"progress": percent / 100}, 1)
    assert listener.heard() == ["live: 25 percent", "live: 50 percent", "live: 75 percent"]
    listener.show(bare | {"progress": 0.1, "attempt": 2})
    listener.heard()
    for percent in range(10, 100, 10):
        listener.show(bare | {"progress": percent / 100, "attempt": 2}, 0.5)
    listener.wait(30)
    heard = listener.heard()
    assert 1 <= len(heard) <= 2


def test_the_end_is_said_and_a_failure_alerts_once(listener):
    listener.show(STATES["succeeded"])
    assert listener.heard() == ["live: invoice-2026-11.pdf: Done · took 1 min 42 s"]
    listener.show(RUNNING)
    listener.heard()
    listener.show(STATES["failed"])
    listener.show(STATES["failed"] | {"updated_at": NOW})
    listener.wait(30)
    assert listener.heard() == ["alert: invoice-2026-11.pdf: Failed. Chunk: The file is encrypted."]


def test_a_retry_and_a_stall_are_said(listener):
    listener.show(STATES["retrying"] | {"due_at": NOW + 60})
    (said,) = listener.heard()
    assert re.fullmatch(r"live: .*Retrying in \d+ s", said)
    listener.show(RUNNING)
    listener.heard()
    listener.show(RUNNING | {"stalled": True, "updated_at": NOW - 40})
    (said,) = listener.heard()
    assert said.startswith("live: No sign of life from the worker for")
    listener.show(RUNNING)
    assert listener.heard() == ["live: Running"]


def test_a_connection_that_is_back_within_two_seconds_is_not_worth_a_word(listener):
    listener.show(RUNNING | {"link": "reconnecting"}, 1.9)
    expect(listener.page.locator("[part~=notice]")).to_be_hidden()
    listener.show(RUNNING, 10)
    assert listener.heard() == []
    listener.show(RUNNING | {"link": "reconnecting"}, 2.2)
    expect(listener.page.locator("[part~=notice]")).to_be_visible()
    listener.wait(30)
    (said,) = listener.heard()
    assert said.startswith("live: Live updates interrupted")
    listener.show(RUNNING)
    assert listener.heard() == ["live: Live updates are back."]


def test_that_its_end_was_asked_for_is_said_once(listener):
    listener.show(RUNNING | {"cancelling": True})
    assert listener.heard() == ["live: Cancelling…"]
    listener.wait(30)
    assert listener.heard() == []


def test_a_quiet_element_says_nothing(listener):
    listener.page.evaluate("element.setAttribute('quiet', '')")
    listener.show(STATES["retrying"])
    listener.show(STATES["failed"])
    assert listener.heard() == []


# -- time ------------------------------------------------------------------------------------------


def test_clocks_run_and_stand_still_while_nothing_is_heard(listener):
    facts = listener.page.locator("[part=facts]")
    listener.wait(3)
    before = facts.text_content()
    listener.wait(3)
    assert facts.text_content() != before
    listener.show(RUNNING | {"link": "offline"}, 3)
    before = facts.text_content()
    listener.wait(60)
    assert facts.text_content() == before
    expect(listener.page.locator("[part=said]")).to_contain_text(
        re.compile(r"as of 1 min 0\d s ago")
    )


def test_clocks_go_by_the_servers_time(listener):
    ahead = 3600
    state = task("running", started_at=-ahead + 5) | {"clock_offset": ahead}
    listener.show(state, 1)
    expect(listener.page.locator("[part=facts]")).to_have_text(re.compile(r"^\d+ s elapsed$"))


def test_a_countdown_counts_down(listener):
    listener.show(STATES["retrying"] | {"due_at": NOW + 30}, 1)
    word = listener.page.locator("[part=word]")
    first = int(re.search(r"\d+", word.text_content()).group())
    listener.wait(5)
    assert int(re.search(r"\d+", word.text_content()).group()) == first - 5
    listener.wait(60)
    expect(word).to_have_text("Retry due now")


def test_a_countdown_is_not_said_each_second(listener):
    bar = listener.page.locator("[part~=bar]").first
    retrying = task("retrying", stage("read"), due_at=-30)
    listener.show(retrying)
    (said,) = listener.heard()
    assert re.fullmatch(r"live: Retrying in \d+ s", said)
    listener.wait(60)
    assert listener.heard() == []
    expect(bar).to_have_attribute("aria-valuetext", "Waiting to retry")
    listener.show(task("scheduled", due_at=-120))
    listener.heard()
    listener.wait(60)
    expect(listener.page.locator("[part=facts]")).to_have_text("Due now")
    assert listener.heard() == []


def test_what_is_due_later_has_a_time_of_day_until_it_is_near(listener):
    facts = listener.page.locator("[part=facts]")
    now = listener.page.evaluate("Date.now() / 1000")
    listener.show(STATES["scheduled"] | {"due_at": now + 200})
    expect(facts).to_have_text("Starts at 14:23")
    listener.wait(120)
    expect(facts).to_have_text(re.compile(r"Starts in [78]\d s|Starts in 1 min \d\d s"))


def test_nothing_ticks_when_nothing_goes_on(page, site):
    page.add_init_script(
        "globalThis.set = setInterval; globalThis.setInterval = (...args) => { globalThis.ticks = true; return set(...args); }"
    )
    put(page, site)
    for name in ("connecting", "succeeded", "failed", "cancelled", "unknown", "lost"):
        page.evaluate("state => (element.state = state)", STATES[name])
        frame(page)
        assert page.evaluate("globalThis.ticks") is None, name
    page.evaluate("state => (element.state = state)", STATES["scheduled-soon"])
    frame(page)
    assert page.evaluate("globalThis.ticks")


def test_an_estimate_does_not_flicker(listener):
    left = listener.page.locator("[part=remaining]")
    said = set()
    for i in range(20):
        now = listener.page.evaluate("Date.now() / 1000")
        listener.show(RUNNING | {"remaining": 55 if i % 2 else 130, "updated_at": now}, 0.5)
        said.add(left.text_content())
    assert len(said) <= 3


def test_one_clock_serves_all_elements_and_rests_when_nobody_looks(page, site):
    page.add_init_script(
        """(() => {
          const { setInterval: set, clearInterval: clear } = globalThis;
          globalThis.clocks = new Set();
          globalThis.setInterval = (...args) => { const id = set(...args); clocks.add(id); return id; };
          globalThis.clearInterval = (id) => { clocks.delete(id); clear(id); };
        })()"""
    )
    put(page, site)
    clocks = lambda: page.evaluate("clocks.size")  # noqa: E731
    assert clocks() == 0
    page.evaluate(
        """state => {
          element.state = state;
          for (let i = 0; i < 9; i++) {
            const other = document.createElement("headway-progress");
            other.state = state;
            document.querySelector("main").append(other);
          }
        }""",
        RUNNING,
    )
    frame(page)
    assert clocks() == 1
    look = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(look, True)
    assert clocks() == 0
    page.evaluate(look, False)
    assert clocks() == 1
    page.evaluate("document.querySelectorAll('headway-progress').forEach((each) => each.remove())")
    frame(page)
    assert clocks() == 0


def test_an_element_that_goes_before_it_is_drawn_leaves_no_clock_behind(page, site):
    put(page, site)
    kept = page.evaluate(
        """async (state) => {
          const clocks = new Set();
          const { setInterval: set, clearInterval: clear } = globalThis;
          globalThis.setInterval = (...args) => { const id = set(...args); clocks.add(id); return id; };
          globalThis.clearInterval = (id) => { clocks.delete(id); clear(id); };
          element.state = state;
          element.remove();
          for (let i = 0; i < 3; i++) await new Promise((done) => requestAnimationFrame(done));
          return clocks.size;
        }""",
        RUNNING,
    )
    assert kept == 0


# -- the connection --------------------------------------------------------------------------------


def snapshot(id: str, state: State, seq: int = 1) -> dict[str, Any]:
    told = {key: value for key, value in state.items() if key not in {"link", "server_live"}}
    return {
        "id": f"{seq}-1",
        "type": "snapshot",
        "task": id,
        "at": NOW,
        "v": 1,
        "state": told | {"task": id},
    }


def test_a_task_and_nothing_else_is_enough(page, site):
    site.answers["t1"] = [
        snapshot("t1", RUNNING),
        {
            "id": "2-1",
            "type": "emitted",
            "task": "t1",
            "at": NOW,
            "name": "token",
            "data": {"text": "hello"},
        },
        {
            "id": "3-1",
            "type": "finished",
            "task": "t1",
            "at": NOW,
            "status": "succeeded",
            "result": 1,
        },
    ]
    element = put(page, site, task="t1")
    expect(element.locator("[part~=status]")).to_have_text("Done")
    fired = page.evaluate("fired")
    assert [name for name, _ in fired if name != "change"] == ["event", "done"]
    assert dict(fired)["event"]["data"] == {"text": "hello"}
    assert page.evaluate("element.state.status") == "succeeded"


def test_an_event_of_the_tasks_own_may_be_put_into_words(page, site):
    site.answers["t1"] = [
        snapshot("t1", RUNNING),
        {
            "id": "2-1",
            "type": "emitted",
            "task": "t1",
            "at": NOW,
            "name": "token",
            "data": {"text": "hello"},
        },
    ]
    site.answers["t2"] = [snapshot("t2", RUNNING)]
    element = put(page, site, task="t1")
    expect(element.locator("[part=event]")).to_have_text("")
    page.evaluate("element.texts = { event: ({ name, data }) => `${name}: ${data.text}` }")
    page.evaluate("element.task = 't2'")
    page.evaluate("element.task = 't1'")
    expect(element.locator("[part=event]")).to_have_text("token: hello")


@pytest.mark.parametrize(
    ("status", "words"), [(404, "Not found"), (403, "No access"), (401, "No access")]
)
def test_a_refusal_is_shown_as_what_it_is(page, site, status, words):
    site.answers["t2"] = status
    element = put(page, site, task="t2", cancel="")
    expect(element.locator("[part~=status]")).to_have_text(words)
    expect(element.get_by_role("button", name="Cancel")).to_be_hidden()
    page.complaints.clear()  # the browser says that it was refused; so it was
    site.answers["t2"] = [snapshot("t2", RUNNING)]
    element.get_by_role("button", name="Retry now").click()
    expect(element.locator("[part~=status]")).to_have_text("Running")


def test_a_cut_connection_is_announced_after_a_while_and_comes_back(page, site):
    site.answers["t3"] = [snapshot("t3", RUNNING)]
    element = put(page, site, task="t3")
    expect(element.locator("[part~=status]")).to_have_text("Running")
    page.context.set_offline(True)
    site.cut()
    expect(element.locator("[part=said]")).to_contain_text("You are offline", timeout=10_000)
    expect(element.locator("[part~=stage]")).to_have_count(5)  # dimmed, not gone
    site.answers["t3"] = 503
    page.context.set_offline(False)
    expect(element.locator("[part=said]")).to_contain_text("reconnecting", timeout=10_000)
    site.answers["t3"] = [snapshot("t3", RUNNING)]
    element.get_by_role("button", name="Retry now").click()
    expect(element.locator("[part~=notice]")).to_be_hidden(timeout=10_000)
    page.complaints.clear()  # the browser says each time that it could not connect


def test_a_state_from_the_server_is_shown_before_anything_is_fetched(page, site):
    page.goto(site.url)
    site.answers["t4"] = []
    page.evaluate(
        """state => {
          const element = document.createElement("headway-progress");
          const seed = document.createElement("script");
          seed.type = "application/json";
          seed.textContent = JSON.stringify(state);
          element.append(seed);
          element.setAttribute("task", "t4");
          document.querySelector("main").append(element);
        }""",
        RUNNING | {"task": "t4"},
    )
    expect(page.locator("[part~=title]")).to_have_text("invoice-2026-11.pdf")


def test_another_task_begins_anew(page, site):
    site.answers |= {
        "t5": [snapshot("t5", RUNNING)],
        "t6": [snapshot("t6", STATES["graph"] | {"title": "six"})],
    }
    element = put(page, site, task="t5")
    expect(element.locator("[part=title]")).to_have_text("invoice-2026-11.pdf")
    page.evaluate("element.task = 't6'")
    expect(element.locator("[part=title]")).to_have_text("six")
    expect(element.locator("[part~=stage]")).to_have_count(8)


def test_a_state_set_before_the_element_is_known_is_not_lost(page, site):
    page.route("**/element.js", lambda route: page.wait_for_timeout(300) or route.continue_())
    page.goto(site.url, wait_until="commit")
    page.wait_for_selector("main")
    page.evaluate(
        """state => {
          const element = document.createElement("headway-progress");
          element.state = state;
          element.texts = { running: "At it" };
          document.querySelector("main").append(element);
        }""",
        RUNNING,
    )
    expect(page.locator("[part~=status]")).to_have_text("At it")


def test_a_task_is_cancelled_when_that_is_allowed(page, site):
    site.answers |= {"t7": [snapshot("t7", RUNNING)], "/headway/tasks/t7/cancel": 202}
    element = put(page, site, task="t7", token="secret")
    expect(element.locator("[part~=status]")).to_have_text("Running")
    expect(element.get_by_role("button", name="Cancel")).to_be_hidden()
    page.evaluate("element.setAttribute('cancel', '')")
    element.get_by_role("button", name="Cancel").click()
    expect(element.locator("[part~=status]")).to_have_text("Cancelling…")
    expect(element.get_by_role("button", name="Cancel")).to_be_hidden()
    wait_until(lambda: ("/headway/tasks/t7/cancel", "Bearer secret") in site.asked)
    page.evaluate("element.shadowRoot.querySelector('.cancel').click()")
    assert site.asked.count(("/headway/tasks/t7/cancel", "Bearer secret")) == 1
    page.evaluate("state => (element.state = state)", STATES["cancelled"])
    expect(element.locator("[part~=status]")).to_have_text("Cancelled")
    expect(element.get_by_role("button")).to_have_count(0)
    assert page.evaluate("element.shadowRoot.activeElement?.className").startswith(
        "base"
    )  # not lost to the page


def test_who_is_asked_to_end_goes_on_until_it_has(page, site):
    """What nothing can stop may even succeed; the next attempt was not asked."""
    put(page, site, cancel="")
    show = lambda **more: page.evaluate("state => (element.state = state)", RUNNING | more)  # noqa: E731
    status, cancel = page.locator("[part~=status]"), page.get_by_role("button", name="Cancel")
    show(cancelling=True)
    expect(status).to_have_text("Cancelling…")
    expect(cancel).to_be_hidden()
    expect(page.locator("[part~=stage] >> nth=2")).to_contain_text("211 of 340 chunks")
    show(cancelling=True, stalled=True)
    expect(status).to_have_text("Stalled")
    expect(cancel).to_be_hidden()
    page.evaluate("element.cancelTask()")
    assert "cancel" not in [name for name, _ in page.evaluate("fired")]
    show(attempt=2)
    expect(status).to_have_text("Running")
    expect(cancel).to_be_visible()
    show(cancelling=True)
    page.evaluate("state => (element.state = state)", STATES["succeeded"])
    expect(status).to_have_text("Done")


def test_another_task_was_not_asked_to_end(page, site):
    site.answers |= {
        "ta": [snapshot("ta", RUNNING)],
        "tb": [snapshot("tb", RUNNING)],
        "/headway/tasks/ta/cancel": 202,
    }
    element = put(page, site, task="ta", cancel="")
    element.get_by_role("button", name="Cancel").click()
    expect(element.locator("[part~=status]")).to_have_text("Cancelling…")
    page.evaluate("element.task = 'tb'")
    expect(element.locator("[part~=status]")).to_have_text("Running")
    expect(element.get_by_role("button", name="Cancel")).to_be_visible()


def test_a_cancel_that_is_refused_says_so_and_can_be_tried_again(page, site):
    site.answers["t8"] = [snapshot("t8", RUNNING)]
    element = put(page, site, task="t8", cancel="")
    element.get_by_role("button", name="Cancel").click()
    expect(element.get_by_role("status")).to_contain_text("It could not be cancelled.")
    expect(element.locator("[part~=event]")).to_have_text("It could not be cancelled.")
    expect(element.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    page.complaints.clear()  # the 404


def test_a_page_may_ask_first_before_it_cancels(page, site):
    site.answers["t9"] = [snapshot("t9", RUNNING)]
    element = put(page, site, task="t9", cancel="")
    page.evaluate("element.addEventListener('headway:cancel', (event) => event.preventDefault())")
    element.get_by_role("button", name="Cancel").click()
    assert ["cancel", {"task": "t9"}] in page.evaluate("fired")
    assert not [path for path, _ in site.asked if "t9/cancel" in path]


# -- keyboard, words, and what is not to be trusted ------------------------------------------------


def test_everything_can_be_reached_and_used_from_the_keyboard_in_order(page, site):
    put(page, site, cancel="")
    page.evaluate("state => (element.state = state)", STATES["graph"] | {"link": "reconnecting"})
    expect(page.locator("[part~=notice]")).to_be_visible(timeout=5000)
    expect(page.locator(".node")).to_have_count(8)
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("element.shadowRoot.activeElement.className"))
    assert reached == ["cancel", "reconnect", "graph-summary", "scroller", "timeline-summary"]
    page.keyboard.press("Enter")
    expect(page.locator(".lane")).to_have_count(5)


def test_every_text_can_be_said_otherwise(on_stage, site):
    page = on_stage.page
    on_stage.show("running")
    names = page.evaluate(
        "import('/headway/static/element.js').then(({ texts }) => Object.keys(texts))"
    )
    page.evaluate(
        "names => (element.texts = Object.fromEntries(names.map((name) => [name, '¤'])))", names
    )
    for name in STATES:
        page.evaluate(
            "state => (element.state = state)", STATES[name] | {"title": None, "name": None}
        )
        frame(page)
        texts = page.evaluate(
            """() => {
              const walker = document.createTreeWalker(element.shadowRoot, NodeFilter.SHOW_TEXT);
              const texts = [];
              while (walker.nextNode()) texts.push(walker.currentNode.data);
              for (const node of element.shadowRoot.querySelectorAll("[aria-label], [aria-valuetext]")) {
                texts.push(node.getAttribute("aria-label"), node.getAttribute("aria-valuetext"));
              }
              return texts.filter(Boolean);
            }"""
        )
        told = {each["message"] for each in STATES[name]["stages"] if each.get("message")}
        told |= {(STATES[name].get("error") or {}).get("message"), STATES[name].get("message")} - {
            None
        }
        for text in texts:
            for mine in told:
                text = text.replace(mine, "")
            assert not re.search(r"[A-Za-z]", text.replace("×3", "")), (name, text)


def test_texts_for_the_whole_page_are_set_once(page, site):
    put(page, site)
    page.evaluate(
        """async state => {
          const { HeadwayProgress } = await import("/headway/static/element.js");
          HeadwayProgress.texts.running = "Läuft";
          element.setAttribute("locale", "de");
          element.texts = { label: ({ key, label }) => ({ chunk: "Zerteilen" })[key] ?? label };
          element.state = state;
        }""",
        RUNNING,
    )
    expect(page.locator("[part~=status]")).to_have_text("Läuft")
    expect(page.locator("[part~=stage] >> nth=2")).to_contain_text("Zerteilen")


HOSTILE = [
    "<img src=x onerror=hacked()>",
    "</style><script>hacked()</script>",
    "<svg/onload=hacked()>",
    "javascript:hacked()",
    "\"><iframe srcdoc='<script>parent.hacked()</script>'>",
    "{label}{message}{constructor}",
    "constructor",
    "__proto__",
    "url(javascript:hacked()); } * { display: none",
    "\u202eevil\u2066",
    "𝕏" * 2000,
    "a" * 2000,
    "\x00\x1b[31m",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_task_says_is_text_and_nothing_else(on_stage, text):
    page = on_stage.page
    page.evaluate("() => { globalThis.hacked = () => (globalThis.got = true); }")
    on_stage.show("graph")
    clean = page.evaluate("element.shadowRoot.querySelectorAll('*').length")
    hostile = json.loads(json.dumps(STATES["graph"]))
    hostile |= {"title": text, "name": text, "message": text, "task": text, "worker": text}
    hostile["error"] = {"type": text, "message": text, "stage": text}
    for each in hostile["stages"]:
        each |= {"label": text, "message": text, "unit": text, "current": 1, "total": 3}
    page.set_viewport_size({"width": 320, "height": 600})
    for status in ("running", "failed", "retrying", "lost", text):
        page.evaluate("state => (element.state = state)", hostile | {"status": status})
        frame(page)
        assert page.locator("[part=title]").evaluate("node => node.textContent") == text.replace(
            "\x00", "\x00"
        )
        assert page.evaluate("element.shadowRoot.querySelectorAll('*').length") <= clean
        assert (
            page.evaluate(
                "element.shadowRoot.querySelectorAll('script, img, iframe, a, [style*=url]').length"
            )
            == 0
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    keyed = [
        each | {"key": f"{text}{i}" if i else text, "needs": []}
        for i, each in enumerate(hostile["stages"])
    ]
    keyed[1]["needs"] = [text, "nobody"]
    page.evaluate(
        "state => (element.state = state)", hostile | {"status": "running", "stages": keyed}
    )
    frame(page)
    expect(page.locator("[part~=stage]")).to_have_count(8)
    assert page.evaluate("globalThis.got") is None


def test_a_graph_that_goes_in_a_circle_is_drawn_all_the_same(on_stage):
    page = on_stage.page
    on_stage.show("graph")
    stages = [
        stage("a", needs=["c"]),
        stage("b", needs=["a"]),
        stage("c", needs=["b"]),
        stage("d", needs=["d"]),
    ]
    page.evaluate("state => (element.state = state)", task("running", *stages))
    expect(page.locator(".node")).to_have_count(4)
    expect(page.locator(".edge")).to_have_count(2)


def test_stages_that_go_or_change_places_keep_their_nodes(on_stage):
    page = on_stage.page
    on_stage.show("running")
    page.evaluate("globalThis.rows = [...element.shadowRoot.querySelectorAll('.stage')]")
    stages = RUNNING["stages"]
    page.evaluate(
        "state => (element.state = state)",
        RUNNING | {"stages": [stages[2], stages[0], stage("new")]},
    )
    expect(page.locator("[part~=stage]")).to_have_text(
        [re.compile("^Chunk"), re.compile("^Upload"), re.compile("^New")]
    )
    assert page.evaluate(
        "[...element.shadowRoot.querySelectorAll('.stage')].map((row) => rows.indexOf(row))"
    ) == [2, 0, -1]


def test_it_can_be_imported_where_there_is_no_page():
    script = "import('./element.js').then(({ HeadwayProgress }) => console.log(HeadwayProgress.observedAttributes.length))"
    done = subprocess.run(
        [require("node"), "-e", script],
        cwd=ROOT / "headway/static",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("8", "")


# -- many ------------------------------------------------------------------------------------------

BUILD = """([count, variant, state]) => {
  const main = document.querySelector("main");
  globalThis.all = Array.from({ length: count }, () => {
    const element = document.createElement("headway-progress");
    element.setAttribute("variant", variant);
    element.setAttribute("quiet", "");
    element.state = state;
    main.append(element);
    return element;
  });
}"""
# Faster than they can be drawn, then for as long as drawing what is left takes.
UPDATE = """async ([state, turns]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  for (let turn = 1; turn <= turns; turn++) {
    for (const element of all) {
      const stages = state.stages.map((stage) => stage.status === "running" ? { ...stage, current: turn } : stage);
      element.state = { ...state, stages, progress: turn / turns, updated_at: Date.now() / 1000 };
    }
    await frame();
  }
  const last = () => new Set(all.map((each) => each.shadowRoot.querySelector(".bar")?.getAttribute("aria-valuetext")));
  for (let left = 500; last().size > 1 && left; left--) await frame();
}"""


@pytest.mark.parametrize("variant", ["compact", "full"])
def test_five_hundred_of_them_are_all_drawn(page, site, variant):
    """However many updates come, nobody is left behind. `python -m benchmarks browser` measures what it costs."""
    page.goto(site.url)
    page.evaluate(BUILD, [500, variant, RUNNING])
    page.evaluate(UPDATE, [RUNNING, 20])
    drawn = page.evaluate(
        "all.map((each) => each.shadowRoot.querySelector('.bar').getAttribute('aria-valuetext'))"
    )
    assert set(drawn) == {drawn[0]}


WEIGH = """
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { minify } from "terser";
const [folder, ...names] = process.argv.slice(1);
const read = (name) => readFileSync(`${folder}/${name}`, "utf8");
const whole = names.map(read).join("\\n").replace(/^import .*;$/gm, "").replace(/^export (?!class|function drawGraph)/gm, "");
const { code } = await minify(whole, { module: true, ecma: 2022, compress: { passes: 3 } });
console.log(gzipSync(code, { level: 9 }).length + gzipSync(read("headway.css"), { level: 9 }).length);
"""


@pytest.mark.parametrize(
    ("names", "most"),
    [(["nodes.js", "element.js"], 10_240), (["nodes.js", "element.js", "graph.js"], 11_500)],
    ids=["at first", "with a graph"],
)
def test_a_bundle_with_its_stylesheet_stays_small(names, most):
    node, tests = require("node"), ROOT / "tests/js"
    if not (tests / "node_modules/terser").exists():
        pytest.skip("terser is not installed: npm --prefix tests/js ci")
    command = [node, "--input-type=module", "-e", WEIGH, str(ROOT / "headway/static"), *names]
    weighed = subprocess.run(
        command, cwd=tests, capture_output=True, text=True, timeout=60, check=True
    )
    print(int(weighed.stdout), "bytes")
    assert int(weighed.stdout) < most
