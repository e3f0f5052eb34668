"""Who a writer writes to: viewers' sockets, and those of them who are in the same place."""

import math
from collections.abc import Callable
from functools import partial
from socket import socket

from headway.streams import Stay, Stream

LAST_CHUNK = b"0\r\n\r\n"


class Connection:
    """One viewer's socket."""

    __slots__ = ("audience", "blocked_since", "left", "line", "rest", "sent", "socket", "stay")

    audience: "Audience"

    def __init__(self, socket: socket, stay: Stay, left: Callable[[float, int], None]) -> None:
        self.socket = socket
        self.stay = stay
        self.left = left  # called when it has gone, with when it came and what it was sent
        self.line: Callable[[int], None] | None = None  # logs how many bytes it was sent
        self.sent = 0
        self.rest: memoryview | None = None  # it would block: nothing else is sent before this
        self.blocked_since = 0.0


class Audience:
    """The viewers of one stream: whatever is due to one of them is due to all, the same bytes."""

    __slots__ = (
        "__weakref__",
        "alarm_at",
        "blocked",
        "chunked",
        "connections",
        "data",
        "leads",
        "reading",
        "stream",
    )

    def __init__(self, stream: Stream, chunked: bool, stir: Callable[["Audience"], None]) -> None:
        self.stream = stream
        self.chunked = chunked
        self.connections: dict[Connection, None] = {}
        self.data = b""  # to be sent to all of them
        self.alarm_at = math.inf
        self.blocked = False  # it has one viewer, who must take what was sent first
        self.reading = False  # what follows its place: nobody else may touch the stream
        self.leads = False  # others who come to its place join it
        stream.wake = partial(stir, self)

    def take(self, connection: Connection) -> None:
        self.connections[connection] = None
        connection.audience = self

    def prepare(self) -> None:
        """Make `data` of what is due to all of them now, as it goes over the wire."""
        if not self.connections:
            return
        data = self.stream.due()
        self.data += self.ending(data) if self.stream.over else self.framed(data)

    def framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def ending(self, data: bytes) -> bytes:
        return self.framed(data) + LAST_CHUNK if self.chunked else data
