"""The state that the script keeps is the fold of the log, whatever is written by whom in which order.

The script folds field by field without reading JSON, and a source tells only what has changed for it, so nothing
but this keeps the two from drifting apart: random histories of several executions of one task, with retries,
redeliveries, zombies, supervisors, lost and withdrawn, replies and whole suffixes lost, states said anew.
"""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headway import backlog, events
from headway.events import State
from headway.journal import Journal
from tests.producers import (
    EVERYTHING,
    TASK,
    Past,
    Producer,
    execution,
    finished,
    fold,
    queued,
    retrying,
    said,
    started,
    supervisor,
)

ats = st.sampled_from([1, 2.5, 1763730000.123456])
reals = st.sampled_from([None, 0.0, 0.5, 7.25])
texts = st.sampled_from([None, "", "half", 'é "quoted"\n'])
anything: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, False, 1, True, 1.0, [], {}, {"a": [1, None]}, "text"]
)
errors = st.none() | st.builds(events.Error, type=st.just("Trouble"), message=texts)
statuses = st.sampled_from(["waiting", "running", "done", "failed", "skipped"])
stages = st.builds(
    events.Stage,
    key=st.sampled_from("abcdefghijklm"),
    status=statuses,
    current=reals,
    total=reals,
    message=texts,
    data=anything,
)

reports = st.one_of(
    st.builds(events.StageReported, task=st.just("t"), at=ats, stage=stages, progress=reals, remaining=reals),
    st.builds(events.MessageReported, task=st.just("t"), at=ats, message=texts, data=anything, progress=reals),
    st.builds(events.Emitted, task=st.just("t"), at=ats, name=st.just("said"), data=anything),
)  # fmt: skip
begins = st.builds(
    events.Started,
    task=st.just("t"),
    at=ats,
    name=texts,
    due_at=reals,
    started_at=ats,
    progress=reals,
    remaining=reals,
    stages=st.lists(stages, max_size=3, unique_by=lambda stage: stage.key).map(tuple),
)
ends = st.one_of(
    st.builds(events.Retrying, task=st.just("t"), at=ats, error=errors, delay=reals),
    st.builds(
        events.Finished,
        task=st.just("t"),
        at=ats,
        status=st.sampled_from(["succeeded", "failed"]),
        result=anything,
        error=errors,
    ),
)
verdicts = st.builds(
    events.Finished,
    task=st.just("t"),
    at=ats,
    status=st.sampled_from(["lost", "lost", "lost", "failed", "cancelled", "expired"]),
    error=errors,
)
which = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("queue"), which, ats),
    st.tuples(st.just("begin"), which, begins),
    st.tuples(st.just("report"), which, reports),
    st.tuples(st.just("report"), which, reports),
    st.tuples(st.just("report"), which, reports),
    st.tuples(st.just("end"), which, ends),
    st.tuples(st.just("verdict"), which, verdicts),
    st.tuples(st.just("send"), which, st.none()),
    st.tuples(st.just("send"), which, st.none()),
    st.tuples(st.just("lose a reply"), which, st.none()),
    st.tuples(st.just("fail over"), which, st.none()),
)


def sum_up(parts: tuple[list[Any], list[Any]]) -> list[Any]:
    return [*parts[0], *parts[1]]


