"""Random executions of one task against the real script, with every fault a network and a Redis can have.

Each seed is one story: executions that follow one another (retries, redeliveries after a kill, workers that were
only cut off and go on), whose round trips are refused, lose their reply, end half-way or arrive much later, while
Redis fails over to older copies or loses everything. Then the faults end, and the story must have the right end.
`HEADWAY_TEST_MODEL_SEEDS=3000` tries more seeds; `HEADWAY_TEST_MODEL_SEED=7` repeats one.
"""

import itertools
import os
import random
from collections.abc import Callable

import pytest
import redis

from headway import backlog, events
from headway.events import Event, Finished, MessageReported, StageReported, Started
from headway.journal import Answer, Journal, Letter
from tests.producers import (
    Past,
    Producer,
    execution,
    finished,
    fold,
    log,
    queued,
    retrying,
    said,
    stage,
    started,
    state,
    supervisor,
    told,
)

SHORT = 200
SEEDS = int(os.environ.get("HEADWAY_TEST_MODEL_SEEDS", SHORT))
ONE_SEED = os.environ.get("HEADWAY_TEST_MODEL_SEED")
ROUNDS = 60  # in which everything must settle once the faults have ended


class Run(Producer):
    """One execution, and all it has ever reported."""

    def __init__(self, journal: Journal, nonce: str, retries: int, ago: float) -> None:
        super().__init__(journal, execution(nonce, retries=retries, boot=nonce, ago=ago))
        self.nonce = nonce
        self.reported: list[Event] = []
        self.over = False  # it will report nothing more
        self.alive = True  # what it still holds will be sent

    def report(self, event: Event) -> None:
        self.reported.append(event)
        self.outbox.put(event)
        self.over = isinstance(event, Finished | events.Retrying)


