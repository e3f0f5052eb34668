"""The receiver of `reported` that tells Celery's monitors: Flower draws what it hears, `celery events` prints it.

It sends events of Celery's own kind, of a type of our own, and only where Celery would send a task's. One teller per
process (a thread; a greenlet under gevent) does all the I/O, on a connection to the broker that nothing else uses.
What a monitor has missed is in the next event, which tells a whole state.
"""

import atexit
import logging
import mmap
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery

from headway.accounts import EVENT, TICK, Account, drawable
from headway.events import Emitted, Event, Execution, Source, fold

logger = logging.getLogger(__name__)

ROUND = 0.1  # seconds between looks at what there is to tell, so a transition waits no longer
TICKS = 10  # ticks in a round, of all tasks together: a hundred a second, some 3 % of a core
MOST_ENDED = 1000  # tasks that ended while the broker was away; over it the oldest are never told
PAUSE = 1.0  # seconds between tries while the broker is away
BROKER_SECONDS = 5.0  # the teller waits for a broker that hangs; nobody else does
EXIT_SECONDS = 1.0  # an orderly exit waits this long for what is not told yet


class Monitors:
    """Connect it to `reported` in a worker that has not forked yet. It never raises and never waits."""

    def __init__(self, app: Celery, page: Callable[[], str]) -> None:
        """`page()`, asked when there is something to tell, is the address of a task's page, with `{task}` in it."""
        self.app = app
        self.page = page
        self._wanted = mmap.mmap(-1, 1)  # of the main process and its children alike
        self._tellers: dict[str, Teller] = {}  # at most one
        # A thread does not survive a fork, and its connection must not be shared.
        os.register_at_fork(after_in_child=self._tellers.clear)
        atexit.register(self.flush, EXIT_SECONDS)

    @property
    def wanted(self) -> bool:
        return self._wanted[0] == 1

    def heed(self, dispatcher: Any) -> None:
        """Tell if this one, which sends the events of the worker's main process, sends a task's; else do not."""
        enabled = dispatcher is not None and dispatcher.enabled
        self._wanted[0] = bool(enabled and (not dispatcher.groups or "task" in dispatcher.groups))

    @property
    def teller(self) -> "Teller":
        """Made when it is first needed, without a lock: gevent may patch threads until then."""
        here = self._tellers.get("here")
        return here or self._tellers.setdefault("here", Teller(self))

    def __call__(self, *, sender: Any, event: Event, source: Source, **_: Any) -> None:
        # What senders and supervisors say, Celery tells its monitors itself.
        if isinstance(source, Execution) and getattr(sender, "send_events", True):
            self.teller.put(event, source)

    def end(self, source: Execution) -> None:
        """The execution says no more, whether or not it has said how it ended."""
        if self._tellers:
            self.teller.end(source)

    def flush(self, seconds: float) -> bool:
        """Wait until all is told; False when that took too long, nobody wants to hear it, or the broker is away."""
        return not self._tellers or self.teller.flush(seconds)


class Teller:
    """A process's accounts, and the thread that tells them. Only `flush` holds its caller."""

    def __init__(self, monitors: Monitors) -> None:
        self._monitors = monitors
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._idle = threading.Event()
        self._hurry = threading.Event()
        self._idle.set()
        self._accounts: dict[Execution, Account] = {}
        self._started = False
        self._away = False  # the broker is
        self._dispatcher: Any = None  # None while there is no connection

    def put(self, event: Event, source: Execution) -> None:
        if isinstance(event, Emitted):
            return
        wanted = self._monitors.wanted
        with self._lock:
            account = self._accounts.get(source)
            if account is None:
                account = self._accounts.setdefault(source, Account(source))
            account.put(event)
            self._idle.clear()
            starts, self._started = wanted and not self._started, wanted or self._started
        if starts:
            threading.Thread(target=self._run, name="headway-teller", daemon=True).start()
        if wanted:
            self._some.set()

    def end(self, source: Execution) -> None:
        with self._lock:
            account = self._accounts.get(source)
            if account is None:
                return
            account.ended = True
            if not account.fresh or not self._monitors.wanted:
                del self._accounts[source]
            elif len(self._accounts) > MOST_ENDED:
                oldest = next(each for each, box in self._accounts.items() if box.ended)
                del self._accounts[oldest]

    def flush(self, seconds: float) -> bool:
        if self._away or not self._started or not self._monitors.wanted:
            return False
        self._hurry.set()
        self._some.set()
        try:
            return self._idle.wait(seconds)
        finally:
            self._hurry.clear()

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._hurry.wait(ROUND)
            self._some.clear()
            try:
                if self._monitors.wanted and self._tell_round():
                    self._some.set()
            except Exception as error:
                self._note_away(error)
                time.sleep(PAUSE)
                self._some.set()

    def _tell_round(self) -> bool:
        """Tell what is due; says whether there is more to come."""
        now = time.monotonic()
        with self._lock:
            due = self._due(now)
        for source, account in due:
            self._tell(source, account, now)
        with self._lock:
            if more := any(account.fresh for account in self._accounts.values()):
                return more
            self._idle.set()
            return False

    def _due(self, now: float) -> list[tuple[Execution, Account]]:
        fresh = [item for item in self._accounts.items() if item[1].fresh]
        if self._hurry.is_set():
            return fresh
        ticks = [item for item in fresh if not item[1].urgent and now - item[1].told_at >= TICK]
        return [item for item in fresh if item[1].urgent] + ticks[:TICKS]

    def _tell(self, source: Execution, account: Account, now: float) -> None:
        with self._lock:
            events, heard = account.take(now)
            # Next time the others go before it.
            self._accounts[source] = self._accounts.pop(source, account)
        for event in events:
            account.state = fold(account.state, event)
        page = self._monitors.page().replace("{task}", source.task)
        said = drawable(account.state, attempt=account.attempt, page=page)
        try:
            self._connected(account.state.worker).send(EVENT, uuid=source.task, progress=said)
        except BaseException:
            with self._lock:
                account.urgent = True
            raise
        with self._lock:
            account.told(heard)
            if account.ended and not account.fresh:
                self._accounts.pop(source, None)
        self._note_back()

    def _connected(self, worker: str | None) -> Any:
        if self._dispatcher is None:
            app = self._monitors.app
            connection = app.connection_for_write(connect_timeout=BROKER_SECONDS)
            connection.transport_options = {
                **(connection.transport_options or {}),
                **_patience(connection),
            }
            self._dispatcher = app.events.Dispatcher(
                connection, hostname=worker, buffer_while_offline=False
            )
        return self._dispatcher

    def _note_away(self, error: Exception) -> None:
        dispatcher, self._dispatcher = self._dispatcher, None
        with suppress(Exception):
            dispatcher.connection.release()
        if not self._away:
            self._away = True
            logger.warning(
                "Monitors such as Flower see no progress for now: the broker fails (%s). Tasks go on; "
                "monitors are told where they are when it is back.",
                error,
            )

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            logger.warning("The broker is back; monitors have been told where tasks are.")


def _patience(connection: Any) -> dict[str, Any]:
    """Options by which the connection gives up, of whichever transport it has."""
    names = ("socket_timeout", "socket_connect_timeout")
    if connection.transport.driver_type == "amqp":
        names = ("read_timeout", "write_timeout")
    return dict.fromkeys(names, BROKER_SECONDS) | {"max_retries": 1, "interval_start": 0}
