"""Takes the pictures of the page that the docs show, in the middle of a run. `python -m tests.browser.pictures`."""

import re
import shutil

from playwright.sync_api import Page, expect

from tests.browser.demonstration import demonstration
from tests.browsers import chromium
from tests.processes import ROOT

FOLDER = ROOT / "docs/pictures"
SIZE = {"width": 900, "height": 400}  # pixels of the window; the picture is as high as the page


def start(page: Page) -> None:
    page.get_by_label("Seconds in all").fill("8")
    page.get_by_role("button", name="Start").click()
    third = page.get_by_role("listitem").nth(2)
    expect(third).to_contain_text(re.compile(r"(1[0-9]) of 25"), timeout=30_000)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    program = shutil.which("chromium")
    assert program, "chromium is not installed"
    with demonstration() as web, chromium(program) as browser:
        page = browser.new_page(viewport=SIZE, device_scale_factor=2)  # screens are dense
        page.goto(web.url)
        start(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=FOLDER / f"page-{scheme}.png", full_page=True)
            print(FOLDER / f"page-{scheme}.png")


if __name__ == "__main__":
    main()
