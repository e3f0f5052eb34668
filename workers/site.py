"""Fetches pages of the site these workers belong to, and of no other."""

import http.client
import os
import re
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from headway.errors import Failure

# Where the site is, for this machine. A request's Host header must not decide it: anybody can send one.
SITE = os.environ.get("HEADWAY_SITE") or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
WAIT_SECONDS = 10  # for the next bytes, and for all of them
MOST_BYTES = 1024**2
CHUNK_BYTES = 16 * 1024

_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")  # one slash first; printable ASCII without a backslash


class Fetched(NamedTuple):
    type: str
    text: str
    bytes: int
    whole: bool


def fetch(path: str) -> Fetched:
    """The page at that path, or as much of it as is allowed. A Failure says why there is none.

    No redirect is followed, no proxy asked and no cookie sent.
    """
    if not _PATH.fullmatch(path):
        raise Failure("Only addresses on this site are fetched; they begin with one slash.")
    site = urlsplit(SITE)
    kind = http.client.HTTPSConnection if site.scheme == "https" else http.client.HTTPConnection
    connection = kind(site.hostname or "", site.port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", path, headers={"User-Agent": "headway-workers"})
        return _read(path, connection.getresponse())
    except (OSError, http.client.HTTPException) as error:
        raise Failure(
            f"The site did not answer to {path}. HEADWAY_SITE tells workers where it is."
        ) from error
    finally:
        connection.close()


def _read(path: str, answer: http.client.HTTPResponse) -> Fetched:
    if answer.status != 200:
        raise Failure(f"{path} answered {answer.status} {answer.reason}.")
    body, deadline, whole = b"", time.monotonic() + WAIT_SECONDS, False
    while len(body) < MOST_BYTES and time.monotonic() < deadline:  # an event stream never ends
        chunk = answer.read1(min(CHUNK_BYTES, MOST_BYTES - len(body)))
        whole = not chunk
        if whole:
            break
        body += chunk
    kind = answer.headers.get_content_type()
    if not kind.startswith("text/") and kind not in ("application/json", "application/javascript"):
        raise Failure(f"{path} is {kind}; only text can be worked with.")
    charset = answer.headers.get_content_charset("utf-8")
    try:
        text = body.decode(charset, errors="replace")
    except LookupError:
        text = body.decode(errors="replace")
    return Fetched(kind, text, len(body), whole)
