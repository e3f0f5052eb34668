"""What can be wrong.

doubled         an event was delivered twice, or is in the journal twice
reordered       an event came after one that follows it, or a snapshot without a gap took the viewer back
lost            ids have a hole, or a snapshot skips events, and no gap says so; or the journal misses what a
                producer emitted, and does not say so
undetected      the viewer shows what is not true, or misses what it should have had, and could not have known
false gap       a gap was said of something that cannot have been lost
wrong gap       a gap says less than was lost
not converged   the viewer did not show the true state when it was due, or the journal never had it
ended twice     a second end, without a gap between them
not last        something followed an end, without a gap between them
two payloads    one id, two events
backwards       progress fell within an attempt, or the attempt fell, without a gap between
foreign         an event of a task that the viewer does not watch
"""

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "doubled",
    "reordered",
    "lost",
    "undetected",
    "false gap",
    "wrong gap",
    "not converged",
    "ended twice",
    "not last",
    "two payloads",
    "backwards",
    "foreign",
]

JOURNAL = "journal"  # as a viewer: one that returns with cursor 0 and is sent the whole log


class Violation(Struct, frozen=True):
    kind: Kind
    viewer: str  # JOURNAL when the log itself breaks the promise
    task: str
    connection: int  # of the viewer; 0 when it was found out in the end
    at: float
    said: str  # what was wrong, for a person
