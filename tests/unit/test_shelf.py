"""The folder that is shared with the workers: what is served of it, and what is cleaned up."""

import os
import shutil
import time
from types import SimpleNamespace

import pytest

from app import shelf
from tests.asking import form, problem_of

FOLDER = "0123456789abcdef" * 2
DAY_SECONDS = 24 * 3600


@pytest.fixture
def made(shared_folder):
    """A folder with what a task might have made."""
    folder = shared_folder / "files" / FOLDER
    folder.mkdir(parents=True)
    for name in ("video.mp4", "thumbnail-1.jpg", "chunks.json", "source", "page.html", "a.b.json"):
        (folder / name).write_bytes(b"0123456789")
    (shared_folder / "secret.json").write_text("canary")
    (folder / "link.json").symlink_to(shared_folder / "secret.json")
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("video.mp4", "video/mp4"),
        ("thumbnail-1.jpg", "image/jpeg"),
        ("chunks.json", "application/json"),
    ],
)
def test_what_a_task_made_is_served_as_what_it_is(client, made, name, kind):
    with client.get(f"/files/{FOLDER}/{name}") as answer:
        assert (answer.status_code, answer.data) == (200, b"0123456789")
        assert answer.content_type == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Accept-Ranges"] == "bytes"
        etag = answer.headers["ETag"]
    with client.get(f"/files/{FOLDER}/{name}", headers={"If-None-Match": etag}) as again:
        assert again.status_code == 304


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-", 206, b"89"),
        ("bytes=10-", 416, None),
    ],
)
def test_a_part_of_it_can_be_had(client, made, asked, status, got):
    with client.get(f"/files/{FOLDER}/video.mp4", headers={"Range": asked}) as answer:
        assert answer.status_code == status
        assert got is None or answer.data == got


@pytest.mark.parametrize(
    "path",
    [
        f"{FOLDER}/source",
        f"{FOLDER}/page.html",
        f"{FOLDER}/a.b.json",
        f"{FOLDER}/link.json",
        f"{FOLDER}/none.mp4",
        f"{FOLDER}/../../secret.json",
        f"{FOLDER}/..%2f..%2fsecret.json",
        f"{FOLDER}/%2e%2e/%2e%2e/secret.json",
        f"{FOLDER}/..%5c..%5csecret.json",
        f"{FOLDER}/video.mp4%00",
        f"{FOLDER}/video.mp4%0a",
        f"{FOLDER}/",
        FOLDER,
        f"{FOLDER.upper()}/video.mp4",
        "../secret.json",
        "..%2fsecret.json",
        "%2e%2e/secret.json",
        f"{'0' * 32}/video.mp4",
    ],
)
def test_nothing_else_is_served(client, made, path):
    answer = client.get(f"/files/{path}")
    assert b"canary" not in problem_of(answer, 404)["detail"].encode()


def aged(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_an_upload_clears_away_what_is_a_day_old(client, sent, shared_folder, made):
    young = shared_folder / "files" / ("f" * 32)
    young.mkdir()
    stray = shared_folder / "files" / "stray"
    stray.write_text("")
    aged(made, DAY_SECONDS + 60)
    aged(stray, DAY_SECONDS + 60)
    aged(young, DAY_SECONDS - 60)
    assert client.post("/documents", **form(b"Words.")).status_code == 202
    assert not made.exists()
    assert not stray.exists()
    assert young.exists()
    assert (shared_folder / "secret.json").exists()  # it is no upload


def test_a_graph_that_is_run_is_kept_for_another_week(client, sent, shared_folder):
    graph = {"nodes": [{"id": "a", "kind": "store"}], "edges": []}
    used, unused = (client.post("/graphs", json=graph).json["graph"] for _ in range(2))
    for name in (used, unused):
        aged(shared_folder / "graphs" / f"{name}.json", 8 * DAY_SECONDS)
    client.post(f"/graphs/{used}/runs", json={"prompt": "Go"})
    client.post("/graphs", json=graph)
    assert client.get(f"/graphs/{used}").status_code == 200
    assert client.get(f"/graphs/{unused}").status_code == 404


def test_a_full_disk_is_said_and_not_filled_further(client, sent, shared_folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=shelf.FREE_BYTES - 1))
    problem_of(client.post("/documents", **form(b"Words.")), 507)
    assert list((shared_folder / "files").iterdir()) == []
    assert sent == []


def test_a_folder_that_cannot_be_written_is_said_without_its_path(client, sent, shared_folder):
    shared_folder.write_text("a file where a folder should be")
    for answer in (
        client.post("/documents", **form(b"Words.")),
        client.post("/videos", json={"sample": True}),
    ):
        detail = problem_of(answer, 503)["detail"]
        assert "HEADWAY_DATA" in detail
        assert str(shared_folder) not in detail


def test_without_a_setting_it_lies_where_the_processes_were_started(monkeypatch, tmp_path, sent):
    from app import create_app

    monkeypatch.delenv("HEADWAY_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    app = create_app()
    assert not (tmp_path / "var").exists()
    app.test_client().post("/documents", **form(b"Words."))
    assert len(list((tmp_path / "var" / "files").iterdir())) == 1
