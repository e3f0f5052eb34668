"""A site that can say what it holds: greenlets, threads, topics. Loaded by gunicorn for `cycles.py`."""

import gc
import threading

from flask import Flask
from greenlet import greenlet

from headway import hub
from headway.flask import Headway
from headway.streams import Stream
from headway.topics import Topic

hub.IDLE_SECONDS = 1.0  # so that what nobody watches is dropped before anybody loses patience
hub.AUDIT_SECONDS = 1.0

app = Flask(__name__)
Headway(app, allow_anonymous=True)


@app.get("/healthz")
def healthy() -> str:
    return "ok"


@app.get("/held")
def held() -> dict[str, int]:
    gc.collect()
    objects = gc.get_objects()
    return {
        "greenlets": sum(isinstance(each, greenlet) and not each.dead for each in objects),
        "threads": threading.active_count(),
        "topics": sum(isinstance(each, Topic) for each in objects),
        "streams": sum(isinstance(each, Stream) for each in objects),
    }
