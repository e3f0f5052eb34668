"""Every state that can be seen, and a command that takes its picture: python -m tests.browser.states"""

import shutil
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Page

from tests.browser.element_site import element_site
from tests.browsers import chromium
from tests.processes import ROOT

FOLDER = ROOT / "docs/pictures/states"
SIZE = {"width": 760, "height": 600}
NARROW = {"width": 320, "height": 600}

NOW = 1_795_270_800.0  # 2026-11-21 14:20 UTC: a Saturday, when the first of these was drawn

State = dict[str, Any]


def stage(key: str, status: str = "waiting", **more: Any) -> State:
    """Times are seconds before NOW."""
    for name in ("started_at", "finished_at"):
        if name in more:
            more[name] = NOW - more[name]
    return {"key": key, "label": key.capitalize(), "status": status, "needs": [], "runs": 0, **more}


def task(status: str, *stages: State, **more: Any) -> State:
    for name in ("queued_at", "started_at", "updated_at", "finished_at", "due_at"):
        if name in more:
            more[name] = NOW - more[name]
    return {
        "task": "1e864fae",
        "title": "invoice-2026-11.pdf",
        "status": status,
        "confirmed": True,
        "attempt": 1,
        "stages": list(stages),
        "server_live": True,
        "link": "open",
        **more,
    }


UPLOAD = stage("upload", "done", started_at=102, finished_at=99.9)
OCR = stage(
    "OCR",
    "done",
    label="OCR",
    started_at=99.9,
    finished_at=41.5,
    current=12,
    total=12,
    unit="page",
)
CHUNK = stage("chunk", "running", started_at=41, current=211, total=340, unit="chunk", runs=1)
ENRICH = stage("enrich", expected=[20, 40])
SCORE = stage("score", expected=[3, 5])

LEFT_OUT = {"status": "skipped", "started_at": None, "finished_at": None}

RUNNING = task(
    "running",
    UPLOAD,
    OCR,
    CHUNK,
    ENRICH,
    SCORE,
    progress=0.62,
    remaining=58.0,
    started_at=102,
    updated_at=0.2,
    queued_at=104,
)
ENDED = task(
    "succeeded",
    UPLOAD,
    OCR,
    stage(
        "chunk", "done", started_at=41, finished_at=30, current=340, total=340, unit="chunk", runs=1
    ),
    stage("enrich", "done", started_at=30, finished_at=4.2),
    stage("score", "done", started_at=4.2, finished_at=0.4),
    progress=1.0,
    started_at=102,
    updated_at=0.4,
    finished_at=0.4,
)
FAILED = RUNNING | task(
    "failed",
    UPLOAD,
    OCR,
    CHUNK | {"status": "failed", "finished_at": NOW, "message": "page 7: a table of 40 columns"},
    ENRICH,
    SCORE,
    progress=0.62,
    finished_at=0,
    remaining=None,
    error={"type": "Failure", "message": "The file is encrypted.", "stage": "chunk"},
)
RETRYING = RUNNING | task(
    "retrying",
    UPLOAD,
    OCR,
    CHUNK | {"status": "done", "finished_at": NOW - 11, "current": 340},
    stage("enrich", "failed", started_at=11, finished_at=2, current=3, total=40),
    SCORE,
    due_at=-8,
    error={"type": "Failure", "message": "Rate limited by provider", "stage": "enrich"},
    progress=0.7,
    started_at=102,
    remaining=None,
)
GRAPH = task(
    "running",
    stage("plan", "done", started_at=64, finished_at=58, runs=1),
    stage("search", "done", needs=["plan"], started_at=58, finished_at=41, runs=1),
    stage("code", "running", needs=["plan"], started_at=58, runs=3),
    stage("fallback", "skipped", needs=["plan"], message="the model answered"),
    stage("read", "done", needs=["search"], started_at=41, finished_at=20, current=9, total=9),
    stage("critic", "running", needs=["read", "code"], started_at=20, current=2, total=5),
    stage("merge", needs=["critic", "fallback"]),
    stage("answer", needs=["merge"]),
    title="Compare three vendors",
    progress=0.48,
    started_at=64,
    updated_at=0.1,
)

