"""Who hands out events: ours and each peer, said in one way. Everything that differs between them is here."""

import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import viewers
from benchmarks.servers import Bench, Server
from benchmarks.speakers import FlaskSse, Posted, Published, Reported, Speaker
from benchmarks.table import Row, progress
from deploy.demo import answers
from tests.processes import Process, free_port

PEERS = Path(__file__).with_name("peers")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
REST_SECONDS = 0.3  # for a web process to come to rest


@dataclass(frozen=True, eq=False)
class Side:
    name: str  # in the table
    serve: Callable[[Bench], AbstractContextManager[Server]]
    speaker: Callable[[Bench, Server], Speaker]
    path: str = "/events/{topic}"
    marker: str = ": hello"  # who has read a line with it has arrived
    most_viewers: int = 10_000
    install: str = ""  # what brings what is not here; "" when everything is
    targets: dict[str, float] = field(default_factory=dict)  # ours / theirs, by what is measured


# -- how they are compared -------------------------------------------------------------------------------------

Figures = dict[str, float]  # of one run of one server
Runs = dict[Side, list[Figures]]


def measured(bench: Bench, measure: Callable[[Bench, Side], Figures], *sides: Side) -> Runs:
    """Ours and theirs in turn, so that a noisy minute hits them all."""
    runs: Runs = {side: [] for side in (HEADWAY, *sides) if not side.install}
    for number in range(bench.rounds):
        for side, figures in runs.items():
            progress(f"{side.name}, run {number + 1} of {bench.rounds}")
            figures.append(measure(bench, side))
    return runs


def compared(what: str, name: str, runs: Runs, **goal: Any) -> Iterator[Row]:
    """Ours beside each of theirs."""
    figures = {side: [each[name] for each in runs[side]] for side in runs}
    ours = figures.pop(HEADWAY)
    for side, theirs in figures.items():
        yield Row(what, ours, side.name, theirs, target=side.targets.get(name), **goal)


def wrong(what: str, runs: Runs) -> Row:
    """What was lost, doubled or reordered: ours, and all of theirs together."""
    ours, *others = ([each["wrong"] for each in figures] for figures in runs.values())
    theirs = [sum(each) for each in zip(*others, strict=True)]
    return Row(f"{what}: lost, doubled, reordered", ours, "all of them", theirs, limit=0)


@contextmanager
def gathered(
    side: Side, server: Server, speaker: Speaker, count: int, *, own: bool = False
) -> Iterator[tuple[viewers.Crowd, list[str]]]:
    """So many viewers who have all arrived, and their topics: one, or one each."""
    stem = uuid.uuid4().hex
    topics = [f"{stem}-{number}" for number in range(count)] if own else [stem]
    speaker.begin(topics)
    request = viewers.get(side.path.format(topic=f"{stem}-%d" if own else stem))
    with viewers.crowd(server.port, count, marker=side.marker, request=request) as crowd:
        speaker.gather(topics, 1 if own else count)
        time.sleep(REST_SECONDS)
        yield crowd, topics


def closed_loop(
    server: Server, speaker: Speaker, crowd: viewers.Crowd, topics: list[str], events: int
) -> float:
    """Event k+1 of each topic only after all viewers have k. Says how many µs of CPU the server took."""
    cpu = server.cpu_seconds()
    for place in range(1, events + 1):
        speaker.say(topics, range(place, place + 1))
        crowd.wait_for(place)
    return (server.cpu_seconds() - cpu) * 1e6


# -- how they are served ---------------------------------------------------------------------------------------


class Program(Process):
    """Anything that serves HTTP at its `port`."""

    def __init__(self) -> None:
        self.port = free_port()
        super().__init__([])

    def ready(self, log: str) -> bool:
        return answers(self.port, "/healthz")


def _loop(bench: Bench) -> AbstractContextManager[Server]:
    loop = Program()
    redis_port = urlsplit(bench.redis_url).port or 6379
    loop.command = [viewers.compiled(PEERS / "loop.c"), str(loop.port), str(redis_port)]
    return bench.serve(loop, loop.port)


def _nginx(bench: Bench) -> AbstractContextManager[Server]:
    nginx = Program()
    conf = (PEERS / "nchan.conf").read_text()
    file = nginx.folder / "nginx.conf"
    file.write_text(conf.replace("@port@", str(nginx.port)).replace("@folder@", str(nginx.folder)))
    nginx.command = [str(NGINX), "-c", str(file)]
    return bench.serve(nginx, nginx.port)


def _uvicorn(bench: Bench) -> AbstractContextManager[Server]:
    uvicorn = Program()
    site = "benchmarks.peers.sse_starlette_site:app"
    options = ["--port", str(uvicorn.port), "--log-level", "error"]
    uvicorn.command = [sys.executable, "-m", "uvicorn", site, *options]
    return bench.serve(uvicorn, uvicorn.port)


def _pip(*modules: str) -> str:
    missing = not all(map(find_spec, modules))
    return "pip install -r benchmarks/requirements.txt" if missing else ""


HEADWAY = Side(
    "headway",
    lambda bench: bench.web("benchmarks.web:app"),
    Reported,
    path="/headway/tasks/{topic}/events",
    marker='"snapshot"',
)
LOOP = Side("send() in C", _loop, Published, targets={"cpu": 1.2, "own": 2})
NCHAN = Side(
    "nginx + nchan",
    _nginx,
    Posted,
    marker="Content-Type: text/event-stream",
    install="" if NGINX and NCHAN_MODULE.exists() else "apt install nginx-light libnginx-mod-nchan",
    targets={"cpu": 1 / 1.4, "memory": 1 / 8, "p50": 1, "p99": 1},
)
QUEUES = Side(
    "generator + queue",
    lambda bench: bench.web("benchmarks.peers.queues:app"),
    Published,
    targets={"cpu": 1 / 5, "own": 1 / 4, "memory": 1 / 16, "connects": 2},
)
STARLETTE = Side(
    "sse-starlette",
    _uvicorn,
    Published,
    install=_pip("sse_starlette", "uvicorn", "uvloop"),
    targets={"cpu": 1 / 8},
)
FLASK_SSE = Side(
    "flask-sse",
    lambda bench: bench.web("benchmarks.peers.flask_sse_site:app"),
    FlaskSse,
    most_viewers=1000,  # each has a connection to Redis, which takes no more than 10,000
    install=_pip("flask_sse"),
    targets={"cpu": 1 / 20},
)
SIDES = (LOOP, NCHAN, QUEUES, STARLETTE, FLASK_SSE)
