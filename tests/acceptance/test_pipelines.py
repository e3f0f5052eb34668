"""The three pipelines, done for real by a worker and watched through the site."""

import json
import os
import re
import shutil
import subprocess

import pytest
from celery import Celery

from tests import paperwork
from tests.pipelines import Site, site, stage_of, statuses
from tests.processes import ROOT, wait_until

TEXT = """The Treaty of Westphalia was signed on 24 October 1648.
It ended the Thirty Years War. Write to info@example.org about it.
A treaty ends a war, and a war ends a treaty."""


@pytest.fixture(scope="module", params=["prefork", "threads"])
def running(request, tmp_path_factory):
    with site(request.param, tmp_path_factory.mktemp("data")) as running:
        yield running


def done(*stages: str) -> dict[str, str]:
    return dict.fromkeys(stages, "done")


# -- documents -------------------------------------------------------------------------------------


def test_a_pdf_is_read_page_by_page(running: Site):
    content = paperwork.pdf(TEXT, TEXT, "")
    state = running.end(running.upload("/documents", content, "../../Treaty of 1648.pdf"))
    assert (state["status"], state["title"]) == ("succeeded", "Treaty of 1648.pdf")
    if not shutil.which("tesseract"):
        assert stage_of(state, "ocr")["status"] == "skipped"
        assert "tesseract is not installed" in stage_of(state, "ocr")["message"]
    assert statuses(state) | {"ocr": ""} == done("extract", "chunk", "enrich", "score") | {
        "ocr": ""
    }
    extract = stage_of(state, "extract")
    assert (extract["current"], extract["total"], extract["unit"]) == (3, 3, "page")
    result = state["result"]
    assert (result["kind"], result["pages"]) == ("pdf", 3)
    assert {"kind": "date", "text": "24 October 1648", "count": 2} in result["entities"]
    assert {"kind": "email", "text": "info@example.org", "count": 2} in result["entities"]
    assert "thirty years war" in [phrase["text"] for phrase in result["phrases"]]
    assert result["confidence"] == pytest.approx(2 / 3, abs=0.01)
    assert result["because"] == ["1 of 3 pages have no text"]
    chunks = running.client.get(result["chunks"]["url"]).json()
    assert [chunk["page"] for chunk in chunks] == [1, 2]
    assert len(chunks) == result["chunks"]["count"]


def test_a_text_is_read_whatever_its_name_claims(running: Site):
    state = running.end(running.upload("/documents", TEXT.encode(), "claims-to-be.pdf"))
    assert state["status"] == "succeeded"
    assert state["result"]["kind"] == "text"
    assert state["result"]["confidence"] == 1.0
    assert stage_of(state, "ocr")["status"] == "skipped"


@pytest.mark.parametrize("content", [TEXT.encode(), paperwork.pdf(TEXT)], ids=["text", "pdf"])
def test_what_takes_no_time_moves_no_bar(running: Site, content):
    started = running.upload("/documents", content)
    running.end(started)
    told = [event.data for event in running.story(started) if event.data.get("stage")]
    ocr = next(n for n, each in enumerate(told) if each["stage"]["status"] == "skipped")
    assert told[ocr]["progress"] == told[ocr - 1]["progress"] < 0.9
    begun = next(each for each in told if each["stage"]["status"] == "running")
    assert begun["progress"] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (paperwork.encrypted(paperwork.pdf(TEXT)), "The PDF is encrypted. Remove its password"),
        (b"%PDF-1.7 and then nothing of the kind", "The PDF is damaged"),
        (paperwork.pdf(TEXT)[:-200], "The PDF is damaged"),
        (paperwork.pdf("", ""), "There is no text in this document"),
        (paperwork.picture()[:80], "The picture is damaged"),
        (b" \n\n \t \n", "There is no text in this document."),
    ],
    ids=["encrypted", "garbage", "truncated", "empty", "picture", "blank"],
)
def test_a_document_that_cannot_be_read_says_why(running: Site, content, said):
    state = running.end(running.upload("/documents", content))
    assert (state["status"], state["error"]["type"]) == ("failed", "Failure")
    assert state["error"]["message"].startswith(said)


@pytest.mark.skipif(shutil.which("tesseract") is not None, reason="tesseract is installed")
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_without_ocr_says_what_to_install(running: Site, kind):
    state = running.end(running.upload("/documents", paperwork.picture(kind)))
    assert stage_of(state, "ocr")["status"] == "skipped"
    assert "install tesseract" in state["error"]["message"]


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
@pytest.mark.parametrize("content", [paperwork.written("PNG"), paperwork.written("PDF")])
def test_a_picture_is_read_where_ocr_is_installed(running: Site, content):
    state = running.end(running.upload("/documents", content))
    assert state["status"] == "succeeded", state["error"]
    assert stage_of(state, "ocr")["current"] == 1
    assert "westphalia" in state["result"]["excerpt"].lower()
    assert "text was read from pictures" in state["result"]["because"]


