"""Takes the pictures that the docs show, of pages and of the element: `python -m tests.browser.pictures`."""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser import flower_pictures, states
from tests.browser.visits import Visit
from tests.browsers import chromium
from tests.pipelines import Site, site
from tests.processes import ROOT, RedisServer, Web, Worker

FOLDER = ROOT / "docs/pictures"
SIZE = {"width": 900, "height": 610}  # pixels
NARROW = {"width": 320, "height": 640}
LONG = 90_000  # milliseconds; a video is converted meanwhile
PLACE: dict[str, Any] = {"locale": "en-GB", "timezone_id": "UTC"}
HOUR = 'for (const each of document.querySelectorAll("time")) each.textContent = "14:20"'  # always

SENTENCE = (
    "On 14 March 1874 Margaret Hale told the council of Port Ellery what a breakwater costs. "
)
DOCUMENT = (SENTENCE * 150_000).encode()  # text enough to be looked at while it is read


def take(page: Page, name: str, *, whole: bool = True) -> None:
    page.evaluate(HOUR)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        path = FOLDER / f"{name}-{scheme}.png"
        page.screenshot(path=path, full_page=whole)
        print(path.relative_to(ROOT), flush=True)
    page.emulate_media(color_scheme="light")


def use_sample(page: Page, url: str, kind: str) -> None:
    page.goto(url)
    page.locator(f'form[data-kind="{kind}"] .actions button').last.click()
    page.wait_for_url("**/tasks/*", wait_until="commit")


def upload(page: Page, url: str, name: str, content: bytes) -> None:
    form = Visit(page, url).go().form("document")
    file = {"name": name, "mimeType": "text/plain", "buffer": content}
    form.locator("input[type=file]").set_input_files(file)
    form.get_by_role("button", name="Read it").click()


def ended(page: Page, word: str = "Done") -> None:
    expect(page.locator(".big [part~=status]")).to_contain_text(word, timeout=LONG)
    page.wait_for_timeout(500)  # the last transition of a bar, the first frame of a video


def while_it_runs(browser: Browser, url: str) -> None:
    """A document in the middle, as dense as screens are: the README shows it. The rest would only be heavy."""
    page = browser.new_page(viewport=SIZE, device_scale_factor=2, **PLACE)
    upload(page, url, "harbour-1874.txt", DOCUMENT)
    page.wait_for_url("**/tasks/*", wait_until="commit")
    enrich = page.locator("headway-progress [part~=stages] > li").nth(3)
    expect(enrich).to_contain_text(re.compile(r"[6-9],\d+ of [\d,]+ chunks"), timeout=LONG)
    expect(page.locator("[part~=remaining]")).to_contain_text("left")
    take(page, "page", whole=False)
    page.context.close()


def pipelines(page: Page, url: str) -> None:
    use_sample(page, url, "document")
    ended(page)
    take(page, "document")
    use_sample(page, url, "video")
    ended(page)
    take(page, "video")
    use_sample(page, url, "graph")
    expect(page.locator("[part~=node][part~=running]").first).to_be_visible()
    take(page, "agent-graph-running", whole=False)
    ended(page)
    take(page, "agent-graph")
    page.get_by_role("link", name="The graph, to run it again").click()
    expect(page.locator("#drawing [part~=node]").first).to_be_visible()
    take(page, "graph")


def starting(page: Page, url: str) -> None:
    Visit(page, url).go().start_paced()
    expect(page.locator("#mine li").first).to_contain_text(re.compile(r"[2-9]\d%"))
    take(page, "start")
    upload(page, url, "report.pdf", b"PK\3\4\0\0")
    expect(page.locator(".mistake").first).not_to_be_empty()
    take(page, "refused", whole=False)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2**20}
    session = page.context.new_cdp_session(page)
    session.send("Network.emulateNetworkConditions", slow)
    upload(page, url, "harbour-1874.txt", DOCUMENT)
    expect(page.locator(".upload p").first).to_contain_text(re.compile(r"[4-9]\.\d MB .+left"))
    take(page, "upload", whole=False)
    page.get_by_role("button", name="Stop the upload").click()
    session.detach()


def ends(page: Page, url: str) -> None:
    upload(page, url, "invoice-2026-11.pdf", b"%PDF-1.7 and then nothing of the kind")
    ended(page, "Failed")
    take(page, "failed", whole=False)
    Visit(page, url).go().start_and_open(Stages=3, Seconds_in_all=20)
    expect(page.locator("[part~=stages] > li").nth(1)).to_contain_text(re.compile("[5-9] of 25"))
    page.get_by_role("button", name="Cancel").click()
    ended(page, "Cancelled")
    take(page, "cancelled", whole=False)


def nothing_there(page: Page, running: Site) -> None:
    url = str(running.client.base_url)
    page.goto(f"{url}/tasks/nobody")
    take(page, "unknown", whole=False)
    page.goto(f"{url}/nowhere")
    take(page, "nowhere", whole=False)


def trouble(browser: Browser) -> None:
    """A server that is away, and then its Redis."""
    with RedisServer() as redis, Worker("prefork", redis.url), Web(redis.url) as web:
        page = browser.new_page(viewport=SIZE, **PLACE)
        Visit(page, web.url).go().start_and_open(Stages=3, Seconds_in_all=15)
        expect(page.locator("[part~=stages] > li").nth(1)).to_contain_text("of 25")
        notice = page.locator("[part~=said]")
        web.kill()
        expect(notice).to_contain_text("interrupted")
        take(page, "interrupted", whole=False)
        web.start()
        expect(notice).to_be_hidden()
        redis.kill()
        expect(notice).to_contain_text("lost touch")
        take(page, "source-down", whole=False)
        page.context.close()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    program = shutil.which("chromium")
    assert program, "chromium is not installed"
    expect.set_options(timeout=20_000)
    with (
        TemporaryDirectory() as data,
        site("prefork", Path(data)) as running,
        chromium(program) as browser,
    ):
        url = str(running.client.base_url)
        while_it_runs(browser, url)
        page = browser.new_page(viewport=SIZE, **PLACE)
        pipelines(page, url)
        starting(page, url)
        ends(page, url)
        nothing_there(page, running)
        page.set_viewport_size(NARROW)
        page.goto(url)
        take(page, "narrow")
        page.context.close()
        trouble(browser)
    states.main()
    flower_pictures.main()


if __name__ == "__main__":
    main()
