"""The sender's side: what is told of a task before it starts, and how a process is made to tell it."""

import datetime
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, chain, group, signals
from celery.app.trace import build_tracer

import headway.celery
from headway import about, reported, staged
from headway.errors import ConfigurationError
from headway.events import Queued, Started, encode
from headway.testing import Recorder, capture
from tests.celery_apps import NOWHERE, installed, installed_alone, reader


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Sends to a broker in memory, where no worker ever looks."""
    with installed_alone(monkeypatch, set_as_current=False) as app:
        yield app
        with app.connection_for_write() as connection:
            connection.SimpleQueue("celery").clear()


@pytest.fixture
def heard(app: Celery) -> Iterator[Recorder]:
    with capture() as recorder:
        yield recorder


def header_sent(app: Celery) -> Any:
    """What the next message says to the worker about progress."""
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue("celery").get(timeout=1)
        message.ack()
        return message.headers.get("headway")


def test_a_marked_task_is_queued_before_it_is_sent(app: Celery, heard: Recorder) -> None:
    known: list[int] = []

    def sent(**_: Any) -> None:
        known.append(len(heard.events))

    signals.after_task_publish.connect(sent)
    try:
        result = app.task(name="read")(staged("read")(reader())).delay(3)
    finally:
        signals.after_task_publish.disconnect(sent)
    assert known == [1]
    state = heard.state()
    assert (state.task, state.name, state.status) == (result.id, "read", "queued")
    assert state.queued_at == heard.events[0].at


def test_what_the_sender_says_travels_with_the_message_and_the_owner_nowhere_else(
    app: Celery, heard: Recorder
) -> None:
    task = app.task(name="read")(staged("read")(reader()))
    task.apply_async((3,), headers=about(title="report.pdf", owner="ada", workflow="w"))
    (event,) = heard.events
    assert isinstance(event, Queued)
    assert (event.title, event.workflow) == ("report.pdf", "w")
    assert b"ada" not in encode(event)
    assert header_sent(app) == {
        "title": "report.pdf",
        "owner": "ada",
        "workflow": "w",
        "queue": "celery",
        "queued_at": event.at,
    }


def test_a_task_that_is_not_tracked_is_sent_as_if_we_were_not_there(
    app: Celery, heard: Recorder
) -> None:
    app.task(name="read")(reader()).delay(3)
    app.send_task("elsewhere.read")
    app.send_task("celery.backend_cleanup", headers=about(title="x"))
    assert heard.events == []
    assert [header_sent(app), header_sent(app)] == [None, None]


def test_a_task_this_process_does_not_know_is_tracked_by_its_header_or_its_name(
    app: Celery, heard: Recorder
) -> None:
    installed(app, tasks=["elsewhere.*"])
    app.send_task("elsewhere.read")
    app.send_task("nowhere.read", headers=about())
    assert [event.name for event in heard.events if isinstance(event, Queued)] == [
        "elsewhere.read",
        "nowhere.read",
    ]


@pytest.mark.parametrize("how", ["eta", "countdown"])
def test_a_task_that_is_due_later_is_scheduled(app: Celery, heard: Recorder, how: str) -> None:
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    when: dict[str, Any] = {"eta": due} if how == "eta" else {"countdown": 3600}
    app.task(staged("read")(reader())).apply_async(**when)
    state = heard.state()
    assert state.status == "scheduled"
    assert state.due_at == pytest.approx(due.timestamp(), abs=60)
    assert header_sent(app)["due_at"] == state.due_at


def test_a_retry_is_not_queued_again(app: Celery, heard: Recorder) -> None:
    app.task(staged("read")(reader())).apply_async(retries=1)  # type: ignore[call-arg]
    assert heard.events == []


def test_every_member_of_a_canvas_is_queued_for_itself(app: Celery, heard: Recorder) -> None:
    task = app.task(name="read")(staged("read")(reader()))
    group(task.si(n) for n in range(3)).apply_async()
    assert len({event.task for event in heard.events}) == 3
    chain(task.si(1), task.si(2)).apply_async()
    assert len({event.task for event in heard.events}) == 4  # the second one is not sent yet


HOSTILE: list[Any] = [
    "x",
    7,
    [],
    {"title": {"a": ["b"]}},
    {"title": "\ud800\n\x1b[2J" * 500},
    {"title": 7, "workflow": 7.5, "owner": ["x"]},
    {"queued_at": "never", "due_at": {}},
    {"queued_at": float("nan"), "due_at": float("inf")},
    {"queued_at": 10**400},
]


def sent(app: Celery, said: Any) -> None:
    app.send_task("read", headers={"headway": said})


def received(app: Celery, said: Any) -> None:
    """Run it as a worker does that got this message."""
    task = app.task(name="read")(staged("read")(reader()))
    build_tracer("read", task, app=app, eager=True)("t", [], {}, {"id": "t", "headway": said})


# Fails for the last one received (headway/celery.py): float() of so large an integer raises in the handler.
@pytest.mark.parametrize("said", HOSTILE, ids=lambda said: repr(said)[:30])
@pytest.mark.parametrize("travels", [sent, received])
def test_whatever_a_header_holds_the_task_is_told_of_with_what_makes_sense(
    app: Celery, heard: Recorder, travels: Callable[[Celery, Any], None], said: Any
) -> None:
    travels(app, said)
    event = heard.events[0]
    assert isinstance(event, Queued | Started)
    told = json.loads(encode(event))
    assert told["name"] == "read"
    for text in (told["title"], told["workflow"]):
        assert text is None or (isinstance(text, str) and len(text) <= 255)
    for moment in (told["due_at"], told.get("queued_at")):
        assert moment is None or isinstance(moment, float)


# -- installing ----------------------------------------------------------------------------------------------


def test_a_setting_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(TypeError, match=r"no setting colour\. It has .*redis_url"):
        headway.celery.install(Celery(set_as_current=False), colour="red")


def test_to_install_again_replaces_what_was_installed(app: Celery, heard: Recorder) -> None:
    before = len(signals.task_prerun.receivers)
    installed(app, tasks=["a"])
    installed(app, tasks=["b"])
    assert len(signals.task_prerun.receivers) == before
    app.send_task("a")
    app.send_task("b")
    assert [event.name for event in heard.events if isinstance(event, Queued)] == ["b"]
    assert len([r for r in reported.receivers if r[0][0] == "headway.publisher"]) <= 1


def test_an_app_may_be_configured_after_it_was_installed(app: Celery, heard: Recorder) -> None:
    app.conf.headway_tasks = ["late.*"]
    app.send_task("late.read")
    assert len(heard.events) == 1


def test_an_argument_goes_before_the_apps_configuration(app: Celery, heard: Recorder) -> None:
    app.conf.headway_tasks = ["configured"]
    installed(app, tasks=["given"])
    app.send_task("configured")
    app.send_task("given")
    assert [event.name for event in heard.events if isinstance(event, Queued)] == ["given"]


def test_nothing_can_be_cancelled_before_anything_was_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(headway.celery, "_installed", None)
    with pytest.raises(ConfigurationError, match="install"):
        headway.celery.cancel("t")


WITHOUT_REDIS = f"""
    import time
    import headway.celery
    from celery import Celery
    from headway import report, staged, track

    app = Celery("alone", backend="cache+memory://", task_always_eager=True)
    headway.celery.install(app, redis_url="{NOWHERE}")

    @app.task
    @staged("read")
    def read():
        report("here")
        return sum(track(range(4), "read"))

    held = []
    for _ in range(5):
        begun = time.perf_counter()
        assert read.delay().get() == 6
        held.append(time.perf_counter() - begun)
    print(max(held))
"""


def test_a_redis_that_is_not_there_neither_fails_a_task_nor_holds_it() -> None:
    program = [sys.executable, "-W", "error", "-c", textwrap.dedent(WITHOUT_REDIS)]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (
        float(done.stdout) < 0.5
    )  # seconds: it may take 0.05 in all, and this machine may be busy
    assert done.stderr.count("Tasks go on") == 1, done.stderr
