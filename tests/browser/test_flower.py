"""Progress in a real Flower, seen in Chromium: it moves by itself, and Flower's own ways are what they were."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.flowers import APP, Flower, allow, sender
from tests.processes import RedisServer, Worker, wait_until

LONG = 20_000  # milliseconds


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture(scope="module")
def worker(broker: str) -> Iterator[Worker]:
    args = ("-E", "--without-gossip", "--without-mingle")
    env = {"HEADWAY_PAGE": "http://site.example/tasks/{task}"}
    with Worker("prefork", broker, app=APP, concurrency=6, args=args, env=env) as worker:
        yield worker


@pytest.fixture(scope="module")
def flower(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flower]:
    db = tmp_path_factory.mktemp("flower") / "db"
    with Flower(broker, "--persistent", f"--db={db}") as flower:
        yield flower


@pytest.fixture
def send(broker: str, worker: Worker, flower: Flower) -> Iterator[Callable[..., str]]:
    """Start tasks that may take no step yet; in the end they may take all."""
    allow(broker, 0)
    sent: list[str] = []
    with sender(broker) as app:

        def send(task: str = "steps", **kwargs: int) -> str:
            sent.append(str(app.send_task(f"tests.{task}", kwargs=kwargs).id))
            return sent[-1]

        yield send
    allow(broker, 1000)
    ended = {"SUCCESS", "REVOKED"}
    wait_until(lambda: {flower.api(f"task/info/{id}")["state"] for id in sent} <= ended, 20)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab. What it complains about fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()
    # A server that is stopped by a test is no fault of the page.
    assert [each for each in complaints if "net::ERR_" not in each] == []


def row(page: Page, id: str) -> Locator:
    return page.locator(f'#tasks-table tr[id="{id}"]')


def at(where: Locator | Page, what: str) -> None:
    """Wait until the row says it below its bar."""
    expect(where.locator("[part~=facts]")).to_contain_text(what, timeout=LONG)


def bar(where: Locator) -> int:
    said = where.locator("headway-progress [part~=base] > [part~=bar]")
    return int(said.get_attribute("aria-valuenow") or 0)


def state(where: Locator) -> Locator:
    return where.locator(".badge")


def mark(page: Page) -> None:
    page.evaluate("window.notReloaded = true")


def reloaded(page: Page) -> bool:
    return not page.evaluate("window.notReloaded")


def test_bars_move_in_the_list_and_new_tasks_come_into_it_without_a_reload(
    page: Page, broker: str, flower: Flower, send: Callable[..., str]
) -> None:
    page.goto(f"{flower.url}/tasks")
    expect(page.locator("#tasks-table tbody")).to_be_visible()
    mark(page)
    ids = [send() for _ in range(5)]
    bars = [0] * 5
    for allowed, where in ((4, "Read · 4 of 10"), (13, "Write · 3 of 10")):
        allow(broker, allowed)
        for id in ids:
            at(row(page, id), where)
            expect(state(row(page, id))).to_have_text("STARTED")
        before, bars = bars, [bar(row(page, id)) for id in ids]
        assert all(was < now < 100 for was, now in zip(before, bars, strict=True))
    allow(broker, 20)
    for id in ids:
        at(row(page, id), "took")
        expect(state(row(page, id))).to_have_text("SUCCESS")
        assert bar(row(page, id)) == 100
    assert not reloaded(page)


def test_a_tasks_page_shows_its_stages_as_they_go_and_links_to_the_sites_own_page(
    page: Page, broker: str, flower: Flower, send: Callable[..., str]
) -> None:
    id = send()
    allow(broker, 2)
    wait_until(lambda: flower.api("tasks").get(id, {}).get("state") == "STARTED")
    page.goto(f"{flower.url}/task/{id}")
    mark(page)
    main = page.locator("#task-page")
    stages = main.locator("headway-progress [part~=stages] > li")
    expect(stages).to_have_count(2)
    expect(stages.first).to_contain_text("2 of 10 pages", timeout=LONG)
    before = bar(main)
    allow(broker, 15)
    expect(stages.first).to_contain_text("Done")
    expect(stages.last).to_contain_text("5 of 10 pages")
    assert bar(main) > before
    link = main.get_by_role("link", name="Open its page")
    expect(link).to_have_attribute("href", f"http://site.example/tasks/{id}")
    expect(main.get_by_role("button", name="Terminate")).to_be_visible()
    allow(broker, 20)
    expect(state(main.locator(".detail-list"))).to_have_text("SUCCESS")
    expect(main.get_by_role("button", name="Terminate")).to_have_count(0)
    expect(main.locator(".detail-row", has_text="Succeeded")).to_have_count(1)
    expect(main.get_by_role("button", name="Copy task UUID")).to_be_visible()
    assert not reloaded(page)


def test_one_that_is_terminated_is_revoked_everywhere_and_its_bar_stands_still(
    page: Page, browser: Browser, broker: str, flower: Flower, send: Callable[..., str]
) -> None:
    id = send()
    allow(broker, 8)
    page.goto(f"{flower.url}/tasks")
    at(row(page, id), "Read · 8 of 10")
    mark(page)
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(f"{flower.url}/task/{id}")
        other.get_by_role("button", name="Terminate").click()
        expect(state(row(page, id))).to_have_text("REVOKED", timeout=LONG)
        expect(state(other.locator(".detail-list"))).to_have_text("REVOKED")
        expect(other.locator("headway-progress [part~=word]").first).to_have_text("Cancelled")
    expect(row(page, id).locator("[part~=facts]")).to_have_text(re.compile(r"^\d+% · Read$"))
    assert not reloaded(page)
    info = flower.api(f"task/info/{id}")
    assert (info["state"], info["progress"]["status"]) == ("REVOKED", "cancelled")


def test_one_that_is_retried_shows_that_and_then_its_second_attempt(
    page: Page, browser: Browser, broker: str, flower: Flower, send: Callable[..., str]
) -> None:
    id = send(retry_at=5)
    allow(broker, 4)
    page.goto(f"{flower.url}/tasks")
    mark(page)
    at(row(page, id), "Read · 4 of 10")
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(f"{flower.url}/task/{id}")
        allow(broker, 12)
        at(row(page, id), "waits to retry")
        at(row(page, id), "Write · 2 of 10 · attempt 2")
        at(other, "attempt 2")
        expect(state(other.locator(".detail-list"))).to_have_text("STARTED")
        expect(other.locator(".detail-row", has_text="Retries")).to_contain_text("1")
        expect(other.get_by_role("button", name="Terminate")).to_be_visible()
    expect(state(row(page, id))).to_have_text("STARTED")
    assert not reloaded(page)
    info = flower.api(f"task/info/{id}")
    assert (info["retries"], info["progress"]["attempt"]) == (1, 2)


def test_filters_search_sorting_and_the_columns_of_others_work_as_before(
    page: Page, broker: str, flower: Flower, send: Callable[..., str]
) -> None:
    slow, fast = send(), send("plain")
    allow(broker, 5)
    page.goto(f"{flower.url}/tasks")
    expect(state(row(page, fast))).to_have_text("SUCCESS", timeout=LONG)
    at(row(page, slow), "Read · 5 of 10")
    page.get_by_role("button", name="Started").click()
    expect(row(page, fast)).to_have_count(0)
    at(row(page, slow), "Read · 5 of 10")
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("searchbox").fill("tests.plain")
    expect(row(page, slow)).to_have_count(0)
    expect(row(page, fast)).to_be_visible()
    page.get_by_role("searchbox").fill("")
    column = page.locator('.dataTables_scrollHead th[data-column="progress"]')
    column.click()
    first = page.locator("#tasks-table tbody tr").first
    expect(first).to_have_attribute("id", fast)  # what has no progress comes first
    assert "progress" not in flower.api(f"task/info/{fast}")
    expect(row(page, fast).locator("headway-progress")).to_have_count(0)


def test_no_text_of_a_task_becomes_markup(
    page: Page, flower: Flower, send: Callable[..., str]
) -> None:
    id = send("nasty")
    page.goto(f"{flower.url}/tasks")
    expect(row(page, id).locator("[part~=facts]")).to_contain_text("</script>", timeout=LONG)
    expect(row(page, id).locator("[part~=facts]")).to_contain_text("1 of 2")
    page.goto(f"{flower.url}/task/{id}")
    label = page.locator("headway-progress [part~=stages] > li [part~=label]")
    expect(label).to_contain_text("<img src=x")
    expect(page).not_to_have_title(re.compile("taken"))
    assert page.locator("img[src=x]").count() == 0


def test_while_flower_is_away_bars_say_so_and_after_its_restart_nothing_is_lost(
    page: Page, broker: str, flower: Flower, send: Callable[..., str]
) -> None:
    id = send()
    allow(broker, 6)
    page.goto(f"{flower.url}/tasks")
    at(row(page, id), "Read · 6 of 10")
    mark(page)
    percent = bar(row(page, id))
    before = flower.api("tasks")
    flower.stop()
    expect(row(page, id).locator("[part~=base].stale")).to_be_visible(timeout=LONG)
    allow(broker, 7)
    flower.start()
    after = flower.api("tasks")
    for each in before.keys() - {id}:
        # Flower itself forgets that a retried task is its own child.
        assert {**after[each], "children": None} == {**before[each], "children": None}
    assert after[id]["progress"]["attempt"] == 1
    for steps in range(8, 20):  # what is told before it listens again it does not hear
        allow(broker, steps)
        page.wait_for_timeout(800)
        if bar(row(page, id)) > percent:
            break
    assert bar(row(page, id)) > percent
    expect(row(page, id).locator("[part~=base].stale")).to_have_count(0)
    assert not reloaded(page)
