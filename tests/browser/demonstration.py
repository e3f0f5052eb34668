"""The demonstration site with its worker, for a browser to visit."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.processes import RedisServer, Web, Worker


@contextmanager
def demonstration() -> Iterator[Web]:
    with (
        RedisServer() as server,
        Worker("threads", server.url, concurrency=8),
        Web(server.url) as web,
    ):
        yield web
