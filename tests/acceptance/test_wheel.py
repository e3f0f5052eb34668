"""The wheel, alone in a new environment, runs what the README shows."""

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.processes import HOST, ROOT, Process, free_port

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Playwright's own sockets


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel and what it depends on, and nothing of this checkout."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    program = folder / "bin" / "python"
    pip = [program, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt"]
    done = subprocess.run(
        [*pip, f"headway[flask,gevent] @ {wheel.as_uri()}"],
        check=False,  # asserted below, with what it said
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return program


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    ours = [name for name in names if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in ours} == {"headway"}
    assert {"headway/journal.lua", "headway/py.typed"} <= set(ours)


class Program(Process):
    """A program of the new environment, in a folder of its own."""

    name = "program"

    def __init__(self, command: list[Any], folder: Path, marker: str) -> None:
        super().__init__(["env", "-C", folder, *command], {"PYTHONPATH": str(folder)})
        self._marker = marker

    def ready(self, log: str) -> bool:
        return self._marker in log


def test_the_readmes_snippets_run_as_they_stand(
    python: Path, tmp_path: Path, own_redis: Any
) -> None:
    chromium = require("chromium")
    redis = own_redis()
    for name, text in snippets().items():
        (tmp_path / name).write_text(text.replace("redis://localhost:6379/0", redis.url))
    port = free_port()
    worker = [python, "-m", "celery", "-A", "tasks", "worker", "-c", "1", "--loglevel=info"]
    web = [python, "-m", "gunicorn", "--no-control-socket", "-k", "gevent"]
    web += ["-b", f"{HOST}:{port}", "web:app"]
    with Program(worker, tmp_path, " ready."), Program(web, tmp_path, "Booting worker"):
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
            page = browser.new_page()
            page.goto(f"http://{HOST}:{port}/")
            page.click("#start")
            page.get_by_text("5 words").wait_for(timeout=15_000)
            assert page.evaluate("bar.value") == 1
            browser.close()


CHROMIUM_ARGS = ["--no-sandbox", "--disable-background-networking", "--disable-quic"]


def snippets() -> dict[str, str]:
    """The README's files: blocks whose first line is their name."""
    blocks = re.findall(r"```(?:python|html)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names = [re.match(r"(?:# |<!-- )([\w.]+\.(?:py|html))\b", block) for block in blocks]
    return {name[1]: block for name, block in zip(names, blocks, strict=True) if name}
