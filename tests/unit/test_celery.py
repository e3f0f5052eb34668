"""Celery tasks that run here and now, and what is heard of them."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, Task, _state, current_app, shared_task
from celery.exceptions import Ignore

from headway import about, current, report, stage, staged
from headway.errors import Failure
from headway.events import Finished, Retrying, Started
from headway.testing import Recorder, capture
from tests.celery_apps import installed, installed_alone, reader
from tests.reported import stage_in, statuses


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Eager: `delay()` runs the task, in this thread. The current app, as in any site that has but one."""
    previous = current_app._get_current_object()  # type: ignore[attr-defined]
    with installed_alone(monkeypatch, backend="cache+memory://") as app:
        app.conf.task_always_eager = True
        yield app
    previous.set_current()


@pytest.fixture
def heard(app: Celery) -> Iterator[Recorder]:
    with capture() as recorder:
        yield recorder


# -- marked, wherever the mark is ----------------------------------------------------------------------------

MARK = staged("read", "score")
MARKED: dict[str, Callable[[Celery, Any], Any]] = {
    "above": lambda app, read: MARK(app.task(read)),
    "below": lambda app, read: app.task(MARK(read)),
    "above, with options": lambda app, read: MARK(app.task(name="x.y")(read)),
    "below, with options": lambda app, read: app.task(name="x.y")(MARK(read)),
    "above a shared task": lambda app, read: MARK(shared_task(name="s.a")(read)),
    "below a shared task": lambda app, read: shared_task(name="s.b")(MARK(read)),
}


@pytest.mark.parametrize("mark", MARKED.values(), ids=MARKED)
def test_a_marked_task_reports_from_start_to_end(
    app: Celery, heard: Recorder, mark: Callable[[Celery, Any], Any]
) -> None:
    task = mark(app, reader())
    assert task.delay(3).get() == 3
    started, *_, finished = heard.events
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.name, [s.key for s in started.stages]) == (task.name, ["read", "score"])
    assert heard.state().result == 3
    assert statuses(heard) == {"read": "done", "score": "skipped"}


@pytest.mark.parametrize("mark", MARKED.values(), ids=MARKED)
def test_a_mark_changes_nothing_of_the_task(
    app: Celery, mark: Callable[[Celery, Any], Any]
) -> None:
    read = reader()
    plain, task = app.task(name="plain")(reader()), mark(app, read)
    assert task.run is read
    assert inspect.signature(task) == inspect.signature(plain)
    assert (task.__name__, task.__doc__) == ("read", "Read the pages.")
    assert task(2) == 2
    app.conf.task_always_eager = False  # Celery checks arguments where it sends them
    with pytest.raises(TypeError):
        task.delay(1, 2, 3)


@pytest.mark.parametrize("above", [True, False])
def test_a_bare_mark_tracks_a_task_without_declaring_its_stages(
    app: Celery, heard: Recorder, above: bool
) -> None:
    task = staged(app.task(reader())) if above else app.task(staged(reader()))
    task.delay()
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].stages == ()
    assert statuses(heard) == {"read": "done"}


@pytest.mark.parametrize("above", [True, False])
def test_a_bound_task_gets_itself(app: Celery, heard: Recorder, above: bool) -> None:
    def whoami(self: Task[..., Any], word: str) -> list[Any]:
        return [self.name, self.request.id == current().task, word]

    bind, mark = app.task(bind=True, name="whoami"), staged("read")
    task = mark(bind(whoami)) if above else bind(mark(whoami))
    assert task.delay("w").get() == ["whoami", True, "w"]
    assert statuses(heard) == {"read": "skipped"}


def test_marking_a_shared_task_leaves_an_app_unfinished_until_it_is_used(
    app: Celery, heard: Recorder
) -> None:
    above = staged("read")(shared_task(name="shared.above")(reader()))
    below = shared_task(name="shared.below")(staged("read")(reader()))
    assert not app.finalized  # type: ignore[attr-defined]
    for task in (above, below):
        task.delay()
    assert app.finalized  # type: ignore[attr-defined]
    assert [e.name for e in heard.events if isinstance(e, Started)] == [
        "shared.above",
        "shared.below",
    ]


