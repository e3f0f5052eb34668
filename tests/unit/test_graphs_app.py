"""`/graphs`: what a graph may be, that it is kept, and that it runs by its id."""

import json
from pathlib import Path

import pytest

from tests.asking import problem_of

FETCH = {"id": "page", "kind": "fetch", "params": {"path": "/"}}
STORE = {"id": "keep", "kind": "store"}
GRAPH = {"nodes": [FETCH, STORE], "edges": [{"source": "page", "target": "keep"}]}


def chain(*ids, closed=False):
    nodes = [{"id": id, "kind": "store"} for id in ids]
    pairs = list(zip(ids, (*ids[1:], ids[0]), strict=True))[: None if closed else -1]
    return {"nodes": nodes, "edges": [{"source": s, "target": t} for s, t in pairs]}


def test_a_graph_is_kept_and_shown(client):
    answer = client.post("/graphs", json=GRAPH)
    assert answer.status_code == 201
    graph = answer.json["graph"]
    assert answer.headers["Location"] == f"/graphs/{graph}"
    assert client.get(f"/graphs/{graph}").json == {
        "graph": graph,
        "nodes": [FETCH, {**STORE, "params": {}}],
        "edges": GRAPH["edges"],
    }


def test_a_graph_is_run_by_its_id(client, sent, shared_folder):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    answer = client.post(f"/graphs/{graph}/runs", json={"prompt": "  What is\nhere? "})
    assert answer.status_code == 202
    assert answer.json["state"] == "/headway/tasks/some-id"
    ((name, kwargs, headers),) = sent
    assert name == "workers.graphs"
    assert kwargs["needs"] == {"page": [], "keep": ["page"]}
    assert [node["id"] for node in kwargs["nodes"]] == ["page", "keep"]
    assert kwargs["prompt"] == "What is\nhere?"
    assert Path(kwargs["folder"]).parent == shared_folder / "files"
    assert headers["headway"]["title"] == "What is\nhere?"


@pytest.mark.parametrize(
    "graph",
    [chain("a"), chain("a", "b", "c"), chain(*(f"n{n}" for n in range(60)))],
    ids=["one", "three", "sixty"],
)
def test_what_can_run_is_let_in(client, graph):
    assert client.post("/graphs", json=graph).status_code == 201


def refusal(client, graph):
    problem = problem_of(client.post("/graphs", json=graph), 422)
    return problem["detail"], problem["errors"]


def test_a_cycle_is_named(client):
    detail, (error,) = refusal(client, chain("a", "b", "c", closed=True))
    assert error["field"] == "edges"
    assert {"a", "b", "c"} == set(error["detail"].rpartition(": ")[2].split(" → "))
    assert error["detail"] in detail


def test_a_node_that_needs_itself_is_a_cycle(client):
    graph = {"nodes": [STORE], "edges": [{"source": "keep", "target": "keep"}]}
    _, (error,) = refusal(client, graph)
    assert "keep → keep" in error["detail"]


def test_an_edge_to_nowhere_is_named(client):
    _, (error,) = refusal(client, GRAPH | {"edges": [{"source": "page", "target": "gone"}]})
    assert error == {
        "field": "edges[0].target",
        "detail": "must be the id of a node of this graph",
        "node": "gone",
    }


def test_a_node_that_is_there_twice_is_named(client):
    _, (error,) = refusal(client, GRAPH | {"nodes": [FETCH, STORE, FETCH]})
    assert (error["field"], error["node"]) == ("nodes[2].id", "page")
    assert "nodes[0]" in error["detail"]


def test_an_edge_that_is_there_twice_is_named(client):
    _, (error,) = refusal(client, GRAPH | {"edges": GRAPH["edges"] * 2})
    assert error == {"field": "edges[1]", "detail": "is page → keep again"}


def test_an_unknown_kind_is_told_which_there_are(client):
    _, (error,) = refusal(client, {"nodes": [{"id": "a", "kind": "shell"}], "edges": []})
    assert error["field"] == "nodes[0].kind"
    assert error["detail"] == "must be one of fetch, compute, transform, store, write"


