"""The text of an event stream, by https://html.spec.whatwg.org/multipage/server-sent-events.html. Pure.

Every frame is one `data:` line of ASCII JSON, in which no parser can find another frame. Its `id:` comes last:
some clients take an id over before the frame is whole, and would never get the event of one that was torn. A
heartbeat is a comment line without a blank line after it: some clients make an empty message of a comment block.
"""

import re

HEARTBEAT = b":\n"

_UNSAFE = re.compile(rb"[\r\n]+")


def frame(data: bytes, *, id: str | None = None, event: str | None = None) -> bytes:
    """One event. `id` and `event` have been checked where they came from; `data` is JSON."""
    name = f"event: {event}\n" if event else ""
    cursor = f"id: {id}\n" if id else ""
    return b"%sdata: %s\n%s\n" % (
        name.encode("ascii"),
        _UNSAFE.sub(b" ", data),
        cursor.encode("ascii"),
    )


def opening(retry_ms: int, heartbeat_seconds: float) -> bytes:
    """The first bytes, sent at once: proxies flush, clients learn when to come back and when to worry."""
    return b"retry: %d\n:heartbeat %g\n" % (retry_ms, heartbeat_seconds)


def closing(retry_ms: int) -> bytes:
    """The last bytes of a stream that ends before its tasks do: when to come back.

    A line without a blank one after it: some clients would make an empty message of that.
    """
    return b"retry: %d\n" % retry_ms
