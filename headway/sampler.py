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
    """One daemon thread (a greenlet under gevent) per process, started by the first attempt.

    It has no lock: one that was made before gevent patched threads would stop a whole process of greenlets.
    """

    def __init__(self) -> None:
        self._attempts: set[Sampled] = set()
        self._some: dict[str, threading.Event] = {}  # at most one, made when it is first needed
        # A thread does not survive a fork, and its attempts are the parent's: in the child they are inert.
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        for attempt in self._attempts:
            attempt.forked()
        self._attempts = set()
        self._some = {}

    def watch(self, attempt: Sampled) -> None:
        self._attempts.add(attempt)
        some = self._some.get("some")
        if some is None:
            made = threading.Event()
            some = self._some.setdefault("some", made)
            if some is made:
                threading.Thread(
                    target=self._run, args=(some,), name="headway-sampler", daemon=True
                ).start()
        some.set()

    def forget(self, attempt: Sampled) -> None:
        self._attempts.discard(attempt)

    def _run(self, some: threading.Event) -> None:
        while True:
            some.wait()
            time.sleep(SAMPLE_SECONDS)
            if not self._attempts:
                some.clear()
                if self._attempts:  # one came between the two
                    some.set()
            for attempt in list(self._attempts):
                try:
                    attempt.sample()
                except Exception:
                    logger.exception("A sample was lost.")


sampler = Sampler()
