"""A journal on the shared server, a client to look behind it, and hubs that end with their test."""

import threading
from collections.abc import Iterator

import pytest
import redis

from headway import hub as hubs
from headway.hub import Hub
from headway.journal import Journal
from tests.hubs import NEVER, Counting, MakeHub
from tests.producers import Producer, execution, said, started


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def journal(redis_url: str) -> Iterator[Journal]:
    journal = Journal(redis_url, timeout=5)
    yield journal
    journal.close()


@pytest.fixture
def producer(journal: Journal) -> Producer:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("first"))
    return producer


@pytest.fixture
def make_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeHub]:
    """Hubs without an audit, unless the test wants one: it would mend what the test is about.

    A hub lives as long as its process; here it must not go on to watch the next test's journals.
    """
    monkeypatch.setattr(hubs, "AUDIT_SECONDS", NEVER)
    monkeypatch.setattr(hubs, "AHEAD_SECONDS", 0.5)
    made: list[Hub] = []

    def make(journal: Journal) -> Hub:
        made.append(Hub(journal))
        return made[-1]

    yield make
    for hub in made:
        hub._journal.follow = hub._fill_some = threading.Event().wait  # type: ignore[assignment]
        if hub._feed:
            hub._feed.close()


@pytest.fixture
def counting(redis_url: str) -> Counting:
    return Counting(redis_url)


@pytest.fixture
def hub(make_hub: MakeHub, counting: Counting) -> Hub:
    return make_hub(counting)
