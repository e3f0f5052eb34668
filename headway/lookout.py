"""What a web process finds out by itself of the tasks it watches, and no event says: whose worker is silent, and where
those stand that wait.
"""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager

from msgspec.structs import replace

from headway.events import State
from headway.journal import Journal
from headway.leases import signs, workers
from headway.queues import positions, queues
from headway.topics import Phase, Topic


def seen(journal: Journal, state: State) -> State:
    """The state with what is seen of its task now."""
    task = state.task
    if state.status == "queued":
        (queue,) = queues(journal, [task])
        (position,) = positions(journal, [(task, queue)])
        return replace(state, position=position)
    if state.status == "running":
        (worker,) = workers(journal, [task])
        (sign,) = signs(journal, [(task, worker)])
        return replace(state, stalled=sign.alive is False)
    return state


class Lookout:
    """One thread looks. `lock` guards the topics, and is not held while Redis is asked."""

    def __init__(self, journal: Journal, lock: AbstractContextManager[object]) -> None:
        self._journal = journal
        self._lock = lock
        self._since: float | None = None  # it could see, all the time

    def blind(self) -> None:
        """Redis was away: leases may have expired because nobody could renew them."""
        self._since = None

    def look(self, topics: Iterable[Topic]) -> list[Topic]:
        """Look after those that are live; says of which there is news."""
        live = [topic for topic in topics if topic.live]
        return self._look_at_leases(_in(live, "running")) + self._look_at_queues(
            _in(live, "waiting")
        )

    def _look_at_leases(self, running: list[Topic]) -> list[Topic]:
        moved = [(topic, topic.turns) for topic in running if topic.worker is None]
        where = workers(self._journal, [topic.subject.id for topic, _ in moved])
        with self._lock:
            for (topic, turns), worker in zip(moved, where, strict=True):
                if topic.turns == turns:  # it has not moved on meanwhile
                    topic.worker = worker
            runs = [(topic, topic.worker) for topic in running if topic.worker]
        found = signs(self._journal, [(topic.subject.id, worker) for topic, worker in runs])
        now = time.monotonic()
        since = self._since = self._since or now
        with self._lock:
            return [
                topic
                for (topic, worker), sign in zip(runs, found, strict=True)
                if topic.worker is worker and topic.judge(sign, now, since)
            ]

    def _look_at_queues(self, waiting: list[Topic]) -> list[Topic]:
        moved = [(topic, topic.turns) for topic in waiting if topic.queue is None]
        found = queues(self._journal, [topic.subject.id for topic, _ in moved])
        with self._lock:
            for (topic, turns), queue in zip(moved, found, strict=True):
                if topic.turns == turns:
                    topic.queue = queue
            lines = [(topic, topic.turns, topic.queue) for topic in waiting if topic.queue]
        places = positions(self._journal, [(each.subject.id, queue) for each, _, queue in lines])
        with self._lock:
            return [
                topic
                for (topic, turns, _), position in zip(lines, places, strict=True)
                if topic.turns == turns and topic.stands(position)
            ]


def _in(topics: Iterable[Topic], phase: Phase) -> list[Topic]:
    return [topic for topic in topics if topic.phase == phase]
