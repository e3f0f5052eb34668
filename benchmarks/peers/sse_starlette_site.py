"""sse-starlette as its documentation shows it, under uvicorn: an async generator per viewer that waits on a queue, and
one Redis subscription per process.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

viewers: defaultdict[str, set["asyncio.Queue[str]"]] = defaultdict(set)


async def listen() -> None:
    client = redis.asyncio.Redis.from_url(os.environ["CELERY_BROKER_URL"], decode_responses=True)
    async with client, client.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.psubscribe("*")
        async for message in subscription.listen():
            for each in list(viewers[message["channel"]]):
                each.put_nowait(message["data"])


async def events(request: Request) -> Response:
    mine: asyncio.Queue[str] = asyncio.Queue()
    audience = viewers[request.path_params["channel"]]
    audience.add(mine)

    async def generate() -> AsyncIterator[dict[str, str]]:
        try:
            yield {"comment": "hello"}
            while True:
                yield {"data": await mine.get()}
        finally:
            audience.discard(mine)

    return EventSourceResponse(generate())


async def healthz(request: Request) -> Response:
    return PlainTextResponse(str(os.getpid()))


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    listener = asyncio.create_task(listen())
    yield
    listener.cancel()


app = Starlette(
    routes=[Route("/events/{channel}", events), Route("/healthz", healthz)], lifespan=lifespan
)
