"""Tells what has changed in this process's running tasks, ten times a second, from a thread of its own."""

import logging
import os
import threading
import time
from typing import Protocol

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 0.1  # ten ticks a second look continuous; more is only traffic


class Sampled(Protocol):
    def forked(self) -> None:
        """Become inert: this is a child process."""

    def sample(self) -> None:
        """Send what has changed since it was last sent."""


class Sampler:
    """One daemon thread (a greenlet under gevent) per process, started by the first attempt."""

    def __init__(self) -> None:
        self._attempts: set[Sampled] = set()
        self._lock = threading.Lock()
        self._some: threading.Event | None = (
            None  # made with the thread: gevent may patch until then
        )
        # A thread does not survive a fork, and its attempts are the parent's: in the child they are inert.
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        for attempt in self._attempts:
            attempt.forked()
        self._attempts = set()
        self._lock = threading.Lock()
        self._some = None

    def watch(self, attempt: Sampled) -> None:
        with self._lock:
            self._attempts.add(attempt)
            starts, self._some = self._some is None, self._some or threading.Event()
            self._some.set()
        if starts:
            threading.Thread(
                target=self._run, args=(self._some,), name="headway-sampler", daemon=True
            ).start()

    def forget(self, attempt: Sampled) -> None:
        with self._lock:
            self._attempts.discard(attempt)
            if self._some and not self._attempts:
                self._some.clear()

    def _run(self, some: threading.Event) -> None:
        while True:
            some.wait()
            time.sleep(SAMPLE_SECONDS)
            for attempt in list(self._attempts):
                try:
                    attempt.sample()
                except Exception:
                    logger.exception("A sample was lost.")


sampler = Sampler()
