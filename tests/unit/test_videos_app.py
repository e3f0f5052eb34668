"""`POST /videos`: uploads and samples, and how everything else is refused."""

from pathlib import Path

import pytest

from app import videos
from tests.asking import form, problem_of

CONTAINERS = {
    "mov": b"\x00\x00\x00\x18ftypmp42" + bytes(100),
    "matroska": b"\x1a\x45\xdf\xa3" + bytes(100),
    "avi": b"RIFF\x00\x00\x00\x00AVI " + bytes(100),
    "ogg": b"OggS" + bytes(100),
    "mpegts": (b"G" + bytes(187)) * 3,
}


def upload(client, content, name="film.mp4"):
    return client.post("/videos", **form(content, name))


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_video_is_known_by_its_content_and_sent_on(client, sent, container):
    assert upload(client, CONTAINERS[container], "holiday").status_code == 202
    ((name, kwargs, headers),) = sent
    assert (name, kwargs["container"]) == ("workers.videos", container)
    assert Path(kwargs["upload"]).read_bytes() == CONTAINERS[container]
    assert headers["headway"]["title"] == "holiday"


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"%PDF-1.4",
        b"G" * 100,
        b"plain words",
        b"\x89PNG\r\n\x1a\n",
        b"<svg/>",
    ],
)
def test_anything_else_is_refused(client, sent, shared_folder, content):
    problem = problem_of(upload(client, content), 415)
    assert "MP4" in problem["errors"][0]["detail"]
    assert sent == []
    assert not shared_folder.exists()


def test_a_sample_is_eight_seconds_long_unless_told(client, sent):
    assert client.post("/videos", json={"sample": True}).status_code == 202
    assert client.post("/videos", json={"sample": True, "seconds": 2.5}).status_code == 202
    assert [kwargs["sample_seconds"] for _, kwargs, _ in sent] == [8, 2.5]
    assert [headers["headway"]["title"] for *_, headers in sent] == [
        "Sample video, 8 s",
        "Sample video, 2.5 s",
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "sample"),
        ({"sample": False}, "sample"),
        ({"sample": "yes"}, "sample"),
        ({"sample": True, "seconds": 0}, "seconds"),
        ({"sample": True, "seconds": 61}, "seconds"),
        ({"sample": True, "seconds": "8"}, "seconds"),
        ({"sample": True, "seconds": True}, "seconds"),
        ({"sample": True, "seconds": None}, "seconds"),
        ({"sample": True, "url": "http://elsewhere.example"}, "url"),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused_by_name(client, sent, body, field):
    problem = problem_of(client.post("/videos", json=body), 422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert sent == []


@pytest.mark.parametrize("kind", ["video/mp4", "application/x-www-form-urlencoded", None])
def test_another_kind_of_body_is_told_both_that_work(client, sent, kind):
    problem = problem_of(client.post("/videos", data=b"x", content_type=kind), 415)
    assert "multipart/form-data" in problem["detail"]
    assert "application/json" in problem["detail"]


def test_a_video_that_is_too_large_is_refused(client, sent, monkeypatch):
    monkeypatch.setattr(videos, "MOST_BYTES", 1024**2)
    answer = upload(client, CONTAINERS["mov"] + bytes(1024**2))
    assert "At most 1 MB" in problem_of(answer, 413)["detail"]
    assert sent == []
