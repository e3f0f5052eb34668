"""Where a task stands among those that wait to be run.

Brokers cannot tell: RabbitMQ only counts, and Redis would have to be read through. So whoever sends a task
writes it into its queue's line, and whoever begins it takes it out, in the same round trip as its event
(`journal.py`). What was put in before, and has not begun, stands before it.
"""

from collections.abc import Sequence

from headway.events import Subject
from headway.journal import Journal
from headway.keys import key, line_of


def queues(journal: Journal, tasks: Sequence[str]) -> list[str]:
    """The queue each task was put into; "" where its sender did not say, or it is not its turn yet."""
    asked = [("HGET", f"{key(Subject('task', task))}:state", "_queue") for task in tasks]
    return [(queue or b"").decode() for queue in journal.run(asked)]


def positions(journal: Journal, waiting: Sequence[tuple[str, str]]) -> list[int | None]:
    """Where each task stands in its queue, from 1; None for one that was overtaken, or is not there any more."""
    ranks = journal.run([("ZRANK", line_of(queue), task) for task, queue in waiting])
    return [None if rank is None else rank + 1 for rank in ranks]
