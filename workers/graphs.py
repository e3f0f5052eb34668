"""Runs a graph: each node as soon as those it needs are done, independent ones side by side."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypedDict

from headway import current, plan, stage, staged
from headway.errors import Failure
from workers.celery import app
from workers.nodes import KINDS, Job, Result
from workers.places import Place

LIMIT_SECONDS = 30 * 60  # sixty nodes, each with a million characters, take some minutes
AT_ONCE = 8  # nodes: they mostly wait for others
SHOWN_CHARACTERS = 600  # of a result's text: sixty of them are one state

UNITS = {"write": "sentence"}  # what a node of that kind counts


class Node(TypedDict):
    id: str
    kind: str
    params: dict[str, Any]


@app.task(name="workers.graphs", time_limit=LIMIT_SECONDS)
@staged()
def graphs(
    nodes: list[Node], needs: dict[str, list[str]], prompt: str, folder: str, address: str
) -> dict[str, Any]:
    """`needs` names each node's predecessors.

    When a node fails, what depends on it is skipped and the rest still runs. The run then fails as the first
    node did, and that node's stage is named beside the error.
    """
    plan(*(stage(n["id"], unit=UNITS.get(n["kind"]), needs=needs[n["id"]]) for n in nodes))
    run = Run(nodes, needs, prompt, Place.at(folder, address))
    run.to_the_end()
    if run.failed:
        raise next(iter(run.failed.values()))
    needed = {need for each in needs.values() for need in each}
    return {
        "nodes": len(run.results),
        "last": [node["id"] for node in nodes if node["id"] not in needed],
        "stored": [result["url"] for result in run.results.values() if "url" in result],
    }


class Run:
    """One run: the nodes that wait, the results there are, and the errors of those that failed."""

    def __init__(
        self, nodes: list[Node], needs: dict[str, list[str]], prompt: str, place: Place
    ) -> None:
        self.results: dict[str, Result] = {}
        self.failed: dict[str, Exception] = {}
        self._waiting = {node["id"]: node for node in nodes}
        self._needs = needs
        self._prompt = prompt
        self._place = place
        self._here = current()

    def to_the_end(self) -> None:
        """Return when every node has run or was skipped."""
        executor = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="node")
        running: dict[Future[Result], str] = {}
        try:
            while self._waiting or running:
                for node in self._ready():
                    running[executor.submit(self._here.run, self._work, node)] = node["id"]
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    self._settle(running.pop(done), done)
        finally:
            executor.shutdown(cancel_futures=True)

    def _ready(self) -> list[Node]:
        """Take the nodes that have all they need from those that wait."""
        ready = [
            id for id in self._waiting if all(need in self.results for need in self._needs[id])
        ]
        return [self._waiting.pop(id) for id in ready]

    def _work(self, node: Node) -> Result:
        with self._here.stage(node["id"]) as running:
            if node["kind"] not in KINDS:
                raise Failure(
                    f"This worker knows no {node['kind']!r}; it knows {', '.join(KINDS)}."
                )
            inputs = {need: self.results[need] for need in self._needs[node["id"]]}
            job = Job(node["id"], node["params"], self._prompt, inputs, self._place)
            result = KINDS[node["kind"]](job)
            running.report(data={"kind": node["kind"]} | shown(result))
            return result

    def _settle(self, node: str, done: Future[Result]) -> None:
        error = done.exception()
        if error is None:
            self.results[node] = done.result()
        elif isinstance(error, Exception):
            self.failed[node] = error
            self._skip_dependents(node)
        else:
            raise error

    def _skip_dependents(self, failed: str) -> None:
        """Skip all that the failed node leads to, near and far."""
        lost = [failed]
        for node in lost:
            for id in [id for id in self._waiting if node in self._needs[id]]:
                del self._waiting[id]
                lost.append(id)
                why = f"needs {node}, which " + ("failed" if node == failed else "was skipped")
                self._here.stage(id).skip(why)


def shown(result: Result) -> Result:
    """The result as viewers see it: its text only so far."""
    text = result["text"]
    if len(text) <= SHOWN_CHARACTERS:
        return result
    return result | {"text": text[: SHOWN_CHARACTERS - 1] + "…", "characters": len(text)}