# -- videos ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started(running: Site):
    return running.client.post("/videos", json={"sample": True, "seconds": 3})


@pytest.fixture(scope="module")
def sample(running: Site, started):
    return running.end(started)


def test_a_sample_video_is_generated_and_converted(running: Site, sample):
    assert sample["status"] == "succeeded", sample["error"]
    assert statuses(sample) == done("generate", "probe", "transcode", "thumbnails", "scenes")
    assert stage_of(sample, "probe")["data"]["codec"] == "h264"
    result = sample["result"]
    assert result["seconds"] == pytest.approx(3, abs=0.2)
    assert [round(scene["start"]) for scene in result["scenes"]] == [0, 1, 2]
    assert len(result["thumbnails"]) == 6
    for thumbnail in result["thumbnails"]:
        answer = running.client.get(thumbnail["url"])
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8\xff")


def test_its_progress_is_what_ffmpeg_has_done(running: Site, started, sample):
    told = [event.data.get("stage") or {} for event in running.story(started)]
    seen = [stage["current"] for stage in told if stage.get("key") == "transcode"]
    seen = [seconds for seconds in seen if seconds is not None]
    assert seen == sorted(seen)
    assert len({seconds for seconds in seen if 0 < seconds < 3}) >= 2, seen
    transcode = stage_of(sample, "transcode")
    assert transcode["unit"] == "second"
    assert transcode["current"] == pytest.approx(transcode["total"], abs=0.2)


