"""A journal and what viewers were sent of it, made by hand: any of it may be wrong."""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import UNSET
from msgspec.structs import replace

from headway import events, sse
from headway.events import Emitted, Event, Gap, Snapshot, State
from tests.chaos.checker import Checker
from tests.chaos.records import Closed, Opened, Truth, got
from tests.eventstream import Parser
from tests.producers import chained, finished, fold, queued, stage, started

DUE = 1000.0


class Written:
    """A log. Its events are numbered from 1."""

    def __init__(self, *told: Event, before: "Written | None" = None, keep: int = 0) -> None:
        """`before`: the first `keep` events are those of another log."""
        self.entries: list[tuple[str, bytes]] = before.entries[:keep] if before else []
        self.events: list[Event] = [*(before.events[:keep] if before else []), *told]
        for event in told:
            payload = events.encode(event)
            last = self.entries[-1][0] if self.entries else "0"
            self.entries.append((chained(last, "one", str(len(self.entries)), payload), payload))

    def id(self, seq: int) -> str:
        return self.entries[seq - 1][0] if seq else "0"

    def state(self, seq: int | None = None) -> State:
        history = self.events[:seq]
        return fold(history) if history else State(task="t")


class Made:
    """Viewers of one task, whose streams are written by the test."""

    def __init__(self, written: Written) -> None:
        self.written = written
        self.checker = Checker()
        self.at = 1.0
        self._connections: dict[str, int] = {}
        self._parsers: dict[str, Parser] = {}

    def opens(self, cursor: str | None = None, viewer: str = "v") -> None:
        self._connections[viewer] = self._connections.get(viewer, 0) + 1
        self._parsers[viewer] = Parser()
        self.checker.see(Opened(viewer, self._connections[viewer], self.at, {"t": cursor}))

    def closes(
        self, why: Literal["ended", "cut", "refused", "left"] = "cut", viewer: str = "v"
    ) -> None:
        self.checker.see(Closed(viewer, self._connections[viewer], self.at, why))

    def sent(self, data: bytes, viewer: str = "v") -> None:
        """Bytes of the stream."""
        for event in self._parsers[viewer].feed(data):
            connection = self._connections[viewer]
            self.checker.see(got(viewer, connection, self.at, event.id, event.data))

    def gets(self, *seqs: int, of: Written | None = None, viewer: str = "v") -> None:
        for seq in seqs:
            id, payload = (of or self.written).entries[seq - 1]
            self.sent(sse.frame(payload, id=f"t/{id}"), viewer)

    def snapshot(
        self,
        seq: int,
        gap: Gap | None = None,
        *,
        of: Written | None = None,
        state: State | None = None,
        identified: bool = True,
        viewer: str = "v",
    ) -> None:
        written = of or self.written
        shown = Snapshot(task="t", at=1.0, state=state or written.state(seq), gap=gap or UNSET)
        id = f"t/{written.id(seq)}" if identified and seq else None
        self.sent(sse.frame(events.encode(shown), id=id), viewer)

    def kinds(self, **truth: Any) -> list[str]:
        """What is wrong, once the truth is told."""
        written = self.written
        last = written.entries[-1][0] if written.entries else "0"
        told = Truth("t", written.entries, last, written.state(), DUE)
        self.checker.judge(told._replace(**truth))
        return [violation.kind for violation in self.checker.violations]


def numbered(n: int, at: float = 3.0) -> Event:
    return Emitted(task="t", at=at, name="said", data={"n": n})


def ticked(progress: float | None, at: float = 3.0) -> Event:
    return replace(stage("read", at), progress=progress)


BEGUN = (queued(1.0), started(2.0, attempt=1))
LOG = Written(*BEGUN, numbered(1), ticked(0.5), numbered(2), ticked(0.7), finished())
RUNNING = Written(before=LOG, keep=6)
OTHER = Written(ticked(0.6), numbered(12), ticked(0.8), finished(), before=LOG, keep=3)
TRIMMED, FORK, NOWHERE = Gap(reason="trimmed"), Gap(reason="fork"), Gap(reason="unknown")
GAPS = frozenset({"trimmed", "fork"})


def whole(made: Made, upto: int = 7) -> None:
    made.opens()
    made.snapshot(1)
    made.gets(*range(2, upto + 1))


Play = Callable[[Made], object]
