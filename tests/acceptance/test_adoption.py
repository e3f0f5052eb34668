"""A Celery and Flask project that polls adopts Headway, and what that takes."""

import difflib
import http.cookiejar
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Web, Worker

FOLDER = Path(__file__).parent / "adoption"
PACKAGE = "tests.acceptance.adoption.after"
MOST_CHANGED_LINES = 15


def changed_lines() -> list[str]:
    """Lines that are new or different; blank ones, and those that could be deleted, are no work."""
    changed = []
    for after in sorted((FOLDER / "after").rglob("*.*")):
        if after.suffix not in (".py", ".html"):
            continue
        before = FOLDER / "before" / after.relative_to(FOLDER / "after")
        compared = difflib.ndiff(before.read_text().splitlines(), after.read_text().splitlines())
        changed += [line for line in compared if line.startswith("+ ") and line[2:].strip()]
    return changed


def test_adopting_headway_takes_at_most_fifteen_changed_lines() -> None:
    assert 5 <= len(changed_lines()) <= MOST_CHANGED_LINES, "\n".join(changed_lines())


def test_the_project_that_adopted_it_streams_to_the_owner_and_to_nobody_else(
    own_redis: Any,
) -> None:
    redis = own_redis()
    env = {"BROKER_URL": redis.url}
    with (
        Worker("prefork", redis.url, app=f"{PACKAGE}.tasks", env=env),
        Web(redis.url, app=f"{PACKAGE}.site:app", env=env) as web,
    ):
        owner = browser()
        owner.open(f"{web.url}/login/ann", data=b"").close()
        with owner.open(f"{web.url}/documents/7/convert", data=b"") as started:
            task = json.load(started)["task"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            browser().open(f"{web.url}/tasks/{task}/progress")
        with refused.value as answer:
            assert answer.code == 404
        with owner.open(f"{web.url}/tasks/{task}/progress", timeout=20) as stream:
            lines = stream.read().decode()
        events = [json.loads(line[6:]) for line in lines.splitlines() if line[:6] == "data: "]
        assert events[0]["type"] == "snapshot"
        assert events[-1]["type"] == "finished"
        assert events[-1]["result"] == 100
        shown = [event["progress"] for event in events if event["type"] == "stage"]
        assert shown == sorted(shown)
        assert len(shown) >= 8


def browser() -> urllib.request.OpenerDirector:
    """Something that keeps cookies."""
    return urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
