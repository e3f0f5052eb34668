"""The one subscribed connection of a process: what it hears, and that it never hides that it broke."""

import socket
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis

from headway.errors import JournalUnavailable
from headway.events import Subject
from headway.feed import NOTHING, Acknowledged, Feed, Message
from headway.journal import Journal
from headway.keys import key
from tests.processes import RedisServer, free_port, wait_until
from tests.producers import TASK, Producer, execution, log, said, started

OTHER = Subject("task", "other")


@pytest.fixture
def feed(journal: Journal) -> Iterator[Feed]:
    feed = journal.follow()
    yield feed
    feed.close()


def hear(feed: Feed, count: int) -> list[Message | Acknowledged]:
    heard: list[Message | Acknowledged] = []

    def enough() -> bool:
        heard.extend(feed.read(0.2))
        return len(heard) >= count

    wait_until(enough, what=f"{count} heard")
    assert len(heard) == count
    return heard


def test_what_is_appended_after_the_acknowledgement_is_heard_whole_and_in_order(
    journal: Journal, feed: Feed
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    feed.subscribe([TASK])
    assert hear(feed, 1) == [Acknowledged(TASK)]
    producer.say(*(said("x" * 60_000) for _ in range(20)))
    written = log(journal)
    assert hear(feed, 20) == [
        Message(TASK, previous, id, payload) for (previous, _), (id, payload) in pairwise(written)
    ]


def test_each_subject_is_acknowledged_and_unsubscribed_by_itself(
    journal: Journal, feed: Feed
) -> None:
    feed.subscribe([TASK, OTHER])
    assert hear(feed, 2) == [Acknowledged(TASK), Acknowledged(OTHER)]
    feed.unsubscribe([TASK])
    Producer(journal, execution("one")).say(started())
    Producer(journal, execution("two", task="other")).say(started(task="other"))
    assert [message.subject for message in hear(feed, 1)] == [OTHER]


def test_a_ping_is_answered_whether_anything_is_subscribed_or_not(feed: Feed) -> None:
    feed.ping()
    assert hear(feed, 1) == [Acknowledged(NOTHING)]
    feed.subscribe([TASK])
    hear(feed, 1)
    feed.ping()
    assert hear(feed, 1) == [Acknowledged(NOTHING)]


def test_silence_is_an_empty_list(feed: Feed) -> None:
    feed.subscribe([TASK])
    hear(feed, 1)
    assert feed.read(0.05) == []
    assert feed.read(0) == []


@pytest.mark.parametrize(
    "foreign", [b"", b"x", b"0 1-2", b"0 x y", b"0 1-2x {}", b"\xff \xff \xff", b"0  {}"]
)
def test_what_is_no_message_of_ours_is_passed_over(
    journal: Journal, client: redis.Redis, feed: Feed, foreign: bytes
) -> None:
    feed.subscribe([TASK])
    hear(feed, 1)
    client.publish(key(TASK), foreign)
    Producer(journal, execution("one")).say(started())
    (message,) = hear(feed, 1)
    assert isinstance(message, Message)
    assert message.previous == "0"


def test_a_connection_that_was_cut_is_an_error_and_stays_one(
    client: redis.Redis, feed: Feed
) -> None:
    feed.subscribe([TASK])
    hear(feed, 1)
    client.client_kill_filter(_type="pubsub")
    with pytest.raises(JournalUnavailable, match="subscription broke"):
        wait_until(lambda: feed.read(1), what="the end")
    feed.subscribe([OTHER])
    feed.ping()
    with pytest.raises(JournalUnavailable):
        feed.read(1)
    assert client.pubsub_numsub(key(OTHER)) == [(key(OTHER).encode(), 0)]


def test_closing_twice_is_harmless(feed: Feed) -> None:
    feed.close()
    feed.close()
    with pytest.raises(JournalUnavailable):
        feed.read(0)


def test_a_connection_that_another_thread_closes_is_an_error_to_who_listens(feed: Feed) -> None:
    feed.subscribe([TASK])
    hear(feed, 1)
    closing = threading.Timer(0.05, feed.close)
    closing.start()
    with pytest.raises(JournalUnavailable):
        feed.read(10)
    closing.join()


def test_a_message_that_comes_in_pieces_is_waited_for_and_not_torn() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        journal = Journal(f"redis://127.0.0.1:{server.getsockname()[1]}/0", timeout=0.05)
        feed = journal.follow()
        peer, _ = server.accept()
        channel, payload = key(TASK).encode(), b'0 1-2 {"type":"emitted"}'
        frame = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n" % (len(channel), channel)
        frame += b"$%d\r\n%s\r\n" % (len(payload), payload)
        with peer:
            for at in range(5, len(frame), 9):
                peer.sendall(frame[at - 9 if at > 5 else 0 : at])
                assert feed.read(0.01) == []
            peer.sendall(frame[at:] + frame)
            message = Message(TASK, "0", "1-2", b'{"type":"emitted"}')
            assert hear(feed, 2) == [message, message]
            feed.close()


def test_over_tls_all_is_heard_as_well(certificate: tuple[str, str]) -> None:
    port, (file, its_key) = free_port(), certificate
    options = {"tls_port": port, "tls_cert_file": file, "tls_key_file": its_key}
    try:
        server = RedisServer(**options, tls_auth_clients="no").__enter__()
    except AssertionError as error:
        pytest.skip(f"this Redis speaks no TLS: {error}")
    try:
        journal = Journal(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={file}", timeout=5)
        feed, producer = journal.follow(), Producer(journal, execution("one"))
        assert feed.read(0) == []
        feed.subscribe([TASK])
        assert hear(feed, 1) == [Acknowledged(TASK)]
        # More than one record of TLS holds, and more than is read at once.
        producer.say(started(), *(said("x" * 60_000) for _ in range(20)))
        assert [each.id for each in hear(feed, 21)] == [id for id, _ in log(journal)]
        server.kill()
        with pytest.raises(JournalUnavailable):
            wait_until(lambda: feed.read(1), what="the end")
    finally:
        server.__exit__()
