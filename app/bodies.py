"""What requests carry: JSON objects whose every mistake is named at once, and one uploaded file."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.problems import Problem

FRAMING_BYTES = 64 * 1024  # what multipart adds to a file
MOST_PARTS = 20  # of a form; one is the file
MOST_NAME = 100  # characters of a name or a title that are shown

Rules = Mapping[str, tuple[Callable[[Any], bool], str]]  # field → (what it allows, in words)
Mistake = dict[str, str]


def json_object() -> dict[str, Any]:
    """The JSON object in the request's body; a Problem if there is none."""
    if not request.is_json:  # also keeps other sites' forms from starting tasks
        raise Problem(415, "Send the body as application/json.")
    try:
        given = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not JSON. Send an object, for example {}.") from None
    except RequestEntityTooLarge:
        most = (request.max_content_length or 0) // 1024
        raise Problem(413, f"The body is too large. Send at most {most} KiB.") from None
    if not isinstance(given, dict):
        raise Problem(422, "The body is not a JSON object. Send one, for example {}.")
    return given


def mistakes(
    given: Mapping[str, Any], rules: Rules, required: Collection[str] = (), where: str = ""
) -> list[Mistake]:
    """All that the rules find in an object that stands at `where`; an empty list allows it."""
    found = []
    for name, value in given.items():
        allows, allowed = rules.get(name, (None, f"unknown; there are {', '.join(rules)}"))
        if allows is None:
            found.append({"field": where + name[:MOST_NAME], "detail": f"is {allowed}"})
        elif not allows(value):
            found.append({"field": where + name, "detail": f"must be {allowed}"})
    missing = [name for name in required if name not in given]
    found += [
        {"field": where + name, "detail": f"is missing; it must be {rules[name][1]}"}
        for name in missing
    ]
    return found


def refuse(errors: list[Mistake]) -> None:
    """Raise the Problem that names them, if there are any."""
    if errors:
        raise Problem(422, "Mend the fields named in errors and send it again.", errors)


def is_text(value: object, most: int) -> bool:
    """Whether it says something, in at most that many characters that UTF-8 can carry."""
    if not isinstance(value, str) or len(value) > most or not value.strip():
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def upload(most_bytes: int) -> FileStorage:
    """The file in the form's field `file`; a Problem if there is none or it is too large.

    The cap counts what arrives, whatever Content-Length says. A browser that comes from a page of another
    site is refused: unlike JSON, a form crosses sites without asking.
    """
    _refuse_other_sites()
    too_large = f"The file is too large. At most {most_bytes // 1024**2} MB are allowed."
    request.max_content_length = most_bytes + FRAMING_BYTES
    request.max_form_parts = MOST_PARTS
    try:
        files = request.files.getlist("file")
    except ClientDisconnected:
        raise Problem(400, "The upload ended before it was complete. Send it again.") from None
    except RequestEntityTooLarge:
        raise Problem(413, too_large) from None
    if len(files) != 1 or not files[0].filename:
        field = {"field": "file", "detail": "must be one uploaded file"}
        raise Problem(422, "Send one file as multipart/form-data in the field `file`.", [field])
    size = files[0].stream.seek(0, 2)
    files[0].stream.seek(0)
    if size > most_bytes:
        raise Problem(413, too_large)
    if not size:
        raise Problem(422, "The file is empty.", [{"field": "file", "detail": "is empty"}])
    return files[0]


def shown_name(file: FileStorage) -> str:
    """The client's name for its file, made fit to be shown. No path is ever made of it."""
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:MOST_NAME].strip() or "Upload"


def _refuse_other_sites() -> None:
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if site not in ("same-origin", "none") if site else foreign:
        raise Problem(403, "Another site's page sent this upload. Send it from this site.")
