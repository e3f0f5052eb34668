"""What the doctor asks of Redis, and the throwaway task it does that with. Changes nothing but that task."""

import re
import time
import uuid
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from headway.backlog import Outbox
from headway.errors import JournalUnavailable
from headway.events import Emitted, Event, Execution, Finished, Stage, Started, Subject
from headway.feed import Acknowledged, Feed, Message
from headway.journal import TIMEOUT, Journal, Retention, Vitals, trouble

OLDEST = (6, 2)  # of Redis: XTRIM MINID came with it
SLOW = TIMEOUT / 5  # seconds of a round trip; at TIMEOUT a worker gives up
FULL = 0.9  # of maxmemory
SKEW = 2.0  # seconds between two clocks: less is told apart by nobody
PATIENCE = 5.0  # seconds until something that should be there at once is taken for missing
REDIS_SECONDS = 2.0  # for one round trip: what is slow shall be told from what is away
KEPT_SECONDS = 300  # the throwaway task, after its last event

ENOUGH = 'client-output-buffer-limit "pubsub 33554432 8388608 60"'
LEAST_AT_ONCE, LEAST_FOR_LONG = 2**23, 2**20  # bytes a web process may be behind
COMMANDS = (  # no @read and @write: FLUSHALL is among them
    "+@hash +@list +@set +@sortedset +@stream +@string +@pubsub +@scripting +@transaction "
    "+del +exists +expire +info +ping +scan +select +time"
)
CLOCKS = "Have every machine set its clock: timedatectl set-ntp true"

Verdict = Literal["ok", "skipped", "warning", "fault"]


class Finding(Struct, frozen=True):
    """How one check went. A warning or a fault has a fix, and nothing else has."""

    check: str
    verdict: Verdict
    said: str
    fix: str | None = None


class Trial:
    """A throwaway task: its journal is written as a worker would, and is gone five minutes later."""

    def __init__(self, url: str, task: str | None = None, *, kept_seconds: float = 0.0) -> None:
        kept = KEPT_SECONDS + int(kept_seconds)
        retention = Retention(running=kept, finished=kept, finished_log=kept)
        self.task = task or f"doctor-{uuid.uuid4().hex[:12]}"
        self.journal = Journal(url, retention=retention, timeout=REDIS_SECONDS)
        self.subject = Subject("task", self.task)
        source = Execution(
            task=self.task,
            nonce=uuid.uuid4().hex,
            retries=0,
            boot="",
            began=time.monotonic(),
        )
        self._outbox = Outbox(source)

    def start(self) -> None:
        self._say(Started(task=self.task, at=time.time(), stages=(Stage(key="doctor"),)))

    def emit(self, number: int) -> None:
        self._say(Emitted(task=self.task, at=time.time(), name="doctor", data=number))

    def end(self) -> None:
        self._say(Finished(task=self.task, at=time.time(), status="succeeded"))

    def _say(self, event: Event) -> None:
        """Raises JournalUnavailable, also where Redis answers that it will not have the event."""
        self._outbox.put(event)
        letters = self._outbox.letters()
        answers = self.journal.write(letters)
        self._outbox.hear([(sent, *answer) for sent, answer in zip(letters, answers, strict=True)])
        refused = [f"{answer} {why}" for answer, why in answers if answer != "OK"]
        if refused:
            raise JournalUnavailable(f"Redis does not take the event: {refused[0]}")


def redis(trial: Trial, url: str) -> Iterator[Finding]:
    """Everything about Redis. The first finding is a fault if it cannot be examined at all."""
    try:
        vitals = trial.journal.examine()
    except JournalUnavailable as error:
        yield _unexamined(error, url)
        return
    yield _speed(vitals, url)
    yield _version(vitals.info)
    yield _eviction(vitals.info, url)
    yield _memory(vitals.info, url)
    yield _output_buffer(vitals.subscriber_limit, url)
    yield clock("Redis", vitals.ahead)
    yield from _event(trial, url, vitals.info)


