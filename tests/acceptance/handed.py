"""A site whose requests hold a session until their teardown, which takes its time. Loaded by gunicorn.

With WRAPPED=1 a middleware stands between it and the server, as monitoring puts one there.
"""

import os
import time
from typing import Any

from flask import Flask, Response, g

from headway.flask import Headway, stream_ended

app = Flask(__name__)
progress = Headway(app, allow_anonymous=True)
sessions: list[object] = []


@stream_ended.connect_via(app)
def count(_: Flask, seconds: float, sent: int) -> None:
    print(f"a stream of {sent} bytes in {seconds} s", flush=True)
    raise RuntimeError("a receiver that fails")


@app.get("/own/<task>/stream")
def own(task: str) -> Response:
    g.session = object()
    sessions.append(g.session)
    return progress.stream(task=task)


@app.teardown_appcontext
def close_session(_: object) -> None:
    if session := g.pop("session", None):
        time.sleep(0.2)
        sessions.remove(session)


@app.get("/sessions")
def count_sessions() -> str:
    return str(len(sessions))


@app.get("/healthz")
def healthy() -> str:
    return "ok"


def wrapped(environ: Any, start_response: Any) -> Any:
    def started(status: str, headers: Any) -> Any:
        return start_response(status, headers)

    return inner(environ, started)


inner = app.wsgi_app
if os.environ.get("WRAPPED"):
    app.wsgi_app = wrapped  # type: ignore[method-assign]
