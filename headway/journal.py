"""All of Redis: key names, the script that writes, reads that are one step, and the feed of what is published.

A journal is one subject's record: a log of events, bounded and expiring, and the state they fold into.
"""

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any, Literal, NamedTuple

import msgspec
import redis
from msgspec import Struct
from redis.backoff import NoBackoff
from redis.retry import Retry

from headway import usual
from headway.errors import JournalUnavailable
from headway.events import (
    Event,
    Execution,
    Finished,
    Retrying,
    Sender,
    Source,
    StageReported,
    State,
    Subject,
    Supervisor,
    settle,
)
from headway.usual import Usual

TIMEOUT = 0.25  # seconds for one round trip: longer, and a hung Redis is felt
CONNECT_TIMEOUT = 2.0  # seconds to reach Redis at all, off anybody's thread
LEARNED_SECONDS = 30 * 24 * 3600  # durations nobody adds to are forgotten
READ_COUNT = 256  # entries of a log read at once
READ_BATCH = 100  # subjects read in one transaction: Redis serves nobody else meanwhile

CURSOR = re.compile(r"([1-9][0-9]{0,14})-([0-9]{1,16})")

_LUA = resources.files("headway").joinpath("journal.lua").read_text("utf-8")
_SHA = hashlib.sha1(_LUA.encode()).hexdigest()
_KINDS = {"task": "t"}
# Two round trips less per connection. redis-py before 7.2 has other words for it.
_ANONYMOUS: dict[str, Any] = (
    {"driver_info": None}
    if hasattr(redis, "DriverInfo")
    else {"lib_name": None, "lib_version": None}
)
_CHANNEL = re.compile(r"headway:t:\{([A-Za-z0-9._:-]{1,128})\}")
# Where the script writes the number; comes before any free text of the event.
_ATTEMPT = b'"attempt":0'


def key(subject: Subject) -> str:
    """What all of a subject's keys begin with, and its channel. One hash tag: in a cluster they live together."""
    return f"headway:{_KINDS[subject.kind]}:{{{subject.id}}}"


def seq_of(cursor: str) -> int:
    """The place of an event in its log, from 1; 0 for "0" and for what is no cursor."""
    found = CURSOR.fullmatch(cursor)
    return int(found[1]) if found else 0


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
        return None if self.past == "gone" else _state(subject, self.fields)


class Message(NamedTuple):
    """An event as it was published."""

    subject: Subject
    previous: str
    id: str
    payload: bytes


class Acknowledged(NamedTuple):
    """Redis has confirmed a subscription: whatever is appended from now on will be heard. Or it has only answered
    a ping: then this is about NOTHING.
    """

    subject: Subject


