"""What a graph may be. Pure; every refusal names the culprit by its place and by its id."""

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from app.bodies import Mistake, Rules, is_text, mistakes

MOST_NODES = 60
MOST_EDGES = 600
MOST_PATH = 500  # characters of an address
MOST_SENTENCES = 12

NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")  # one slash first; printable ASCII without a backslash

COMPUTATIONS = ("words", "frequencies", "numbers", "phrases", "names")
TRANSFORMATIONS = ("lower", "upper", "plain-text", "sort-lines", "summary", "unique-lines")


def _one_of(*allowed: str) -> Rules:
    return {
        "operation": (lambda v: isinstance(v, str) and v in allowed, "one of " + ", ".join(allowed))
    }


PARAMS: Mapping[str, tuple[Rules, tuple[str, ...]]] = {  # kind → its params, and which it needs
    "fetch": (
        {
            "path": (
                lambda v: is_text(v, MOST_PATH) and bool(_PATH.fullmatch(v)),
                f"an address on this site: ASCII, one slash first, at most {MOST_PATH} characters",
            )
        },
        ("path",),
    ),
    "compute": (_one_of(*COMPUTATIONS), ("operation",)),
    "transform": (_one_of(*TRANSFORMATIONS), ("operation",)),
    "store": ({}, ()),
    "write": (
        {
            "sentences": (
                lambda v: type(v) is int and 1 <= v <= MOST_SENTENCES,
                f"a whole number from 1 to {MOST_SENTENCES}",
            )
        },
        (),
    ),
}


def faults(given: Mapping[str, Any]) -> list[Mistake]:
    """All that keeps it from being a graph. Edges are looked at once all nodes are right."""
    most = f"a list of at most {MOST_EDGES} edges"
    found = mistakes(
        given,
        {
            "nodes": (_sized(1, MOST_NODES), f"a list of 1 to {MOST_NODES} nodes"),
            "edges": (_sized(0, MOST_EDGES), most),
        },
        required=["nodes", "edges"],
    )
    if found:
        return found
    found = [fault for place, node in enumerate(given["nodes"]) for fault in _node(place, node)]
    found = found or _duplicates(given["nodes"])
    found = found or _edges(given["edges"], {node["id"] for node in given["nodes"]})
    return found or _cycle(given["edges"])


def needs(graph: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each node's predecessors, by ids."""
    found: dict[str, list[str]] = {node["id"]: [] for node in graph["nodes"]}
    for edge in graph["edges"]:
        found[edge["target"]].append(edge["source"])
    return found


def _sized(least: int, most: int) -> Any:
    return lambda v: isinstance(v, list) and least <= len(v) <= most


def _node(place: int, node: object) -> list[Mistake]:
    where = f"nodes[{place}]"
    if not isinstance(node, dict):
        return [{"field": where, "detail": 'must be an object {"id", "kind", "params"}'}]
    kinds = ", ".join(PARAMS)
    found = mistakes(
        node,
        {
            "id": (
                lambda v: isinstance(v, str) and bool(NODE_ID.fullmatch(v)),
                "1 to 64 of A-Z a-z 0-9 _ -, a letter or digit first",
            ),
            "kind": (lambda v: isinstance(v, str) and v in PARAMS, f"one of {kinds}"),
            "params": (lambda v: isinstance(v, dict), "an object"),
        },
        required=["id", "kind"],
        where=f"{where}.",
    )
    if found:
        return found
    rules, required = PARAMS[node["kind"]]
    found = mistakes(node.get("params", {}), rules, required, where=f"{where}.params.")
    return [fault | {"node": node["id"]} for fault in found]


def _duplicates(nodes: Iterable[Mapping[str, Any]]) -> list[Mistake]:
    places: dict[str, int] = {}
    found = []
    for place, node in enumerate(nodes):
        first = places.setdefault(node["id"], place)
        if first != place:
            detail = f"is {node['id']!r} again, the id of nodes[{first}]; ids must differ"
            found.append({"field": f"nodes[{place}].id", "detail": detail, "node": node["id"]})
    return found


def _edges(edges: Iterable[object], known: set[str]) -> list[Mistake]:
    found: list[Mistake] = []
    seen: set[tuple[str, str]] = set()
    for place, edge in enumerate(edges):
        where = f"edges[{place}]"
        if not isinstance(edge, dict):
            found.append({"field": where, "detail": 'must be an object {"source", "target"}'})
            continue
        ends = ("source", "target")
        rule = (lambda v: isinstance(v, str) and v in known, "the id of a node of this graph")
        wrong = mistakes(edge, dict.fromkeys(ends, rule), required=ends, where=f"{where}.")
        for fault in wrong:
            named = edge.get(fault["field"].rpartition(".")[2])
            found.append(fault | ({"node": named[:100]} if isinstance(named, str) else {}))
        if not wrong:
            pair = (edge["source"], edge["target"])
            if pair in seen:
                found.append({"field": where, "detail": f"is {' → '.join(pair)} again"})
            seen.add(pair)
    return found


def _cycle(edges: list[dict[str, str]]) -> list[Mistake]:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for edge in edges:
        sorter.add(edge["target"], edge["source"])
    try:
        sorter.prepare()
    except CycleError as error:
        circle = error.args[1]
        detail = f"must not lead back to where they began: {' → '.join(circle)}"
        return [{"field": "edges", "detail": detail, "node": circle[0]}]
    return []