class Story:
    """One seed. `zombies_finish`: workers that were cut off bring their run to an end of its own."""

    def __init__(
        self, seed: int, journal: Journal, client: redis.Redis, *, zombies_finish: bool
    ) -> None:
        self.random = random.Random(seed)
        self.journal = journal
        self.client = client
        self.zombies_finish = zombies_finish
        self.clock = itertools.count(1)  # no two events are stamped alike
        self.planned = self.random.randint(1, 4)
        self.retries = 0
        self.senders: list[Producer] = []
        self.runs: list[Run] = []
        self.pasts = [Past(client)]
        self.delayed: list[list[Letter]] = []
        self.away = False
        self.end_was_sent = False

    # -- what happens --------------------------------------------------------------------------------------------

    def play(self) -> None:
        happenings: list[tuple[int, Callable[[], None]]] = [
            (30, self.report),
            (30, self.send_something),
            (4, self.zombie_reports),
            (3, self.copy),
            (2, self.fail_over),
            (3, self.deliver_late),
            (2, self.redis_comes_and_goes),
            (1, self.declare_lost),
        ]
        weights, verbs = zip(*happenings, strict=True)
        if self.random.random() < 0.8:
            self.senders.append(Producer(self.journal, events.Sender(task="t")))
            self.senders[0].outbox.put(queued(next(self.clock), name="tasks.work"))
        self.begin()
        while not self.runs[-1].over or self.random.random() < 0.9:
            self.random.choices(verbs, weights)[0]()

    def begin(self) -> None:
        nonce = f"n{len(self.runs)}"
        self.runs.append(Run(self.journal, nonce, self.retries, 100.0 - 10 * len(self.runs)))
        plan = tuple(events.Stage(key=key) for key in "ab")
        self.runs[-1].report(started(next(self.clock), worker=nonce, stages=plan))

    def report(self) -> None:
        """The newest run goes on, or ends in one of the ways there are, and the next one begins."""
        run = self.runs[-1]
        if run.over:
            return
        if self.random.random() < 0.9:
            run.report(self.some_event(run))
        elif len(self.runs) == self.planned:
            run.report(finished(at=next(self.clock), result=run.nonce))
        else:
            self.random.choice([self.retry, self.kill, self.cut_off])(run)
            self.begin()

    def retry(self, run: Run) -> None:
        run.report(retrying(next(self.clock), error=events.Error(type="Trouble")))
        self.retries += 1

    def kill(self, run: Run) -> None:
        run.over, run.alive = True, False

    def cut_off(self, run: Run) -> None:
        """Its task is delivered again while it goes on."""

    def zombie_reports(self) -> None:
        zombies = [run for run in self.runs[:-1] if not run.over]
        if zombies:
            zombie = self.random.choice(zombies)
            ends = self.zombies_finish and self.random.random() < 0.3
            zombie.report(
                finished("failed", at=next(self.clock)) if ends else self.some_event(zombie)
            )

    def some_event(self, run: Run) -> Event:
        at, key = next(self.clock), self.random.choice("abc")
        match self.random.randrange(4):
            case 0:
                return said(f"{run.nonce}:{at}", at)
            case 1:
                return MessageReported(task="t", at=at, message=f"{run.nonce}:{at}")
            case 2:
                return stage(key, at, status="running", current=at)
            case _:
                status = self.random.choice(["running", "done", "failed"])
                return stage(key, at, status=status, current=at, runs=self.random.randint(1, 2))

    # -- what goes wrong -----------------------------------------------------------------------------------------

    def send_something(self) -> None:
        alive = [*self.senders, *(run for run in self.runs if run.alive)]
        self.send(self.random.choice(alive))

    def send(self, producer: Producer) -> None:
        letters = producer.outbox.letters()
        if not letters or self.away:
            return
        fate = self.random.random()
        if fate < 0.1:
            letters = letters[: self.random.randrange(len(letters))]  # the connection breaks
        elif fate < 0.2:
            self.delayed.append(
                letters
            )  # a reply does not come in time, the request is still there
            return
        if fate < 0.3:
            if letters:
                self.write(letters)
            return
        answers = self.write(letters)
        producer.outbox.hear([(sent, *said) for sent, said in zip(letters, answers, strict=True)])

    def write(self, letters: list[Letter]) -> list[tuple[Answer, str]]:
        ends = any(isinstance(letter.event, Finished) for letter in letters)
        self.end_was_sent = self.end_was_sent or ends
        return self.journal.write(letters)

    def deliver_late(self) -> None:
        if self.delayed:
            letters = self.delayed.pop(self.random.randrange(len(self.delayed)))
            self.write(letters)

    def copy(self) -> None:
        self.pasts.append(Past(self.client))

    def fail_over(self) -> None:
        """Not after an end: whoever said it may have nothing more to say, and never learn of the loss."""
        if not self.end_was_sent:
            self.random.choice(self.pasts[-4:] + self.pasts[:1]).restore()

    def redis_comes_and_goes(self) -> None:
        self.away = not self.away

    def declare_lost(self) -> None:
        run = self.random.choice(self.runs)
        assert isinstance(run.source, events.Execution)
        about = supervisor(retries=run.source.retries, boot=run.source.boot)
        Producer(self.journal, about).say(finished("lost", at=next(self.clock)))

    # -- how it ends ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        for letters in self.delayed:
            self.journal.write(letters)
        for _ in range(ROUNDS):
            waiting = [run for run in self.runs if run.alive and not run.outbox.empty.is_set()]
            if not waiting:
                return
            self.random.choice(waiting).send()
        raise AssertionError("it never settles")

    def check(self) -> None:
        history = told(self.journal)
        assert repr(state(self.journal)) == repr(fold(history)), "the state is not the fold"
        seqs = [int(id.partition("-")[0]) for id, _ in log(self.journal)]
        assert seqs == list(range(1, len(seqs) + 1)), "ids are not dense"
        marks = [(type(event), event.at) for event in history if not isinstance(event, Started)]
        assert len(set(marks)) == len(marks), "an event is there twice"
        ends = [
            event for event in history if isinstance(event, Finished) and event.status != "lost"
        ]
        assert ends == history[-1:], "there is not one end, last"
        if not self.zombies_finish:
            self.check_last_run(history)

    def check_last_run(self, history: list[Event]) -> None:
        run = self.runs[-1]
        told_of_it = [event for event in history if event in run.reported]
        places = [run.reported.index(event) for event in told_of_it]
        assert places == sorted(places), "its events are out of order"
        gaps = any(isinstance(event, Started) and event.gap is True for event in history)
        assert not gaps or backlog.RING < 1000 or backlog.UNSENT < 1000, "a false gap"
        if not gaps:
            missing = [e for e in transitions(run.reported) if e not in told_of_it]
            assert [e for e in missing if not isinstance(e, Started)] == [], "events are lost"
        now, truth = state(self.journal), fold(run.reported)
        for field in ("status", "message", "data", "stages", "result", "error", "worker"):
            assert getattr(now, field) == getattr(truth, field), f"{field} is not the truth"


def transitions(reported: list[Event]) -> list[Event]:
    """Without those that a later one may replace."""
    statuses: dict[str, tuple[str, int]] = {}
    found: list[Event] = []
    for event in reported:
        if isinstance(event, StageReported):
            status = (event.stage.status, event.stage.runs)
            if statuses.get(event.stage.key) != status:
                found.append(event)
            statuses[event.stage.key] = status
        elif not isinstance(event, MessageReported):
            found.append(event)
    return found


@pytest.mark.parametrize("zombies_finish", [False, True], ids=["cut off", "zombies finish"])
def test_every_story_has_the_right_end(
    journal: Journal,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    zombies_finish: bool,
) -> None:
    for seed in [int(ONE_SEED)] if ONE_SEED else range(SEEDS):
        client.flushall()
        sizes = random.Random(-seed)
        monkeypatch.setattr(backlog, "RING", sizes.choice([3, 10, 1000]))
        monkeypatch.setattr(backlog, "UNSENT", sizes.choice([4, 15, 1000]))
        monkeypatch.setattr(backlog, "BATCH", sizes.choice([1, 3, 100]))
        story = Story(seed, journal, client, zombies_finish=zombies_finish)
        try:
            story.play()
            story.settle()
            story.check()
        except AssertionError as error:
            raise AssertionError(f"HEADWAY_TEST_MODEL_SEED={seed}: {error}") from error
