"""How keys, channels and cursors look."""

import re
from functools import lru_cache

from headway.events import Subject

CURSOR = re.compile(r"([1-9][0-9]{0,14})-([0-9]{1,16})")
EVERY_TASK = "headway:t:{*}"  # as Redis matches names
WORKERS = "headway:workers"  # the boots of all that have had a task in hand
EXPIRING = "headway:expiring"  # tasks that must have begun by then, by that moment
_KINDS = {"task": "t"}
_TASK = re.compile(rb"headway:t:\{([A-Za-z0-9._:-]{1,128})\}")


def key(subject: Subject) -> str:
    """What all of a subject's keys begin with, and its channel. One hash tag: in a cluster they live together."""
    return f"headway:{_KINDS[subject.kind]}:{{{subject.id}}}"


@lru_cache(8192)
def subject_of(key: bytes) -> Subject | None:
    """Whose it is; None for what is not ours."""
    found = _TASK.fullmatch(key)
    return Subject("task", found[1].decode("ascii")) if found else None


def tasks_of(boot: str) -> str:
    """The set of the tasks that a worker has in hand: told by whoever begins one, put right by the worker's lease."""
    return f"headway:b:{{{boot}}}:tasks"


def line_of(queue: str) -> str:
    """The sorted set of the tasks that wait in a queue, by when they were sent."""
    return f"headway:q:{{{queue}}}"


@lru_cache(1024)  # a few are asked for again and again
def seq_of(cursor: str) -> int:
    """The place of an event in its log, from 1; 0 for "0" and for what is no cursor."""
    found = CURSOR.fullmatch(cursor)
    return int(found[1]) if found else 0
