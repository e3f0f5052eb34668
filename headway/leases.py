"""A worker's sign of life, and what follows when there is none: stalled tasks, and lost ones.

Each worker keeps a lease, a key that expires soon and is renewed every second from a native thread: Celery's own
timer stands still while the broker is away, and a greenlet may starve. Beside it is the set of the tasks that
are active there. Whoever reads both knows which tasks nobody works on.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headway.backlog import Outbox
from headway.errors import JournalUnavailable
from headway.events import Error, Finished, Subject, Supervisor
from headway.greenlets import start_native_thread
from headway.journal import Journal, Letter
from headway.keys import EXPIRING, WORKERS, key, tasks_of

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
LEASE_SECONDS = 3  # two beats may be late
TIDY_BEATS = 30  # after which the set is compared with what is active
TASKS_SECONDS = 7 * 24 * 3600  # the set outlives its worker: it says what was lost with it
REAPER = "headway:reaper"
REAPER_SECONDS = 5  # whoever reaps must come back within

EXPIRED_SECONDS = 10.0  # after which a task that has not begun never will, whatever clocks say
EXPIRED_AT_ONCE = 100

LOST = Error(type="WorkerLost", message="Its worker is gone, and nobody knows how far it got.")


def _lease(boot: str) -> str:
    return f"headway:b:{{{boot}}}:lease"


class Lease:
    """Renewed until `stop`. `active` is asked from the lease's own thread. While Redis is away it goes on trying."""

    def __init__(
        self,
        open_journal: Callable[[], Journal],
        boot: str,
        active: Callable[[], set[str]],
        lost_after: float,
    ) -> None:
        self._open_journal = open_journal
        self._boot = boot
        self._active = active
        self._lost_after = lost_after
        self._told: set[str] = set()  # the tasks that Redis has, as far as is known
        self._strangers: set[str] = set()  # that it has, and this worker knows nothing of
        self._beats = 0
        self._started = self._stopped = False

    def start(self) -> None:
        """Once; starting it again is harmless."""
        if not self._started:
            self._started = True
            start_native_thread(self._run)

    def stop(self) -> None:
        """The worker ends in an orderly way: nobody has to wait until the lease expires.

        From the caller's thread, with a connection of its own: the lease's may not live to its next beat.
        """
        self._stopped = True
        with contextlib.suppress(JournalUnavailable):
            self._open_journal().run([("DEL", _lease(self._boot))])

    def _run(self) -> None:
        journal = self._open_journal()  # here: its locks and sockets are this thread's
        reaper = Reaper(journal, self._lost_after)
        while not self._stopped:
            try:
                self._beat(journal)
                reaper.reap()
            except JournalUnavailable:
                pass  # the publisher says so
            except Exception:
                logger.exception("The lease goes on after an error.")
            time.sleep(BEAT_SECONDS)

    def _beat(self, journal: Journal) -> None:
        active, tasks = self._active(), tasks_of(self._boot)
        commands: list[tuple[str | int, ...]] = [
            ("SET", _lease(self._boot), 1, "EX", LEASE_SECONDS),
            ("SADD", WORKERS, self._boot),
        ]
        if begun := active - self._told:
            commands.append(("SADD", tasks, *begun))
        if ended := self._told - active:
            commands.append(("SREM", tasks, *ended))
        self._told = set()  # nobody knows what becomes of it
        replies = journal.run([*commands, ("EXPIRE", tasks, TASKS_SECONDS)])
        if replies[-1]:  # else Redis has come back empty: all is told again
            self._told = active
        self._beats += 1
        if self._beats % TIDY_BEATS == 0:
            self._tidy(journal, tasks)

    def _tidy(self, journal: Journal, tasks: str) -> None:
        """Forget what has come and gone between two beats. Not at once: it may not have come here yet."""
        (members,) = journal.run([("SMEMBERS", tasks)])
        strangers = set(map(_text, members)) - self._active()
        if gone := strangers & self._strangers:
            journal.run([("SREM", tasks, *gone)])
        self._strangers = strangers - gone


def anybody(journal: Journal) -> bool:
    """Whether any worker at all keeps a lease."""
    (boots,) = journal.run([("SMEMBERS", WORKERS)])
    return any(journal.run([("EXISTS", _lease(_text(boot))) for boot in boots]))


class Worker(NamedTuple):
    """Where a task runs."""

    boot: str
    late: bool  # the task's message will be delivered again


class Sign(NamedTuple):
    """What is known of a running task's worker. `alive` is None where there is none: the task runs eagerly."""

    alive: bool | None
    active: bool  # the worker knows of the task
    late: bool


def workers(journal: Journal, tasks: Sequence[str]) -> list[Worker]:
    """Where each task runs, or ran last."""
    asked = [("HMGET", f"{key(Subject('task', task))}:state", "_boot", "_late") for task in tasks]
    return [Worker(_text(boot), late == b"1") for boot, late in journal.run(asked)]


