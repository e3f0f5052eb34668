"""What task code touches: `staged`, `stage`, `plan`, `track`, `report`, `emit`, `current`, `about`.

Outside a task all of it does nothing, so functions that report stay callable and testable anywhere.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from celery.exceptions import NotRegistered
from celery.local import Proxy

from headway import values
from headway.attempts import Attempt, LiveStage, here

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

HEADER = "headway"  # the one key of ours among a message's headers


@dataclass(frozen=True)
class stage:  # noqa: N801 - a word of the language, like `property`
    """A named step of a task: declared anywhere, once, and entered with `with` wherever a task is running.

    Leaving the block makes it done; an exception makes it failed and goes on its way. Entered again, it
    continues. `needs` names the stages that come before it and makes the plan a graph; `weight` is its share
    of the overall progress until its usual duration has been learned.
    """

    key: str
    _: KW_ONLY
    label: str | None = None
    unit: str | None = None
    weight: float | None = None
    total: float | None = None
    needs: "str | stage | Iterable[str | stage]" = ()

    def __post_init__(self) -> None:
        needs = [self.needs] if isinstance(self.needs, str | stage) else self.needs
        mended = {
            "key": values.key(self.key),
            "label": self.label and values.key(self.label),
            "unit": self.unit and values.key(self.unit),
            "needs": tuple(n.key if isinstance(n, stage) else values.key(n) for n in needs),
        }
        for field, value in mended.items():
            object.__setattr__(self, field, value)

    def __enter__(self) -> LiveStage:
        return current().stage(self).__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        current().stage(self).__exit__(kind, error, trace)

    def report(
        self,
        message: str | None = None,
        *,
        current: float | None = None,
        total: float | None = None,
        data: Any = None,
    ) -> None:
        _current().stage(self).report(message, current=current, total=total, data=data)

    def advance(self, by: float = 1) -> None:
        current().stage(self).advance(by)

    def track(self, items: Iterable[T], *, total: float | None = None) -> Iterator[T]:
        return current().stage(self).track(items, total=total)

    def skip(self, reason: str | None = None) -> None:
        current().stage(self).skip(reason)


AnyStage = str | stage
_Stage = stage  # `Current` has a verb of this name


class Current:
    """Where task code is: a handle with the same verbs, to hand to threads, executors, greenlets and callbacks.

    Outside a task, in a forked child, and after the attempt has ended its verbs do nothing.
    """

    __slots__ = ("_attempt", "_stack")

    def __init__(self, attempt: Attempt | None, stack: tuple[LiveStage, ...]) -> None:
        self._attempt = attempt
        self._stack = stack

    @property
    def task(self) -> str | None:
        """The id of the task, None outside one."""
        return self._attempt.execution.task if self._attempt else None

    def stage(self, which: AnyStage) -> LiveStage:
        declared = which if isinstance(which, _Stage) else stage(which)
        if self._attempt:
            known = declared.key in self._attempt.stages
            live = self._attempt.stage(declared.key)
        else:
            entered = next((s for s in reversed(self._stack) if s.key == declared.key), None)
            known, live = entered is not None, entered or LiveStage(declared.key)
        if not known or isinstance(which, _Stage):
            _declare(live, declared)
        return live

    def plan(self, *stages: AnyStage) -> None:
        """Declare stages now, in this order, so that viewers see them waiting."""
        for which in stages:
            live = self.stage(which)
            if self._attempt and not live.runs:
                self._attempt.tell_stage(live)

    def track(
        self, items: Iterable[T], key: AnyStage, *, total: float | None = None
    ) -> Iterator[T]:
        """Enter a stage and yield the items, counting them."""
        return self.stage(key).track(items, total=total)

    def report(
        self,
        message: str | None = None,
        *,
        current: float | None = None,
        total: float | None = None,
        data: Any = None,
    ) -> None:
        """Say where the innermost stage is; outside any, where the task is."""
        inside = next((s for s in reversed(self._stack) if s.status == "running"), None)
        if inside:
            inside.report(message, current=current, total=total, data=data)
        elif self._attempt:
            self._attempt.report(message, current, total, data)

    def emit(self, name: str, data: Any = None) -> None:
        """Send an event of your own, streamed and replayed like the rest. No state keeps it."""
        if self._attempt:
            self._attempt.emit(name, data)

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function with this as its `current()`."""
        before = here.get()
        here.set((self._attempt, self._stack))
        try:
            return function(*args, **kwargs)
        finally:
            here.set(before)


