"""Which kind of concurrency this process has. The library is written on threads; gevent is a choice of entry point."""

import _thread
import sys
from collections.abc import Callable


def threads_are_greenlets() -> bool:
    """Whether gevent has replaced threads here. Never imports it."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def start_native_thread(work: Callable[[], object]) -> None:
    """A thread of the system's own, where gevent has replaced threads too: it runs on when greenlets do not yield.

    It must share nothing that waits (locks, sockets, connections) with the others.
    """
    monkey = sys.modules.get("gevent.monkey")
    start = (
        monkey.get_original("_thread", "start_new_thread") if monkey else _thread.start_new_thread
    )
    start(work, ())
