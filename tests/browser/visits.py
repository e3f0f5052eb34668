"""A person's visit to the pages: what they do, what they see and hear, and what their browser asks for."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.processes import ROOT

SECONDS = 20_000  # milliseconds that a condition is waited for
LONG = 90_000  # for a video on a busy machine
AXE = ROOT / "tests/js/node_modules/axe-core/axe.min.js"

# Texts of the live regions, within and outside of shadows, in the order they were said.
LISTENER = """
addEventListener("DOMContentLoaded", () => {
  window.announced = [];
  const hear = (root) => {
    for (const region of root.querySelectorAll("[role=status], [role=alert]")) {
      new MutationObserver(() => region.textContent && announced.push(region.textContent))
        .observe(region, { childList: true, characterData: true, subtree: true });
    }
  };
  customElements.whenDefined("headway-progress").then(() => setTimeout(() => {
    for (const element of document.querySelectorAll("headway-progress")) hear(element.shadowRoot);
    document.documentElement.dataset.listening = "";
  }, 100));
});
"""


class Visit:
    """A page, and all that its browser said and asked for meanwhile."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        self.requests: list[Request] = []
        page.set_default_timeout(SECONDS)
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # violations of the content security policy are said in the console, too
        page.on("console", lambda said: self._hear(said.type, said.text))

    def _note(self, request: Request) -> None:
        self.requests.append(request)

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def go(self, path: str = "/") -> "Visit":
        self.page.goto(self.url + path)
        return self

    def form(self, kind: str) -> Locator:
        return self.page.locator(f'form[data-kind="{kind}"]')

    def start_paced(self, **fields: object) -> None:
        """Fill in the form of the paced task and press its button."""
        for label, value in fields.items():
            self.form("paced").get_by_label(label.replace("_", " ")).fill(str(value))
        self.form("paced").get_by_role("button").click()

    def start_and_open(self, **fields: object) -> None:
        rows = self.page.locator("#mine li")
        before = rows.count()
        self.start_paced(**fields)
        expect(rows).to_have_count(before + 1)
        rows.first.get_by_role("link").click()
        self.page.wait_for_url("**/tasks/*")

    @property
    def stages(self) -> Locator:
        return self.page.locator("headway-progress [part~=stages] > li")

    @property
    def status(self) -> Locator:
        return self.page.locator("headway-progress [part~=status]")

    @property
    def result(self) -> Locator:
        return self.page.locator("#result")

    def has_ended(self, word: str) -> None:
        expect(self.status).to_contain_text(word, timeout=LONG)

    def at_task(self) -> None:
        self.page.wait_for_url("**/tasks/*", wait_until="commit")

    def asked(self) -> list[tuple[str, str]]:
        return [(each.method, urlsplit(each.url).path) for each in self.requests]


Open = Callable[..., Visit]


def violations(page: Page) -> list[Any]:
    """What axe-core finds wrong with the page as it is; its context must bypass the page's policy."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm --prefix tests/js install")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]
    ]
