"""One task, one hub, one viewer in one thread: what happens next is chosen, one step at a time.

Redis, the journal's script, the hub, its topics and the stream are the real ones. The hub's threads, the clock and
the wires are not: a subscription reaches Redis, a message arrives and a read returns when that is chosen.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import redis

from headway.errors import JournalUnavailable
from headway.events import Emitted, Event, Subject
from headway.feed import Message
from headway.hub import Hub
from headway.keys import key
from headway.settings import WebSettings
from headway.streams import Stream
from tests.chaos.checker import Checker
from tests.chaos.records import Closed, Opened, got, truth
from tests.chaos.schedules import Choose, calming
from tests.chaos.violations import Violation
from tests.chaos.wires import Clock, Wire
from tests.eventstream import Parser
from tests.hubs import Counting
from tests.producers import Past, Producer, execution, finished, retrying, started

FAULTS_ARE_OVER = 15  # seconds, until everything must be true again
AUDIT_EVERY = 5
ANCIENT = 1000  # numbers of an execution that nobody waits for


class Scene:
    """Its public methods without arguments are the steps; `enabled` says which can be next.

    The task's execution emits 1, 2, 3 ... `faults` are steps too: each so often at most.
    """

    def __init__(
        self,
        client: redis.Redis,
        journal: Counting,
        clock: Clock,
        hub: type[Hub] = Hub,
        *,
        writes: int = 0,
        faults: Mapping[str, int] = MappingProxyType({}),
        cursor: str | None = None,
    ) -> None:
        client.flushall()
        self.steps: list[str] = []  # that were taken
        self._checker = Checker()
        self._client, self._journal, self._clock = client, journal, clock
        self._task = Subject("task", "t")
        self._choose: Choose = lambda enabled: None
        self._left = Counter({**faults, "write": writes})
        self._gaps: set[str] = set()  # reasons there are for a gap
        # the web process
        self._make_hub = hub
        self._wire: Wire | None = None
        self._reads: list[str] = []  # the steps with which those under way return
        # the viewer
        self._stream: Stream | None = None
        self._alarm = threading.Event()
        self._parser = Parser()
        self._cursor = cursor
        self._connection = 0
        self._over = False
        # the producer
        self._producer = Producer(journal, execution("second", retries=1))
        self._retries = 1
        self._emitted: list[int] = []  # by the last execution
        self._number = 0
        self._ended = False
        self._copy: Past | None = None
        self._copied = 0  # the retries of the execution it is a copy of
        self._behind = False  # Redis has lost what was not sent again yet
        self._say(started(at=1.0))
        if self._left["fail"]:
            self.copy()
        self._start()
        journal.after_read = self._under_way

    def play(self, choose: Choose) -> list[Violation]:
        """Take the steps that are chosen, until None is; then the faults are over. What was wrong, in the end."""
        self._choose = choose
        self._go_on()
        self._rest()
        self._journal.after_read = lambda: None
        due = self._clock.now
        self._checker.judge(
            truth(
                self._journal, "t", due, gaps=self._gaps, emitted=self._emitted, ended="succeeded"
            )
        )
        if self._wire:
            self._wire.close()
        return self._checker.violations

    def _go_on(self, until: str = "") -> None:
        while step := self._choose(self.enabled()):
            self.steps.append(step)
            if step == until:
                return
            if step in self._left:
                self._left[step] -= 1
            getattr(self, step)()

    def _under_way(self) -> None:
        """Redis has answered a read; much may happen before that arrives."""
        if self._reads:
            self._go_on(until=self._reads[-1])

    def _rest(self) -> None:
        """Everything gets where it wants to, in the time it has for that."""
        if not self._ended:
            self.end()
        for second in range(1, FAULTS_ARE_OVER):
            self._choose = calming()
            self._go_on()
            self._clock.now += 1
            if second % AUDIT_EVERY == 0:
                self._look()

    def enabled(self) -> list[str]:
        can = {
            "integrate": self._reads[-1:] == ["integrate"],
            "answer": self._reads[-1:] == ["answer"],
            "connect": self._wire is None,
            "reach": self._wire and self._wire.sent,
            "hear": self._wire and self._wire.arrived,
            "read": "integrate" not in self._reads and self._has_to_read(),
            "open": self._stream is None and not self._over,
            "take": "answer" not in self._reads and self._has_to_take(),
            "write": self._left["write"] and not self._ended,
            "end": self._left["end"] and not self._left["write"] and not self._ended,
            "drop": self._left["drop"] and self._message_came(),
            "cut": self._left["cut"] and self._wire,
            "leave": self._left["leave"] and self._stream and "answer" not in self._reads,
            "deploy": self._left["deploy"] and not self._reads,
            "copy": self._left["copy"],
            "fail": self._left["fail"] and not self._ended,
            "rival": self._left["rival"] and not self._ended,
            "late": self._left["late"] and not self._ended,
            "trim": self._left["trim"],
            "audit": self._left["audit"] and "integrate" not in self._reads,
        }
        return [step for step, possible in can.items() if possible]

    def _has_to_read(self) -> bool:
        return self._wire is not None and any(topic.acknowledged for topic in self._hub._fills)

    def _has_to_take(self) -> bool:
        stream = self._stream
        return stream is not None and (self._alarm.is_set() or stream.due_at() <= self._clock.now)

    def _message_came(self) -> bool:
        arrived = self._wire.arrived if self._wire else []
        return bool(arrived) and isinstance(arrived[0], Message)

    # -- the web process -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._hub = self._make_hub(self._journal)
        self._hub._start = lambda: None  # type: ignore[method-assign]
        self.connect()

    def deploy(self) -> None:
        """The web process ends and another one takes its place."""
        if self._stream:
            self.leave()
        if self._wire:
            self._wire.close()
        self._start()

    def connect(self) -> None:
        self._wire = Wire(self._journal.follow())
        self._hub._connected(self._wire)  # type: ignore[arg-type]

    def cut(self) -> None:
        """The connection breaks, with all that was on it."""
        assert self._wire
        self._wire.close()
        self._wire = None
        self._hub._disconnected(JournalUnavailable("cut"))

    def reach(self) -> None:
        assert self._wire
        self._wire.reach()

    def hear(self) -> None:
        assert self._wire
        with self._hub.lock:
            self._hub._hear(self._wire.arrived.popleft())

    def drop(self) -> None:
        """A message is lost without a sound."""
        assert self._wire
        self._wire.arrived.popleft()

    def read(self) -> None:
        self._reads.append("integrate")
        self._hub._fill_some()
        self._reads.pop()
        self._hub._note_link()

    def audit(self) -> None:
        """So much time passes."""
        self._clock.now += AUDIT_EVERY
        if self._behind:
            self._gaps.add("fork")
        self._look()

    def _look(self) -> None:
        self._hub._drop_idle()
        self._hub._audit()
        self._hub._recheck_missing()
        self._hub._note_link()

    # -- the viewer ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._connection += 1
        self._parser = Parser()
        self._checker.see(Opened("v", self._connection, self._clock.now, {"t": self._cursor}))
        self._stream = Stream(self._hub, {self._task: self._cursor}, WebSettings(redis_url=""))
        self._stream.wake = self._alarm.set
        self._alarm.set()

    def take(self) -> None:
        stream = self._stream
        assert stream
        self._alarm.clear()
        if stream.finished_before(self._cursor):
            self._over = True
            self._close("ended")
            return
        self._reads.append("answer")
        said = stream.due()
        if stream.behind:
            stream.catch_up()
            said += stream.due()
        self._reads.pop()
        if stream.behind:
            self._alarm.set()
        for event in self._parser.feed(said):
            self._checker.see(got("v", self._connection, self._clock.now, event.id, event.data))
        self._cursor = self._parser.last_id.removeprefix("t/") or self._cursor
        if stream.over:
            self._close("ended")

    def leave(self) -> None:
        self._close("cut")

    def _close(self, why: str) -> None:
        assert self._stream
        self._stream.close()
        self._stream = None
        self._checker.see(Closed("v", self._connection, self._clock.now, why))  # type: ignore[arg-type]

    # -- the producer --------------------------------------------------------------------------------------------

    def write(self) -> None:
        self._number += 1
        self._emitted.append(self._number)
        self._say(numbered(self._number))

    def end(self) -> None:
        self._ended = True
        self._say(finished(at=2.0 + self._number))

    def rival(self) -> None:
        """The task runs again; nobody hears of the execution before."""
        self._retries += 1
        if self._behind:
            self._gaps.add("fork")
        self._emitted = []
        source = execution(f"rival{self._retries}", retries=self._retries)
        self._producer = Producer(self._journal, source)
        self._say(started(at=2.0 + self._number))

    def late(self) -> None:
        """What the first execution has said comes only now."""
        first = Producer(self._journal, execution("first", retries=0, ago=100))
        first.say(started(at=0.1), numbered(ANCIENT + self._left["late"]), retrying(at=0.2))
        first.settle()
        self._pull()

    def copy(self) -> None:
        """A replica has all there is now."""
        self._copy = Past(self._client)
        self._copied = 0 if self._behind else self._retries

    def fail(self) -> None:
        """The replica takes over."""
        assert self._copy
        self._copy.restore()
        self._behind = True
        if self._copied != self._retries:
            self._gaps.add("fork")  # what an earlier execution has said is said by nobody again

    def trim(self) -> None:
        """The log keeps its newest events only."""
        self._client.xtrim(f"{key(self._task)}:log", maxlen=2, approximate=False)
        self._gaps.add("trimmed")

    def _say(self, event: Event) -> None:
        self._producer.outbox.put(event)
        self._producer.settle()
        self._behind = False
        self._pull()

    def _pull(self) -> None:
        if self._wire:
            self._wire.pull()


def numbered(n: int) -> Event:
    return Emitted(task="t", at=1.0 + n / 100, name="said", data={"n": n})
