"""Running a graph: what waits for what, what runs side by side, and what becomes of failures."""

import http.server
import json
import threading
from contextlib import contextmanager

import pytest

from headway import testing
from headway.errors import Failure
from workers import graphs, nodes, site
from workers.nodes import Job
from workers.places import Place


def run(kinds, needs, monkeypatch, tmp_path):
    """Run nodes that are their own kinds."""
    monkeypatch.setattr(graphs, "KINDS", kinds)
    told = [graphs.Node(id=id, kind=id, params={}) for id in needs]
    done = graphs.Run(told, needs, "the prompt", Place(tmp_path, "/files/x/"))
    done.to_the_end()
    return done


def saying(text):
    return lambda job: {"text": text}


def test_independent_nodes_run_side_by_side(monkeypatch, tmp_path):
    meeting = threading.Barrier(3, timeout=5)

    def meet(job):
        meeting.wait()
        return {"text": job.id}

    needs = {"a": [], "b": [], "c": []}
    done = run(dict.fromkeys(needs, meet), needs, monkeypatch, tmp_path)
    assert done.failed == {}
    assert set(done.results) == {"a", "b", "c"}


def test_a_node_gets_the_results_of_those_it_needs(monkeypatch, tmp_path):
    seen = {}

    def look(job):
        seen.update(job.inputs)
        return {"text": job.text}

    kinds = {"a": saying("one"), "b": saying("two"), "c": look}
    done = run(kinds, {"c": ["b", "a"], "a": [], "b": []}, monkeypatch, tmp_path)
    assert seen == {"a": {"text": "one"}, "b": {"text": "two"}}
    assert done.results["c"]["text"] == "two\n\none"


def test_a_node_that_needs_nothing_works_on_the_prompt(monkeypatch, tmp_path):
    done = run({"a": lambda job: {"text": job.text}}, {"a": []}, monkeypatch, tmp_path)
    assert done.results["a"]["text"] == "the prompt"


def test_what_depends_on_a_failure_never_runs(monkeypatch, tmp_path):
    def fail(job):
        raise Failure("no luck")

    kinds = {"bad": fail, "next": saying("?"), "last": saying("?"), "other": saying("fine")}
    needs = {"last": ["next", "other"], "next": ["bad"], "bad": [], "other": []}
    with testing.run() as heard:
        done = run(kinds, needs, monkeypatch, tmp_path)
        told = {stage.key: (stage.status, stage.message) for stage in heard.state().stages}
    assert set(done.results) == {"other"}
    assert set(done.failed) == {"bad"}
    assert told == {
        "bad": ("failed", "no luck"),
        "next": ("skipped", "needs bad, which failed"),
        "last": ("skipped", "needs next, which was skipped"),
        "other": ("done", None),
    }


def test_every_failure_is_known(monkeypatch, tmp_path):
    def fail(job):
        raise ZeroDivisionError

    done = run(dict.fromkeys("ab", fail), {"a": [], "b": []}, monkeypatch, tmp_path)
    assert set(done.failed) == {"a", "b"}


def test_a_kind_that_a_newer_site_knows_fails_by_name(monkeypatch, tmp_path):
    done = run({}, {"a": []}, monkeypatch, tmp_path)
    assert "knows no 'a'" in str(done.failed["a"])


def test_a_long_result_is_shown_in_part():
    result = {"text": "x" * 5000, "bytes": 5000}
    assert graphs.shown(result) == {"text": "x" * 599 + "…", "bytes": 5000, "characters": 5000}
    assert graphs.shown({"text": "short"}) == {"text": "short"}


# -- the kinds -------------------------------------------------------------------------------------


def job(tmp_path, text="", **params):
    inputs = {"before": {"text": text}} if text else {}
    return Job("node", params, "What is the sea?", inputs, Place(tmp_path, "/files/x/"))


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        ("words", {"words": 4, "different": 3, "sentences": 2, "characters": 20}),
        ("frequencies", {"sea": 2, "salty": 1, "blue": 1}),
    ],
)
def test_computing_counts_words(tmp_path, operation, values):
    made = nodes.compute(job(tmp_path, "Sea salty. Sea blue!", operation=operation))
    assert made["values"] == values


