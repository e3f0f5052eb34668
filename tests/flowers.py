"""A real Flower, with Headway's flowerconfig.py or as it comes, and what sends it tasks."""

import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any

import redis
from celery import Celery

from deploy.demo import answers
from tests.processes import HOST, ROOT, Process, free_port, wait_until

APP = "tests.flower_tasks"
OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    type("Stay", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *_: None})(),
)


def sender(broker: str) -> Celery:
    """An app of the test's own, which knows the tasks of flower_tasks.py by name."""
    return Celery("sender", broker=broker, set_as_current=False)


def allow(url: str, steps: int) -> None:
    """Let every task take so many of its twenty steps: ten in each of its two stages."""
    with redis.Redis.from_url(url) as client:
        client.set("steps", steps)


class Flower(Process):
    """`celery -A <app> flower`; `config` is the text of its flowerconfig.py, by default the project's own."""

    name = "flower"

    def __init__(
        self,
        broker: str,
        *args: str,
        config: str | None = None,
        prefix: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port, self.prefix = free_port(), prefix
        self.url = f"http://{HOST}:{self.port}{prefix}"
        super().__init__(
            [], {"CELERY_BROKER_URL": broker, "FLOWER_UNAUTHENTICATED_API": "1", **(env or {})}
        )
        conf = ROOT / "flowerconfig.py"
        if config is not None:
            conf = self.folder / "flowerconfig.py"
            conf.write_text(config)
        self.command = [sys.executable, "-m", "celery", "--quiet", "-A", APP, "flower"]
        self.command += [f"--address={HOST}", f"--port={self.port}", f"--conf={conf}"]
        self.command += [
            "--logging=warning",
            *([f"--url-prefix={prefix}"] if prefix else []),
            *args,
        ]

    def ready(self, log: str) -> bool:
        return answers(self.port, f"{self.prefix}/healthcheck")

    def hear(self) -> None:
        """Wait until it hears a worker: what is sent from now on it knows."""
        wait_until(lambda: self.json("/workers?json=1")["data"], 20, "Flower to hear the worker")

    def get(self, path: str, *, login: str | None = None) -> HTTPResponse:
        """The answer, to be closed, whatever its status; redirections are not followed."""
        headers = {}
        if login:
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            return OPENER.open(request, timeout=10)
        except urllib.error.HTTPError as answer:
            return answer  # type: ignore[return-value]

    def status(self, path: str, *, login: str | None = None) -> int:
        with self.get(path, login=login) as answer:
            return answer.status

    def json(self, path: str) -> Any:
        with self.get(path) as answer:
            return json.load(answer)

    def api(self, path: str) -> Any:
        return self.json(f"/api/{path}")

    def rows(self) -> list[dict[str, Any]]:
        """The list as its page fetches it, the oldest first."""
        query = "draw=1&start=0&length=100&order[0][column]=0&order[0][dir]=asc"
        rows: list[dict[str, Any]] = self.json(
            f"/tasks/datatable?{query}&columns[0][data]=received"
        )["data"]
        return rows
