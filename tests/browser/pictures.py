"""Takes the pictures of the pages that the docs show. `python -m tests.browser.pictures`."""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect

from tests.browsers import chromium
from tests.pipelines import site
from tests.processes import ROOT

FOLDER = ROOT / "docs/pictures"
SIZE = {"width": 900, "height": 610}  # pixels
NARROW = {"width": 320, "height": 640}
LONG = 90_000  # milliseconds; a video is converted meanwhile
SENTENCE = (
    "On 14 March 1874 Margaret Hale told the council of Port Ellery what a breakwater costs. "
)
DOCUMENT = (SENTENCE * 50_000).encode()  # text enough to be looked at while it is read


def take(page: Page, name: str, *, whole: bool = True) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        path = FOLDER / f"{name}-{scheme}.png"
        page.screenshot(path=path, full_page=whole)
        print(path.relative_to(ROOT))
    page.emulate_media(color_scheme="light")


def start(page: Page, url: str, kind: str) -> None:
    page.goto(url)
    form = page.locator(f'form[data-kind="{kind}"]')
    form.get_by_role("button").last.click()
    page.wait_for_url("**/tasks/*")


def ended(page: Page) -> None:
    expect(page.locator("#result")).to_be_visible(timeout=LONG)
    page.wait_for_timeout(500)  # the last transition of a bar, the first frame of a video


def read(page: Page, url: str) -> None:
    """A document in the middle."""
    page.goto(url)
    form = page.locator('form[data-kind="document"]')
    invoice = {"name": "harbour-1874.txt", "mimeType": "text/plain", "buffer": DOCUMENT}
    form.locator("input[type=file]").set_input_files(invoice)
    form.get_by_role("button", name="Read it").click()
    page.wait_for_url("**/tasks/*")
    enrich = page.locator("headway-progress [part~=stages] > li").nth(3)
    expect(enrich).to_contain_text(re.compile(r"[2-4],\d+ of [\d,]+ chunks"), timeout=LONG)
    take(page, "page", whole=False)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    program = shutil.which("chromium")
    assert program, "chromium is not installed"
    with (
        TemporaryDirectory() as data,
        site("prefork", Path(data)) as running,
        chromium(program) as browser,
    ):
        url = str(running.client.base_url)
        # What the README shows is as dense as screens are; the rest would only be heavy.
        read(browser.new_page(viewport=SIZE, device_scale_factor=2), url)
        page = browser.new_page(viewport=SIZE)
        start(page, url, "document")
        ended(page)
        take(page, "document")
        start(page, url, "video")
        ended(page)
        take(page, "video")
        start(page, url, "graph")
        ended(page)
        take(page, "agent-graph")
        page.get_by_role("link", name="The graph, to run it again").click()
        expect(page.locator("#drawing [part~=node]").first).to_be_visible()
        take(page, "graph")
        page.goto(url)
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#mine li").first).to_contain_text(re.compile(r"[2-9]\d%"))
        take(page, "start")
        page.goto(f"{url}/tasks/nobody")
        take(page, "unknown", whole=False)
        page.set_viewport_size(NARROW)
        page.goto(url)
        take(page, "narrow")


if __name__ == "__main__":
    main()