def test_computing_finds_numbers_and_not_those_in_words(tmp_path):
    text = "3 and -1.5, not x2 nor 4th nor 1.2.3"
    values = nodes.compute(job(tmp_path, text, operation="numbers"))["values"]
    assert (values["count"], values["sum"]) == (2, 1.5)
    with pytest.raises(Failure, match="no numbers"):
        nodes.compute(job(tmp_path, "none", operation="numbers"))


@pytest.mark.parametrize(
    ("operation", "text", "made"),
    [
        ("upper", "straße", "STRASSE"),
        ("sort-lines", "b\na", "a\nb"),
        ("unique-lines", "b\na\nb", "b\na"),
        ("plain-text", "<p>A &amp; B<script>evil()</script><br>C < D</p>", "A & B C < D"),
        ("plain-text", "<script>" * 1000 + "never seen", ""),
    ],
)
def test_transforming_makes_one_text_of_another(tmp_path, operation, text, made):
    assert nodes.transform(job(tmp_path, text, operation=operation))["text"] == made


def test_an_operation_that_a_newer_site_knows_fails_by_name(tmp_path):
    with pytest.raises(Failure, match="no operation 'rot13'"):
        nodes.transform(job(tmp_path, operation="rot13"))


def test_texts_do_not_grow_without_end(tmp_path):
    assert len(job(tmp_path, "x" * 1_000_000).text) == nodes.MOST_CHARACTERS


def test_storing_keeps_what_it_was_given(tmp_path):
    made = nodes.store(job(tmp_path, "the text"))
    assert made["url"] == "/files/x/node.json"
    kept = json.loads((tmp_path / "node.json").read_text())
    assert kept == {"prompt": "What is the sea?", "inputs": {"before": {"text": "the text"}}}


def test_writing_tells_each_token(tmp_path):
    with testing.run() as heard:
        made = nodes.write(job(tmp_path, "Bread is baked. The sea is salt water.", sentences=1))
        tokens = [event.data for event in heard.events if event.__class__.__name__ == "Emitted"]
    assert made == {"text": "The sea is salt water.", "tokens": 5}
    assert "".join(token["text"] for token in tokens) == made["text"]
    assert {token["node"] for token in tokens} == {"node"}


# -- the site --------------------------------------------------------------------------------------


@contextmanager
def serving(status, headers, body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (302, {"Location": "http://elsewhere.example/"}, b"", "answered 302"),
        (404, {}, b"", "answered 404"),
        (200, {"Content-Type": "image/png"}, b"\x89PNG", "only text"),
        (200, {"Content-Type": "application/octet-stream"}, b"\x00", "only text"),
    ],
)
def test_what_is_no_page_is_refused(monkeypatch, status, headers, body, said):
    with serving(status, headers, body) as url:
        monkeypatch.setattr(site, "SITE", url)
        with pytest.raises(Failure, match=said):
            site.fetch("/page")


def test_a_page_is_read_in_its_charset_and_only_so_far(monkeypatch):
    body = "é".encode("latin-1") + b"x" * (site.MOST_BYTES + 5000)
    with serving(200, {"Content-Type": "text/plain; charset=latin-1"}, body) as url:
        monkeypatch.setattr(site, "SITE", url)
        found = site.fetch("/page")
    assert found.text.startswith("éx")
    assert (found.bytes, found.whole) == (site.MOST_BYTES, False)


@pytest.mark.parametrize(
    "path", ["//elsewhere.example/", "http://elsewhere.example/", "x", "", "/\r\nX: 1", "/ x"]
)
def test_only_addresses_of_this_site_are_asked_for(monkeypatch, path):
    monkeypatch.setattr(site, "SITE", "http://127.0.0.1:9")
    with pytest.raises(Failure, match="on this site"):
        site.fetch(path)


def test_a_site_that_is_away_is_said_with_what_to_set(monkeypatch):
    monkeypatch.setattr(site, "SITE", "http://127.0.0.1:9")
    with pytest.raises(Failure, match="HEADWAY_SITE"):
        site.fetch("/page")
