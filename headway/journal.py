"""What Redis holds: the script that writes, and reads that are one step. `feed.py` is what Redis publishes.

A journal is one subject's record: a log of events, bounded and expiring, and the state they fold into.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any, Literal, NamedTuple

import msgspec
import redis
from msgspec import Struct

from headway import pools, usual
from headway.errors import JournalUnavailable
from headway.events import (
    Cancelling,
    Event,
    Execution,
    Finished,
    Retrying,
    Sender,
    Source,
    State,
    Subject,
    Supervisor,
)
from headway.feed import Feed
from headway.fields import state_of
from headway.keys import (
    CURSOR,
    EVERY_TASK,
    EXPIRING,
    WORKERS,
    key,
    line_of,
    seq_of,
    subject_of,
    tasks_of,
)
from headway.usual import Usual

TIMEOUT = 0.25  # seconds for one round trip: longer, and a hung Redis is felt
LEARNED_SECONDS = 30 * 24 * 3600  # durations nobody adds to are forgotten
READ_COUNT = 256  # entries of a log read at once
PINGS = 5  # of which the fastest counts: the others have waited for this machine
SCAN_COUNT = 1000  # keys looked at in one step
SCAN_STEPS = 10_000  # and then it is enough: the keyspace may be somebody else's
# What was sent so long before one that begins does not stand in line any more.
OVERTAKEN_SECONDS = 300
READ_BATCH = 100  # subjects read in one transaction: Redis serves nobody else meanwhile

_LUA = resources.files("headway").joinpath("journal.lua").read_text("utf-8")
_SHA = hashlib.sha1(_LUA.encode()).hexdigest()
# Where the script writes the number; comes before any free text of the event.
_ATTEMPT = b'"attempt":0'


class Retention(Struct, frozen=True):
    """How long and how much journals are kept, in seconds, entries and bytes."""

    running: int = 24 * 3600
    finished: int = 24 * 3600
    finished_log: int = 3600
    queued: int = 7 * 24 * 3600
    entries: int = 1000
    bytes: int = 2 * 1024 * 1024


class Letter(Struct, frozen=True):
    """One event on its way into a journal."""

    event: Event
    source: Source
    number: int  # the producer's own sequence
    payload: bytes
    fields: tuple[bytes | str, ...]  # its changes of the folded state: field, JSON, field, JSON ...
    begins: bool = False  # makes its execution the current one
    attempt: int = 0  # the attempt's number, where the producer knows it
    doubted: bool = False  # Redis had it, and is asked whether it still has


Argument = bytes | str | int | float
Answer = Literal[
    "OK", "DUP", "RESEND", "BEGIN", "FENCED", "TERMINAL", "KNOWN", "UNKNOWN", "REFUSED"
]


class Reading(NamedTuple):
    """What one atomic read found, about a cursor if one was given.

    `past` says how the cursor stands to the log: `same` (it is part of it, and `entries` follow it), `trimmed`,
    `fork` (history went another way), `ahead` (Redis has lost what the cursor saw), `gone` (there is no journal).
    """

    past: Literal["same", "trimmed", "fork", "ahead", "gone"]
    last: str
    fields: dict[bytes, bytes]
    entries: list[tuple[str, bytes]]
    first: int

    def state(self, subject: Subject) -> State | None:
        return None if self.past == "gone" else state_of(subject, self.fields)


class Vitals(NamedTuple):
    """What Redis says of itself; None or {} is what it may not be asked (by an ACL, or of a managed service)."""

    seconds: float  # of a round trip
    ahead: float | None  # seconds that its clock is ahead of this machine's
    info: dict[str, Any]
    subscriber_limit: str | None  # of its output buffer, as redis.conf has it, in bytes


Trouble = Literal["away", "password", "permission", "memory", "replica"]


class Journal:
    """Every method raises JournalUnavailable when Redis does not answer in time, and never waits longer."""

    def __init__(
        self,
        url: str,
        *,
        retention: Retention | None = None,
        timeout: float = TIMEOUT,
        connections: int = 2,
    ) -> None:
        self._retention = retention or Retention()
        self._pool = pools.connect(url, connections=connections, timeout=timeout)
        self._redis = redis.Redis(connection_pool=self._pool)

    def close(self) -> None:
        self._pool.disconnect()

    @contextmanager
    def _reaching(self, trouble: str = "Redis does not answer") -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            if isinstance(error, redis.ReadOnlyError):
                # It was made a replica, and goes on answering; its name may stand for another now.
                self._pool.disconnect(inuse_connections=False)
            raise JournalUnavailable(f"{trouble}: {error}") from error

    # -- writing ---------------------------------------------------------------------------------------------

    def write(self, letters: Sequence[Letter]) -> list[tuple[Answer, str]]:
        """Append the events in order, in one round trip, and say what became of each.

        Writing a letter again is harmless. REFUSED means Redis will not take this one (a key of another type).
        """
        with self._reaching("Redis does not take events"):
            return [_answer(reply) for reply in self._evaluate(letters)]

    def _evaluate(self, letters: Sequence[Letter]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            for letter in letters:
                pipe.evalsha(_SHA, 2, *self._arguments(letter))
            send: Callable[..., Any] = pipe.execute_command
            for command in self._beside(letters):
                send(*command)
            replies = pipe.execute(raise_on_error=False)[: len(letters)]
            if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                pipe.script_load(_LUA)
                for letter in letters:
                    pipe.evalsha(_SHA, 2, *self._arguments(letter))
                replies = pipe.execute(raise_on_error=False)[1:]
        return _checked(replies)

    def _arguments(self, letter: Letter) -> list[Argument]:
        event, keep = letter.event, self._retention
        base = key(Subject("task", event.task))
        status = event.status if isinstance(event, Finished) else ""
        delay = event.delay or 0.0 if isinstance(event, Retrying) else 0.0
        seconds = [keep.running + int(delay)] * 2
        if status:
            seconds = [keep.finished, keep.finished_log]
        operation: list[Argument]
        match letter.source:
            case Sender(owner=owner, queue=queue):
                due = getattr(event, "due_at", None) or 0.0
                seconds = [keep.queued + max(0, int(due - time.time()))] * 2
                sent_at = msgspec.json.encode(event.at)
                operation = ["queue", owner or "", sent_at, queue or "", letter.payload]
            case Supervisor() if isinstance(event, Cancelling):
                # It may have to wait for its turn, or its time, to be told.
                seconds = [keep.queued] * 2
                operation = ["cancelling", letter.payload]
            case Supervisor(retries=retries, boot=boot, pid=pid):
                verdict = f"{type(event).__name__} {status} {retries} {boot} {pid}"
                create = "1" if boot else "0"
                operation = ["supervise", retries, boot, pid, verdict, create, status]
                operation.append(letter.payload)
            case Execution(nonce=nonce, retries=retries, boot=boot) as execution if letter.begins:
                age = f"{time.monotonic() - execution.began:.6f}"
                before, after = letter.payload.split(_ATTEMPT, 1)
                floor = max(letter.attempt, retries + 1)
                operation = ["begin", nonce, retries, age, boot, floor, letter.number]
                operation += [
                    execution.owner or "",
                    before + _ATTEMPT[:-1],
                    after,
                    int(execution.late),
                    execution.pid,
                ]
            case Execution(nonce=nonce):
                operation = ["append", nonce, letter.number, status, letter.payload]
        bounds = [keep.entries, keep.bytes]
        return [
            f"{base}:state",
            f"{base}:log",
            operation[0],
            base,
            *seconds,
            *bounds,
            *operation[1:],
            *letter.fields,
        ]

    def _beside(self, letters: Sequence[Letter]) -> Iterator[Sequence[Argument]]:
        """What goes with the letters to keys that are not the task's own: its worker's set, its queue's line."""
        for letter in letters:
            match letter.source:
                case Sender(task=task, queue=queue, expires=expires) if not letter.doubted:
                    if queue:
                        yield "ZADD", line_of(queue), letter.event.at, task
                        yield "EXPIRE", line_of(queue), self._retention.queued
                    if expires:
                        yield "ZADD", EXPIRING, expires, task
                case Execution(task=task, boot=boot, queue=queue) if letter.begins:
                    if boot:
                        yield "SADD", tasks_of(boot), task
                        yield "SADD", WORKERS, boot  # it may not live to its first beat
                    if queue:
                        yield "ZREM", line_of(queue), task
                        sent_at = getattr(letter.event, "queued_at", None) or 0.0
                        yield "ZREMRANGEBYSCORE", line_of(queue), 0, sent_at - OVERTAKEN_SECONDS
                case Supervisor(task=task, queue=str(queue)):
                    yield "ZREM", line_of(queue), task

    # -- reading ---------------------------------------------------------------------------------------------

    def read(
        self, wanted: Sequence[tuple[Subject, str | None]], count: int = READ_COUNT
    ) -> list[Reading]:
        """State and what follows the cursor, each subject's in one atomic step.

        Without a cursor only the state; after "0" all that the log holds. At most `count` events, and one more to
        say that there are more. A key of another type holds no journal.
        """
        readings: list[Reading] = []
        for start in range(0, len(wanted), READ_BATCH):
            batch = wanted[start : start + READ_BATCH]
            replies = iter(self._transaction(batch, count))
            for _, cursor in batch:
                fields = _fields(next(replies))
                if cursor is None:
                    readings.append(_reading(fields, None, [], 0))
                else:
                    entries, first = _entries(next(replies)), _entries(next(replies))
                    readings.append(
                        _reading(fields, cursor, entries, seq_of(first[0][0]) if first else 0)
                    )
        return readings

    def _transaction(self, batch: Sequence[tuple[Subject, str | None]], count: int) -> list[Any]:
        with self._reaching(), self._redis.pipeline(transaction=True) as pipe:
            for subject, cursor in batch:
                base = key(subject)
                pipe.hgetall(f"{base}:state")
                if cursor is not None:
                    since, most = ("-", count + 1) if cursor == "0" else (cursor, count + 2)
                    pipe.xrange(f"{base}:log", since, "+", most)
                    pipe.xrange(f"{base}:log", "-", "+", 1)
            return _checked(pipe.execute(raise_on_error=False))

    def subjects(self, most: int) -> list[Subject]:
        """Tasks that have a journal, in no order, about as many as asked for.

        Walks the keyspace, one step after another: for a person who asks, not for every request.
        """
        found: dict[Subject, None] = {}
        cursor = 0
        with self._reaching():
            for _ in range(SCAN_STEPS):
                cursor, keys = self._redis.scan(cursor, f"{EVERY_TASK}:state", SCAN_COUNT)
                names = (name for name in keys if isinstance(name, bytes))
                subjects = (subject_of(name.removesuffix(b":state")) for name in names)
                found |= dict.fromkeys(subject for subject in subjects if subject)
                if not cursor or len(found) >= most:
                    break
        return list(found)

    def run(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """The replies to plain commands, in one round trip."""
        with self._reaching(), self._redis.pipeline(transaction=False) as pipe:
            send: Callable[..., Any] = pipe.execute_command
            for command in commands:
                send(*command)
            return pipe.execute() if commands else []

    def owner(self, subject: Subject) -> str | None:
        """Whose it is; None when nobody said."""
        with self._reaching(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(f"{key(subject)}:state", "_owner")
            (owner,) = _checked(pipe.execute(raise_on_error=False))
        return owner.decode() if isinstance(owner, bytes) else None

    def lasts(self, subjects: Sequence[Subject]) -> list[str | None]:
        """The last id of each journal, None where there is none."""
        with self._reaching(), self._redis.pipeline(transaction=False) as pipe:
            for subject in subjects:
                pipe.hget(f"{key(subject)}:state", "_last")
            lasts = _checked(pipe.execute(raise_on_error=False))
        return [last.decode("latin-1") if isinstance(last, bytes) else None for last in lasts]

    def incarnation(self) -> str:
        """Changes when it is another Redis that answers, or one that was started anew: it may have lost something.

        "" where that may not be asked.
        """
        with self._reaching():
            return str((_if_told(lambda: self._redis.info("server")) or {}).get("run_id", ""))

    def learn(self, name: str, durations: Mapping[str, float]) -> None:
        """Remember how long the stages of one run of this task took."""
        history = f"headway:u:{{{name}}}"
        with self._reaching(), self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(history, msgspec.json.encode(durations))
            pipe.ltrim(history, 0, usual.KEPT - 1)
            pipe.expire(history, LEARNED_SECONDS)
            pipe.execute()

    def learned(self, name: str) -> dict[str, Usual]:
        """How long each stage of this task usually takes, for those that ran often enough."""
        with self._reaching():
            runs = self._redis.lrange(f"headway:u:{{{name}}}", 0, usual.KEPT - 1)
        durations: dict[str, list[float]] = {}
        for run in runs:
            with suppress(msgspec.MsgspecError):
                for stage, seconds in msgspec.json.decode(run, type=dict[str, float]).items():
                    durations.setdefault(stage, []).append(seconds)
        found = {stage: usual.of(seconds) for stage, seconds in durations.items()}
        return {stage: value for stage, value in found.items() if value is not None}

    def examine(self) -> Vitals:
        """Ask Redis how it is. For the doctor; nothing else depends on what it says."""
        with self._reaching():
            self._redis.ping()  # connects
            seconds = min(_seconds(self._redis.ping) for _ in range(PINGS))
            before = time.time()
            clock = _if_told(self._redis.time)
            now = (before + time.time()) / 2
            limits = _if_told(lambda: self._redis.config_get(_BUFFERS)) or {}
            return Vitals(
                seconds,
                None if clock is None else clock[0] + clock[1] / 1e6 - now,
                _if_told(self._redis.info) or {},
                _subscriber_limit(limits.get(_BUFFERS, "")),
            )

    def follow(self) -> Feed:
        """A connection of its own that hears what is published."""
        with self._reaching("Redis cannot be reached"):
            connection = self._pool.connection_class(**self._pool.connection_kwargs)
            connection.connect()
        return Feed(connection)


def trouble(error: JournalUnavailable) -> Trouble:
    """What kind of trouble it was, for those who tell a person how to end it."""
    cause = error.__cause__
    for kind, causes in _TROUBLES.items():
        if isinstance(cause, causes):
            return kind
    said = str(cause)
    return "permission" if "NOPERM" in said or "user executing the script" in said else "away"


_TROUBLES: dict[Trouble, type[Exception]] = {
    "password": redis.AuthenticationError,
    "permission": redis.exceptions.NoPermissionError,
    "memory": redis.exceptions.OutOfMemoryError,
    "replica": redis.exceptions.ReadOnlyError,
}


def _if_told(ask: Callable[[], Any]) -> Any:
    """None when Redis does not answer that."""
    try:
        return ask()
    except redis.ResponseError:
        return None


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _subscriber_limit(limits: str) -> str | None:
    found = re.search(r"pubsub \d+ \d+ \d+", limits)
    return found[0] if found else None


_BUFFERS = "client-output-buffer-limit"


def _checked(replies: list[Any]) -> list[Any]:
    """The replies, in which an error is about one subject alone; raises the first that is about all of Redis."""
    for reply in replies:
        if isinstance(reply, redis.RedisError) and not _is_refusal(reply):
            raise reply
    return replies


def _answer(reply: Any) -> tuple[Answer, str]:
    if isinstance(reply, redis.RedisError):
        return "REFUSED", str(reply)
    code, *rest = (part.decode() for part in reply)
    return code, rest[0] if rest else ""


def _is_refusal(error: redis.RedisError) -> bool:
    """Whether Redis refuses this one alone, because somebody else has written under our names; anything else
    (LOADING, READONLY, OOM ...) is an outage for all.
    """
    said = str(error)
    return isinstance(error, redis.ResponseError) and any(sign in said for sign in _FOREIGN)


_FOREIGN = (
    "WRONGTYPE",
    "specified in XADD",  # a log whose last id is no number of ours
    "attempt to",  # Lua's word for a field that is no number
)


def _fields(reply: Any) -> dict[bytes, bytes]:
    return reply if isinstance(reply, dict) else {}


def _entries(reply: Any) -> list[tuple[str, bytes]]:
    if isinstance(reply, redis.RedisError):
        return []
    return [(id.decode(), fields.get(b"p", b"")) for id, fields in reply]


def _reading(
    fields: dict[bytes, bytes], cursor: str | None, entries: list[tuple[str, bytes]], first: int
) -> Reading:
    last = fields.get(b"_last", b"").decode("latin-1")
    if not CURSOR.fullmatch(last):
        return Reading("gone", "0", {}, [], 0)
    if cursor is None or cursor == last:  # equal ids mean equal pasts: no log is needed for this
        return Reading("same", last, fields, [], first)
    if cursor == "0":
        return Reading("same" if first == 1 else "trimmed", last, fields, entries, first)
    if entries and entries[0][0] == cursor:
        return Reading("same", last, fields, entries[1:], first)
    if seq_of(cursor) > seq_of(last):
        return Reading("ahead", last, fields, [], first)
    trimmed = seq_of(cursor) < first or not first
    return Reading("trimmed" if trimmed else "fork", last, fields, [], first)
