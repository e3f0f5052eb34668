"""`POST /documents`: read an uploaded document."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app import bodies, contents, tasks
from app.problems import Problem
from app.shelf import shelf

MOST_BYTES = 20 * 1024**2

routes = Blueprint("documents", __name__)


@routes.post("/documents")
def start() -> ResponseReturnValue:
    file = bodies.upload(MOST_BYTES)
    kind = contents.document(file.stream)
    if kind is None:
        raise Problem(
            415,
            "This is no document that can be read here. Send a PDF, a PNG or JPEG picture, or text in UTF-8;"
            " what counts is the content, not the name.",
            [
                {
                    "field": "file",
                    "detail": "must be a PDF, PNG, JPEG or UTF-8 text by its content, whatever its name",
                }
            ],
        )
    with shelf().folder() as place:
        upload = shelf().put(file, place["folder"])
        return tasks.start(
            "workers.documents",
            title=bodies.shown_name(file),
            upload=upload,
            kind=kind,
            **place,
        )