def signs(journal: Journal, runs: Sequence[tuple[str, Worker]]) -> list[Sign]:
    """One sign for each task, in one round trip of three commands per worker."""
    tasks: dict[str, list[str]] = {}
    for task, worker in runs:
        tasks.setdefault(worker.boot, []).append(task)
    asked: list[tuple[str, ...]] = []
    for boot, those in tasks.items():
        asked += [("SISMEMBER", WORKERS, boot), ("EXISTS", _lease(boot))]
        asked += [("SMISMEMBER", tasks_of(boot), *those)]
    replies = iter(journal.run(asked))
    alive: dict[str, bool | None] = {}
    active: set[str] = set()
    for boot, those in tasks.items():
        known, lives, active_there = next(replies), next(replies), next(replies)
        alive[boot] = bool(lives) if known else None
        active |= {task for task, works in zip(those, active_there, strict=True) if works}
    return [Sign(alive[worker.boot], task in active, worker.late) for task, worker in runs]


class Reaper:
    """Says `lost` of the tasks of workers that are gone, and `expired` of those that no worker has seen in time (some
    brokers drop them). One process at a time does it, whichever comes first.

    A worker is gone when it has been silent for long under the eyes of one reaper: a failed read or a restarted Redis
    begins that time anew, because leases expire while nobody can renew them. Tasks that are acknowledged late
    are never lost: they will be delivered again.
    """

    def __init__(self, journal: Journal, lost_after: float) -> None:
        self._journal = journal
        self._lost_after = lost_after
        self._me = uuid.uuid4().hex
        self._incarnation = ""  # of the Redis that was observed
        self._silent: dict[str, float] = {}  # workers, and since when

    def reap(self) -> None:
        try:
            if self._reaps():
                self._observe()
                self._expire()
                return
        except JournalUnavailable:
            self._silent.clear()
            raise
        self._silent.clear()

    def _reaps(self) -> bool:
        claim = ("SET", REAPER, self._me, "NX", "EX", REAPER_SECONDS)
        _, holder = self._journal.run([claim, ("GET", REAPER)])
        if _text(holder) != self._me:
            return False
        if (incarnation := self._journal.incarnation()) != self._incarnation:
            self._silent.clear()
            self._incarnation = incarnation
        return True

    def _observe(self) -> None:
        renewal = ("EXPIRE", REAPER, REAPER_SECONDS)
        _, boots = self._journal.run([renewal, ("SMEMBERS", WORKERS)])
        workers = sorted(map(_text, boots))
        alive = self._journal.run([("EXISTS", _lease(boot)) for boot in workers])
        now = time.monotonic()
        silent = [boot for boot, lives in zip(workers, alive, strict=True) if not lives]
        self._silent = {boot: self._silent.get(boot, now) for boot in silent}
        for boot, since in self._silent.items():
            if now - since >= self._lost_after:
                self._bury(boot)

    def _bury(self, boot: str) -> None:
        (members,) = self._journal.run([("SMEMBERS", tasks_of(boot))])
        tasks = sorted(map(_text, members))
        names = ("_boot", "_retries", "_late", "status")
        states = self._journal.run(
            [("HMGET", f"{key(Subject('task', task))}:state", *names) for task in tasks]
        )
        over, verdicts = [], []
        for task, (where, retries, late, status) in zip(tasks, states, strict=True):
            runs = _text(where) == boot and status == b'"running"'
            if runs and late != b"1":
                source = Supervisor(task=task, retries=int(retries), boot=boot)
                lost = Finished(task=task, at=time.time(), status="lost", error=LOST)
                verdicts.append(_letter(source, lost))
            if not runs or late != b"1":
                over.append(task)
        self._journal.write(verdicts)
        if over:
            self._journal.run([("SREM", tasks_of(boot), *over)])
        if len(over) == len(tasks):
            self._journal.run([("SREM", WORKERS, boot)])

    def _expire(self) -> None:
        until = time.time() - EXPIRED_SECONDS
        asked = ("ZRANGEBYSCORE", EXPIRING, "-inf", until, "LIMIT", 0, EXPIRED_AT_ONCE)
        (due,) = self._journal.run([asked])
        verdicts = []
        for task in map(_text, due):
            source = Supervisor(task=task, retries=-1, boot="")  # refused if it has begun
            expired = Finished(task=task, at=time.time(), status="expired")
            verdicts.append(_letter(source, expired))
        if due:
            self._journal.write(verdicts)
            self._journal.run([("ZREM", EXPIRING, *due)])


def _letter(source: Supervisor, event: Finished) -> Letter:
    outbox = Outbox(source)
    outbox.put(event)
    (letter,) = outbox.letters()
    return letter


def _text(reply: object) -> str:
    return reply.decode("latin-1") if isinstance(reply, bytes) else ""