NOTHING = Subject("task", "")


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
        self._pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout * 4,
            socket_timeout=timeout,
            socket_connect_timeout=min(timeout, CONNECT_TIMEOUT),
            retry=Retry(NoBackoff(), 0),  # ours are the only retries: a caller's time is promised
            protocol=2,
            **_ANONYMOUS,
        )
        self._redis = redis.Redis(connection_pool=self._pool)

    def close(self) -> None:
        self._pool.disconnect()

    # -- writing ---------------------------------------------------------------------------------------------

    def write(self, letters: Sequence[Letter]) -> list[tuple[Answer, str]]:
        """Append the events in order, in one round trip, and say what became of each.

        Writing a letter again is harmless. REFUSED means Redis will not take this one (a key of another type).
        """
        with _unavailable("Redis does not take events"):
            return [_answer(reply) for reply in self._evaluate(letters)]

    def _evaluate(self, letters: Sequence[Letter]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            for letter in letters:
                pipe.evalsha(_SHA, 2, *self._arguments(letter))
            replies = pipe.execute(raise_on_error=False)
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
            case Sender(owner=owner):
                due = getattr(event, "due_at", None) or 0.0
                seconds = [keep.queued + max(0, int(due - time.time()))] * 2
                sent_at = msgspec.json.encode(event.at)
                operation = ["queue", owner or "", sent_at, letter.payload]
            case Supervisor(retries=retries, boot=boot):
                verdict = f"{type(event).__name__} {status} {retries} {boot}"
                create = "1" if boot else "0"
                operation = ["supervise", retries, boot, verdict, create, status, letter.payload]
            case Execution(nonce=nonce, retries=retries, boot=boot) as execution if letter.begins:
                age = f"{time.monotonic() - execution.began:.6f}"
                before, after = letter.payload.split(_ATTEMPT, 1)
                operation = ["begin", nonce, retries, age, boot, letter.attempt, letter.number]
                operation += [execution.owner or "", before + _ATTEMPT[:-1], after]
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
        with _unavailable(), self._redis.pipeline(transaction=True) as pipe:
            for subject, cursor in batch:
                base = key(subject)
                pipe.hgetall(f"{base}:state")
                if cursor is not None:
                    since, most = ("-", count + 1) if cursor == "0" else (cursor, count + 2)
                    pipe.xrange(f"{base}:log", since, "+", most)
                    pipe.xrange(f"{base}:log", "-", "+", 1)
            return _checked(pipe.execute(raise_on_error=False))

    def owner(self, subject: Subject) -> str | None:
        """Whose it is; None when nobody said."""
        with _unavailable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(f"{key(subject)}:state", "_owner")
            (owner,) = _checked(pipe.execute(raise_on_error=False))
        return owner.decode() if isinstance(owner, bytes) else None

    def lasts(self, subjects: Sequence[Subject]) -> list[str | None]:
        """The last id of each journal, None where there is none."""
        with _unavailable(), self._redis.pipeline(transaction=False) as pipe:
            for subject in subjects:
                pipe.hget(f"{key(subject)}:state", "_last")
            lasts = _checked(pipe.execute(raise_on_error=False))
        return [last.decode("latin-1") if isinstance(last, bytes) else None for last in lasts]

    def learn(self, name: str, durations: Mapping[str, float]) -> None:
        """Remember how long the stages of one run of this task took."""
        history = f"headway:u:{{{name}}}"
        with _unavailable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(history, msgspec.json.encode(durations))
            pipe.ltrim(history, 0, usual.KEPT - 1)
            pipe.expire(history, LEARNED_SECONDS)
            pipe.execute()

    def learned(self, name: str) -> dict[str, Usual]:
        """How long each stage of this task usually takes, for those that ran often enough."""
        with _unavailable():
            runs = self._redis.lrange(f"headway:u:{{{name}}}", 0, usual.KEPT - 1)
        durations: dict[str, list[float]] = {}
        for run in runs:
            with suppress(msgspec.MsgspecError):
                for stage, seconds in msgspec.json.decode(run, type=dict[str, float]).items():
                    durations.setdefault(stage, []).append(seconds)
        found = {stage: usual.of(seconds) for stage, seconds in durations.items()}
        return {stage: value for stage, value in found.items() if value is not None}

    def follow(self) -> "Feed":
        """A connection of its own that hears what is published."""
        with _unavailable("Redis cannot be reached"):
            connection = self._pool.connection_class(**self._pool.connection_kwargs)
            connection.connect()
        return Feed(connection)


class Feed:
    """One subscribed connection. It never reconnects by itself: whoever reads it must know that it broke.

    One thread reads; any thread may subscribe. redis-py's own pub/sub is not used because it reconnects
    silently, which loses messages (docs/why.md).
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._broken = False

    def subscribe(self, subjects: Iterable[Subject]) -> None:
        self._send("SUBSCRIBE", [key(subject) for subject in subjects])

    def unsubscribe(self, subjects: Iterable[Subject]) -> None:
        self._send("UNSUBSCRIBE", [key(subject) for subject in subjects])

    def ping(self) -> None:
        """Ask for a sign of life: a half-open connection looks like a quiet one."""
        self._send("PING", [""])

    def _send(self, command: str, arguments: list[str]) -> None:
        with self._sending:
            if self._broken or not arguments:
                return
            try:
                packed = self._connection.pack_command(command, *arguments)
                self._connection.send_packed_command(packed, check_health=False)
            except (redis.RedisError, OSError):
                self._broken = True  # the reader finds out too, and starts anew with everything

    def read(self, seconds: float) -> list[Message | Acknowledged]:
        """What has come, waiting at most `seconds` for the first of it. Raises JournalUnavailable when it broke."""
        heard: list[Message | Acknowledged] = []
        try:
            while True:
                ready = self._connection.can_read(0 if heard else seconds)
                if self._broken:
                    raise redis.ConnectionError("the connection was closed")
                if not ready:
                    break
                reply = self._connection.read_response(
                    disable_decoding=True, disconnect_on_error=False
                )
                heard += _heard(reply)
        except redis.TimeoutError:
            pass  # half a message: the other half will follow
        except Exception as error:
            # Over a connection that another thread has closed redis-py stumbles in many ways.
            if not (self._broken or isinstance(error, redis.RedisError | OSError)):
                raise
            self.close()
            raise JournalUnavailable(f"The subscription broke: {error}") from error
        return heard

    def close(self) -> None:
        with self._sending:
            self._broken = True
            self._connection.disconnect()


def changes(event: Event, old: State, new: State) -> tuple[bytes | str, ...]:
    """What a state's hash must be told, field by field, when this event has taken its source from one to the other."""
    told: list[bytes | str] = []
    contested = _CONTESTED.get(type(event), _ALWAYS)
    for name in _STATE_FIELDS:
        value = getattr(new, name)
        # Not by ==, to which 1, 1.0 and True are the same.
        if name in contested or value is not getattr(old, name):
            told += [name, msgspec.json.encode(value)]
    for i, stage in enumerate(new.stages):
        if i >= len(old.stages) or stage is not old.stages[i]:
            told += [f"stage:{i}", msgspec.json.encode(stage)]
    return tuple(told)


# "attempt" is the journal's own to number; stages have a field each; the rest is the reader's to say.
_STATE_FIELDS = [
    name
    for name in State.__struct_fields__
    if name not in ("task", "attempt", "stages", "stalled", "confirmed")
]


# What an event says although it may be no news to its source: others write the same fields, and one source does
# not know what another has said.
_ALWAYS = frozenset({"updated_at"})
_CONTESTED: dict[type[Event], frozenset[str]] = {
    StageReported: _ALWAYS | {"remaining"},
    Retrying: _ALWAYS | {"error", "due_at", "remaining"},
    Finished: _ALWAYS | {"status", "result", "error", "finished_at", "remaining"},
}


@contextmanager
def _unavailable(trouble: str = "Redis does not answer") -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise JournalUnavailable(f"{trouble}: {error}") from error


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


def _state(subject: Subject, fields: dict[bytes, bytes]) -> State | None:
    """The folded state that a hash holds, or None when somebody else wrote into it."""
    stages: list[tuple[int, bytes]] = []
    parts = [b'"task":' + msgspec.json.encode(subject.id), b'"confirmed":true']
    try:
        for name, value in fields.items():
            if name.startswith(b"stage:"):
                stages.append((int(name[6:]), value))
            elif not name.startswith(b"_"):
                parts.append(b'"%s":%s' % (name, value))
        parts.append(b'"stages":[%s]' % b",".join(value for _, value in sorted(stages)))
        return settle(msgspec.json.decode(b"{%s}" % b",".join(parts), type=State))
    except (msgspec.MsgspecError, ValueError):
        return None


def _heard(reply: Any) -> list[Message | Acknowledged]:
    if not isinstance(reply, list) or reply[0] == b"pong":
        return [Acknowledged(NOTHING)]  # the first is a PONG while nothing is subscribed
    kind, channel, *rest = reply
    found = _CHANNEL.fullmatch(channel.decode("latin-1"))
    if not found:
        return []
    subject = Subject("task", found[1])
    if kind == b"subscribe":
        return [Acknowledged(subject)]
    parts = rest[0].split(b" ", 2) if kind == b"message" else []
    if len(parts) != 3:
        return []
    previous, id = parts[0].decode("latin-1"), parts[1].decode("latin-1")
    if not CURSOR.fullmatch(id):
        return []  # not ours; the audit finds out if something was
    return [Message(subject, previous, id, parts[2])]