class World:
    """One task's journal and all that write it. After each step the state must be the fold of the log."""

    def __init__(self, journal: Journal, client: redis.Redis) -> None:
        self.journal = journal
        self.client = client
        self.producers: list[Producer] = []
        self.ended: set[Producer] = set()
        self.pasts: list[Past] = []
        self.snapshots: list[tuple[str, State]] = []
        self.retries = 0

    def take(self, kind: str, n: int, detail: Any) -> None:
        verbs: dict[str, Callable[[int, Any], None]] = {
            "queue": self.queue,
            "begin": self.begin,
            "report": self.report,
            "end": self.end,
            "verdict": self.verdict,
            "send": self.send,
            "lose a reply": self.lose_a_reply,
            "fail over": self.fail_over,
        }
        verbs[kind](n, detail)
        self.check()

    def queue(self, n: int, at: float) -> None:
        self.pasts.append(Past(self.client))
        event = queued(at, name="tasks.work", title="report", due_at=at + 9 if n else None)
        Producer(self.journal, events.Sender(task="t")).say(event)

    def begin(self, n: int, event: events.Started) -> None:
        """A retry, or a redelivery on this worker or another; sometimes of an earlier start than the last."""
        self.pasts.append(Past(self.client))
        self.retries += n % 2
        boot, ago = f"boot{n // 2}", 100.0 - len(self.producers) + (n == 3) * 2
        one = execution(f"n{len(self.producers)}", retries=self.retries, boot=boot, ago=ago)
        self.producers.append(Producer(self.journal, one))
        self.producers[-1].outbox.put(event)

    def one(self, n: int) -> Producer | None:
        return self.producers[-1 - n % len(self.producers)] if self.producers else None

    def report(self, n: int, event: events.Event) -> None:
        producer = self.one(n)
        if producer and producer not in self.ended:
            producer.outbox.put(event)

    def end(self, n: int, event: events.Event) -> None:
        producer = self.one(n)
        self.report(n, event)
        if producer:
            self.ended.add(producer)

    def verdict(self, n: int, event: events.Event) -> None:
        self.pasts.append(Past(self.client))
        about = supervisor(retries=max(0, self.retries - n // 2), boot=f"boot{n % 2}")
        Producer(self.journal, about).say(event)

    def send(self, n: int, _: None) -> None:
        if producer := self.one(n):
            producer.send()

    def lose_a_reply(self, n: int, _: None) -> None:
        if (producer := self.one(n)) and (letters := producer.outbox.letters()):
            self.journal.write(letters)

    def fail_over(self, n: int, _: None) -> None:
        if self.pasts:
            self.pasts[-1 - n % len(self.pasts)].restore()

    def check(self) -> None:
        (reading,) = self.journal.read([(TASK, "0")], count=EVERYTHING)
        state = reading.state(TASK)
        if reading.past == "gone" or state is None:
            assert reading.past == "gone"
            return
        history = [events.decode(payload) for _, payload in reading.entries]
        assert repr(state) == repr(fold([event for event in history if event]))
        self.snapshots.append((reading.last, state))

    def check_viewers(self) -> None:
        """Whoever had a snapshot and then each event knows what a new viewer is told."""
        if not self.snapshots:
            return
        _, final = self.snapshots[-1]
        wanted = [(TASK, cursor) for cursor, _ in self.snapshots]
        readings = self.journal.read(wanted, count=EVERYTHING)
        for reading, (_, snapshot) in zip(readings, self.snapshots, strict=True):
            if reading.past == "same":
                later = [events.decode(payload) for _, payload in reading.entries]
                assert repr(fold([event for event in later if event], snapshot)) == repr(final)


opening = st.tuples(
    st.tuples(st.just("queue"), which, ats), st.tuples(st.just("begin"), which, begins)
).map(list)
histories = st.tuples(opening | st.just([]), st.lists(steps, min_size=15, max_size=50)).map(sum_up)


AGAIN = events.StageReported(task="t", at=1, stage=events.Stage(key="a"), remaining=7.25)
WITHDRAWN: list[tuple[str, int, Any]] = [
    ("begin", 0, started()),
    ("report", 0, AGAIN),
    ("send", 0, None),
    ("verdict", 0, finished("lost", at=2.5)),
    ("report", 0, AGAIN),
    ("send", 0, None),
    ("end", 0, retrying(1, error=events.Error(type="Trouble"))),
    ("send", 0, None),
    ("verdict", 1, finished("cancelled", at=1)),
]
DROPPED: list[tuple[str, int, Any]] = [
    ("begin", 0, started()),
    ("send", 0, None),
    ("report", 0, events.MessageReported(task="t", at=1, message="half")),
    *[("report", 0, said(str(i))) for i in range(6)],
    ("report", 0, events.MessageReported(task="t", at=1, message="half")),
]


@given(history=histories)
@example(history=WITHDRAWN)
@example(history=DROPPED)
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_state_is_the_fold_of_the_log_at_every_step(
    journal: Journal, client: redis.Redis, history: list[tuple[str, int, Any]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog, "RING", 6)  # small, so that states are said anew
        patch.setattr(backlog, "UNSENT", 5)
        client.flushall()
        world = World(journal, client)
        for kind, n, detail in history:
            world.take(kind, n, detail)
        for producer in world.producers:
            producer.settle()
            world.check()
        world.check_viewers()