def test_the_video_is_served_in_parts(running: Site, sample):
    url = sample["result"]["video"]
    part = running.client.get(url, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert part.headers["Content-Type"] == "video/mp4"
    assert part.headers["X-Content-Type-Options"] == "nosniff"
    assert part.headers["Content-Range"] == f"bytes 4-7/{sample['result']['bytes']}"
    beyond = running.client.get(url, headers={"Range": "bytes=999999999-"})
    assert beyond.status_code == 416


def test_an_uploaded_video_is_converted_and_the_upload_deleted(running: Site, sample):
    converted = running.client.get(sample["result"]["video"]).content
    state = running.end(running.upload("/videos", converted, "holiday.mov"))
    assert statuses(state) == done("probe", "transcode", "thumbnails", "scenes")
    assert state["title"] == "holiday.mov"
    folder = running.data / "files" / state["result"]["video"].split("/")[2]
    assert {path.suffix for path in folder.iterdir()} == {".mp4", ".jpg"}


@pytest.mark.parametrize("content", [b"\x00\x00\x00\x18ftypmp42" + bytes(500), b"OggS" * 99])
def test_a_file_that_only_looks_like_a_video_says_so(running: Site, content):
    state = running.end(running.upload("/videos", content))
    assert state["status"] == "failed"
    assert state["error"]["message"].startswith("There is no video in this file")
    assert state["error"]["stage"] == "probe"


def test_a_terminated_video_leaves_no_ffmpeg(running: Site):
    if "threads" in running.worker.command:
        pytest.skip("threads cannot be terminated")
    long = running.client.post("/videos", json={"sample": True, "seconds": 60})
    wait_until(running.programs, 15, "ffmpeg")
    with Celery("canceller", broker=running.redis_url, set_as_current=False) as app:
        app.control.revoke(long.json()["task"], terminate=True)
    assert running.end(long)["status"] == "cancelled"
    wait_until(lambda: not running.programs(), 5, "the end of ffmpeg")


def test_a_killed_worker_leaves_no_ffmpeg(tmp_path):
    with site("prefork", tmp_path) as running:
        running.client.post("/videos", json={"sample": True, "seconds": 60})
        wait_until(running.programs, 15, "ffmpeg")
        running.worker.kill()
        wait_until(lambda: not running.programs(), 5, "the end of ffmpeg")


# -- graphs ----------------------------------------------------------------------------------------


def node(id: str, kind: str, **params: object) -> dict[str, object]:
    return {"id": id, "kind": kind, "params": params}


def test_a_graph_runs_in_the_order_of_its_edges(running: Site):
    read = running.end(running.upload("/documents", TEXT.encode()))
    state = running.graph(
        [
            node("page", "fetch", path=read["result"]["chunks"]["url"]),
            node("text", "transform", operation="plain-text"),
            node("count", "compute", operation="words"),
            node("answer", "write", sentences=3),
            node("keep", "store"),
        ],
        ["page text", "text count", "text answer", "answer keep", "count keep"],
        prompt="Which war ended?",
    )
    assert state["status"] == "succeeded", state["error"]
    assert state["title"] == "Which war ended?"
    stages = {stage["key"]: stage for stage in state["stages"]}
    assert {key: stage["needs"] for key, stage in stages.items()} == {
        "page": [],
        "text": ["page"],
        "count": ["text"],
        "answer": ["text"],
        "keep": ["answer", "count"],
    }
    assert stages["page"]["data"]["type"] == "application/json"
    assert "Westphalia" in stages["text"]["data"]["text"]
    assert "Thirty Years War" in stages["answer"]["data"]["text"]
    assert stages["count"]["data"]["values"]["words"] > 10
    for key, stage in stages.items():
        for need in stage["needs"]:
            assert stages[need]["finished_at"] <= stage["started_at"], key
    (stored,) = state["result"]["stored"]
    kept = running.client.get(stored).json()
    assert kept["inputs"]["answer"]["text"] == stages["answer"]["data"]["text"]
    assert state["result"]["last"] == ["keep"]


def test_writing_is_streamed_token_by_token(running: Site):
    prompt = "Rivers carry water. Mountains carry snow. Why do rivers carry water?"
    stored = running.client.post("/graphs", json={"nodes": [node("say", "write")], "edges": []})
    runs = f"/graphs/{stored.json()['graph']}/runs"
    started = running.client.post(runs, json={"prompt": prompt})
    text = running.end(started)["stages"][0]["data"]["text"]
    tokens = [told.data["data"] for told in running.story(started) if told.event == "token"]
    assert "".join(token["text"] for token in tokens) == text
    assert len(tokens) == len(text.split()) == len(prompt.split())


def test_many_nodes_feed_one(running: Site):
    parts = [node(f"part-{n}", "compute", operation="words") for n in range(20)]
    edges = [f"part-{n} all" for n in range(20)]
    state = running.graph([*parts, node("all", "store")], edges)
    assert state["status"] == "succeeded"
    assert set(statuses(state).values()) == {"done"}


def test_a_failed_node_is_named_and_what_needs_it_is_skipped(running: Site):
    state = running.graph(
        [
            node("gone", "fetch", path="/nowhere"),
            node("next", "transform", operation="upper"),
            node("last", "store"),
            node("other", "compute", operation="words"),
        ],
        ["gone next", "next last", "other last"],
    )
    assert state["status"] == "failed"
    assert state["error"]["message"] == "/nowhere answered 404 NOT FOUND."
    assert state["error"]["stage"] == "gone"
    assert statuses(state) == {
        "gone": "failed",
        "next": "skipped",
        "last": "skipped",
        "other": "done",
    }
    assert stage_of(state, "next")["message"] == "needs gone, which failed"
    assert stage_of(state, "last")["message"] == "needs next, which was skipped"


def test_a_worker_does_all_that_the_site_allows(running: Site):
    from app.graph_rules import COMPUTATIONS, TRANSFORMATIONS

    nodes = [
        *(node(name, "compute", operation=name) for name in COMPUTATIONS),
        *(node(name, "transform", operation=name) for name in TRANSFORMATIONS),
    ]
    state = running.graph(nodes, prompt="Seven 7 of 9.5 numbers. <b>Bold</b>")
    assert state["status"] == "succeeded", state["error"]
    assert stage_of(state, "numbers")["data"]["values"]["sum"] == 16.5
    assert stage_of(state, "numbers")["data"]["kind"] == "compute"
    assert stage_of(state, "plain-text")["data"]["text"].endswith("Bold")


def test_no_file_is_served_but_what_tasks_made(running: Site, sample):
    folder = sample["result"]["video"].rpartition("/")[0]
    graph = next((running.data / "graphs").glob("*.json"), None)
    for path in (
        f"{folder}/source",
        f"{folder}/..%2f..%2fgraphs%2f{graph.name if graph else 'x.json'}",
        f"{folder}/../../../etc/passwd",
        "/files/../graphs/x.json",
        f"{folder}/%2e%2e/{os.path.basename(folder)}/video.mp4%00.jpg",
        "/files/" + "0" * 32 + "/video.mp4",
    ):
        answer = running.client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"] == "application/problem+json"


# -- what the docs say -----------------------------------------------------------------------------

SHELL = (
    'set -e -o pipefail\ncurl() { command curl --silent --show-error --fail --noproxy "*" "$@"; }\n'
)


@pytest.mark.skipif(
    shutil.which("curl") is None and "CI" not in os.environ, reason="curl is not installed"
)
@pytest.mark.parametrize("example", range(5))
def test_the_examples_of_the_docs_work(running: Site, sample, example, tmp_path):
    (tmp_path / "report.pdf").write_bytes(paperwork.pdf(TEXT))
    video = running.client.get(sample["result"]["video"]).content
    (tmp_path / "holiday.mov").write_bytes(video)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/page.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    here = str(running.client.base_url).rstrip("/")
    script = SHELL + blocks[example].replace("http://127.0.0.1:8000", here)
    shell = ["bash", "-c", script]
    ran = subprocess.run(
        shell, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    last = [line for line in ran.stdout.splitlines() if line.strip()][-1]
    state = json.loads(last).get("state")
    if state:  # it was started; the others say how a task is
        wait_until(lambda: running.client.get(state).json()["status"] == "succeeded", 60, "success")
