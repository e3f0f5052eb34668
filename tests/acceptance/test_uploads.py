"""Uploads over a real connection: what is too large is refused, however its size is told."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.processes import RedisServer, Web

HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
MB = 1024**2


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    with RedisServer() as redis, Web(redis.url, env={"HEADWAY_DATA": str(data)}) as web:
        web.data = data
        yield web


def refused(web: Web, path: str, pieces, **headers: str) -> dict[str, object]:
    """Send a body piece by piece, as far as the server takes it, and return the problem it answers with."""
    parts = urlsplit(web.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    try:
        for piece in pieces:
            connection.send(piece)
    except OSError:  # it has heard enough
        pass
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, object] = json.load(answer)
    connection.close()
    return problem


@pytest.mark.parametrize(("path", "most"), [("/documents", 20), ("/videos", 100)])
def test_a_length_beyond_the_cap_is_refused_unread(web, path, most):
    problem = refused(web, path, [HEAD], Content_Length=str((most + 1) * MB))
    assert problem["status"] == 413
    assert problem["detail"] == f"The file is too large. At most {most} MB are allowed."
    assert not (web.data / "files").exists()


def test_a_body_that_tells_no_length_is_cut_off_at_the_cap(web):
    def chunked(body: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(body), body)

    pieces = [chunked(HEAD), *[chunked(b"x" * 65536)] * 322]  # a little over 20 MB, and no end
    problem = refused(web, "/documents", pieces, Transfer_Encoding="chunked")
    assert problem["status"] == 413
    assert not (web.data / "files").exists()


def test_an_upload_that_breaks_off_is_not_taken_for_the_whole(web):
    parts = urlsplit(web.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "9999"}
    connection.request("POST", "/documents", HEAD + b"half of it", headers)
    connection.close()
    again = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    again.request("GET", "/healthz")
    assert again.getresponse().status == 200
    again.close()
    assert not (web.data / "files").exists()
