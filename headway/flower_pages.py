"""What is patched into Flower: its pages, its API, and the stream that moves them. Knows Flower 2.2 by heart."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.events.state import Task
from flower import urls
from flower.events import EventsState
from flower.views import BaseHandler
from flower.views import tasks as views
from tornado import web
from tornado.escape import json_encode
from tornado.iostream import StreamClosedError
from tornado.options import options

from headway.accounts import EVENT
from headway.board import FIELD, Board, progress_of

HERE = Path(__file__).parent

MOST_CHANGED = 1000  # tasks a stream holds for its viewer; over it the viewer is told to look anew
PACE = 0.1  # seconds between two frames of a stream
HEARTBEAT = 15.0  # seconds between signs of life on a quiet one
LIFETIME = 600.0  # seconds; its viewer returns, and must be logged in still
WRITE_SECONDS = 20.0  # a viewer may leave what was sent to it unread
RETRY_MS = 2000  # a viewer whose stream broke returns after that


def patch() -> None:
    """Once in a process, before Flower makes its application."""
    if FIELD not in views.TASK_COLUMNS:
        board = Board()
        _hear(board)
        _serve(board)
        _show()


def _hear(board: Board) -> None:
    """Take our events out of what Flower hears, and look at tasks after it has heard of them."""
    hear = EventsState.event

    def event(state: Any, event: dict[str, Any]) -> None:
        if event["type"] == EVENT:
            board.hear(state.tasks.data, event)
            return
        hear(state, event)
        if event["type"].startswith("task-"):
            board.follow(state.tasks.data, event["uuid"])

    EventsState.event = event


def _serve(board: Board) -> None:
    """Give progress with all that Flower's API and its database say of a task, and serve our own files."""
    say = Task.as_dict

    def as_dict(task: Any) -> dict[str, Any]:
        progress = progress_of(task)
        return say(task) if progress is None else {**say(task), FIELD: progress}

    Task.as_dict = as_dict  # type: ignore[assignment, method-assign]
    urls.handlers[:0] = [
        web.url(r"/headway/events", Stream, {"board": board}),
        web.url(r"/headway/static/(.*)", web.StaticFileHandler, {"path": str(HERE / "static")}),
        web.url(
            r"/headway/flower/(.*)",
            web.StaticFileHandler,
            {"path": str(HERE / "flower_static")},
            name="headway",
        ),
    ]


def _show() -> None:
    """Add the column to the list, and what draws it to the pages."""
    views.TASK_COLUMNS[FIELD] = "Progress"
    views.as_dict = as_row
    names = options.tasks_columns.split(",")
    if FIELD not in names:
        names.insert(names.index("state") + 1 if "state" in names else len(names), FIELD)
        options.tasks_columns = ",".join(names)
    urls.settings["ui_modules"] = {"Template": Page, **urls.settings.get("ui_modules", {})}


def as_row(task: Any) -> dict[str, Any]:
    """A task as the list asks for it. The column holds plain text, which is what is seen where nothing draws it."""
    progress = progress_of(task)
    share = None if progress is None else progress["progress"]
    said = "" if share is None else f"{int(share * 100)}%"
    return {**task.as_dict(), FIELD: said, "headway": progress}


class Stream(BaseHandler):  # type: ignore[misc]
    """What changes, as Server-Sent Events, for who may see Flower's pages: all tasks, or with `?task=` that one.

    A stream holds the ids of what has changed, not what it was: a slow viewer gets less often, and the newest.
    """

    def initialize(self, board: Board) -> None:
        self._board = board
        self._some = asyncio.Event()
        self._changed: dict[str, bool] = {}  # by id: whether more than its progress has
        self._behind = False

    def note(self, id: str, *, whole: bool) -> None:
        if self._task not in (None, id):
            return
        self._changed[id] = whole or self._changed.get(id, False)
        if len(self._changed) > MOST_CHANGED:
            self._changed.clear()
            self._behind = True
        self._some.set()

    @web.authenticated
    async def get(self) -> None:
        self._task = self.get_query_argument("task", None)
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-store, no-transform")
        self.set_header("X-Accel-Buffering", "no")
        self.write(f"retry: {RETRY_MS}\n\n")
        if self._task is None:
            self._behind = True  # its viewer asked for the list before it asked for this
        else:
            self._changed[self._task] = True
        self._some.set()
        self._board.streams.add(self)
        # It ends when its time is up, when its viewer does not read, or is gone.
        with suppress(TimeoutError, StreamClosedError):
            async with asyncio.timeout(LIFETIME):
                while True:
                    await self._send()

    async def _send(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._some.wait(), HEARTBEAT)
        self._some.clear()
        changed, self._changed = self._changed, {}
        frames = [self._frame(id, whole) for id, whole in changed.items()]
        if self._behind:
            self._behind = False
            frames = ["event: behind\ndata:\n\n"]
        self.write("".join(frames) or ":\n")
        await asyncio.wait_for(self.flush(), WRITE_SECONDS)
        await asyncio.sleep(PACE)

    def _frame(self, id: str, whole: bool) -> str:
        task = self.application.events.state.tasks.data.get(id)
        if task is None:
            return ""
        said = {"uuid": id, "name": task.name, "state": task.state, "at": time.time()}
        said["progress"] = progress_of(task)
        if whole and self._task is None:
            said["row"] = self._row(id, task)
        return f"data: {json_encode(said)}\n\n"

    def _row(self, id: str, task: Any) -> dict[str, Any]:
        """The task's row as the list itself would fetch it, without the columns nobody sees."""
        row = as_row(views.TasksDataTable.format_task(self, (id, task))[1])
        row["worker"] = getattr(row.get("worker"), "hostname", None)
        columns = [name for name, _ in views.visible_task_columns(options.tasks_columns)]
        return {name: row.get(name) for name in ("uuid", "headway", *columns)}

    def on_connection_close(self) -> None:
        self._some.set()

    def on_finish(self) -> None:
        self._board.streams.discard(self)


class Page(web.TemplateModule):
    """Flower's templates as they are; the pages about tasks also get what draws progress."""

    def html_head(self) -> str:
        return super().html_head() + self._tag('<link rel="stylesheet" href="{}">', "flower.css")

    def html_body(self) -> str:
        return super().html_body() + self._tag(
            '<script type="module" src="{}"></script>', "flower.js"
        )

    def _tag(self, tag: str, file: str) -> str:
        if not isinstance(self.handler, views.TasksView | views.TaskView):
            return ""
        return tag.format(self.handler.reverse_url("headway", file))
