"""A page with five hundred tasks: one connection, and every one is seen to its end."""

from collections.abc import Callable
from urllib.parse import urlsplit

from msgspec.structs import replace
from playwright.sync_api import Page

from headway.events import Event
from headway.journal import Journal
from headway.publisher import Publisher
from tests.processes import Web, wait_until
from tests.producers import execution, finished, stage, started

COUNT = 500
TASKS = [f"many-{number}" for number in range(COUNT)]

LIST = """async (tasks) => {
  const list = document.createElement("ul");
  for (const task of tasks) {
    const element = document.createElement("headway-progress");
    const attributes = { task, variant: "compact", quiet: "" };
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    list.append(element);
  }
  document.querySelector("main").replaceChildren(list);
  await import("/headway/static/element.js");
}"""
SHOWN = """() => {
  const counts = {};
  for (const { shadowRoot } of document.querySelectorAll("headway-progress")) {
    const text = shadowRoot.querySelector(".status")?.textContent ?? "";
    counts[text] = (counts[text] ?? 0) + 1;
  }
  return counts;
}"""


def test_five_hundred_tasks_on_one_connection(page: Page, web: Web, redis_url: str) -> None:
    publisher = Publisher(Journal(redis_url, timeout=5))
    # Eager ones: no worker's lease is missed, however long the test takes.
    sources = [execution(f"nonce-{task}", task=task, boot="") for task in TASKS]

    def all_say(event_of: Callable[..., Event]) -> None:
        for source in sources:
            publisher(event=event_of(source.task), source=source)
        assert publisher.flush(30)

    def all_show(text: str) -> None:
        wait_until(lambda: page.evaluate(SHOWN) == {text: COUNT}, 30, f"{COUNT} times {text}")

    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    all_say(lambda task: started(task=task, stages=(stage("read", task=task).stage,)))
    page.goto(web.url)
    page.evaluate(LIST, TASKS)
    all_show("Running")
    for tick in range(1, 10):
        all_say(lambda task, tick=tick: reading(task, tick))
    all_show("90%")
    all_say(lambda task: finished(task=task))
    all_show("Done")
    assert asked.count("/headway/events") == 1
    assert not [path for path in asked if path.startswith("/headway/tasks/")]


def reading(task: str, tick: int) -> Event:
    told = stage("read", task=task, status="running", current=tick, total=10, runs=1)
    return replace(told, progress=tick / 10)
