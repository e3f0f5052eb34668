"""The demonstration as a whole, and what its users see of a task: a web process, a worker, a folder they share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from headway.events import ENDED
from tests.processes import RedisServer, Web, Worker, wait_until
from tests.watching import Told, Watch

PATIENCE_SECONDS = 60  # for a video on a busy machine


class Site:
    def __init__(self, url: str, data: Path, redis_url: str, worker: Worker) -> None:
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=20)
        self.data = data
        self.redis_url = redis_url
        self.worker = worker

    def upload(self, path: str, content: bytes, name: str = "file") -> httpx.Response:
        return self.client.post(path, files={"file": (name, content)})

    def end(self, started: httpx.Response) -> dict[str, Any]:
        """The state of the task that was started, when it has ended."""
        assert started.status_code == 202, started.text
        assert started.json()["events"].startswith("/headway/tasks/")
        return wait_until(
            lambda: (state := self.state(started)) and state["status"] in ENDED and state,
            PATIENCE_SECONDS,
            "the task's end",
        )

    def state(self, started: httpx.Response) -> dict[str, Any]:
        answer = self.client.get(started.json()["state"])
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state

    def story(self, started: httpx.Response) -> list[Told]:
        """All that was told of a task that has ended."""
        url = str(self.client.base_url).rstrip("/") + started.json()["events"]
        with Watch(url, cursor="0") as watch:
            return watch.rest()

    def graph(self, nodes: Sequence[Any], edges: Sequence[str] = (), prompt: str = "Hello") -> Any:
        """Store a graph, run it, and return its end; an edge is "source target"."""
        pairs = [dict(zip(("source", "target"), edge.split(), strict=True)) for edge in edges]
        stored = self.client.post("/graphs", json={"nodes": nodes, "edges": pairs})
        assert stored.status_code == 201, stored.text
        runs = f"/graphs/{stored.json()['graph']}/runs"
        return self.end(self.client.post(runs, json={"prompt": prompt}))

    def programs(self) -> list[str]:
        """The commands of processes that work on files in the shared folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if f"{self.data}/" in command:
                found.append(command)
        return found


@contextmanager
def site(pool: str, data: Path) -> Iterator[Site]:
    with RedisServer() as redis:
        shared = {"HEADWAY_REDIS_URL": redis.url, "HEADWAY_DATA": str(data)}
        with Web(redis.url, env=shared) as web:
            env = shared | {"HEADWAY_SITE": web.url}
            with Worker(pool, redis.url, env=env) as worker:
                running = Site(web.url, data, redis.url, worker)
                with running.client:
                    yield running


def statuses(state: dict[str, Any]) -> dict[str, str]:
    return {stage["key"]: stage["status"] for stage in state["stages"]}


def stage_of(state: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(stage for stage in state["stages"] if stage["key"] == key)
    return found