STATES: dict[str, State] = {
    "queued": task("queued", queued_at=12),
    "queued-behind": task("queued", queued_at=12, position=3),
    "queued-next": task("queued", queued_at=47, position=1),
    "unconfirmed": task("queued", confirmed=False, title=None, name="documents.process"),
    "connecting": {"link": "connecting", "confirmed": False, "status": "queued", "stages": []},
    "scheduled": task("scheduled", queued_at=60, due_at=-2520),
    "scheduled-soon": task("scheduled", queued_at=48, due_at=-12),
    "scheduled-later": task("scheduled", queued_at=60, due_at=-86_400),
    "running": RUNNING,
    "running-indeterminate": task(
        "running",
        stage("fetch", "done", started_at=14, finished_at=9),
        stage("import", "running", started_at=9, current=1204, unit="record"),
        stage("index"),
        title="customers.csv",
        started_at=14,
        updated_at=0.1,
    ),
    "running-without-stages": task(
        "running", started_at=7, updated_at=1, message="Reading the archive", title="backup.tar"
    ),
    "running-late": RUNNING
    | {"stages": [UPLOAD, OCR, CHUNK | {"expected": [10, 20]}, ENRICH, SCORE]},
    "parallel": task(
        "running",
        stage("download", "done", started_at=33, finished_at=29, current=1, total=1),
        stage("transcode", "running", started_at=29, current=1730, total=4100, unit="frame"),
        stage("thumbnails", "running", started_at=29, current=11, total=12, message="0:41:10"),
        stage("scenes", "running", label="Scene detection", started_at=12),
        stage("publish"),
        title="keynote-final-final.mov",
        progress=0.37,
        remaining=210.0,
        started_at=33,
        updated_at=0.1,
    ),
    "graph": GRAPH,
    "retrying": RETRYING,
    "retrying-due": RETRYING | {"due_at": NOW},
    "second-attempt": RUNNING | {"attempt": 2},
    "resumed": RUNNING
    | {"attempt": 2, "stages": [UPLOAD | LEFT_OUT, stage("OCR", label="OCR"), CHUNK, ENRICH, SCORE]},
    "cancelling": RUNNING | {"cancelling": True},
    "skipped": ENDED
    | {"stages": [UPLOAD, OCR, stage("enrich", "skipped", message="no tables"), SCORE | {"status": "skipped"}]},
    "succeeded": ENDED,
    "failed": FAILED,
    "failed-without-words": FAILED | {"error": {"type": "ValueError", "message": None, "stage": "chunk"}},
    "cancelled": FAILED | {"status": "cancelled", "error": None},
    "lost": RUNNING | {"status": "lost", "finished_at": NOW, "remaining": None},
    "expired": task("expired", queued_at=3600, finished_at=0),
    "stalled": RUNNING | {"stalled": True, "updated_at": NOW - 40},
    "reconnecting": RUNNING | {"link": "reconnecting", "reconnecting": True, "retry_in_ms": 4000},
    "offline": RUNNING | {"link": "offline", "reconnecting": True},
    "source-down": RUNNING | {"server_live": False},
    "unreachable": {"link": "reconnecting", "confirmed": False, "status": "queued", "stages": []},
    "unknown": task(
        "queued",
        title=None,
        confirmed=False,
        link="closed",
        link_error={"status": 404, "code": "not_found", "message": "Nobody has heard of it."},
    ),
    "forbidden": task(
        "queued",
        title=None,
        confirmed=False,
        link="closed",
        link_error={"status": 403, "code": "forbidden", "message": "Not yours."},
    ),
    "access-expired": RUNNING
    | {
        "link": "closed",
        "link_error": {"status": 401, "code": "unauthorized", "message": "The token has expired."},
    },
    "gap": RUNNING | {"gap": {"reason": "trimmed", "first": 12, "last": 40}},
    "many-stages": task(
        "running",
        *(stage(f"step {i}", "done", started_at=99 - i, finished_at=98 - i) for i in range(24)),
        stage("the last of them, whose name is rather long and tells a whole story", "running", started_at=74),
        title="A task with a title so long that no line holds all of it, as people's file names are (copy 2) (1).docx",
        progress=0.96,
        started_at=99,
    ),
}  # fmt: skip

CUT = {"reconnecting", "offline", "source-down", "unreachable"}  # what is seen 12 seconds later


class Stage:
    """A page with one element, in a moment that does not pass."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.clock.set_fixed_time(_at(NOW))
        page.goto(url)

    def show(self, name: str, variant: str = "full", *, cancel: bool = True) -> None:
        self.page.clock.set_fixed_time(_at(NOW - 12 if name in CUT else NOW))
        self.page.evaluate(SHOW, [STATES[name], variant, cancel])
        self.page.clock.set_fixed_time(_at(NOW))
        self.page.evaluate(SETTLE)


# What moves is stopped at the same place each time, so that a picture changes only when the element does.
SHOW = """([state, variant, cancel]) => {
  globalThis.element?.remove();
  globalThis.element = document.createElement("headway-progress");
  element.setAttribute("variant", variant);
  element.toggleAttribute("cancel", cancel);
  element.state = state;
  document.querySelector("main").append(element);
}"""
SETTLE = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  element.texts = {};
  await frame();
  await import("/headway/static/graph.js");
  for (let i = 0; i < 3; i++) await frame();
  for (const animation of element.shadowRoot.getAnimations()) {
    if (animation instanceof CSSTransition) animation.finish();
    else {
      animation.pause();
      animation.currentTime = 700;
      await animation.ready;
    }
  }
  await frame();
}"""


def _at(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    assert program, "chromium is not installed"
    with element_site() as site, chromium(program) as browser:
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport=SIZE, color_scheme=scheme, locale="en-GB", timezone_id="UTC"
            )
            stage = Stage(page, site.url)
            for name in STATES:
                stage.show(name)
                page.locator("main").screenshot(path=FOLDER / f"{name}-{scheme}.png")
            for variant in ("stepper", "bar", "compact"):
                stage.show("running", variant)
                page.locator("main").screenshot(path=FOLDER / f"{variant}-{scheme}.png")
            stage.show("graph")
            page.get_by_text("Timeline").click()
            page.evaluate(SETTLE)
            page.locator("main").screenshot(path=FOLDER / f"timeline-{scheme}.png")
            page.evaluate("document.dir = 'rtl'")
            page.evaluate(SETTLE)
            page.locator("main").screenshot(path=FOLDER / f"right-to-left-{scheme}.png")
            page.evaluate("document.dir = ''")
            page.set_viewport_size(NARROW)
            for name in ("reconnecting", "graph"):
                stage.show(name)
                page.locator("main").screenshot(path=FOLDER / f"narrow-{name}-{scheme}.png")
            page.set_viewport_size(SIZE)
            page.emulate_media(forced_colors="active")
            stage.show("graph")
            page.locator("main").screenshot(path=FOLDER / f"forced-colours-{scheme}.png")
            page.close()
    print(FOLDER)


if __name__ == "__main__":
    main()
