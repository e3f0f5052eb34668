"""`/graphs`: graphs are stored, and run by id with a prompt. What is stored is shown by `pages`."""

from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from app import bodies, graph_rules, tasks
from app.problems import Problem
from app.shelf import shelf

MOST_PROMPT = 2_000  # characters
MOST_TITLE = 80

routes = Blueprint("graphs", __name__)


@routes.post("/graphs")
def create() -> ResponseReturnValue:
    given = bodies.json_object()
    if faults := graph_rules.faults(given):
        first = f"{faults[0]['field']} {faults[0]['detail']}"
        raise Problem(422, f"This is no graph that can run: {first}.", faults)
    nodes = [{"params": {}} | node for node in given["nodes"]]
    graph = shelf().keep_graph({"nodes": nodes, "edges": given["edges"]})
    return {"graph": graph}, 201, {"Location": url_for("pages.graph", graph=graph)}


@routes.post("/graphs/<graph>/runs")
def run(graph: str) -> ResponseReturnValue:
    known = stored(graph)
    given = bodies.json_object()
    rule = (lambda v: bodies.is_text(v, MOST_PROMPT), f"text of 1 to {MOST_PROMPT} characters")
    bodies.refuse(bodies.mistakes(given, {"prompt": rule}, required=["prompt"]))
    prompt = given["prompt"].strip()
    title = prompt if len(prompt) <= MOST_TITLE else prompt[: MOST_TITLE - 1] + "…"
    with shelf().folder() as place:
        return tasks.start(
            "workers.graphs",
            title=title,
            nodes=known["nodes"],
            needs=graph_rules.needs(known),
            prompt=prompt,
            **place,
        )


def stored(graph: str) -> dict[str, Any]:
    """The graph of that id, else a Problem."""
    known = shelf().graph(graph)
    if known is None:
        raise Problem(
            404,
            "There is no such graph. POST one to /graphs; it is kept for a week after its last run.",
        )
    return known
