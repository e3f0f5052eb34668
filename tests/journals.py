"""What tests read of a journal."""

from typing import Any

import msgspec

from headway.events import State, Subject
from headway.journal import Journal
from tests.processes import wait_until

ENDS = ("succeeded", "failed", "cancelled", "expired", "lost")


class Book:
    """A task's journal, read anew at every question."""

    def __init__(self, url: str, task: str) -> None:
        self._journal = Journal(url, timeout=5)
        self.subject = Subject("task", task)

    def state(self) -> State:
        state = self._journal.read([(self.subject, None)])[0].state(self.subject)
        assert state is not None, f"no journal of {self.subject.id}"
        return state

    def known(self) -> bool:
        return self._journal.lasts([self.subject]) != [None]

    def log(self) -> list[dict[str, Any]]:
        """All events, with their `id`; asserts that none is missing."""
        (reading,) = self._journal.read([(self.subject, "0")], count=5000)
        ids = [int(id.split("-")[0]) for id, _ in reading.entries]
        assert ids == list(range(1, len(ids) + 1)), f"a hole: {ids}"
        return [{"id": id, **msgspec.json.decode(payload)} for id, payload in reading.entries]

    def finished(self, seconds: float = 20) -> State:
        """Wait for the end."""
        wait_until(
            lambda: self.known() and self.state().status in ENDS,
            seconds,
            f"the end of {self.subject.id}",
        )
        return self.state()

    def transitions(self) -> list[str]:
        """The story without its ticks, whose number is a matter of time."""
        told: list[str] = []
        seen: dict[str, tuple[str, int]] = {}
        for event in self.log():
            match event["type"]:
                case "stage":
                    stage = event["stage"]
                    status = (stage["status"], stage["runs"])
                    if seen.get(stage["key"]) != status:
                        told.append(f"{stage['key']} {stage['status']}")
                    seen[stage["key"]] = status
                case "started":
                    seen.clear()
                    told.append(f"started {event['attempt']}")
                case "finished":
                    told.append(f"finished {event['status']}")
                case "emitted":
                    told.append(f"emitted {event['name']}")
                case "message":
                    pass
                case kind:
                    told.append(kind)
        return told
