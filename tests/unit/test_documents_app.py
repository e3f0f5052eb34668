"""`POST /documents`: what is let in, where it is kept, and how everything else is refused."""

import io
from pathlib import Path

import pytest
from celery.exceptions import OperationalError

from app import documents, tasks
from tests import paperwork
from tests.asking import form, problem_of

TEXT = b"Plain words.\n"


def upload(client, content, name="file.txt", **more):
    return client.post("/documents", **form(content, name), **more)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (paperwork.pdf("Words"), "pdf"),
        (b"\xef\xbb\xbf\r\n%PDF-1.4", "pdf"),
        (paperwork.picture("PNG"), "image"),
        (paperwork.picture("JPEG"), "image"),
        (TEXT, "text"),
        (b"\xef\xbb\xbf" + "Grüße, 世界 \U0001f600\f\t\r\n".encode(), "text"),
        (b"the %PDF- format, in words", "text"),
    ],
)
def test_a_document_is_known_by_its_content_and_sent_on(client, sent, content, kind):
    answer = upload(client, content, "whatever.exe")
    assert answer.status_code == 202
    assert answer.json["events"] == "/headway/tasks/some-id/events"
    ((name, kwargs, headers),) = sent
    assert (name, kwargs["kind"]) == ("workers.documents", kind)
    assert Path(kwargs["upload"]).read_bytes() == content
    assert headers["headway"]["title"] == "whatever.exe"


@pytest.mark.parametrize(
    "content",
    [
        b"MZ\x90\x00\x03",
        b"GIF89a" + bytes(20),
        b"\x00",
        b"caf\xe9",
        "Wörter".encode("utf-16"),
        b"text with a bell \x07",
        b"fine until the last byte \xc3",
        b"x" * 64 * 1024 + b"\xff",
        b"<svg>\x1b</svg>",
    ],
)
def test_anything_else_is_refused_whatever_it_is_called(client, sent, shared_folder, content):
    problem = problem_of(upload(client, content, "document.pdf"), 415)
    assert problem["errors"] == [
        {
            "field": "file",
            "detail": "must be a PDF, PNG, JPEG or UTF-8 text by its content, whatever its name",
        }
    ]
    assert sent == []
    assert not shared_folder.exists()


def test_a_character_cut_in_two_by_a_buffer_is_still_text(client, sent):
    content = b"x" * (64 * 1024 - 1) + "é".encode() + b"x"
    assert upload(client, content).status_code == 202


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:/Users/me/Scan 1.pdf", "Scan 1.pdf"),
        ("fdp.\u202eexe\x07", "fdp.exe"),
        ("..", ".."),
        ("/", "Upload"),
        ("x" * 300, "x" * 100),
        ("Übersicht.pdf", "Übersicht.pdf"),
    ],
)
def test_a_files_name_is_shown_and_never_part_of_a_path(client, sent, shared_folder, name, title):
    assert upload(client, TEXT, name).status_code == 202
    ((_, kwargs, headers),) = sent
    assert headers["headway"]["title"] == title
    path = Path(kwargs["upload"])
    assert path.name == "source"
    assert path.parent.parent == shared_folder / "files"
    assert kwargs["folder"] == str(path.parent)
    assert kwargs["address"] == f"/files/{path.parent.name}/"
    assert len(path.parent.name) == 32


def test_two_uploads_share_nothing(client, sent):
    upload(client, TEXT)
    upload(client, TEXT)
    assert len({kwargs["folder"] for _, kwargs, _ in sent}) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"file": "text, not a file"},
        {"other": (io.BytesIO(TEXT), "a.txt")},
        {"file": (io.BytesIO(TEXT), "")},
        {"file": [(io.BytesIO(TEXT), "a.txt"), (io.BytesIO(TEXT), "b.txt")]},
    ],
    ids=["nothing", "a field", "another field", "no name", "two"],
)
def test_anything_but_one_file_is_refused(client, sent, body):
    answer = client.post("/documents", data=body, content_type="multipart/form-data")
    assert problem_of(answer, 422)["errors"][0]["field"] == "file"
    assert sent == []


def test_an_empty_file_is_refused(client, sent):
    assert "empty" in problem_of(upload(client, b""), 422)["detail"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"\x00" * 100, "multipart/form-data; boundary=x"),
        (b"a=b", "multipart/form-data"),
        (TEXT, "application/pdf"),
        (b"file=text", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
    ],
)
def test_a_body_that_is_no_upload_is_refused(client, sent, body, kind):
    answer = client.post("/documents", data=body, content_type=kind)
    assert answer.status_code in (400, 422)
    assert "errors" in problem_of(answer, answer.status_code)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 1024**2)


@pytest.mark.parametrize("size", [1024**2 + 1, 1024**2 + 100_000])
def test_a_file_that_is_too_large_is_refused(client, sent, small, shared_folder, size):
    problem = problem_of(upload(client, b"x" * size), 413)
    assert problem["detail"] == "The file is too large. At most 1 MB are allowed."
    assert sent == []
    assert not shared_folder.exists()


def test_a_file_of_just_the_allowed_size_is_not(client, sent, small):
    assert upload(client, b"x" * 1024**2).status_code == 202


def test_a_length_that_lies_does_not_help(client, sent, small):
    said = form(b"x" * 2_000_000)
    said["input_stream"] = io.BytesIO(said.pop("data"))
    # As servers say of a chunked body, which has no length at all.
    answer = client.post("/documents", **said, environ_overrides={"wsgi.input_terminated": True})
    problem_of(answer, 413)
    assert sent == []


@pytest.mark.filterwarnings(  # werkzeug leaves what has come of it to the garbage collector
    "ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"
)
def test_an_upload_that_ends_early_is_told_so(client, sent):
    said = form(TEXT)
    said["input_stream"] = io.BytesIO(said.pop("data")[:-20])
    answer = client.post("/documents", **said, environ_overrides={"CONTENT_LENGTH": "5000"})
    assert "complete" in problem_of(answer, 400)["detail"]
    assert sent == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_cannot_upload(client, sent, headers):
    problem_of(upload(client, TEXT, headers=headers), 403)
    assert sent == []


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}]
)
def test_a_form_of_this_site_can(client, sent, headers):
    assert upload(client, TEXT, headers=headers).status_code == 202


def test_without_a_broker_nothing_is_kept(client, shared_folder, monkeypatch):
    def send_task(*_, **__):
        raise OperationalError("refused")

    monkeypatch.setattr(tasks.celery, "send_task", send_task)
    assert "CELERY_BROKER_URL" in problem_of(upload(client, TEXT), 503)["detail"]
    assert list((shared_folder / "files").iterdir()) == []
