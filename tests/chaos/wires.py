"""What a scene has in the place of time and of the way between Redis and a hub."""

import time as real
from collections import deque
from collections.abc import Callable, Sequence

from headway.events import Subject
from headway.feed import NOTHING, Acknowledged, Feed, Message


class Clock:
    """In the place of the module `time`."""

    sleep = staticmethod(real.sleep)  # for hubs that other tests have left behind

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


class Wire:
    """A feed on which nothing moves by itself, neither there nor back."""

    def __init__(self, feed: Feed) -> None:
        self.sent: deque[tuple[Callable[[list[Subject]], None], list[Subject]]] = deque()
        self.arrived: deque[Message | Acknowledged] = deque()
        self.close = feed.close
        self._feed = feed

    def subscribe(self, subjects: Sequence[Subject]) -> None:
        if subjects:
            self.sent.append((self._feed.subscribe, list(subjects)))

    def unsubscribe(self, subjects: Sequence[Subject]) -> None:
        if subjects:
            self.sent.append((self._feed.unsubscribe, list(subjects)))

    def reach(self) -> None:
        """What was sent first reaches Redis."""
        command, subjects = self.sent.popleft()
        command(subjects)
        self.pull()

    def pull(self) -> None:
        """Have at hand all that Redis has published until now."""
        self._feed.ping()
        while True:
            for heard in self._feed.read(5):
                if heard == Acknowledged(NOTHING):
                    return
                self.arrived.append(heard)
