"""What Redis may do to a journal: forget scripts, refuse, be full, hang, die, or hold what others have written."""

import os
import threading
import time
from collections.abc import Callable

import pytest
import redis

from headway.errors import JournalUnavailable
from headway.events import Subject
from headway.feed import Acknowledged
from headway.journal import Journal
from headway.keys import key
from tests.processes import RedisServer, wait_until
from tests.producers import (
    TASK,
    Producer,
    execution,
    finished,
    fold,
    letter,
    log,
    said,
    started,
    state,
    told,
)

STATE, LOG = f"{key(TASK)}:state", f"{key(TASK)}:log"
GOOD = Subject("task", "good")
OwnRedis = Callable[..., RedisServer]


# -- scripts ---------------------------------------------------------------------------------------------------


def test_a_server_that_has_forgotten_the_script_is_given_it_again(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    for i in range(3):
        client.script_flush()
        assert producer.say(started() if i == 0 else said(str(i)), said("x")) == ["OK", "OK"]
    assert len(log(journal)) == 6


# -- what others have written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [STATE, LOG])
def test_a_key_of_another_type_is_refused_alone(
    journal: Journal, client: redis.Redis, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    client.set(which, "somebody else's")
    good = execution("two", task="good")
    answers = journal.write(
        [
            letter(producer.source, 3, said("b")),
            letter(good, 1, started(task="good")),
            letter(good, 2, said("c", task="good")),
        ]
    )
    assert [answer for answer, _ in answers] == ["REFUSED", "OK", "OK"]
    assert client.get(which) == b"somebody else's"
    assert producer.say(said("b")) == ["REFUSED"]
    assert producer.outbox.empty.is_set()
    assert "Redis refuses the progress of task t:" in caplog.text
    assert "WRONGTYPE" in caplog.text


@pytest.mark.parametrize("which", [STATE, LOG])
def test_a_key_of_another_type_does_not_hide_other_journals(
    journal: Journal, client: redis.Redis, which: str
) -> None:
    Producer(journal, execution("one")).say(started(), said("a"))
    Producer(journal, execution("two", task="good")).say(started(task="good"))
    client.set(which, "somebody else's")
    bad, good = journal.read([(TASK, "0"), (GOOD, "0")])
    assert (good.past, len(good.entries)) == ("same", 1)
    assert bad.entries == []
    assert (bad.past == "gone") == (which == STATE)
    assert journal.lasts([TASK, GOOD])[1] == good.last
    assert journal.owner(TASK) is None


def test_a_log_that_others_have_added_to_is_refused_alone(
    journal: Journal, client: redis.Redis
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    client.xadd(LOG, {"x": "y"})
    good = execution("two", task="good")
    answers = journal.write(
        [letter(producer.source, 2, said("b")), letter(good, 1, started(task="good"))]
    )
    assert [answer for answer, _ in answers] == ["REFUSED", "OK"]


@pytest.mark.parametrize("field", ["_seq", "_bytes", "_pseq"])
def test_bookkeeping_that_is_no_number_is_refused_alone(
    journal: Journal, client: redis.Redis, field: str
) -> None:
    producer = Producer(journal, execution("one"))
    producer.say(started())
    client.hset(STATE, field, "nonsense")
    good = execution("two", task="good")
    answers = journal.write(
        [letter(producer.source, 2, said("b")), letter(good, 1, started(task="good"))]
    )
    assert [answer for answer, _ in answers] == ["REFUSED", "OK"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "running"),
        ("progress", '"half"'),
        ("stage:x", "{}"),
        ("stage:0", "[]"),
        ('a"', "1"),
    ],
)
def test_a_state_that_others_have_spoilt_is_none(
    journal: Journal, client: redis.Redis, field: str, value: str
) -> None:
    Producer(journal, execution("one")).say(started())
    client.hset(STATE, field, value)
    (reading,) = journal.read([(TASK, None)])
    assert reading.state(TASK) is None


@pytest.mark.parametrize("last", ["", "nonsense", "0-0", "\xff"])
def test_a_journal_whose_last_id_is_none_is_gone(
    journal: Journal, client: redis.Redis, last: str
) -> None:
    client.hset(STATE, mapping={"_seq": 1, "_last": last.encode("latin-1")})
    assert journal.read([(TASK, "0")])[0].past == "gone"


# -- refused, full, loading ------------------------------------------------------------------------------------


def assert_unavailable_until(
    journal: Journal, producer: Producer, mend: Callable[[], object]
) -> None:
    """The event is not taken, nothing of it stays behind, and once Redis is well again it is."""
    with pytest.raises(JournalUnavailable):
        producer.say(said("b"))
    mend()
    producer.settle()
    assert [event.at for event in told(journal)] == [2, 3, 3]
    assert state(journal) == fold(told(journal))


def test_a_full_redis_is_an_outage(own_redis: OwnRedis) -> None:
    server = own_redis(maxmemory_policy="noeviction")
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    server.cli("CONFIG", "SET", "maxmemory", "1")
    assert_unavailable_until(
        journal, producer, lambda: server.cli("CONFIG", "SET", "maxmemory", "0")
    )


def test_a_replica_is_an_outage_for_writers_and_none_for_readers(own_redis: OwnRedis) -> None:
    server = own_redis()
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    server.cli("REPLICAOF", "127.0.0.1", "1")
    assert len(log(journal)) == 2
    assert_unavailable_until(journal, producer, lambda: server.cli("REPLICAOF", "NO", "ONE"))


def test_a_replica_is_turned_away_from(own_redis: OwnRedis) -> None:
    """Its name may lead to the new primary by now, and it would keep the connection open forever."""
    server = own_redis()
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started())
    before = journal.run([("CLIENT", "ID")])
    assert journal.run([("CLIENT", "ID")]) == before  # else this test proves nothing
    server.cli("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(JournalUnavailable, match="read only replica"):
        producer.say(said("a"))
    server.cli("REPLICAOF", "NO", "ONE")
    assert producer.send() == ["OK"]
    assert journal.run([("CLIENT", "ID")]) != before


def test_a_redis_that_is_loading_is_an_outage(own_redis: OwnRedis) -> None:
    if not is_7(own_redis()):
        pytest.skip("this server cannot be made to load slowly")
    server = own_redis(enable_debug_command="yes")
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    with redis.Redis.from_url(server.url) as client:
        client.mset({f"k{i}": os.urandom(2000) for i in range(200)})
        client.config_set("loading-process-events-interval-bytes", 1024)
        client.config_set("key-load-delay", 10_000)  # microseconds: it loads for two seconds
        reload = threading.Thread(target=client.execute_command, args=("DEBUG", "RELOAD"))
        reload.start()
        try:
            wait_until(lambda: is_loading(server), what="loading")
            with pytest.raises(JournalUnavailable, match="loading"):
                journal.read([(TASK, None)])
            assert_unavailable_until(journal, producer, reload.join)
        finally:
            reload.join()


def is_7(server: RedisServer) -> bool:
    return str(server.cli("INFO", "server")["redis_version"]) >= "7"


def is_loading(server: RedisServer) -> bool:
    try:
        server.cli("PING")
    except redis.BusyLoadingError:
        return True
    return False


def test_a_hung_redis_is_noticed_in_time(own_redis: OwnRedis) -> None:
    server = own_redis()
    journal = Journal(server.url, timeout=0.25)
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    server.pause()
    try:
        begun = time.monotonic()
        with pytest.raises(JournalUnavailable):
            journal.lasts([TASK])
        with pytest.raises(JournalUnavailable):
            producer.say(said("b"))
        assert time.monotonic() - begun < 2
    finally:
        server.resume()
    producer.settle()
    assert [event.at for event in told(journal)] == [2, 3, 3]


@pytest.mark.parametrize("call", ["read", "lasts", "owner", "learned", "write", "learn", "follow"])
def test_a_redis_that_is_gone_is_said_to_be(own_redis: OwnRedis, call: str) -> None:
    server = own_redis()
    server.kill()
    journal = Journal(server.url)
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: journal.read([(TASK, "0")]),
        "lasts": lambda: journal.lasts([TASK]),
        "owner": lambda: journal.owner(TASK),
        "learned": lambda: journal.learned("tasks.work"),
        "write": lambda: journal.write([letter(execution("one"), 1, started())]),
        "learn": lambda: journal.learn("tasks.work", {"read": 1.0}),
        "follow": journal.follow,
    }
    with pytest.raises(JournalUnavailable):
        calls[call]()


