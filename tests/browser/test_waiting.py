"""What a page says while a task waits: for its turn, for its time, for another try, for its end."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from playwright.sync_api import Locator, Page, expect

import headway.celery
from headway import about
from headway.events import Subject
from headway.journal import Journal
from tests.browser.visits import SECONDS
from tests.processes import RedisServer, Web, Worker, wait_until

JOBS = "tests.browser.waiting_jobs"

# The words of a node, in the order in which they came.
NOTE = """node => {
  globalThis.said = [node.textContent];
  new MutationObserver(() => said.push(node.textContent)).observe(node, { childList: true });
}"""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module")
def web(redis: RedisServer) -> Iterator[Web]:
    with Web(redis.url) as web:
        yield web


@pytest.fixture(scope="module")
def sender(redis: RedisServer) -> Iterator[Celery]:
    with Celery("sender", broker=redis.url, set_as_current=False) as app:
        headway.celery.install(app, redis_url=redis.url, tasks=["tests.*"])
        yield app


@pytest.fixture
def queue(tmp_path: Path) -> str:
    """The test's own: what others have left waiting is not before it."""
    return tmp_path.name


@pytest.fixture
def worker(redis: RedisServer, queue: str) -> Iterator[Worker]:
    """It runs one task at a time; started by the test."""
    worker = Worker("threads", redis.url, app=JOBS, concurrency=1, args=["-Q", queue])
    yield worker
    worker.__exit__()


@pytest.fixture
def send(sender: Celery, queue: str, redis: RedisServer) -> Callable[..., str]:
    """Send a task; when it returns the task is known."""
    journal = Journal(redis.url, timeout=5)

    def send(name: str, *args: object, title: str = "report.pdf", **options: object) -> str:
        options |= {"args": args, "queue": queue, "headers": about(title=title)}
        task = str(sender.send_task(f"tests.{name}", **options).id)
        # The sender waits for 50 ms at most that Redis knows of it, and this machine may be busy.
        wait_until(lambda: journal.lasts([Subject("task", task)]) != [None], SECONDS, "the task")
        return task

    return send


def show(page: Page, web: Web, task: str) -> Locator:
    page.goto(f"{web.url}/tasks/{task}")
    return page.locator("headway-progress [part~=status]")


def test_a_place_in_the_queue_is_shown_and_moves(page, web, worker, send, tmp_path, patience):
    gates = [tmp_path / name for name in "abc"]
    tasks = [send("gated", str(gate), title=gate.name) for gate in gates]
    page.goto(web.url)
    page.evaluate(
        """async tasks => {
          const { add } = await import("/static/tasks.js");
          for (const task of tasks) add({ task, kind: "document" });
        }""",
        tasks,
    )
    rows = [page.locator(f'[data-task="{task}"] [part~=status]') for task in tasks]

    def shows(*words: str) -> None:
        for row, word in zip(rows, words, strict=True):
            expect(row).to_have_text(word)

    shows("Next in line", "1 ahead in line", "2 ahead in line")
    worker.start()
    shows("50%", "Next in line", "1 ahead in line")
    gates[0].touch()
    shows("Done", "50%", "Next in line")
    gates[1].touch()
    shows("Done", "Done", "50%")
    gates[2].touch()
    shows("Done", "Done", "Done")


def test_a_page_shows_the_place_from_the_start_and_without_scripts(
    browser, page, web, send, tmp_path, patience
):
    _, task = (send("gated", str(tmp_path / "never")) for _ in range(2))
    status = show(page, web, task)
    expect(status).to_have_text("Queued")
    expect(page.locator("[part=facts]")).to_have_text(re.compile(r"1 ahead in line · \d+ s"))
    context = browser.new_context(java_script_enabled=False)
    bare = context.new_page()
    bare.goto(f"{web.url}/tasks/{task}")
    expect(bare.locator("headway-progress")).to_contain_text("Queued · 1 ahead in line")
    context.close()


def test_what_is_due_later_counts_down(page, web, send, tmp_path, patience):
    status = show(page, web, send("gated", str(tmp_path / "never"), countdown=50))
    expect(status).to_have_text("Scheduled")
    facts = page.locator("[part=facts]")
    facts.evaluate(NOTE)
    wait_until(lambda: len(page.evaluate("said")) > 2, what="a countdown")
    counts = [int(re.fullmatch(r"Starts in (\d+) s", said)[1]) for said in page.evaluate("said")]
    assert counts == sorted(counts, reverse=True)


def test_a_retry_counts_down_and_says_where_it_goes_on(page, web, worker, send, tmp_path, patience):
    worker.start()
    gate = tmp_path / "gate"
    status = show(page, web, send("resuming", str(gate), 5.0))
    facts = page.locator("[part=facts]")
    expect(status).to_have_text("Running")
    status.locator("[part=word]").evaluate(NOTE)
    Path(f"{gate}0").touch()
    expect(page.locator("headway-progress")).to_contain_text("Rate limited by provider")
    expect(facts).to_contain_text("attempt 2, resumed at chunk")
    said = page.evaluate("said")
    assert len({each for each in said if re.fullmatch(r"Retrying in [1-5] s", each)}) > 1, said
    Path(f"{gate}1").touch()
    expect(status).to_have_text("Done")
    expect(facts).to_contain_text("attempt 2, resumed at chunk")


def test_what_nothing_can_stop_is_cancelling_and_may_succeed(
    page, web, worker, send, tmp_path, patience
):
    worker.start()
    gate = tmp_path / "gate"
    status = show(page, web, send("gated", str(gate)))
    cancel = page.get_by_role("button", name="Cancel")
    expect(status).to_have_text("Running")
    cancel.click()
    expect(status).to_have_text("Cancelling…")
    expect(cancel).to_be_hidden()
    expect(page.locator("[part=remaining]")).to_have_text("goes on until its worker stops it")
    page.reload()  # this page has not asked, and knows all the same
    expect(status).to_have_text("Cancelling…")
    expect(cancel).to_be_hidden()
    gate.touch()
    expect(status).to_have_text("Done")


def test_what_has_not_begun_is_cancelled_at_once(page, web, send, tmp_path, patience):
    status = show(page, web, send("gated", str(tmp_path / "never"), countdown=600))
    expect(page.locator("[part=facts]")).to_have_text(re.compile(r"Starts at \d"))
    page.get_by_role("button", name="Cancel").click()
    expect(status).to_have_text("Cancelled")


def test_a_task_nobody_has_heard_of_is_not_found(page, web, patience):
    page.goto(web.url)
    page.evaluate(
        """() => {
          const element = document.createElement("headway-progress");
          element.setAttribute("task", "nobody");
          document.querySelector("main").prepend(element);
        }"""
    )
    expect(page.locator("[part~=status]").first).to_have_text("Not found")
    expect(page.locator("[part=said]").first).to_have_text(
        "There is no such job, or its progress is no longer kept."
    )
    page.complaints.clear()  # the browser says that it was answered 404; so it was
