"""What an event stream means, by the letter of https://html.spec.whatwg.org/multipage/server-sent-events.html.

The reference that every real client is compared with. It reads bytes as they come, torn anywhere.
"""

import codecs
import re
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\r|\n")


class Event(NamedTuple):
    """A dispatched event. `id` is its own, None if its block had none; `last_id` is what a client returns with."""

    event: str
    id: str | None
    data: str
    last_id: str = ""


class Parser:
    """`feed` returns the events that the bytes complete. What the end of the stream tears is never dispatched."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._begun = False
        self._clear()
        self._id_buffer = ""

    def feed(self, chunk: bytes) -> list[Event]:
        self._text += self._decoder.decode(chunk)
        if not self._begun and self._text:
            self._begun = True
            self._text = self._text.removeprefix("\ufeff")
        events = []
        while end := _LINE_END.search(self._text):
            if end[0] == "\r" and end.end() == len(self._text):
                break  # its LF may be the next byte
            line, self._text = self._text[: end.start()], self._text[end.end() :]
            if event := self._line(line):
                events.append(event)
        return events

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            self.comments.append(line[1:])
            return None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id_buffer = self._own_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Event | None:
        self.last_id = self._id_buffer
        data, event, own = self._data, self._event or "message", self._own_id
        self._clear()
        return Event(event, own, "\n".join(data), self.last_id) if data else None

    def _clear(self) -> None:
        self._data: list[str] = []
        self._event = ""
        self._own_id: str | None = None


def parse(stream: bytes) -> list[Event]:
    return Parser().feed(stream)
