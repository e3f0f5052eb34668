"""What monitors are told, how often, and that nobody waits for it. The broker is a list."""

import logging
import threading
import time
import uuid
from types import SimpleNamespace

import pytest

from headway.accounts import EVENT, MOST_STAGES, MOST_TEXT, TICK, drawable
from headway.events import (
    Emitted,
    Error,
    Execution,
    Finished,
    MessageReported,
    Queued,
    Sender,
    Stage,
    StageReported,
    Started,
    State,
    Supervisor,
)
from headway.monitors import MOST_ENDED, Monitors
from tests.processes import wait_until

LISTENING = SimpleNamespace(enabled=True, groups=set())
DEAF = SimpleNamespace(enabled=True, groups={"worker"})


class Broker:
    """Stands where Celery's app is asked for a connection, and keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict] = []
        self.hostnames: list[str | None] = []
        self.fails = False
        self.answers = threading.Event()
        self.answers.set()
        self.events = SimpleNamespace(Dispatcher=self._dispatcher)

    def connection_for_write(self, **_):
        transport = SimpleNamespace(driver_type="redis")
        return SimpleNamespace(transport=transport, transport_options=None, release=lambda: None)

    def _dispatcher(self, connection, hostname, buffer_while_offline):
        self.hostnames.append(hostname)
        return self

    def send(self, type, **fields):
        self.answers.wait()
        if self.fails:
            raise ConnectionError("gone")
        assert type == EVENT
        self.sent.append(fields)

    def told(self, task: str = "t") -> list[dict]:
        return [fields["progress"] for fields in list(self.sent) if fields["uuid"] == task]

    def stage(self, key: str, task: str = "t") -> tuple | None:
        """The stage as it was told last."""
        heard = self.told(task)
        return stages(heard[-1]).get(key) if heard else None


@pytest.fixture
def broker():
    broker = Broker()
    yield broker
    broker.answers.set()


@pytest.fixture
def monitors(broker):
    monitors = Monitors(broker, page=lambda: "")
    monitors.heed(LISTENING)
    return monitors


class Task:
    """One execution that reports to monitors."""

    def __init__(self, monitors: Monitors, id: str = "t", retries: int = 0, sender=None) -> None:
        self.id, self._monitors, self._sender = id, monitors, sender
        self.source = Execution(
            task=id, nonce=uuid.uuid4().hex, retries=retries, boot="boot", began=0.0
        )

    def say(self, event, source=None) -> None:
        self._monitors(sender=self._sender, event=event, source=source or self.source)

    def start(self, *stages: str) -> None:
        waiting = tuple(Stage(key=key) for key in stages)
        self.say(Started(task=self.id, at=1.0, started_at=1.0, worker="w@h", stages=waiting))

    def tick(self, key: str, current: int, status="running", progress=None) -> None:
        stage = Stage(key=key, status=status, current=current, total=1000)
        self.say(StageReported(task=self.id, at=2.0, stage=stage, progress=progress))

    def end(self, status="succeeded") -> None:
        self.say(Finished(task=self.id, at=3.0, status=status))
        self._monitors.end(self.source)


def stages(said: dict) -> dict[str, tuple]:
    return {stage["key"]: (stage["status"], stage.get("current")) for stage in said["stages"]}


def test_ticks_are_told_twice_a_second_and_the_last_of_them_always(monitors, broker):
    task = Task(monitors)
    start = time.monotonic()
    task.start("read")
    task.tick("read", 0)
    for current in range(1, 121):
        task.tick("read", current, progress=current / 1000)
        time.sleep(0.01)
    wait_until(lambda: broker.stage("read") == ("running", 120), what="the last tick")
    took = time.monotonic() - start
    assert len(broker.told()) <= took / TICK + 2  # the two transitions came in between
    assert broker.told()[-1]["progress"] == 0.12


def test_a_transition_waits_for_no_tick(monitors, broker):
    task = Task(monitors)
    task.start("read", "write")
    for key in ("read", "write"):
        for status in ("running", "done"):
            task.tick(key, 1, status=status)
            wait_until(lambda: broker.stage(key) == (status, 1))  # noqa: B023
    assert len(broker.told()) in (4, 5)  # the start by itself, or with the first stage


def test_an_end_is_told_and_then_all_is_forgotten(monitors, broker):
    task = Task(monitors)
    task.start("read")
    task.tick("read", 7)
    task.end("failed")
    said = wait_until(lambda: [each for each in broker.told() if each["status"] == "failed"])[-1]
    assert stages(said) == {"read": ("failed", 7)}
    wait_until(lambda: not monitors.teller._accounts)
    assert monitors.flush(1)


def test_stages_keep_the_order_in_which_they_were_first_heard_of(monitors, broker):
    task = Task(monitors)
    task.start()
    for key in ("a", "b", "c"):
        task.tick(key, 0, status="waiting")
    task.tick("a", 1)
    task.tick("a", 2)
    said = wait_until(lambda: broker.told() and broker.told()[-1])
    assert list(stages(said).items()) == [
        ("a", ("running", 2)),
        ("b", ("waiting", 0)),
        ("c", ("waiting", 0)),
    ]


def test_only_executions_are_told_of_and_of_them_no_events_of_their_own(monitors, broker):
    task = Task(monitors)
    task.say(Queued(task="t", at=1.0), Sender(task="t"))
    task.say(Finished(task="t", at=1.0, status="failed"), Supervisor(task="t", retries=0, boot="b"))
    task.say(Emitted(task="t", at=1.0, name="token"))
    Task(monitors, "silent", sender=SimpleNamespace(send_events=False)).start()
    Task(monitors, "after").start()
    wait_until(lambda: broker.told("after"))
    assert {fields["uuid"] for fields in broker.sent} == {"after"}


def test_a_task_that_never_said_how_it_ended_is_forgotten_too(monitors, broker):
    task = Task(monitors)
    task.start()
    wait_until(broker.told)
    monitors.end(task.source)
    wait_until(lambda: not monitors.teller._accounts)


def test_nothing_is_told_until_somebody_listens_and_then_the_whole(broker):
    monitors = Monitors(broker, page=lambda: "")
    task = Task(monitors)
    task.start("read", "write")
    task.tick("read", 5, status="done")
    monitors.heed(DEAF)
    task.tick("write", 1)
    ended = Task(monitors, "ended")
    ended.start()
    ended.end()
    assert not monitors.flush(0)
    assert list(monitors.teller._accounts) == [task.source]
    assert broker.sent == []
    monitors.heed(LISTENING)
    task.tick("write", 2)
    said = wait_until(broker.told)[-1]
    assert stages(said) == {"read": ("done", 5), "write": ("running", 2)}
    monitors.heed(None)
    assert not monitors.wanted


def test_a_retry_is_another_attempt_and_names_its_worker(monitors, broker):
    Task(monitors, retries=2).start()
    assert wait_until(broker.told)[-1]["attempt"] == 3
    assert broker.hostnames == ["w@h"]


def test_a_broker_that_hangs_holds_nobody_and_what_waits_for_it_is_bounded(monitors, broker):
    broker.answers.clear()
    first = Task(monitors, "first")
    first.start("read")
    wait_until(lambda: not monitors.teller._some.is_set())  # the teller is on its way to the broker
    for current in range(10_000):
        first.tick("read", current)
    for number in range(MOST_ENDED + 500):
        task = Task(monitors, f"t-{number}")
        task.start()
        task.end()
    assert len(monitors.teller._accounts) <= MOST_ENDED + 1  # the running one is kept
    assert not monitors.flush(0.05)
    broker.answers.set()
    wait_until(lambda: broker.told(f"t-{MOST_ENDED + 499}"), what="the newest")
    wait_until(lambda: broker.stage("read", "first") == ("running", 9_999))
    assert broker.told("t-0") == []


def test_an_end_that_was_on_its_way_when_the_broker_failed_is_told_too(
    monitors, broker, monkeypatch
):
    monkeypatch.setattr("headway.monitors.PAUSE", 0.02)
    task = Task(monitors)
    task.start()
    wait_until(broker.told)
    broker.answers.clear()
    task.say(Finished(task="t", at=3.0, status="succeeded"))
    wait_until(lambda: not monitors.teller._accounts[task.source].urgent, what="on its way")
    monitors.end(task.source)
    broker.fails = True
    broker.answers.set()
    wait_until(lambda: len(broker.hostnames) > 2, what="some tries")
    broker.fails = False
    wait_until(lambda: broker.told()[-1]["status"] == "succeeded")
    wait_until(lambda: not monitors.teller._accounts)


def test_a_broker_that_is_gone_is_mentioned_once_and_told_where_tasks_are_when_it_is_back(
    monitors, broker, caplog, monkeypatch
):
    monkeypatch.setattr("headway.monitors.PAUSE", 0.02)
    caplog.set_level(logging.WARNING, "headway.monitors")
    broker.fails = True
    task = Task(monitors)
    task.start("read")
    wait_until(lambda: len(broker.hostnames) > 3, what="some tries")
    assert not monitors.flush(5)  # at once: nobody waits for it meanwhile
    task.tick("read", 3)
    broker.fails = False
    wait_until(lambda: broker.stage("read") == ("running", 3))
    wait_until(lambda: len(caplog.records) == 2)
    away, back = (record.getMessage() for record in caplog.records)
    assert "(gone)" in away
    assert "is back" in back


def test_what_is_told_is_bounded_and_shows_what_runs():
    stages = [Stage(key=f"s-{n}", status="done" if n < 300 else "waiting") for n in range(500)]
    stages[300] = Stage(
        key="s-300", status="running", message="m" * 2000, data={"big": "b" * 60_000}
    )
    error = Error(type="Failure", message="e" * 2000)
    state = State(task="t", stages=tuple(stages), error=error, result="r" * 60_000, data="d")
    said = drawable(state, attempt=1, page="http://x/t")
    keys = [stage["key"] for stage in said["stages"]]
    assert len(keys) == MOST_STAGES
    assert "s-300" in keys
    assert said["more"] == 500 - MOST_STAGES
    assert len(str(said)) < 100 * MOST_STAGES + 3 * MOST_TEXT
    assert said["error"]["message"].endswith("…")
    assert said["page"] == "http://x/t"


def test_what_is_told_begins_with_the_progress_for_flower_sorts_by_its_text():
    texts = [
        str(drawable(State(task="t", progress=progress), attempt=1, page=""))
        for progress in (0.0001, 0.05, 0.5, 0.52, 1.0, None)
    ]
    assert texts == sorted(texts)


def test_a_message_of_the_task_itself_is_a_tick(monitors, broker):
    task = Task(monitors)
    task.start()
    wait_until(broker.told)
    task.say(MessageReported(task="t", at=2.0, message="half", progress=0.5))
    said = wait_until(lambda: broker.told()[1:])[0]
    assert (said["message"], said["progress"]) == ("half", 0.5)
