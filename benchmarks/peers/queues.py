"""Server-Sent Events as they are usually written by hand: one Redis subscription per process, a queue per viewer,
a generator that waits on it. No ids, no replay, no heartbeat; a viewer who left is noticed at the next event.
"""

import os
import queue
import threading
from collections import defaultdict
from collections.abc import Iterator

import redis
from flask import Flask, Response

app = Flask(__name__)
viewers: defaultdict[str, set["queue.Queue[str]"]] = defaultdict(set)


def listen() -> None:
    with redis.Redis.from_url(os.environ["CELERY_BROKER_URL"], decode_responses=True) as client:
        subscription = client.pubsub(ignore_subscribe_messages=True)
        subscription.psubscribe("*")
        for message in subscription.listen():
            for each in list(viewers[message["channel"]]):
                each.put(message["data"])


threading.Thread(target=listen, daemon=True).start()


@app.get("/events/<channel>")
def events(channel: str) -> Response:
    mine: queue.Queue[str] = queue.Queue()
    audience = viewers[channel]
    audience.add(mine)

    def generate() -> Iterator[str]:
        try:
            yield ": hello\n\n"
            while True:
                yield f"data: {mine.get()}\n\n"
        finally:
            audience.discard(mine)

    return Response(generate(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


@app.get("/healthz")
def healthz() -> str:
    return str(os.getpid())
