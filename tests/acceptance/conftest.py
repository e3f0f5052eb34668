"""What a module's tests share: a Redis of their own, and a publisher to it."""

from collections.abc import Iterator

import pytest

from headway.publisher import Publisher
from tests.processes import RedisServer
from tests.reporting import publishing


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def publisher(server: RedisServer) -> Iterator[Publisher]:
    with publishing(server.url) as publisher:
        yield publisher
