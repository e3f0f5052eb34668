"""One per web process: it hears every subject that is watched here, and holds each one's last frames.

Two threads (greenlets under gevent). The listener owns the subscribed connection. The filler does all reading:
a subject's state once its subscription is acknowledged, what a hole or a reconnect left out, and an audit
every few seconds of whether what is held is still the truth. However many viewers, one subscription per
subject and one read at a time. Knows no HTTP and sends Redis no command of its own.

What is held of a subject always is a whole piece of its history: an event is appended only if its previous id is
the last one held. Everything else is read again (docs/architecture.md says why that is enough).
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from headway.errors import JournalUnavailable
from headway.events import Gap, State, Subject
from headway.feed import Acknowledged, Feed, Message
from headway.journal import READ_COUNT, Journal, Reading
from headway.keys import seq_of
from headway.leases import Reaper
from headway.lookout import Lookout, seen
from headway.topics import Topic

logger = logging.getLogger(__name__)

T = TypeVar("T")

THRONG_SECONDS = 0.001  # messages that follow one another faster wait that long for the next
HEARD = 1000  # messages kept while a subject is being read; more, and it is read again
AUDIT_SECONDS = 5.0
LOOK_SECONDS = 0.9  # between looks at the leases of what runs, and the queues of what waits
PING_SECONDS = 5.0  # of silence before the connection is asked, and again before it is given up
AHEAD_SECONDS = 3.0  # for a producer to send again what Redis lost in a failover
IDLE_SECONDS = 30.0  # a subject nobody watches is kept this long
LINK_GRACE = 2.0  # seconds without a connection before viewers are told: a reconnect is no news
READ_AT_ONCE = 200  # subjects per round of the filler


class Hub:
    """Its methods may be called from any thread. It starts with the first subject and ends with its process:
    neither its threads nor its connection survive a fork.
    """

    def __init__(self, journal: Journal, lost_after: float = 60.0) -> None:
        # Threads and sockets do not survive a fork: whoever holds a hub must compare.
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self._journal = journal
        self._reaper = Reaper(journal, lost_after)
        self._lookout = Lookout(journal, self.lock)
        self._topics: dict[Subject, Topic] = {}
        self._feed: Feed | None = None
        self._down_since: float | None = time.monotonic()
        self._link_told = True
        self._fills: set[Topic] = set()
        self._fill = threading.Event()
        self._flights: dict[Hashable, _Flight] = {}
        self._threads: list[threading.Thread] = []

    # -- for streams -----------------------------------------------------------------------------------------

    @property
    def link(self) -> bool:
        """Whether what viewers are shown can be relied upon to be new."""
        down = self._down_since
        return down is None or time.monotonic() - down < LINK_GRACE

    def attach(self, subject: Subject, wake: Callable[[], None]) -> Topic:
        """The subject's topic; `wake` is called, from the hub's threads and under its lock, when it has news."""
        with self.lock:
            topic = self._topics.get(subject)
            if topic is None:
                topic = self._topics[subject] = Topic(subject)
                if self._feed:
                    self._feed.subscribe([subject])
            topic.wakers.add(wake)
            if not self._threads:
                self._start()
            return topic

    def detach(self, topic: Topic, wake: Callable[[], None]) -> None:
        with self.lock:
            topic.wakers.discard(wake)
            topic.idle_since = time.monotonic()

    def look_again(self, topic: Topic) -> None:
        """Somebody has read more than the topic holds. The lock is held."""
        self._refill(topic)

    def unknown(self, subjects: Sequence[Subject]) -> list[Subject]:
        """Those that have no journal. Asks Redis only for what is not watched here already."""
        with self.lock:
            cold = [subject for subject in subjects if not self._exists(subject)]
        if not cold:
            return []
        led, lasts = self._shared(tuple(cold), lambda: self._journal.lasts(cold))
        if None in lasts and not led:  # that read may have begun before the task did
            lasts = self._journal.lasts(cold)
        return [subject for subject, last in zip(cold, lasts, strict=True) if last is None]

    def _exists(self, subject: Subject) -> bool:
        topic = self._topics.get(subject)
        return topic is not None and topic.live and topic.cursor != "0"

    def state(self, subject: Subject) -> State | None:
        """The state as Redis has it, read now."""
        (reading,) = self._journal.read([(subject, None)])
        state = reading.state(subject)
        return seen(self._journal, state) if state else None

    def replay(self, subject: Subject, cursor: str) -> Reading:
        """What followed the cursor. Viewers who come back to the same place at the same time share one read."""
        wanted = [(subject, cursor)]
        _, (reading,) = self._shared((subject, cursor), lambda: self._journal.read(wanted))
        return reading

    def _shared(self, what: Hashable, read: Callable[[], list[T]]) -> tuple[bool, list[T]]:
        """The same read for all who ask for it while it is under way. Says whether the caller's began it."""
        with self.lock:
            flight = self._flights.get(what)
            leads = flight is None
            if flight is None:
                flight = self._flights[what] = _Flight()
        if leads:
            try:
                flight.found = read()
            except JournalUnavailable as error:
                flight.error = error
            finally:
                with self.lock:
                    del self._flights[what]
                flight.landed.set()
        flight.landed.wait()
        if flight.found is None:
            raise flight.error or JournalUnavailable()
        return leads, flight.found

    # -- the listener ----------------------------------------------------------------------------------------

    def _start(self) -> None:
        for work in (self._listen, self._keep_filled):
            thread = threading.Thread(target=work, name=f"headway-hub{work.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _listen(self) -> None:
        pause = 0.0
        while True:
            try:
                feed = self._journal.follow()
                self._connected(feed)
                pause = 0.0
                self._hear_all(feed)
            except JournalUnavailable as error:
                self._disconnected(error)
            except Exception:
                logger.exception("The hub's listener starts anew.")
                self._disconnected(JournalUnavailable())
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(1.0, max(0.05, pause * 2))

    def _connected(self, feed: Feed) -> None:
        with self.lock:
            self._feed = feed
            for topic in self._topics.values():
                topic.acknowledged = topic.live = False
            feed.subscribe(list(self._topics))

    def _disconnected(self, error: JournalUnavailable) -> None:
        with self.lock:
            self._feed = None
            if self._down_since is None:
                self._down_since = time.monotonic()
                logger.info("The link to Redis is down: %s", error)

    def _hear_all(self, feed: Feed) -> None:
        asked, heard_at = False, 0.0
        while True:
            heard = feed.read(PING_SECONDS)
            if not heard and asked:
                feed.close()
                raise JournalUnavailable("Redis is silent.")
            asked = not heard
            if asked:
                feed.ping()
            with self.lock:
                for message in heard:
                    self._hear(message)
            before, heard_at = heard_at, time.monotonic()
            # To wake up costs more than to pass a message on: what comes in a throng is heard together.
            time.sleep(THRONG_SECONDS if heard_at - before < THRONG_SECONDS else 0)

    def _hear(self, message: Message | Acknowledged) -> None:
        topic = self._topics.get(message.subject)
        if topic is None:
            return
        if isinstance(message, Acknowledged):
            topic.acknowledged = True
            self._refill(topic)
        elif not topic.live:
            topic.heard.append(message)
            del topic.heard[:-HEARD]
        elif message.previous == topic.cursor:
            topic.append(message.id, message.payload)
            for wake in topic.wakers:
                wake()
        elif not topic.holds(message.id):
            topic.heard.append(message)
            self._refill(topic)

    def _wake(self, topic: Topic) -> None:
        for wake in topic.wakers:
            wake()

    # -- the filler ------------------------------------------------------------------------------------------

    def _refill(self, topic: Topic) -> None:
        topic.live = False
        self._fills.add(topic)
        self._fill.set()

    def _keep_filled(self) -> None:
        audited = looked = time.monotonic()
        while True:
            self._fill.wait(0.5)
            self._fill.clear()
            try:
                while self._fill_some():
                    pass
                self._note_link()
                self._recheck_missing()
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    self._look_out()
                    self._reaper.reap()
                if time.monotonic() - audited > AUDIT_SECONDS:
                    audited = time.monotonic()
                    self._drop_idle()
                    self._audit()
            except JournalUnavailable:
                self._lookout.blind()
                time.sleep(0.2)
                self._fill.set()
            except Exception:
                logger.exception("The hub's filler goes on after an error.")
                time.sleep(0.5)

    def _fill_some(self) -> bool:
        with self.lock:
            feed = self._feed
            topics = [topic for topic in self._fills if topic.acknowledged][:READ_AT_ONCE]
            wanted = [(topic.subject, topic.cursor) for topic in topics]
            # Now: what is asked for during a read needs another.
            self._fills.difference_update(topics)
        if not topics:
            return False
        try:
            readings = self._journal.read(wanted)
        except JournalUnavailable:
            with self.lock:
                self._fills.update(topics)
            raise
        with self.lock:
            if self._feed is feed:  # else the link broke meanwhile, and all are read again
                for topic, reading in zip(topics, readings, strict=True):
                    self._integrate(topic, reading)
        return True

    def _integrate(self, topic: Topic, reading: Reading) -> None:
        """Make the topic live with what was read, or put off judging what Redis seems to have lost."""
        topic.live = topic not in self._fills  # else what is read next would come twice
        if topic.cursor is None:
            topic.begin(reading)
        elif reading.past == "same":
            topic.missing_since = None
            for id, payload in reading.entries[:READ_COUNT]:
                topic.append(id, payload)
            if len(reading.entries) > READ_COUNT:
                self._refill(topic)
        elif reading.past in ("ahead", "gone") and topic.cursor != "0":
            self._miss(topic, reading)
        elif reading.past != "gone":
            self._fork(topic, reading)
        topic.ready.set()
        self._take_heard(topic)
        self._wake(topic)

    def _take_heard(self, topic: Topic) -> None:
        """Go on with what came during the read. What does not follow is looked for once more, then not believed."""
        heard, topic.heard = topic.heard, []
        for i, message in enumerate(heard):
            if message.previous == topic.cursor:
                topic.append(message.id, message.payload)
            elif seq_of(message.id) > seq_of(topic.cursor or "") and message.id != topic.doubted:
                topic.doubted = message.id
                topic.heard = heard[i:]
                self._refill(topic)
                return

    def _miss(self, topic: Topic, reading: Reading) -> None:
        now = time.monotonic()
        topic.missing_since = topic.missing_since or now
        if now - topic.missing_since >= AHEAD_SECONDS:
            self._fork(topic, reading)

    def _fork(self, topic: Topic, reading: Reading) -> None:
        """History is not what was seen: whoever watches gets a snapshot that says so."""
        if reading.past == "trimmed":
            topic.gap = Gap(reason="trimmed", first=seq_of(topic.cursor or "") + 1)
        else:
            topic.gap = Gap(reason="fork")
        topic.gone = reading.past == "gone"
        topic.generation += 1
        topic.missing_since = None
        topic.begin(reading)

    def _recheck_missing(self) -> None:
        now = time.monotonic()
        with self.lock:
            for topic in self._topics.values():
                if topic.missing_since and now - topic.missing_since >= AHEAD_SECONDS:
                    self._refill(topic)

    def _audit(self) -> None:
        """Catch what was lost without a sound."""
        with self.lock:
            topics = [topic for topic in self._topics.values() if topic.live]
        lasts = self._journal.lasts([topic.subject for topic in topics])
        with self.lock:
            for topic, last in zip(topics, lasts, strict=True):
                if topic.live and (last or "0") != topic.cursor:
                    self._refill(topic)

    def _look_out(self) -> None:
        with self.lock:
            topics = list(self._topics.values())
        news = self._lookout.look(topics)
        with self.lock:
            for topic in news:
                self._wake(topic)

    def _drop_idle(self) -> None:
        limit = time.monotonic() - IDLE_SECONDS
        with self.lock:
            idle = [
                topic
                for topic in self._topics.values()
                if not topic.wakers and topic.idle_since < limit
            ]
            for topic in idle:
                del self._topics[topic.subject]
                self._fills.discard(topic)
            if self._feed:
                self._feed.unsubscribe([topic.subject for topic in idle])

    def _note_link(self) -> None:
        """The link is up again once everything has been read since; viewers are told of either change."""
        with self.lock:
            if (
                self._feed
                and not self._fills
                and all(topic.acknowledged for topic in self._topics.values())
            ):
                self._down_since = None
            if self.link != self._link_told:
                self._link_told = self.link
                for topic in self._topics.values():
                    self._wake(topic)


class _Flight:
    """One read that several wait for."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.found: list[Any] | None = None
        self.error: JournalUnavailable | None = None
