"""The folder that web processes and workers share: uploads and what was made of them, and stored graphs.

It is HEADWAY_DATA, by default ./var. Only this side knows its layout: a task is told in its arguments which
folder is its own and at which address that folder is served. Every name in it is random or listed below; no
name that a client sent becomes part of a path. A client's own file is kept under a name that is never served.
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, send_file, url_for
from werkzeug.datastructures import FileStorage

from app.problems import Problem

KEEP_FILES_SECONDS = 24 * 3600  # after the last file was added to a folder
KEEP_GRAPHS_SECONDS = 7 * 24 * 3600  # after a graph was last run
FREE_BYTES = 512 * 1024**2  # left on the disk for everybody else
CACHE_SECONDS = 3600  # what is served never changes under its name

UPLOAD = "source"  # no suffix, so that it is not among the types below
TYPES = {"mp4": "video/mp4", "jpg": "image/jpeg", "json": "application/json"}  # what is served

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}\.([a-z0-9]{2,4})")

files = Blueprint("files", __name__)


@files.get("/files/<folder>/<name>")
def served(folder: str, name: str) -> Response:
    """What a task made; whoever knows the random name may have it, in parts if wanted."""
    path = shelf().made(folder, name)
    if path is None:
        raise Problem(404, "There is no such file. Files are kept for a day.")
    return send_file(path, TYPES[name.rpartition(".")[2]], conditional=True, max_age=CACHE_SECONDS)


def shelf() -> "Shelf":
    found: Shelf = current_app.extensions["shelf"]
    return found


class Shelf:
    """Makes nothing before it is first needed. Several processes may share one."""

    def __init__(self, root: Path) -> None:
        self._files = root.absolute() / "files"
        self._graphs = root.absolute() / "graphs"

    @contextmanager
    def folder(self) -> Iterator[dict[str, str]]:
        """A new folder, as the two arguments that tell a task of it. It is gone again if the block raises."""
        with _writable():
            self._files.mkdir(parents=True, exist_ok=True)
            _sweep(self._files, KEEP_FILES_SECONDS)
            _need_room(self._files)
            path = self._files / secrets.token_hex(16)
            path.mkdir()
        try:
            address = url_for("files.served", folder=path.name, name="_").removesuffix("_")
            yield {"folder": str(path), "address": address}
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    @staticmethod
    def put(file: FileStorage, folder: str) -> str:
        """Keep an upload in its folder; returns its path."""
        path = Path(folder, UPLOAD)
        with _writable():
            file.save(path)
        return str(path)

    def made(self, folder: str, name: str) -> Path | None:
        """A file a task made; None for everything else, the upload included."""
        named = _NAME.fullmatch(name)
        if not named or named[1] not in TYPES or not _ID.fullmatch(folder):
            return None
        path = self._files / folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def keep_graph(self, graph: dict[str, Any]) -> str:
        """Store it, whole or not at all, and return its id."""
        with _writable():
            self._graphs.mkdir(parents=True, exist_ok=True)
            _sweep(self._graphs, KEEP_GRAPHS_SECONDS)
            _need_room(self._graphs)
            name = secrets.token_hex(16)
            draft = self._graphs / f"{name}.draft"
            draft.write_text(json.dumps(graph))
            draft.replace(self._graphs / f"{name}.json")
        return name

    def graph(self, name: str) -> dict[str, Any] | None:
        """The graph of that id, and it is kept for another while."""
        if not _ID.fullmatch(name):
            return None
        path = self._graphs / f"{name}.json"
        try:
            graph: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        with suppress(OSError):
            path.touch()
        return graph


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Problem(
            503,
            "Nothing can be stored: the folder HEADWAY_DATA cannot be written. Make it writable for this"
            " process and for the workers, then try again.",
        ) from error


def _sweep(folder: Path, seconds: float) -> None:
    """Delete what is older. Another process may do the same at the same time."""
    oldest = time.time() - seconds
    for entry in os.scandir(folder):
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_mtime > oldest:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _need_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < FREE_BYTES:
        raise Problem(507, "The disk is full. Delete files in HEADWAY_DATA, or try again tomorrow.")