@pytest.mark.parametrize("count", [0, 61, 5000])
def test_a_graph_of_the_wrong_size_is_told_the_right_one(client, count):
    graph = {"nodes": [{"id": f"n{n}", "kind": "store"} for n in range(count)], "edges": []}
    answer = client.post("/graphs", json=graph)
    if answer.status_code == 413:  # sixty nodes fit into the body many times over
        assert "64 KiB" in problem_of(answer, 413)["detail"]
    else:
        (error,) = problem_of(answer, 422)["errors"]
        assert error == {"field": "nodes", "detail": "must be a list of 1 to 60 nodes"}


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("fetch", {}, "path"),
        ("fetch", {"path": "//elsewhere.example/"}, "path"),
        ("fetch", {"path": "http://elsewhere.example/"}, "path"),
        ("fetch", {"path": "/\\elsewhere.example"}, "path"),
        ("fetch", {"path": "relative"}, "path"),
        ("fetch", {"path": ""}, "path"),
        ("fetch", {"path": "/a b"}, "path"),
        ("fetch", {"path": "/\r\nHost: elsewhere"}, "path"),
        ("fetch", {"path": "/é"}, "path"),
        ("fetch", {"path": "/" + "x" * 500}, "path"),
        ("fetch", {"path": ["/"]}, "path"),
        ("fetch", {"path": "/", "method": "POST"}, "method"),
        ("compute", {}, "operation"),
        ("compute", {"operation": "eval"}, "operation"),
        ("compute", {"operation": ["words"]}, "operation"),
        ("transform", {"operation": "words"}, "operation"),
        ("store", {"path": "/etc/passwd"}, "path"),
        ("write", {"sentences": 0}, "sentences"),
        ("write", {"sentences": 13}, "sentences"),
        ("write", {"sentences": True}, "sentences"),
    ],
)
def test_params_that_make_no_sense_are_named(client, kind, params, field):
    graph = {"nodes": [{"id": "culprit", "kind": kind, "params": params}], "edges": []}
    _, errors = refusal(client, graph)
    assert [(e["field"], e["node"]) for e in errors] == [(f"nodes[0].params.{field}", "culprit")]


@pytest.mark.parametrize(
    ("graph", "field"),
    [
        ({}, "nodes"),
        ({"nodes": [], "edges": {}}, "nodes"),
        ({"nodes": "abc", "edges": []}, "nodes"),
        ({"nodes": [STORE]}, "edges"),
        (GRAPH | {"name": "x"}, "name"),
        ({"nodes": ["a"], "edges": []}, "nodes[0]"),
        ({"nodes": [{"kind": "store"}], "edges": []}, "nodes[0].id"),
        ({"nodes": [{"id": "a"}], "edges": []}, "nodes[0].kind"),
        ({"nodes": [{"id": 1, "kind": "store"}], "edges": []}, "nodes[0].id"),
        ({"nodes": [{"id": "../x", "kind": "store"}], "edges": []}, "nodes[0].id"),
        ({"nodes": [{"id": "a" * 65, "kind": "store"}], "edges": []}, "nodes[0].id"),
        ({"nodes": [{"id": "\ud800", "kind": "store"}], "edges": []}, "nodes[0].id"),
        ({"nodes": [STORE | {"params": []}], "edges": []}, "nodes[0].params"),
        ({"nodes": [STORE | {"run": "x"}], "edges": []}, "nodes[0].run"),
        ({"nodes": [STORE], "edges": ["a"]}, "edges[0]"),
        ({"nodes": [STORE], "edges": [{}]}, "edges[0].source"),
        ({"nodes": [STORE], "edges": [{"source": [], "target": {}}]}, "edges[0].source"),
    ],
)
def test_what_is_no_graph_is_told_where(client, graph, field):
    _, errors = refusal(client, graph)
    assert field in [error["field"] for error in errors]


@pytest.mark.parametrize(
    "body", [{}, {"prompt": ""}, {"prompt": " \n"}, {"prompt": 1}, {"prompt": "x" * 2001}]
)
def test_a_run_without_a_prompt_is_refused(client, sent, body):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    answer = client.post(f"/graphs/{graph}/runs", json=body)
    assert problem_of(answer, 422)["errors"][0]["field"] == "prompt"
    assert sent == []


def test_a_prompt_that_no_file_could_hold_is_refused(client, sent):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    body = json.dumps({"prompt": "half of a pair: \ud83d"})
    answer = client.post(f"/graphs/{graph}/runs", data=body, content_type="application/json")
    assert problem_of(answer, 422)["errors"][0]["field"] == "prompt"


@pytest.mark.parametrize("graph", ["0" * 32, "x", "..", "%2e%2e%2fx", "0" * 31 + "\n", "A" * 32])
def test_an_unknown_graph_is_not_found(client, sent, graph):
    problem_of(client.get(f"/graphs/{graph}"), 404)
    problem_of(client.post(f"/graphs/{graph}/runs", json={"prompt": "x"}), 404)
    assert sent == []


def test_a_long_prompt_makes_a_short_title(client, sent):
    graph = client.post("/graphs", json=GRAPH).json["graph"]
    client.post(f"/graphs/{graph}/runs", json={"prompt": "word " * 100})
    assert len(sent[0][2]["headway"]["title"]) == 80
