"""The text of an event stream, by https://html.spec.whatwg.org/multipage/server-sent-events.html. Pure.

Every frame is one `data:` line of ASCII JSON, in which no parser can find another frame. Its `id:` comes last:
some clients take an id over before the frame is whole, and would never get the event of one that was torn. A
heartbeat is a comment line without a blank line after it: some clients make an empty message of a comment block.
"""

import codecs
import re
from typing import NamedTuple

# Characters of one line or event: a server that never ends one must not fill the memory.
MOST = 2**20
HEARTBEAT = b":\n"

_UNSAFE = re.compile(rb"[\r\n]+")
_LINE_END = re.compile(r"\r\n?|\n")


def frame(data: bytes, *, id: str | None = None, event: str | None = None) -> bytes:
    """One event. `id` and `event` have been checked where they came from; `data` is JSON."""
    if b"\n" in data or b"\r" in data:
        data = _UNSAFE.sub(b" ", data)
    name = b"event: %b\n" % event.encode("ascii") if event else b""
    cursor = b"id: %b\n" % id.encode("ascii") if id else b""
    return b"%bdata: %b\n%b\n" % (name, data, cursor)


def opening(retry_ms: int, heartbeat_seconds: float) -> bytes:
    """The first bytes, sent at once: proxies flush, clients learn when to come back and when to worry."""
    return b"retry: %d\n:heartbeat %g\n" % (retry_ms, heartbeat_seconds)


def closing(retry_ms: int) -> bytes:
    """The last bytes of a stream that ends before its tasks do: when to come back.

    A line without a blank one after it: some clients would make an empty message of that.
    """
    return b"retry: %d\n" % retry_ms


class Frame(NamedTuple):
    """One event as it came. `id` is its own, None if it had none; `last_id` is what a client returns with."""

    event: str
    data: str
    id: str | None
    last_id: str


class Comment(NamedTuple):
    text: str


class Retry(NamedTuple):
    """When to come back."""

    ms: int


class Parser:
    """Reads a stream that comes in pieces, torn anywhere. What the end of the stream tears is never said."""

    def __init__(self) -> None:
        self.last_id = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""  # of a line whose end has not come
        self._after_cr = False  # a LF would belong to the line end before
        self._said: list[Frame | Comment | Retry] = []
        self._data: list[str] = []
        self._length = 0  # of the lines it came in
        self._event = ""
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[Frame | Comment | Retry]:
        """What this piece completes. Raises ValueError when an event is too long to be one."""
        self._said = []
        text = self._decoder.decode(chunk)
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        start = 0
        for end in _LINE_END.finditer(text):
            self._read(self._rest + text[start : end.start()])
            self._rest, start = "", end.end()
            self._after_cr = end[0] == "\r" and start == len(text)
        self._rest += text[start:]
        if len(self._rest) + self._length > MOST:
            raise ValueError("An event is longer than 1 MiB.")
        return self._said

    def _read(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        field, _, value = line.partition(":")
        if not field:
            self._said.append(Comment(value))
            return
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
                self._length += len(line) + 1
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self._said.append(Retry(int(value[:15])))

    def _dispatch(self) -> None:
        if self._id is not None:
            self.last_id = self._id
        if self._data:
            event = self._event or "message"
            self._said.append(Frame(event, "\n".join(self._data), self._id, self.last_id))
        self._data, self._length, self._event, self._id = [], 0, "", None
