"""Tasks that report without Celery: attempts of this process on a publisher of its own."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headway import reported
from headway.attempts import Attempt
from headway.events import Execution, Finished
from headway.journal import Journal
from headway.publisher import Publisher


@contextmanager
def publishing(url: str) -> Iterator[Publisher]:
    """Connect a publisher to `reported`; on leaving, all it holds has been sent."""
    publisher = Publisher(Journal(url, connections=1, timeout=2))
    reported.connect(publisher, weak=False, dispatch_uid="test.publisher")
    try:
        yield publisher
        assert publisher.flush(20)
    finally:
        reported.disconnect(dispatch_uid="test.publisher")


def begin(task: str | None = None) -> Attempt:
    """A task that runs as long as somebody reports for it."""
    nonce = uuid.uuid4().hex
    execution = Execution(
        task=task or nonce, nonce=nonce, retries=0, boot="test", began=time.monotonic()
    )
    attempt = Attempt(execution)
    attempt.start()
    return attempt


def end(attempt: Attempt) -> None:
    attempt.finish(Finished(task=attempt.execution.task, at=time.time(), status="succeeded"))


@contextmanager
def tasks_of(publisher: Publisher) -> Iterator[Callable[[], Attempt]]:
    """Begin tasks that the journal knows; those that still run end with the block."""
    begun: list[Attempt] = []

    def begin_one() -> Attempt:
        begun.append(begin())
        assert publisher.flush(10)
        return begun[-1]

    yield begin_one
    for attempt in begun:
        if attempt.alive:
            end(attempt)


class Reporter(threading.Thread):
    """Reports for many attempts, round by round, until stopped; then ends them all."""

    def __init__(self, attempts: list[Attempt], pause: float) -> None:
        super().__init__()
        self.attempts = attempts
        self.pause = pause
        self.rounds = 0
        self._stop_event = threading.Event()

    def run(self) -> None:
        while not self._stop_event.wait(self.pause):
            for attempt in self.attempts:
                attempt.emit("round", self.rounds)
            self.rounds += 1
        for attempt in self.attempts:
            end(attempt)

    def stop(self) -> None:
        self._stop_event.set()
        self.join()
