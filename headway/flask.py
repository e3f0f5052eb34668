"""The edge: `Headway(app)`, its blueprint, and `stream()` for routes of your own.

The blueprint's routes are the first users of `stream()`; what they add is who may watch. Errors are problem
details (RFC 9457) whose `detail` says how to mend them.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from blinker import Namespace
from flask import Blueprint, Flask, Response, abort, current_app, request, send_from_directory
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from headway import sse
from headway.errors import JournalUnavailable
from headway.events import SUBJECT_ID, State, Subject, encode
from headway.greenlets import threads_are_greenlets
from headway.hub import Hub
from headway.journal import Journal
from headway.seats import UNKNOWN, cursor_of
from headway.settings import WebSettings, load
from headway.streams import Stream

MOST_IN_URL = 50  # tasks of one GET; longer URLs are cut by proxies
MOST_IN_BODY = 1000  # tasks of one POST
FULL_RETRY_MS = (3000, 10_000)  # when a viewer may try again for whom there is no room
RESERVED_FILES = 64  # for other requests, Redis and the database, out of what a process may open
REDIS_SECONDS = 1.0  # for one read: web processes can be busy, and nobody's task waits for them

STATIC = Path(__file__).with_name("static")
STATIC_TYPES = {"js": "text/javascript", "css": "text/css"}

EVENT_STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Cookie, Authorization, Origin",
}


# Sent by an app when a viewer has gone, with the `seconds` it was there and the bytes it was `sent`. Receivers run
# where all streams are written, and must not wait for anything.
stream_ended = Namespace().signal("headway-stream-ended")


class Problem(HTTPException):
    """An error as a problem document."""

    def __init__(self, status: int, title: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.code = status
        body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
        self.response = Response(encode(body), status, content_type="application/problem+json")
        self.response.headers["Cache-Control"] = "no-store"
        if status == 401:
            self.response.headers["WWW-Authenticate"] = "Bearer"


class Headway:
    """Live progress for one Flask app; settings are those of `WebSettings`.

    `Headway(app)` or `Headway()` and `init_app(app)` later. One object may serve several apps. Nothing connects
    to Redis before the first viewer, so an app may be loaded before it is forked.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        cancel: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> None:
        self._arguments = settings
        self._cancel = cancel
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, url_prefix: str = "/headway") -> None:
        configured = {
            name: app.config.get(f"HEADWAY_{name.upper()}")
            for name in WebSettings.__struct_fields__
        }
        settings = load(WebSettings, self._arguments, configured, broker=_broker(app))
        app.extensions["headway"] = _Edge(app, settings, self._cancel)
        app.register_blueprint(_blueprint(), url_prefix=url_prefix)
        if not settings.allow_anonymous:
            app.logger.warning(
                "Headway's own routes under %s answer 401: nothing says who may watch. Serve tasks from your own "
                "routes with headway.stream(task=...), or pass allow_anonymous=True if ids may be known to anyone.",
                url_prefix,
            )

    def state(self, task: str) -> State | None:
        """The task's state as Redis has it now, None if there is no such journal; for pages made on the server.

        Raises JournalUnavailable while Redis is away. Who may see it is for the caller to say.
        """
        return _edge().hub.state(Subject("task", task)) if SUBJECT_ID.fullmatch(task) else None

    def stream(self, task: str) -> Response:
        """The task's events for this request's viewer, whose right to them you have checked.

        It honours `Last-Event-ID`, streams until the task has ended, and answers 204 to a viewer who has had the
        end already. A task nobody has heard of yet is shown as queued, `confirmed: false`.
        """
        if not SUBJECT_ID.fullmatch(task):
            raise _unknown([task])
        return _stream_of(Subject("task", task))


class _Edge:
    """What an app has of Headway in this process."""

    def __init__(
        self, app: Flask, settings: WebSettings, cancel: Callable[[str], None] | None
    ) -> None:
        self._app = app
        self.settings = settings
        self.cancel = cancel
        self.viewers = 0
        self._room = min(settings.most_viewers, _most_files() - RESERVED_FILES)
        self._hubs: dict[int, Hub] = {}

    @property
    def hub(self) -> Hub:
        """The hub of this very process: one made before a fork belongs to the parent.

        No lock: made before gevent patched threads, it would stop the process when two requests are the first.
        """
        hub = self._hubs.get(os.getpid())
        if hub is None:
            journal = Journal(self.settings.redis_url, timeout=REDIS_SECONDS, connections=2)
            hub = self._hubs.setdefault(os.getpid(), Hub(journal, self.settings.lost_after))
        return hub

    def full(self) -> bool:
        """Whether one viewer more would take what other requests need."""
        return self.viewers >= self._room

    def left(self, since: float, sent: int) -> None:
        """A viewer has gone who came then, and was sent so many bytes."""
        self.viewers -= 1
        try:
            stream_ended.send(self._app, seconds=time.monotonic() - since, sent=sent)
        except Exception:
            self._app.logger.exception("A receiver of headway.flask.stream_ended failed.")


