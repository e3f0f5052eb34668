"""Read by type checkers, never run.

What is revealed with `# = name` is the same type for every line of that name, what is revealed with `# is type` is
that type, and what is marked `# wrong` is an error. `tests/unit/test_typing.py` holds them to it.
"""

from typing import Any, reveal_type

from celery import Celery, Task, shared_task

from headway import current, stage, staged, track

app = Celery("typed")
READ = stage("read", needs=["load", stage("parse")])


def plain(path: str, *, fast: bool = False) -> int:
    return len(path)


@staged
def bare(path: str, *, fast: bool = False) -> int:
    return len(path)


@staged()
def empty(path: str, *, fast: bool = False) -> int:
    return len(path)


@staged(READ, "chunk", stage("enrich", weight=5))
def full(path: str, *, fast: bool = False) -> int:
    return len(path)


reveal_type(plain)  # = function
reveal_type(bare)  # = function
reveal_type(empty)  # = function
reveal_type(full)  # = function


@app.task
def task(path: str, *, fast: bool = False) -> int:
    return len(path)


@app.task
@staged("read")
def task_below(path: str, *, fast: bool = False) -> int:
    return len(path)


@staged("read")
@app.task
def task_above(path: str, *, fast: bool = False) -> int:
    return len(path)


@staged
@app.task
def task_bare(path: str, *, fast: bool = False) -> int:
    return len(path)


reveal_type(task)  # = task
reveal_type(task_below)  # = task
reveal_type(task_above)  # = task
reveal_type(task_bare)  # = task
reveal_type(task.delay)  # = delay
reveal_type(task_below.delay)  # = delay
reveal_type(task_above.delay)  # = delay


@app.task(name="typed.named", acks_late=True)
def named(path: str) -> int:
    return len(path)


@app.task(name="typed.named", acks_late=True)
@staged("read")
def named_below(path: str) -> int:
    return len(path)


@staged("read")
@app.task(name="typed.named", acks_late=True)
def named_above(path: str) -> int:
    return len(path)


reveal_type(named)  # = named
reveal_type(named_below)  # = named
reveal_type(named_above)  # = named


@app.task(bind=True)
def bound(self: Task[Any, Any], path: str) -> int:
    return len(path)


@app.task(bind=True)
@staged("read")
def bound_below(self: Task[Any, Any], path: str) -> int:
    return len(path)


@staged("read")
@app.task(bind=True)
def bound_above(self: Task[Any, Any], path: str) -> int:
    return len(path)


reveal_type(bound)  # = bound
reveal_type(bound_below)  # = bound
reveal_type(bound_above)  # = bound


@shared_task
def shared(path: str) -> int:
    return len(path)


@shared_task
@staged("read")
def shared_below(path: str) -> int:
    return len(path)


@staged("read")
@shared_task
def shared_above(path: str) -> int:
    return len(path)


reveal_type(shared)  # = shared
reveal_type(shared_below)  # = shared
reveal_type(shared_above)  # = shared


@shared_task(bind=True, name="typed.shared")
def shared_bound(self: Task[Any, Any], path: str) -> int:
    return len(path)


@shared_task(bind=True, name="typed.shared")
@staged("read")
def shared_bound_below(self: Task[Any, Any], path: str) -> int:
    return len(path)


@staged("read")
@shared_task(bind=True, name="typed.shared")
def shared_bound_above(self: Task[Any, Any], path: str) -> int:
    return len(path)


reveal_type(shared_bound)  # = shared bound
reveal_type(shared_bound_below)  # = shared bound
reveal_type(shared_bound_above)  # = shared bound


class Plain(Task[Any, Any]):
    def run(self, path: str) -> int:
        return len(path)


class Marked(Task[Any, Any]):
    @staged("read")
    def run(self, path: str) -> int:
        return len(path)


reveal_type(Plain().run)  # = run
reveal_type(Marked().run)  # = run


def loops(pages: dict[str, bytes], numbers: list[int]) -> None:
    for item in track(numbers, "read"):
        reveal_type(item)  # is int
    for item in track(iter(numbers), READ, total=3):
        reveal_type(item)  # is int
    for name in READ.track(pages):
        reveal_type(name)  # is str
    for name in current().track(pages, "read"):
        reveal_type(name)  # is str
    with READ as read:
        for name in read.track(pages):
            reveal_type(name)  # is str
    with current().stage("read") as same:
        reveal_type(read)  # is LiveStage
        reveal_type(same)  # is LiveStage


def handles() -> None:
    reveal_type(plain("a", fast=True))  # is int
    reveal_type(current().run(plain, "a", fast=True))  # is int
    current().run(plain, 7)  # wrong
    current().run(plain, "a", slow=True)  # wrong
    bare(7)  # wrong
    full("a", slow=True)  # wrong


staged(7)  # wrong
stage("read", weight="heavy")  # wrong
stage("read", "label")  # wrong
