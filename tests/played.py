"""A task that a test plays itself: as real as a worker's, but it says what the test wants, when the test wants it."""

import time
import uuid
from typing import Any

from headway.attempts import Attempt
from headway.events import Error, Execution, Finished, Retrying
from headway.stages import declare, stage


class Played:
    """One task with two stages; needs a publisher (tests/reporting.py) in this process.

    Everything is said in the thread that made it.
    """

    def __init__(self, title: str | None = "report.pdf", **facts: Any) -> None:
        self.id = uuid.uuid4().hex
        self._facts = {"name": "tests.played", "title": title, **facts}
        self._retries = 0
        self._begin()

    def _begin(self) -> None:
        execution = Execution(
            task=self.id,
            nonce=uuid.uuid4().hex,
            retries=self._retries,
            boot="test",
            began=time.monotonic(),
        )
        self._attempt = Attempt(execution, sender=self.id, worker="test", facts=self._facts)
        declare(self._attempt, [stage("read", unit="page"), stage("score")])
        self._attempt.start()

    def read(self, current: int, total: int = 12, message: str | None = None) -> None:
        """Be in the first stage, that far."""
        live = self._attempt.stage("read")
        if live.status != "running":
            live.__enter__()
        live.report(message, current=current, total=total)

    def emit(self, name: str, data: Any) -> None:
        self._attempt.emit(name, data)

    def retry(self, seconds: float, message: str) -> None:
        error = Error(type="Failure", message=message, stage="read")
        self._attempt.finish(Retrying(task=self.id, at=time.time(), error=error, delay=seconds))
        self._attempt.close()

    def begin_again(self) -> None:
        self._retries += 1
        self._begin()

    def end(self, result: Any = None) -> None:
        self._finish("succeeded", result=result)

    def fail(self, message: str) -> None:
        self._finish("failed", error=Error(type="Failure", message=message, stage="read"))

    def _finish(self, status: Any, **more: Any) -> None:
        self._attempt.finish(Finished(task=self.id, at=time.time(), status=status, **more))
        self._attempt.close()