def current() -> Current:
    """Where this code is running. Get it in the task, use it anywhere."""
    return Current(*here.get())


_current = current  # for the one method that has a parameter of this name


def plan(*stages: AnyStage) -> None:
    """Declare stages while the task runs. With `needs` they are a graph."""
    current().plan(*stages)


def track(items: Iterable[T], key: AnyStage, *, total: float | None = None) -> Iterator[T]:
    """Enter the stage and yield the items, counting them: stage and loop in one line."""
    return current().track(items, key, total=total)


def report(
    message: str | None = None,
    *,
    current: float | None = None,
    total: float | None = None,
    data: Any = None,
) -> None:
    """Say where the innermost stage is; outside any, where the task is. Costs no more than storing it."""
    _current().report(message, current=current, total=total, data=data)


def emit(name: str, data: Any = None) -> None:
    """Send an event of your own. Viewers who come later find it only as long as the log holds it."""
    current().emit(name, data)


def about(
    *, title: str | None = None, owner: str | int | None = None, workflow: str | None = None
) -> dict[str, Any]:
    """Headers for `apply_async(headers=about(...))`: what a viewer may know before the task starts.

    The owner decides who may watch and is told to nobody.
    """
    said = {
        "title": title and values.text(title),
        "owner": None if owner is None else str(owner),
        "workflow": workflow,
    }
    return {HEADER: {name: value for name, value in said.items() if value is not None}}


@overload
def staged(function: F, /) -> F: ...
@overload
def staged(*stages: AnyStage) -> Callable[[F], F]: ...
def staged(*stages: Any) -> Any:
    """Mark a task as tracked, with the stages it will go through. It marks and does not wrap: above or below
    `@task`, the function, its name, its signature and its types stay as they are.
    """
    if len(stages) == 1 and not isinstance(stages[0], str | stage):
        return _mark(stages[0], ())
    declared = tuple(which if isinstance(which, _Stage) else stage(which) for which in stages)
    return lambda function: _mark(function, declared)


_MARK = "__headway_stages__"
_marked_proxies: list[tuple[Any, tuple[stage, ...]]] = []


def _mark(function: Any, declared: tuple[stage, ...]) -> Any:
    if issubclass(type(function), Proxy):
        # Setting an attribute would evaluate the proxy and finalize an app that is not configured yet.
        _marked_proxies.append((function, declared))
    else:
        setattr(function, _MARK, declared)
    return function


def declared_by(task: Any) -> tuple[stage, ...] | None:
    """The stages a Celery task was marked with; None when it was not."""
    for proxy, declared in list(_marked_proxies):
        with suppress(NotRegistered):  # a task of another app, whose turn may come
            setattr(proxy, _MARK, declared)
            _marked_proxies.remove((proxy, declared))
    mark: tuple[stage, ...] | None = getattr(task, _MARK, None)
    return getattr(task.run, _MARK, None) if mark is None else mark


def declare(attempt: Attempt, stages: Iterable[stage]) -> None:
    """Give a new attempt the stages it was marked with."""
    for declared in stages:
        _declare(attempt.stage(declared.key), declared)


def _declare(live: LiveStage, declared: stage) -> None:
    if live.declared is declared:
        return  # a block enters and leaves by the same object, a loop enters it again and again
    live.declared = declared
    live.label = declared.label or live.label
    live.unit = declared.unit or live.unit
    live.needs = tuple(map(str, declared.needs)) or live.needs  # type: ignore[arg-type]
    live.weigh(declared.weight)
    if live.total is None:
        live.report(total=declared.total)  # what was reported since is newer
