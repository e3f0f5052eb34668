"""`POST /videos`: convert an uploaded video, or one that is generated for the purpose."""

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app import bodies, contents, tasks
from app.problems import Problem
from app.shelf import shelf

MOST_BYTES = 100 * 1024**2
SAMPLE_SECONDS = 8
MOST_SAMPLE_SECONDS = 60

routes = Blueprint("videos", __name__)


@routes.post("/videos")
def start() -> ResponseReturnValue:
    if request.is_json:
        return _sample()
    if request.mimetype == "multipart/form-data":
        return _uploaded()
    raise Problem(
        415, 'Send a video as multipart/form-data, or {"sample": true} as application/json.'
    )


def _sample() -> ResponseReturnValue:
    rules: bodies.Rules = {
        "sample": (lambda v: v is True, "true; to use a video of your own, upload it"),
        "seconds": (_duration, f"a number from 1 to {MOST_SAMPLE_SECONDS}"),
    }
    given = bodies.json_object()
    bodies.refuse(bodies.mistakes(given, rules, required=["sample"]))
    seconds = given.get("seconds", SAMPLE_SECONDS)
    with shelf().folder() as place:
        title = f"Sample video, {seconds:g} s"
        return tasks.start("workers.videos", title=title, sample_seconds=seconds, **place)


def _uploaded() -> ResponseReturnValue:
    file = bodies.upload(MOST_BYTES)
    container = contents.video(file.stream)
    if container is None:
        raise Problem(
            415,
            "This is no video that can be converted here. Send MP4, MOV, WebM, Matroska, AVI, Ogg or MPEG-TS;"
            " what counts is the content, not the name.",
            [
                {
                    "field": "file",
                    "detail": "must be MP4, MOV, WebM, Matroska, AVI, Ogg or MPEG-TS by its content",
                }
            ],
        )
    with shelf().folder() as place:
        upload = shelf().put(file, place["folder"])
        return tasks.start(
            "workers.videos",
            title=bodies.shown_name(file),
            upload=upload,
            container=container,
            **place,
        )


def _duration(value: Any) -> bool:
    return type(value) in (int, float) and 1 <= value <= MOST_SAMPLE_SECONDS
