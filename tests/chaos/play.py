"""One row, played once: a fresh Redis, new tasks that write, new viewers that watch, and in the end the truth."""

import random
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, NamedTuple, Self, TypeVar

import redis

from headway.errors import JournalUnavailable
from headway.events import ENDED, State, Subject
from headway.journal import Journal
from headway.keys import seq_of
from tests.chaos import records
from tests.chaos.clients import NodeViewer, PythonViewer
from tests.chaos.jobs import emitted, order_key
from tests.chaos.lane import JOBS, Lane, Stopped, Stuck
from tests.chaos.proxy import Proxy
from tests.chaos.viewers import Crowd, Log, Viewer
from tests.processes import RedisServer, Web, Worker

T = TypeVar("T")

PROMISED = 15.0  # seconds after a fault in which every viewer should show the truth; what took longer is counted
PATIENCE = 60.0  # seconds until it is wrong that it does not: this machine may be busy
EVER = float("inf")


class Size(NamedTuple):
    """How much of everything there is in a play."""

    viewers: int
    rate: float  # events per second and task
    strikes: int  # of a row that is quick
    seconds: float  # of an outage, at most
    hang: float  # seconds that Redis is stopped


class Play:
    """What a row acts on. Its methods raise Stopped when the campaign shall end, and Stuck."""

    def __init__(
        self,
        lane: Lane,
        seed: str,
        size: Size,
        *,
        redis_options: Mapping[str, Any],
        node: str | None,
    ) -> None:
        self.lane = lane
        self.rng = random.Random(seed)
        self.size = size
        self.log = Log()
        self.faults: list[str] = []
        self.recoveries: list[float] = []
        self.troubles: list[str] = []  # what was wrong besides what the checker sees
        self.notes: list[str] = []
        self.forgotten = 0  # events that Redis had acknowledged, and lost
        self.tasks: list[str] = []
        self.unjudged: set[str] = set()  # tasks that have no truth any more
        self.ended = False
        self._since = time.time()
        self._begun = time.monotonic()
        self._node = node
        self._journals: dict[str, Journal] = {}
        self._stack = ExitStack()
        guarded = lane.guarded
        self.redis = guarded.primary if guarded else self.another_redis(**redis_options)
        self.crowd = Crowd(self.log, self.rng)
        self._stack.callback(self.crowd.close)

    def __enter__(self) -> Self:
        if not self.lane.guarded:
            self.use(self.redis)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(redis.RedisError):
            for task in self.tasks:
                self.lane.orders.set(order_key(task), "end", ex=600)
        self._stack.close()

    # -- what is there -----------------------------------------------------------------------------------------

    @property
    def web(self) -> Web:
        return self.lane.web

    @property
    def worker(self) -> Worker:
        return self.lane.worker

    @property
    def hub_link(self) -> Proxy:
        return self.lane.hub_link

    @property
    def worker_link(self) -> Proxy:
        return self.lane.worker_link

    @property
    def links(self) -> tuple[Proxy, Proxy]:
        return self.hub_link, self.worker_link

    @property
    def door(self) -> Proxy:
        return self.lane.door

    def enter(self, context: AbstractContextManager[T]) -> T:
        """It ends with the play."""
        return self._stack.enter_context(context)

    def another_redis(self, **options: Any) -> RedisServer:
        return self.enter(RedisServer(**options))

    def another_door(self, **options: Any) -> Proxy:
        return self.enter(Proxy(self.web.port, **options))

    def use(self, server: RedisServer) -> None:
        """The site's Redis is this one from now on."""
        self.redis = server
        for link in self.links:
            link.refusing = False
            link.switch(server.port)

    def mend(self) -> None:
        """Whatever was done to the lane is over."""
        for link in (*self.links, self.door):
            link.refusing, link.mute_replies = False, 0
            link.losing = lambda _: False
            link.thaw()
        for process in (self.redis, self.web, self.worker):
            if process.running:
                process.resume()
            elif process is self.worker:
                self.lane.replace_worker()
            else:
                process.start()

    # -- tasks and viewers -------------------------------------------------------------------------------------

    def begin(self, count: int, job: str = "write") -> None:
        """Send tasks and wait until they have said something."""
        self.tasks = [uuid.UUID(int=self.rng.getrandbits(128)).hex for _ in range(count)]
        for task in self.tasks:
            self.send(task, job)
        self.wait(lambda: all(self.lasts().values()), "the tasks' first events")

    def send(self, task: str, job: str) -> None:
        name, queue = f"{JOBS}.{job}", self.lane.name
        self.lane.sender.send_task(name, args=[self.size.rate], task_id=task, queue=queue)

    def order(self, order: str, *tasks: str) -> None:
        for task in tasks or self.tasks:
            self.lane.orders.set(order_key(task), order, ex=3600)

    def watch(self) -> None:
        """Let everybody come who watches in every round, and wait until each has been told something."""
        for i in range(self.size.viewers):
            task = self.tasks[i % len(self.tasks)]
            base = self.door.web_url if i % 4 == 1 else self.web.url
            tasks = self.tasks if i % 4 == 3 else [task]
            self.crowd.add(Viewer(f"raw-{i}", base, tasks, "0" if i % 8 == 2 else None))
        self.enter(PythonViewer("python", self.door.web_url, self.tasks, self.log))
        if node := self._node:
            self.enter(NodeViewer(node, "node-one", self.web.url, self.tasks[:1], self.log))
            self.enter(NodeViewer(node, "node-all", self.door.web_url, self.tasks, self.log))
        self.until_shown(0.001)

    # -- time ----------------------------------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        if self.lane.stopping.wait(seconds):
            raise Stopped

    def wait(self, condition: Callable[[], T], what: str) -> T:
        """Until it is true; returns what it returned."""
        deadline = time.monotonic() + PATIENCE
        while not (result := condition()):
            if time.monotonic() > deadline:
                raise Stuck(f"{what}: not within {PATIENCE:g} s")
            self.pause(0.02)
        return result

    def times(self) -> range:
        """How often a row that repeats its fault does so."""
        return range(self.size.strikes)

    def fault(self, what: str) -> None:
        """Say what is done, as it is done. The time of recovery is reckoned from here, or from `over`."""
        self.faults.append(f"{time.monotonic() - self._begun:.2f} s: {what}")
        self._since = time.time()

    def over(self) -> None:
        """The fault has ended. Recovery is reckoned from here."""
        self._since = time.time()

    def recovers(self) -> None:
        """Wait until every viewer knows of something that was reported since, or is where the journal is."""
        since = self._since
        self.until_shown(since)
        self.recoveries.append(time.time() - since)

    def until_shown(self, since: float = EVER) -> None:
        """Without a time: until every viewer is where the journal is, which then must stand still."""
        behind: list[str] = []

        def shown() -> bool:
            behind[:] = self.log.behind(self.lasts(), since)
            return not behind

        try:
            self.wait(shown, "all viewers at the truth")
        except Stuck as stuck:
            some = "; ".join(behind[:3])
            raise Stuck(f"{stuck}; {len(behind)} are behind, such as {some}") from None

    def until_stalled(self, stalled: bool) -> None:
        """Every viewer is told that nobody works on its tasks, or that somebody does."""
        since, told = self._since, self.log.stalled
        watches = [(name, task) for name in self.log.waited_for() for task in self.log.places[name]]
        try:
            self.wait(
                lambda: all((each in told) == stalled for each in watches), "word of stalled tasks"
            )
        except Stuck as stuck:
            wrong = [each for each in watches if (each in told) != stalled]
            some = "; ".join(f"{name}: {task} {self.state(task)}" for name, task in wrong[:2])
            raise Stuck(f"{stuck}; {len(wrong)} are not told, such as {some}") from None
        if stalled:
            self.notes.append(f"stalled after {time.time() - since:.1f} s")

    # -- the truth -----------------------------------------------------------------------------------------------

    def journal(self) -> Journal:
        """Of the Redis of the moment. The first call after a restart may find it unavailable."""
        url = self.redis.url
        if url not in self._journals:
            journal = self._journals[url] = Journal(url, timeout=2)
            self._stack.callback(journal.close)
        return self._journals[url]

    def lasts(self) -> dict[str, str | None]:
        """Where each task's journal is. None where there is none, or Redis does not answer."""
        wanted = [task for task in self.tasks if task not in self.unjudged]
        try:
            lasts = self.journal().lasts([Subject("task", task) for task in wanted])
        except JournalUnavailable:
            return dict.fromkeys(wanted)
        return dict(zip(wanted, lasts, strict=True))

    def held(self, server: RedisServer) -> int:
        """How many events that Redis has acknowledged."""
        journal = Journal(server.url, timeout=2)
        lasts = journal.lasts([Subject("task", task) for task in self.tasks])
        journal.close()
        return sum(seq_of(last or "") for last in lasts)

    def end(self) -> None:
        """Let the tasks end and every viewer be told so."""
        self.order("end")
        self.wait(lambda: not self.log.waited_for(), "the end at every viewer")
        self.ended = True

    def end_all_but(self, *given_up: str) -> None:
        """Let the tasks end that still can; the others have nobody to tell of them."""
        self.order("end", *(task for task in self.tasks if task not in given_up))
        self.unjudged |= set(given_up)
        self.wait(self._ended, "the end of the others")
        self.until_shown()
        self.ended = True

    def _ended(self) -> bool:
        return self.statuses() <= ENDED

    def ends_as(self, status: str) -> None:
        """The tasks end by themselves, all in that way, and every viewer is told so."""
        self.wait(lambda: self.statuses() == {status}, f"tasks that have {status}")
        self.over()
        self.wait(lambda: not self.log.waited_for(), "the end at every viewer")
        self.recoveries.append(time.time() - self._since)
        self.ended = True

    def statuses(self) -> set[str]:
        """Of all tasks that are judged, as Redis has them."""
        states = [self.state(task) for task in self.tasks if task not in self.unjudged]
        return {state.status if state else "unknown" for state in states}

    def state(self, task: str) -> State | None:
        """As Redis has it; None while it does not answer."""
        subject = Subject("task", task)
        try:
            return self.journal().read([(subject, None)])[0].state(subject)
        except JournalUnavailable:
            return None

    def judge(self, gaps: frozenset[str]) -> None:
        """Hold what was seen against the journal, and the journal against what the tasks say they did."""
        due = time.time()  # time is reckoned elsewhere: see `recovers`
        journal = Journal(self.redis.url, timeout=2)
        for task in self.tasks:
            if task not in self.unjudged:
                said = emitted(self.lane.orders, task)
                ended = None if said is None else "succeeded"
                self.log.judge(
                    records.truth(journal, task, due, gaps=gaps, emitted=said or (), ended=ended)
                )
        journal.close()
