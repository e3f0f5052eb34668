"""flask-sse under gunicorn's gevent worker. Its own view, but for a first line, without which no header is sent
before the first event, and the topic in the path.
"""

import os
from collections.abc import Iterator

from flask import Flask, Response, stream_with_context
from flask_sse import sse  # type: ignore[import-untyped]

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ["CELERY_BROKER_URL"]


@app.get("/events/<topic>")
def events(topic: str) -> Response:
    def generate() -> Iterator[str]:
        yield ": hello\n\n"
        for message in sse.messages(channel=topic):
            yield str(message)

    return Response(stream_with_context(generate()), mimetype="text/event-stream")


@app.get("/healthz")
def healthz() -> str:
    return str(os.getpid())