def shown(url: str) -> str:
    """The address without what is secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def clock(whose: str, ahead: float | None) -> Finding:
    if ahead is None:
        return Finding("clock", "skipped", f"{whose} does not say what time it has.")
    if abs(ahead) < SKEW:
        return Finding("clock", "ok", f"{whose} and this machine have the same time.")
    said = f"{whose}'s clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    said += ": times and durations are shown wrong."
    return Finding("clock", "warning", said, CLOCKS)


def _unexamined(error: JournalUnavailable, url: str) -> Finding:
    said, kind = f"{shown(url)}: {error}", trouble(error)
    match kind:
        case "password":
            fix = (
                "Put user and password into HEADWAY_REDIS_URL (or --redis): redis://<user>:<password>@<host>:<port>/0, "
                "with %-escapes for all but letters and digits; without a user it is redis://:<password>@…"
            )
            return Finding("password", "fault", said, fix)
        case "permission":
            return _forbidden(said, url)
    fix = "Start it (redis-server), or point HEADWAY_REDIS_URL (or --redis) at where it runs."
    return Finding("redis", "fault", said, fix)


def _forbidden(said: str, url: str) -> Finding:
    user = urlsplit(url).username or "default"
    rules = COMMANDS  # and not the patterns, too: Redis refuses them for a user who has * already
    if " keys " in said:
        rules = "~headway:*"
    elif " channel" in said:
        rules = "&headway:*"
    fix = f"{_cli(url)} ACL SETUSER {user} {rules}"
    return Finding("permission", "fault", said, fix)


def _speed(vitals: Vitals, url: str) -> Finding:
    milliseconds = vitals.seconds * 1000
    said = f"{shown(url)} answers in {milliseconds:.1f} ms"
    if vitals.seconds < SLOW:
        return Finding("redis", "ok", f"{said}.")
    verdict: Verdict = "fault" if vitals.seconds >= TIMEOUT else "warning"
    said += f"; a worker that reports gives up after {TIMEOUT * 1000:.0f} ms."
    fix = "Run Redis near the workers and web processes: in the same data centre, not across the internet."
    return Finding("latency", verdict, said, fix)


def _version(info: dict[str, Any]) -> Finding:
    if "valkey_version" in info:
        return Finding("version", "ok", f"Valkey {info['valkey_version']}.")
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if not numbers:
        return Finding("version", "skipped", "Redis does not say its version.")
    if numbers >= OLDEST:
        return Finding("version", "ok", f"Redis {version}.")
    fix = "Install Redis 6.2 or newer, or Valkey."
    return Finding("version", "fault", f"Redis {version} is too old.", fix)


def _eviction(info: dict[str, Any], url: str) -> Finding:
    """Each journal is two keys that expire: a state and a log. Neither is made again once it was evicted."""
    policy, most = info.get("maxmemory_policy"), int(info.get("maxmemory") or 0)
    if policy is None:
        return Finding("eviction", "skipped", "Redis does not say its maxmemory-policy.")
    if policy == "noeviction":
        return Finding("eviction", "ok", "maxmemory-policy is noeviction.")
    said = f"maxmemory-policy is {policy}: when memory is full, Redis deletes "
    if policy.startswith("allkeys"):
        said += "any key, journals of running tasks among them, and a broker's queues with the tasks in them."
    else:
        said += "keys that expire. All of Headway's do, those of running tasks too; a broker's queues do not."
    if not most:
        said += " There is no maxmemory now, so this waits for whoever sets one."
    fix = f"{_cli(url)} CONFIG SET maxmemory-policy noeviction"
    fault = policy.startswith("allkeys") or most
    return Finding("eviction", "fault" if fault else "warning", said, fix)


def _memory(info: dict[str, Any], url: str) -> Finding:
    if "maxmemory" not in info:
        return Finding("memory", "skipped", "Redis does not say its maxmemory.")
    most, used = int(info["maxmemory"]), int(info.get("used_memory") or 0)
    if not most:
        return Finding("memory", "ok", "There is no maxmemory to run into.")
    said = f"{used / most:.0%} of maxmemory ({most / 2**20:,.0f} MiB) is used"
    if used < most * FULL:
        return Finding("memory", "ok", f"{said}.")
    said += "; when it is full, no event is taken."
    return Finding("memory", "warning", said, f"{_cli(url)} CONFIG SET maxmemory {most * 2}")


def _output_buffer(limit: str | None, url: str) -> Finding:
    check = "output-buffer"
    if limit is None:
        said = f"Redis does not say it here. Ask: {_cli(url)} CONFIG GET client-output-buffer-limit"
        return Finding(check, "skipped", said)
    said = f"client-output-buffer-limit is {limit}"
    at_once, for_long = (int(number) for number in limit.split()[1:3])
    if not at_once and not for_long:
        said += ": a web process that hangs lets Redis grow until it is killed."
    elif 0 < at_once < LEAST_AT_ONCE or 0 < for_long < LEAST_FOR_LONG:
        said += ": in a burst of events Redis cuts off the web processes, which then have to read everything again."
    else:
        return Finding(check, "ok", f"{said}.")
    return Finding(check, "warning", said, f"{_cli(url)} CONFIG SET {ENOUGH}")


def _event(trial: Trial, url: str, info: dict[str, Any]) -> Iterator[Finding]:
    """Write a real event, hear it as a hub would, and read it back."""
    try:
        feed = trial.journal.follow()
        try:
            seconds = _heard(trial, feed)
        finally:
            feed.close()
        (reading,) = trial.journal.read([(trial.subject, "0")])
    except JournalUnavailable as error:
        yield _unwritten(error, url, info)
        return
    yield Finding("permission", "ok", "The script runs; events may be published, heard and read.")
    if seconds is None or not reading.entries:
        said = f"An event was written, and no subscriber heard it within {PATIENCE:.0f} s."
        fix = "Connect to Redis itself: what stands between does not carry publish and subscribe."
        yield Finding("event", "fault", said, fix)
    else:
        said = f"An event is written, and heard {seconds * 1000:.1f} ms later."
        yield Finding("event", "ok", said)


def _heard(trial: Trial, feed: Feed) -> float | None:
    """Seconds from writing an event to hearing it; None if it was not heard."""
    feed.subscribe([trial.subject])
    deadline = time.monotonic() + PATIENCE
    while not any(isinstance(heard, Acknowledged) for heard in feed.read(0.1)):
        if time.monotonic() > deadline:
            return None
    start = time.perf_counter()
    trial.start()
    while time.monotonic() < deadline:
        if any(isinstance(heard, Message) for heard in feed.read(0.1)):
            return time.perf_counter() - start
    return None


def _unwritten(error: JournalUnavailable, url: str, info: dict[str, Any]) -> Finding:
    match trouble(error):
        case "permission":
            return _forbidden(str(error), url)
        case "memory":
            most = int(info.get("maxmemory") or 0)
            fix = f"{_cli(url)} CONFIG SET maxmemory {most * 2}"
            return Finding("memory", "fault", f"Redis is full: {error}", fix)
        case "replica":
            primary = f"{info.get('master_host', '<host>')}:{info.get('master_port', '<port>')}"
            fix = f"Point HEADWAY_REDIS_URL at the primary: redis://{primary}/0"
            return Finding("replica", "fault", f"{shown(url)} is a replica: {error}", fix)
    fix = "Look into the log of Redis; docs/doctor.md says what the doctor does with it."
    return Finding("event", "fault", str(error), fix)


def _cli(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"redis-cli -s {parts.path}"
    tls = " --tls" if parts.scheme == "rediss" else ""
    return f"redis-cli -h {parts.hostname or 'localhost'} -p {parts.port or 6379}{tls}"