# Fails (headway/stages.py): all marked proxies are looked up in the current app, whichever task is asked about.
def test_a_shared_task_that_this_app_does_not_have_keeps_no_other_from_being_tracked(
    app: Celery, heard: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(_state, "_on_app_finalizers", set())
        MARK(shared_task(name="of.another.app")(reader()))
    app.task(MARK(reader())).delay()
    assert statuses(heard) == {"read": "done", "score": "skipped"}


def test_marks_pass_through_decorators_that_use_wraps(app: Celery, heard: Recorder) -> None:
    def logged(fun: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fun)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return fun(*args, **kwargs)

        return wrapper

    task = app.task(logged(logged(MARK(reader()))))
    task.delay()
    assert statuses(heard) == {"read": "done", "score": "skipped"}


@pytest.mark.parametrize("whole", [True, False], ids=["class", "run"])
def test_a_class_based_task_is_marked_on_its_class_or_its_run(
    app: Celery, heard: Recorder, whole: bool
) -> None:
    class Reader(Task):  # type: ignore[type-arg]
        name = "reader"

        def run(self, pages: int) -> int:
            return reader()(pages)

    if whole:
        MARK(Reader)
    else:
        Reader.run = MARK(Reader.run)  # type: ignore[method-assign]
    app.register_task(Reader())
    assert app.tasks["reader"].delay(2).get() == 2
    assert statuses(heard) == {"read": "done", "score": "skipped"}


# -- tracked or not ------------------------------------------------------------------------------------------


def test_a_task_that_is_not_marked_is_not_tracked(app: Celery, heard: Recorder) -> None:
    assert app.task(reader()).delay(2).get() == 2
    assert heard.events == []


def test_tasks_can_be_chosen_by_name(app: Celery, heard: Recorder) -> None:
    installed(app, tasks=["docs.*", "*.thumb"])
    for name in ("docs.read", "videos.thumb", "videos.cut"):
        app.task(name=name)(reader()).delay()
    started = [event.name for event in heard.events if isinstance(event, Started)]
    assert started == ["docs.read", "videos.thumb"]


def test_celerys_own_tasks_never_are(app: Celery, heard: Recorder) -> None:
    installed(app, tasks=["*"])
    task = app.task(name="celery.mine")(staged("read")(reader()))
    assert task.apply(headers=about(title="x")).get() == 2
    assert heard.events == []


# Fails (headway/celery.py): an eager task has its headers in `request.headers`, not beside its id.
def test_what_the_sender_says_about_a_task_tracks_it(app: Celery, heard: Recorder) -> None:
    task = app.task(name="read")(reader())
    task.apply_async((1,), headers=about(title="report.pdf", owner=7, workflow="w"))
    state = heard.state()
    assert (state.name, state.title, state.workflow) == ("read", "report.pdf", "w")


def test_an_id_that_cannot_be_watched_runs_untracked_with_one_warning(
    app: Celery, heard: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    task = app.task(staged("read")(reader()))
    for bad in ("a/b", "{a}", "x" * 129, "é", "a\nb"):
        assert task.apply(task_id=bad).get() == 2
    assert heard.events == []
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    assert "is not tracked" in caplog.text
    assert "a/b" in caplog.text


def test_without_a_redis_to_write_to_tasks_run_untracked_with_one_warning(
    app: Celery, heard: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    installed(app, redis_url=None)
    task = app.task(staged("read")(reader()))
    assert [task.delay().get(), task.delay().get()] == [2, 2]
    assert heard.events == []
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "Set HEADWAY_REDIS_URL" in caplog.text


def test_a_task_that_ignores_its_result_reports_all_the_same(app: Celery, heard: Recorder) -> None:
    app.task(ignore_result=True)(staged("read")(reader())).delay()
    assert (heard.state().status, heard.state().result) == ("succeeded", 2)


# -- how it ends ---------------------------------------------------------------------------------------------


def failing(app: Celery, error: BaseException, **options: Any) -> Any:
    @staged("read", "score")
    def fails() -> None:
        with stage("read"):
            raise error

    return app.task(**options)(fails)


def test_a_task_that_fails_says_in_which_stage_and_by_what_but_not_what_it_said(
    app: Celery, heard: Recorder
) -> None:
    failing(app, ValueError("secret")).delay()
    state = heard.state()
    assert (state.status, statuses(heard)) == ("failed", {"read": "failed", "score": "waiting"})
    assert state.error is not None
    assert (state.error.type, state.error.message, state.error.stage) == (
        "ValueError",
        None,
        "read",
    )
    assert "secret" not in repr(heard.events)


@pytest.mark.parametrize("show_errors", [True, False])
def test_a_failure_is_shown_and_with_show_errors_any_text_is(
    app: Celery, heard: Recorder, show_errors: bool
) -> None:
    installed(app, show_errors=show_errors)
    for error in (Failure("for all"), ValueError("for us")):
        failing(app, error, name=f"fails.{type(error).__name__}").delay()
    shown = [
        event.error and event.error.message for event in heard.events if isinstance(event, Finished)
    ]
    assert shown == ["for all", "for us" if show_errors else None]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


# Fails (headway/celery.py): str() of the exception raises inside the handler, and no end is sent.
def test_an_exception_that_cannot_say_anything_ends_the_task_all_the_same(
    app: Celery, heard: Recorder
) -> None:
    installed(app, show_errors=True)
    failing(app, Mute()).delay()
    state = heard.state()
    assert state.status == "failed"
    assert state.error is not None
    assert (state.error.type, state.error.stage) == ("Mute", "read")


# Fails (headway/celery.py): Celery hands its signal another exception in the place of one it cannot pickle.
def test_an_exception_that_cannot_be_pickled_is_told_as_what_it_is(
    app: Celery, heard: Recorder
) -> None:
    class TooFewPages(Failure):
        def __init__(self, found: int, wanted: int) -> None:
            super().__init__(f"{found} pages of {wanted}")

    failing(app, TooFewPages(1, 2)).delay()
    error = heard.state().error
    assert error is not None
    assert (error.type, error.message, error.stage) == ("TooFewPages", "1 pages of 2", "read")


# Fails (headway/celery.py): Celery sends no task_failure when it lets an eager task's exception through.
def test_an_eager_task_whose_exception_is_let_through_has_failed(
    app: Celery, heard: Recorder
) -> None:
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="x"):
        failing(app, ValueError("x")).delay()
    assert heard.state().status == "failed"
    assert current().task is None


def test_a_retry_says_when_and_the_next_attempt_begins_anew(app: Celery, heard: Recorder) -> None:
    @app.task(bind=True, max_retries=3)
    @staged("read")
    def flaky(self: Any) -> str:
        with stage("read"):
            if not self.request.retries:
                raise self.retry(countdown=30, exc=KeyError("secret"))
        return "done"

    flaky.delay()
    kinds = [type(event).__name__ for event in heard.events if not hasattr(event, "stage")]
    assert kinds == ["Started", "Retrying", "Started", "Finished"]
    retrying = next(event for event in heard.events if isinstance(event, Retrying))
    assert retrying.delay == 30
    assert retrying.error is not None
    assert (retrying.error.type, retrying.error.message) == ("KeyError", None)
    assert retrying.error.stage == "read"
    state = heard.state()
    assert (state.status, state.attempt, state.result) == ("succeeded", 2, "done")
    assert len({event.task for event in heard.events}) == 1


def test_a_task_that_is_retried_by_itself_keeps_its_mark(app: Celery, heard: Recorder) -> None:
    tries: list[int] = []

    @app.task(autoretry_for=(KeyError,), retry_kwargs={"countdown": 1, "max_retries": 2})
    @staged("read", "score")
    def flaky() -> None:
        tries.append(1)
        with stage("read"):
            raise KeyError

    flaky.delay()
    assert len(tries) == 3
    assert [event.delay for event in heard.events if isinstance(event, Retrying)] == [1, 1]
    state = heard.state()
    assert (state.status, state.attempt) == ("failed", 3)
    assert statuses(heard) == {"read": "failed", "score": "waiting"}


def test_a_task_that_has_itself_ignored_is_cancelled(app: Celery, heard: Recorder) -> None:
    failing(app, Ignore()).delay()
    assert heard.state().status == "cancelled"
    assert current().task is None


def test_a_result_that_cannot_be_sent_is_kept_from_viewers_and_from_nobody_else(
    app: Celery, heard: Recorder
) -> None:
    @app.task
    @staged
    def task() -> bytes:
        return b"bytes"

    assert task.delay().get() == b"bytes"
    assert (heard.state().status, heard.state().result) == ("succeeded", None)


# -- one inside another --------------------------------------------------------------------------------------


def test_eager_tasks_nest_and_each_reports_for_itself(app: Celery, heard: Recorder) -> None:
    @app.task
    @staged("inside")
    def inner() -> str | None:
        with stage("inside"):
            return current().task

    @app.task
    @staged("around", "after")
    def outer() -> list[str | None]:
        with stage("around") as around:
            ids = [current().task, inner.apply(task_id="i").get(), current().task]
            around.report("back")
        return ids

    assert outer.apply(task_id="o").get() == ["o", "i", "o"]
    assert [s.key for s in heard.state("i").stages] == ["inside"]
    assert [s.key for s in heard.state("o").stages] == ["around", "after"]
    assert heard.state("o").stages[0].message == "back"


def test_a_task_called_as_a_function_reports_to_the_one_it_is_called_in(
    app: Celery, heard: Recorder
) -> None:
    inner = app.task(name="inner")(staged("read", "never")(reader()))

    @app.task
    @staged("around")
    def outer() -> int:
        with stage("around"):
            return int(inner(3))

    assert inner(1) == 1
    assert heard.events == []
    outer.delay()
    assert statuses(heard) == {"around": "done", "read": "done"}
    assert stage_in(heard, "read").current == 3


def test_an_untracked_task_inside_a_tracked_one_takes_nothing_from_it(
    app: Celery, heard: Recorder
) -> None:
    inner = app.task(name="inner")(reader())

    @app.task
    @staged("around")
    def outer() -> str | None:
        with stage("around"):
            inner.delay()
        report("still here")
        return current().task

    assert outer.apply(task_id="o").get() == "o"
    assert {event.task for event in heard.events} == {"o"}
    assert heard.state().status == "succeeded"
