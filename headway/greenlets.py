"""Which kind of concurrency this process has. The library is written on threads; gevent is a choice of entry point."""

import sys


def threads_are_greenlets() -> bool:
    """Whether gevent has replaced threads here. Never imports it."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