def test_a_restart_that_kept_nothing_is_made_good(own_redis: OwnRedis) -> None:
    server = own_redis()
    journal = Journal(server.url, timeout=5)
    producer = Producer(journal, execution("one"))
    producer.say(started(), said("a"))
    before = log(journal)
    server.kill()
    with pytest.raises(JournalUnavailable):
        producer.say(said("b"))
    server.start()
    producer.settle()
    assert log(journal)[:2] == before
    assert len(log(journal)) == 3


# -- rights ----------------------------------------------------------------------------------------------------

# What Headway's users need in an ACL, no more. `%R~` asks for Redis 7; before that it is `~`.
KEYS = "resetkeys resetchannels &headway:*"
WEB = f"{KEYS} %R~headway:* -@all +hgetall +hget +xrange +multi +exec +subscribe +unsubscribe +ping"
WORKER = (
    f"{KEYS} ~headway:* -@all +evalsha +script|load +hmget +hget +hset +hdel +hkeys +del +expire +time "
    "+xadd +xlen +xrange +xtrim +publish +lpush +ltrim +lrange"
)


@pytest.fixture
def acl_redis(own_redis: OwnRedis) -> RedisServer:
    server = own_redis()
    for name, rights in (("web", WEB), ("worker", WORKER)):
        words = rights if is_7(server) else rights.replace("%R~", "~")
        server.cli("ACL", "SETUSER", name, "on", f">{name}", *words.split())
    return server


