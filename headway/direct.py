"""Watching straight from the journal, without a web server: some tasks, or all there are.

Some tasks are watched as a web process would serve them, by a hub and a stream of our own, so that nothing is decided
twice. All tasks are one pattern subscription; what it does not hear is read.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from headway.errors import JournalUnavailable
from headway.events import SUBJECT_ID, Gap, Snapshot, State, Subject, decode, encode, fold
from headway.feed import EVERYTHING, Acknowledged, Feed, Message
from headway.hub import Hub
from headway.journal import READ_COUNT, Journal
from headway.keys import seq_of
from headway.settings import WebSettings
from headway.streams import Stream
from headway.told import Told
from headway.viewer import LinkState, Refused, StreamBroken, Viewer

TIMEOUT = 3.0  # seconds for one answer of Redis: nobody's task waits for us
LOOK_SECONDS = 0.2  # between two looks at the deadline
PING_SECONDS = 5.0  # of silence before Redis is asked, and again before it is given up
MOST_TASKS = 10_000  # held of all; those heard of longest ago are forgotten

UNKNOWN = "There is no such task, or its progress is no longer kept."

OnLink = Callable[[LinkState], object]


class DirectWatch:
    """Some tasks; used as `client.Watch` is. Its hub ends with the process.

    Raises JournalUnavailable while Redis has not answered once; afterwards it is waited for.
    """

    def __init__(
        self, url: str, *tasks: str, timeout: float | None = None, on_link: OnLink | None = None
    ) -> None:
        self._hub = Hub(Journal(url, timeout=TIMEOUT))
        self._viewer = Viewer(*tasks)
        self._settings = WebSettings(
            redis_url=url, heartbeat=LOOK_SECONDS, idle=math.inf, lifetime=math.inf
        )
        self._timeout = timeout
        self._until = math.inf if timeout is None else time.monotonic() + timeout
        self._on_link = on_link
        self._link_told: LinkState | None = None
        self._closed = threading.Event()

    @property
    def states(self) -> Mapping[str, State]:
        """What is known now, by task. This and the following may be read from any thread."""
        return self._viewer.states

    @property
    def link(self) -> LinkState:
        """How well it is known."""
        return self._viewer.link

    @property
    def refused(self) -> Mapping[str, Refused]:
        """The tasks there is no journal of."""
        return self._viewer.refused

    def close(self) -> None:
        self._closed.set()

    def events(self) -> Iterator[Told]:
        """All events until every task has ended. Raises Refused, at the end, if some are unknown; TimeoutError."""
        viewer, known = self._viewer, False
        while not (viewer.over or self._closed.is_set()):
            viewer.asks()
            self._tell()
            try:
                self._refuse_unknown(viewer.wanted)
                known = True
                yield from self._stream({task: viewer.cursors[task] for task in viewer.wanted})
            except StreamBroken:
                pass
            except JournalUnavailable:
                if not known:
                    raise
            seconds = viewer.delay()
            self._tell()
            self._closed.wait(min(seconds, self._left()))
        viewer.close()
        self._tell()
        for refused in viewer.refused.values():
            raise refused

    def _refuse_unknown(self, tasks: list[str]) -> None:
        unknown = self._hub.unknown([Subject("task", task) for task in tasks])
        if unknown:
            problem = encode({"detail": UNKNOWN, "tasks": [subject.id for subject in unknown]})
            self._viewer.answered(404, {}, problem)

    def _stream(self, wanted: Mapping[str, str | None]) -> Iterator[Told]:
        subjects = {Subject("task", task): cursor for task, cursor in wanted.items()}
        stream = Stream(self._hub, subjects, self._settings, many=len(wanted) > 1)
        try:
            stream.open()
            for chunk in stream:
                for told in self._viewer.hear(chunk):
                    self._tell()
                    yield told
                self._tell()
                if self._viewer.over or self._closed.is_set():
                    return
                self._left()
        finally:
            stream.close()

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"Not all tasks had ended after {self._timeout:g} s.")
        return left

    def _tell(self) -> None:
        if self._on_link and self._viewer.link is not self._link_told:
            self._link_told = self._viewer.link
            self._on_link(self._viewer.link)


def get(url: str, task: str) -> State:
    """The task's state now. Raises Refused when there is no such journal, JournalUnavailable."""
    subject = Subject("task", task)
    hub = Hub(Journal(url, timeout=TIMEOUT))  # this question needs no thread of it
    if SUBJECT_ID.fullmatch(task) and (state := hub.state(subject)):
        return state
    raise Refused(404, UNKNOWN, (task,))


