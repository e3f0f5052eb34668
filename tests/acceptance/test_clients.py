"""Every client that people use is told the same story, of one task of a real worker, all at the same time."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.acceptance.clients import (
    GONE,
    Chromium,
    Client,
    Curl,
    HttpxSse,
    SseClientPy,
    Told,
    npm_client,
)
from tests.acceptance.puppets import Puppet, Puppets
from tests.browsers import chromium
from tests.conftest import require
from tests.processes import ROOT, RedisServer, Web, wait_until

HEARTBEAT = 0.3
PACKAGES = ROOT / "tests/js/node_modules"


@pytest.fixture(scope="module")
def puppets(server: RedisServer) -> Iterator[Puppets]:
    with Puppets(server.url, pool="prefork", concurrency=2) as puppets:
        yield puppets


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(require("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def node() -> str:
    program = require("node")
    if not PACKAGES.is_dir() or not shutil.which("curl"):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(
            "curl is not installed, or the packages of tests/js are not: npm --prefix tests/js ci"
        )
    return program


class Audience:
    """All clients on one task, by their names."""

    def __init__(self, stack: ExitStack, browser: Browser, node: str, web: Web, task: str) -> None:
        page = stack.enter_context(browser.new_page())
        page.goto(web.url)
        url = f"{web.url}/headway/tasks/{task}/events"
        self.curl = Curl(url)
        self.clients: dict[str, Client] = {
            "curl -N": self.curl,
            "Chromium": Chromium(page, url),
            "httpx-sse": HttpxSse(url),
            "sseclient-py": SseClientPy(url),
            "eventsource": npm_client(node, "eventsource")(url),
            "fetch-event-source": npm_client(node, "fetch-event-source")(url),
        }
        for client in self.clients.values():
            stack.enter_context(client)

    def wait(self, condition: Any, what: str) -> None:
        for name, client in self.clients.items():
            wait_until(lambda client=client: condition(client), 20, f"{what} at {name}")


def story(told: list[Told]) -> list[tuple[str, str | None, Any]]:
    """What all must agree on: everything, but for when each viewer was told what is not part of the history.

    Some clients put the last id on an event that has none of its own, as the specification has it.
    """
    agreed: list[tuple[str, str | None, Any]] = []
    for event, id, data in told:
        said = json.loads(data)
        if said["type"] in ("snapshot", "link", "stalled"):
            del said["at"]
            agreed.append((event, id if said["type"] == "snapshot" else None, said))
        else:
            agreed.append((event, id, data))
    return agreed


def history(told: list[Told]) -> list[str | None]:
    """The ids of what moves a cursor, in the order they came."""
    return [id for _, id, said in story(told) if id]


def heartbeats(audience: Audience, count: int) -> None:
    """Wait for a silence of that many heartbeats."""
    before = audience.curl.comments
    wait_until(lambda: audience.curl.comments >= before + count, 10, "heartbeats")


def perform(puppet: Puppet, audience: Audience) -> None:
    """A task with silences longer than the heartbeat, and every kind of event between them."""
    heartbeats(audience, 3)
    puppet.do("enter", "read").emit("token", {"text": "é\u2028\r\n\ndata: x\n\n"})
    heartbeats(audience, 3)
    puppet.do("report", "half way \U0001f600").emit("token", [None, 0.1, "\0\x1b[31m"])
    puppet.do("leave")
    heartbeats(audience, 4)
    puppet.end({"pages": 3})


def test_all_clients_are_told_the_same_and_stop_at_the_end(
    server: RedisServer, puppets: Puppets, browser: Browser, node: str
) -> None:
    puppet = puppets.start()
    with ExitStack() as stack:
        web = stack.enter_context(Web(server.url, env={"HEADWAY_HEARTBEAT": str(HEARTBEAT)}))
        audience = Audience(stack, browser, node, web, puppet.id)
        audience.wait(lambda client: client.told(), "the first event")
        perform(puppet, audience)
        audience.wait(lambda client: client.end() == GONE, "204")
        stories = {name: story(client.told()) for name, client in audience.clients.items()}
        expected = stories["curl -N"]
        assert [id for _, id, _ in expected if id] == puppet.ids()
        assert [event for event, _, _ in expected if event != "message"] == ["token", "token"]
        for name, told in stories.items():
            assert told == expected, name
        assert {client.opened() for client in audience.clients.values()} == {1}


def test_all_clients_come_back_to_exactly_the_rest(
    server: RedisServer, puppets: Puppets, browser: Browser, node: str
) -> None:
    """Their streams are cut again and again, while the task speaks and while it is silent."""
    puppet = puppets.start()
    with ExitStack() as stack:
        settings = {"HEADWAY_HEARTBEAT": str(HEARTBEAT), "HEADWAY_LIFETIME": "1"}
        web = stack.enter_context(Web(server.url, env=settings))
        audience = Audience(stack, browser, node, web, puppet.id)
        audience.wait(lambda client: client.told(), "the first event")

        def has_come_back_twice(client: Client) -> bool:
            puppet.emit("token", "going on")
            return client.opened() >= 3

        audience.wait(has_come_back_twice, "a third connection")
        puppet.end()
        audience.wait(lambda client: client.end() == GONE, "204")
        for name, client in audience.clients.items():
            told = client.told()
            assert history(told) == puppet.ids(), name
            types = [json.loads(each.data)["type"] for each in told if each.id]
            assert types.count("snapshot") == 1, name
            assert "finished" in types[-3:], name  # a link or a stalled may follow, with its id


def test_who_comes_late_stops_after_one_snapshot(
    server: RedisServer, puppets: Puppets, browser: Browser, node: str
) -> None:
    puppet = puppets.start().emit("token").end()
    with ExitStack() as stack:
        web = stack.enter_context(Web(server.url))
        audience = Audience(stack, browser, node, web, puppet.id)
        audience.wait(lambda client: client.end() == GONE, "204")
        for name, client in audience.clients.items():
            assert history(client.told()) == puppet.ids()[-1:], name