def as_user(server: RedisServer, name: str) -> Journal:
    return Journal(server.url.replace("://", f"://{name}:{name}@"), timeout=5)


def test_a_worker_with_the_documented_rights_can_write_all_there_is(acl_redis: RedisServer) -> None:
    worker = as_user(acl_redis, "worker")
    producer = Producer(worker, execution("one"))
    assert producer.say(started(), said("a"), finished("lost")) == ["OK", "OK", "OK"]
    assert Producer(worker, execution("two", retries=1)).say(started(), finished()) == ["OK", "OK"]
    worker.learn("tasks.work", {"read": 1.0})
    assert worker.learned("tasks.work") == {}


def test_a_web_process_with_the_documented_rights_can_watch_and_not_write(
    acl_redis: RedisServer,
) -> None:
    web, worker = as_user(acl_redis, "web"), as_user(acl_redis, "worker")
    feed = web.follow()
    feed.subscribe([TASK])
    assert feed.read(5) == [Acknowledged(TASK)]
    Producer(worker, execution("one")).say(started(), said("a"))
    wait_until(lambda: feed.read(0.1), what="the message")
    feed.ping()
    assert wait_until(lambda: feed.read(1), what="the answer to a ping")
    feed.unsubscribe([TASK])
    feed.close()
    (reading,) = web.read([(TASK, "0")])
    assert len(reading.entries) == 2
    assert web.lasts([TASK]) == [reading.last]
    assert web.owner(TASK) is None
    with pytest.raises(JournalUnavailable, match="permissions"):
        Producer(web, execution("two", retries=1)).say(started())
    assert len(log(web)) == 2


def test_a_writer_that_may_not_publish_still_writes_each_event_once(acl_redis: RedisServer) -> None:
    acl_redis.cli("ACL", "SETUSER", "worker", "resetchannels")
    worker = as_user(acl_redis, "worker")
    producer = Producer(worker, execution("one"))
    with pytest.raises(JournalUnavailable, match="channel"):
        producer.say(started(), said("a"))
    assert producer.send() == ["DUP", "DUP"]
    web = as_user(acl_redis, "web")
    assert len(log(web)) == 2
    assert state(web) == fold(told(web))