class Everything:
    """Every task there is: `states`, and `events()` from now on.

    What is lost while Redis is away is read when it is back: no event of a task that is held is left out but by a gap,
    which is a Snapshot that says so.
    """

    def __init__(self, url: str, *, most: int = MOST_TASKS) -> None:
        self.states: dict[str, State] = {}  # those heard of last come last
        self.live = False  # what is held is new
        self._journal = Journal(url, timeout=TIMEOUT)
        self._most = most
        self._lasts: dict[Subject, str] = {}

    def close(self) -> None:
        self._journal.close()

    def look(self) -> None:
        """Read all there are, once. Raises JournalUnavailable."""
        subjects = self._journal.subjects(self._most)
        readings = self._journal.read([(subject, None) for subject in subjects])
        for subject, reading in zip(subjects, readings, strict=True):
            if state := reading.state(subject):
                self._hold(subject, reading.last, state)

    def events(self, seconds: float = PING_SECONDS) -> Iterator[Told | None]:
        """All events from now on, for ever; None when none has come for so many seconds, or the link has changed.

        Raises JournalUnavailable while Redis has not answered once; afterwards it is waited for.
        """
        failures, begun = 0, False
        while True:
            try:
                feed = self._journal.follow()
                feed.subscribe_all()
                for told in self._hear(feed, seconds):
                    failures, begun = 0, True
                    yield told
            except JournalUnavailable:
                if not begun:
                    raise
            self.live = False
            yield None
            failures += 1
            time.sleep(random.uniform(0.05, min(1.0, 0.1 * 2**failures)))

    def _hear(self, feed: Feed, seconds: float) -> Iterator[Told | None]:
        heard_at, asked_at = time.monotonic(), 0.0
        try:
            while True:
                heard = feed.read(seconds)
                now = time.monotonic()
                if heard:
                    heard_at = now
                elif now - heard_at > PING_SECONDS and asked_at < heard_at:
                    feed.ping()
                    asked_at = now
                elif now - heard_at > 2 * PING_SECONDS:
                    raise JournalUnavailable("Redis is silent.")
                for message in heard:
                    if isinstance(message, Message):
                        yield from self._take(message)
                    elif message == Acknowledged(EVERYTHING):
                        yield from self._catch_up()
                        self.live = True
                yield None
        finally:
            feed.close()

    def _catch_up(self) -> Iterator[Told]:
        """At first: hold what there is. Later: say what was said meanwhile, by tasks that were held and by new ones."""
        if not self._lasts:
            self.look()
            return
        found = self._journal.subjects(self._most)
        subjects = list(dict.fromkeys([*self._lasts, *found]))
        for subject, last in zip(subjects, self._journal.lasts(subjects), strict=True):
            if last is None:
                self._forget(subject)
            elif last != self._lasts.get(subject):
                yield from self._fill(subject)

    def _take(self, message: Message) -> Iterator[Told]:
        subject, last = message.subject, self._lasts.get(message.subject, "0")
        if message.previous == last:
            yield self._said(subject, message.id, message.payload)
        elif subject not in self._lasts:
            (reading,) = self._journal.read([(subject, None)])  # not found when all were looked for
            state = reading.state(subject) or State(task=subject.id)
            self._hold(subject, message.id, state)
            yield _told(subject, message.id, message.payload)
        elif seq_of(message.id) > seq_of(last) or message.previous == "0":
            yield from self._fill(subject)

    def _fill(self, subject: Subject) -> Iterator[Told]:
        """What follows the last event that is held."""
        while True:
            last = self._lasts.get(subject, "0")
            (reading,) = self._journal.read([(subject, last)])
            if reading.past != "same":
                break
            for id, payload in reading.entries[:READ_COUNT]:
                yield self._said(subject, id, payload)
            if len(reading.entries) <= READ_COUNT:
                return
        if reading.past == "gone":
            self._forget(subject)
            return
        state = reading.state(subject) or State(task=subject.id)
        self._hold(subject, reading.last, state)
        gap = Gap(reason="trimmed" if reading.past == "trimmed" else "fork", first=seq_of(last) + 1)
        snapshot = Snapshot(task=subject.id, at=time.time(), state=state, gap=gap)
        yield _told(subject, reading.last, encode(snapshot), snapshot)

    def _said(self, subject: Subject, id: str, payload: bytes) -> Told:
        told = _told(subject, id, payload)
        state = self.states.get(subject.id) or State(task=subject.id)
        event = decode(payload)
        self._hold(subject, id, fold(state, event) if event else state)
        return told

    def _hold(self, subject: Subject, last: str, state: State) -> None:
        self._forget(subject)  # so that it comes last
        self._lasts[subject], self.states[subject.id] = last, state
        if len(self._lasts) > self._most:
            self._forget(next(iter(self._lasts)))

    def _forget(self, subject: Subject) -> None:
        self._lasts.pop(subject, None)
        self.states.pop(subject.id, None)


def _told(subject: Subject, id: str, payload: bytes, event: Snapshot | None = None) -> Told:
    return Told(subject.id, id, event or decode(payload), payload.decode("utf-8", "replace"))