def _most_files() -> int:
    """How many files and sockets this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _edge() -> _Edge:
    edge: _Edge = current_app.extensions["headway"]
    return edge


def _broker(app: Flask) -> object:
    celery = app.config.get("CELERY")
    configured = celery.get("broker_url") if isinstance(celery, Mapping) else None
    return configured or app.config.get("CELERY_BROKER_URL") or os.environ.get("CELERY_BROKER_URL")


# -- the blueprint's routes ------------------------------------------------------------------------------------


def _blueprint() -> Blueprint:
    blueprint = Blueprint("headway", __name__)
    blueprint.add_url_rule("/static/<path:name>", "static", _static)
    blueprint.add_url_rule("/tasks/<task>", "state", _state_route)
    blueprint.add_url_rule("/tasks/<task>/events", "events", _events)
    blueprint.add_url_rule("/tasks/<task>/cancel", "cancel", _cancel, methods=["POST"])
    blueprint.add_url_rule("/events", "many", _many, methods=["GET", "POST"])
    return blueprint


def _static(name: str) -> Response:
    """The browser's half. Not Flask's own static route: it asks the machine what type a .js file has."""
    kind = STATIC_TYPES.get(name.rpartition(".")[2])
    if kind is None:
        abort(404)
    response = send_from_directory(STATIC, name, mimetype=kind, conditional=True)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache"  # asked again each time, answered 304
    return response


def _state_route(task: str) -> Response:
    """The task's state as JSON."""
    (subject,) = _permitted([task])
    try:
        state = _edge().hub.state(subject)
    except JournalUnavailable as error:
        current_app.logger.warning("The state of task %s cannot be told: %s", task, error)
        raise Problem(503, "Not now", "Redis does not answer; try again.") from error
    if state is None:
        raise _unknown([task])
    return Response(
        encode(state), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _cancel(task: str) -> Response:
    """Ask for the task to be stopped. 202: whether and when it has stopped is for its events to say."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Problem(403, "Not from here", "Another site's page may not cancel a task.")
    (subject,) = _permitted([task])
    cancel = _edge().cancel
    if cancel is None:
        detail = "This site cannot cancel tasks. Pass Headway(app, cancel=headway.celery.cancel)."
        raise Problem(501, "Nothing to cancel with", detail)
    _refuse_unknown([subject])
    try:
        cancel(task)
    except Exception as error:
        current_app.logger.exception("Task %s was not cancelled.", task)
        raise Problem(503, "Not cancelled", "The broker does not answer. Try again.") from error
    return Response(encode({"task": task}), 202, content_type="application/json")


def _events(task: str) -> Response:
    """One task's events."""
    (subject,) = _permitted([task])
    _refuse_unknown([subject])
    return _stream_of(subject)


def _many() -> Response:
    """The events of many tasks on one connection: `?task=<id>[@<cursor>]&task=...`, or a JSON object in a POST."""
    asked = _asked_in_body() if request.method == "POST" else _asked_in_url()
    subjects = _permitted(asked)
    _refuse_unknown(subjects)
    said = _said()
    wanted = {each: _cursor_among_many(said, each, asked[each.id]) for each in subjects}
    return _stream(wanted, said, many=True)


def _cursor_among_many(said: str | None, subject: Subject, own: str | None) -> str | None:
    """A task's own cursor if it came with one. Otherwise the client, when it was here before, has the one id that
    came last: that task goes on, and the others get a snapshot that says something may be missing.
    """
    if own is not None or not said:
        return own
    return cursor_of(said, subject) if said.startswith(f"{subject.id}/") else UNKNOWN


def _asked_in_url() -> dict[str, str | None]:
    asked: dict[str, str | None] = {}
    for each in request.args.getlist("task"):
        task, _, cursor = each.partition("@")
        asked[task] = cursor_of(cursor, Subject("task", task))
    return _bounded(asked, MOST_IN_URL, "Ask for more with POST and a JSON object of id: cursor.")


def _asked_in_body() -> dict[str, str | None]:
    try:
        asked = msgspec.json.decode(request.get_data(), type=dict[str, str | None])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        detail = (
            f'Send a JSON object such as {{"<task id>": "<cursor>", "<task id>": null}}. {error}'
        )
        raise Problem(400, "The tasks cannot be read", detail) from error
    said = {task: cursor_of(cursor, Subject("task", task)) for task, cursor in asked.items()}
    return _bounded(said, MOST_IN_BODY, "Open another stream for the rest.")


def _bounded(asked: dict[str, str | None], most: int, more: str) -> dict[str, str | None]:
    if not asked:
        raise Problem(400, "No task named", "Name the tasks to watch: ?task=<id>&task=<id>.")
    if len(asked) > most:
        raise Problem(
            400, "Too many tasks", f"{len(asked)} tasks were asked for; the most is {most}. {more}"
        )
    return asked


def _permitted(tasks: Iterable[str]) -> list[Subject]:
    """The subjects, if this request may see them all."""
    if not _edge().settings.allow_anonymous:
        raise Problem(
            401,
            "Not allowed to watch",
            "Nothing says who may watch here. Stream from a route of your own with stream(task=...), "
            "or set allow_anonymous=True (HEADWAY_ALLOW_ANONYMOUS=1).",
        )
    tasks = list(tasks)
    invalid = [task for task in tasks if not SUBJECT_ID.fullmatch(task)]
    if invalid:
        raise _unknown(invalid)
    return [Subject("task", task) for task in tasks]


def _refuse_unknown(subjects: list[Subject]) -> None:
    """404 for what has no journal. While Redis is away nobody knows, and a stream that waits is the answer."""
    try:
        unknown = [subject.id for subject in _edge().hub.unknown(subjects)]
    except JournalUnavailable:
        return
    if unknown:
        raise _unknown(unknown)


def _unknown(tasks: list[str]) -> Problem:
    return Problem(
        404,
        "No such task",
        "There is no such task, its progress is no longer kept, or it is not yours. A task is known once it was "
        "sent by a process in which headway.celery.install(app) has run, or once it has started.",
        tasks=[task for task in tasks if SUBJECT_ID.fullmatch(task)],
    )


# -- streaming -------------------------------------------------------------------------------------------------


def _said() -> str | None:
    """The cursor the client came back with: the header, then the query."""
    said: str | None = request.environ.get("HTTP_LAST_EVENT_ID")  # most come with nothing
    return said or (request.args.get("last_event_id") if request.query_string else None)


def _stream_of(subject: Subject) -> Response:
    said = _said()
    return _stream({subject: cursor_of(said, subject)}, said)


def _stream(wanted: dict[Subject, str | None], said: str | None, *, many: bool = False) -> Response:
    if request.method == "HEAD":
        return Response(headers=EVENT_STREAM)
    edge = _edge()
    if edge.full():
        return Response(sse.closing(random.randint(*FULL_RETRY_MS)), headers=EVENT_STREAM)
    stream = Stream(edge.hub, wanted, edge.settings, many=many)
    stream.open()
    if stream.finished_before(said):
        stream.close()
        return Response(status=204, headers={"Cache-Control": "no-store"})
    return StreamResponse(stream, edge)


class StreamResponse(Response):
    """A response whose body is a stream. How its bytes reach the socket is decided where the server calls it."""

    def __init__(self, stream: Stream, edge: _Edge) -> None:
        super().__init__(iter(()), headers=EVENT_STREAM, direct_passthrough=True)
        self._stream = stream
        self._edge = edge

    def __call__(self, environ: Any, start_response: Any) -> Any:
        start_response(self.status, self.headers.to_wsgi_list())  # there is nothing to mend in them
        self._edge.viewers += 1
        if "gunicorn.socket" in environ and threads_are_greenlets():
            from headway import gunicorn  # the one module that needs gevent

            body = gunicorn.body(self._stream, environ, start_response, self._edge.left)
            return ClosingIterator(body, self.close)
        since = time.monotonic()

        def left() -> None:
            self._edge.left(since, self._stream.sent)

        return ClosingIterator(self._stream, [self.close, left])
