"""The text of an event stream, by https://html.spec.whatwg.org/multipage/server-sent-events.html. Pure.

Every frame is one `data:` line of ASCII JSON, its `id:` first, so that no parser can tear it or find another
frame inside. A heartbeat is a comment line without a blank line after it: some clients make an empty message
of a comment block.
"""

import re

HEARTBEAT = b":\n"

_UNSAFE = re.compile(rb"[\r\n]+")


def frame(data: bytes, *, id: str | None = None, event: str | None = None) -> bytes:
    """One event. `id` and `event` have been checked where they came from; `data` is JSON."""
    head = f"id: {id}\n" if id else ""
    if event:
        head += f"event: {event}\n"
    return b"%sdata: %s\n\n" % (head.encode("ascii"), _UNSAFE.sub(b" ", data))


def opening(retry_ms: int, heartbeat_seconds: float) -> bytes:
    """The first bytes, sent at once: proxies flush, clients learn when to come back and when to worry."""
    return b"retry: %d\n:heartbeat %g\n" % (retry_ms, heartbeat_seconds)


def closing(retry_ms: int) -> bytes:
    """The last bytes of a stream that ends before its tasks do: when to come back.

    A line without a blank one after it: some clients would make an empty message of that.
    """
    return b"retry: %d\n" % retry_ms
