"""What tests write journals with: sources without the publisher's thread, so that a test decides what comes when."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import redis

from headway import events
from headway.backlog import Outbox
from headway.events import Event, Execution, Source, State, Subject, Supervisor
from headway.fields import changes
from headway.journal import Answer, Journal, Letter
from headway.keys import key

TASK = Subject("task", "t")
EVERYTHING = 100_000


def execution(
    nonce: str,
    *,
    task: str = "t",
    retries: int = 0,
    boot: str = "boot",
    ago: float = 0.0,
    late: bool = False,
    queue: str | None = None,
) -> Execution:
    """An execution that began `ago` seconds ago."""
    return Execution(
        task=task,
        nonce=nonce,
        retries=retries,
        boot=boot,
        began=time.monotonic() - ago,
        late=late,
        queue=queue,
    )


def supervisor(
    *, task: str = "t", retries: int = 0, boot: str = "boot", queue: str | None = None
) -> Supervisor:
    return Supervisor(task=task, retries=retries, boot=boot, queue=queue)


def queued(at: float = 1.0, *, task: str = "t", **fields: Any) -> events.Queued:
    return events.Queued(task=task, at=at, **fields)


def started(at: float = 2.0, *, task: str = "t", **fields: Any) -> events.Started:
    return events.Started(task=task, at=at, **fields)


def said(text: str, at: float = 3.0, *, task: str = "t") -> events.Emitted:
    """An event that nothing coalesces."""
    return events.Emitted(task=task, at=at, name="said", data=text)


def stage(name: str, at: float = 3.0, *, task: str = "t", **fields: Any) -> events.StageReported:
    return events.StageReported(task=task, at=at, stage=events.Stage(key=name, **fields))


def retrying(at: float = 4.0, *, task: str = "t", **fields: Any) -> events.Retrying:
    return events.Retrying(task=task, at=at, **fields)


def finished(
    status: Any = "succeeded", at: float = 5.0, *, task: str = "t", **fields: Any
) -> Event:
    return events.Finished(task=task, at=at, status=status, **fields)


def letter(source: Source, number: int, event: Event) -> Letter:
    """One letter by hand, as if nothing had been said before it."""
    before = State(task=event.task)
    told = changes(event, before, events.fold(before, event))
    begins = isinstance(event, events.Started)
    return Letter(event, source, number, events.encode(event), told, begins=begins)


class Producer:
    """One source's backlog and the journal it goes to."""

    def __init__(self, journal: Journal, source: Source) -> None:
        self.journal = journal
        self.source = source
        self.outbox = Outbox(source)

    def say(self, *told: Event) -> list[Answer]:
        """Report the events and send what is due; the answers of that round trip."""
        for event in told:
            self.outbox.put(event)
        return self.send()

    def send(self) -> list[Answer]:
        letters = self.outbox.letters()
        answers = self.journal.write(letters) if letters else []
        self.outbox.hear([(sent, *answer) for sent, answer in zip(letters, answers, strict=True)])
        return [answer for answer, _ in answers]

    def send_and_hear_nothing(self) -> None:
        """Redis takes what is due, and its reply is lost."""
        self.journal.write(self.outbox.letters())

    def settle(self) -> list[Answer]:
        """Send until nothing is left. Fails if that never comes about."""
        answers: list[Answer] = []
        for _ in range(100):
            if self.outbox.empty.is_set():
                return answers
            answers += self.send()
        raise AssertionError(f"it never settles: ... {answers[-10:]}")


class Past:
    """A journal as it is now; `restore` loses what came later, as a failover to a lagging replica does."""

    def __init__(self, client: "redis.Redis", subject: Subject = TASK) -> None:
        self._client = client
        keys = (f"{key(subject)}:state", f"{key(subject)}:log")
        self._dumps: dict[str, Any] = {name: client.dump(name) for name in keys}

    def restore(self) -> None:
        for name, dump in self._dumps.items():
            if dump is None:
                self._client.delete(name)
            else:
                self._client.restore(name, 3_600_000, dump, replace=True)


def log(journal: Journal, subject: Subject = TASK) -> list[tuple[str, bytes]]:
    """All the log holds: ids and payloads."""
    (reading,) = journal.read([(subject, "0")], count=EVERYTHING)
    return reading.entries


def told(journal: Journal, subject: Subject = TASK) -> list[Event]:
    found = [events.decode(payload) for _, payload in log(journal, subject)]
    assert None not in found
    return [event for event in found if event is not None]


def state(journal: Journal, subject: Subject = TASK) -> State:
    (reading,) = journal.read([(subject, None)])
    found = reading.state(subject)
    assert found is not None, "there is no journal"
    return found


def fold(history: Sequence[Event], begin: State | None = None) -> State:
    folded = begin or State(task=history[0].task)
    for event in history:
        folded = events.fold(folded, event)
    return folded


def chained(previous: str, who: str, number: str, payload: bytes) -> str:
    """The id that follows, by the rule in journal.lua, computed apart from it."""
    digest = hashlib.sha1(f"{previous}|{who}|{number}|".encode() + payload).hexdigest()
    return f"{int(previous.partition('-')[0]) + 1}-{int(digest[:13], 16)}"
