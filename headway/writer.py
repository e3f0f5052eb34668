"""The streams of a process whose sockets it was given: one writer, which never waits for any of them.

Viewers in the same place are one audience: what is due to them is made once, and sent to each in a tight loop. A
viewer whose socket would block leaves for a stream of its own, which holds a cursor and not a queue, and returns
when it has caught up. Knows neither HTTP servers nor gevent: `Loop` is what it needs of them.
"""

import heapq
import itertools
import logging
import math
import random
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from socket import socket
from typing import Protocol

from headway import sse
from headway.audiences import Audience, Connection
from headway.streams import RETRY_MS, Stream
from headway.topics import Topic

logger = logging.getLogger(__name__)

TOGETHER = 64  # audiences that are served at once
SLICE = 1000  # sends in a row, before others may have their turn
TICK_SECONDS = 0.25  # within which a stream that is due by the clock is served
LOOK_SECONDS = 1.0  # between looks at who has been here, or has not read, for too long
UNREAD = 16  # pieces of what a viewer has sent unasked that are taken at its end
GONE = 0x2000  # EPOLLRDHUP; that it hung up, or has failed, is told in any case
WRITABLE = 0x4


class Poll(Protocol):
    """As select.epoll does it."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def poll(self, timeout: float, /) -> list[tuple[int, int]]: ...


class Loop(Protocol):
    """Who calls `Writer.turn`, soon after each `wake` and every TICK_SECONDS, and `hear` when the poll is readable."""

    poll: Poll

    def wake(self) -> None:
        """Have a turn soon; called from anywhere in its thread."""

    def pause(self) -> None:
        """Let others have their turn, in the middle of ours."""

    def spawn(self, work: Callable[..., None], *args: object) -> None:
        """Do what waits, beside."""


class Writer:
    """`add` and `stir` may be called from anywhere in its thread, everything else between two turns."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._connections: dict[int, Connection] = {}
        self._news: OrderedDict[Audience, None] = OrderedDict()  # whose first is soon found
        self._leaders: dict[tuple[Topic, bool], Audience] = {}  # whom others join
        # Weak: who has left is not kept until its alarm rings.
        self._alarms: list[tuple[float, int, weakref.ref[Audience]]] = []
        self._number = itertools.count()  # of alarms: audiences have no order
        self._look_at = time.monotonic() + LOOK_SECONDS

    def add(
        self,
        stream: Stream,
        socket: socket,
        head: bytes,
        chunked: bool,
        left: Callable[[float, int], None],
    ) -> Connection:
        """Write this stream to that socket, `head` first, until either ends. `left` is called then, with when it came
        and the bytes it was sent.
        """
        audience = Audience(stream, chunked, self.stir)
        audience.data = head + audience.framed(stream.opening())
        connection = Connection(socket, stream.stay(), left)
        audience.take(connection)
        self._connections[socket.fileno()] = connection
        self._loop.poll.register(socket.fileno(), GONE)
        self.stir(audience)
        return connection

    def stir(self, audience: Audience) -> None:
        """There is news for it."""
        if not self._news:
            self._loop.wake()
        self._news[audience] = None

    def hear(self) -> None:
        """Its poll has something to say: who has gone, and who takes more."""
        writable = []
        for fd, events in self._loop.poll.poll(0):
            connection = self._connections.get(fd)
            if connection is None:
                continue
            if events & ~WRITABLE:
                self._drop(connection)
            else:
                writable.append(connection)
        for connection in writable:
            self._unblock(connection)

    def turn(self) -> None:
        """Do all that is to be done now."""
        now = time.monotonic()
        self._ring(now)
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look(now)
        while self._news:
            self._serve(list(itertools.islice(self._news, TOGETHER)))
            if self._news:
                self._loop.pause()

    def end(self) -> None:
        """Say goodbye to everybody. They come back spread over a time in which they can be served."""
        retry_ms = (1000, max(3000, len(self._connections)))
        for connection in list(self._connections.values()):
            if connection.rest is None:
                self._dismiss(connection, retry_ms)
            else:
                self._drop(connection)

    # -- sending ---------------------------------------------------------------------------------------------

    def _serve(self, audiences: Sequence[Audience]) -> None:
        """Send what is due to them. Whatever goes wrong with one stream is no matter to the others.

        One thing after another, for all: the processor goes from the interpreter to the system and back only once.
        """
        for audience in audiences:
            self._news.pop(audience, None)
        idle = [each for each in audiences if not (each.reading or each.blocked)]
        for step in (Audience.prepare, self._send, self._go_on):
            for audience in idle:
                try:
                    step(audience)
                except Exception:
                    logger.exception("A stream ends because of an error; its viewers come back.")
                    for connection in list(audience.connections):
                        self._drop(connection)

    def _go_on(self, audience: Audience) -> None:
        """See to it that it is served again, if there is somebody left to serve."""
        if audience.blocked or audience.reading or not audience.connections:
            return  # a leader is served in between, when somebody joins it
        if audience.stream.over:
            for connection in list(audience.connections):
                self._finish(connection)
        elif audience.stream.behind:
            audience.reading = True
            self._loop.spawn(self._read, audience)
        elif audience.leads or not self._join(audience):
            self._set_alarm(audience)

    def _read(self, audience: Audience) -> None:
        """Redis must be waited for, but not by the writer."""
        try:
            audience.stream.catch_up()
        finally:
            audience.reading = False
            self.stir(audience)

    def _send(self, audience: Audience) -> None:
        """The same bytes to all of an audience."""
        data, audience.data = audience.data, b""
        size, connections = len(data), list(audience.connections) if data else []
        for start in range(0, len(connections), SLICE):
            if start:
                self._loop.pause()
            for connection in connections[start : start + SLICE]:
                try:
                    sent = connection.socket.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self._drop(connection)
                    continue
                connection.sent += sent
                if sent != size:
                    self._block(connection, memoryview(data)[sent:])

    def _block(self, connection: Connection, rest: memoryview) -> None:
        """It takes no more now: it leaves its audience with the place where that is."""
        connection.rest, connection.blocked_since = rest, time.monotonic()
        self._loop.poll.modify(connection.socket.fileno(), GONE | WRITABLE)
        audience = connection.audience
        if len(audience.connections) > 1:
            del audience.connections[connection]
            audience = Audience(audience.stream.twin(), audience.chunked, self.stir)
            audience.take(connection)
        audience.blocked = True
        audience.stream.lag()
        self._lead_no_more(audience)

    def _unblock(self, connection: Connection) -> None:
        """It takes more: what was left, and then what has come since."""
        if connection.rest is None:
            return
        try:
            sent = connection.socket.send(connection.rest)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        connection.sent += sent
        connection.rest = connection.rest[sent:]
        if connection.rest:
            return
        connection.rest = None
        connection.audience.blocked = False
        self._loop.poll.modify(connection.socket.fileno(), GONE)
        if connection.audience.stream.over:
            self._finish(connection)
        else:
            self.stir(connection.audience)

    # -- audiences -------------------------------------------------------------------------------------------

    def _join(self, audience: Audience) -> bool:
        """Make it one with those who are in the same place. The first one there is joined by the others."""
        stream = audience.stream
        topic = stream.place()
        if topic is None:
            return False
        leader = self._leaders.setdefault((topic, audience.chunked), audience)
        if leader is audience:
            audience.leads = True
            return False
        if leader in self._news:
            self._serve([leader])
        if leader.reading or leader.blocked or leader.stream.place() is not topic:
            return False
        if not leader.stream.beside(stream):
            return False
        for connection in audience.connections:
            leader.take(connection)
        audience.connections.clear()
        stream.close()
        return True

    def _lead_no_more(self, audience: Audience) -> None:
        if audience.leads:
            audience.leads = False
            del self._leaders[audience.stream.topic, audience.chunked]

    def _ring(self, now: float) -> None:
        """Alarms whose time has come are news."""
        while self._alarms and self._alarms[0][0] <= now:
            at, _, reference = heapq.heappop(self._alarms)
            audience = reference()
            if audience and at == audience.alarm_at:
                audience.alarm_at = math.inf
                self._news[audience] = None

    def _set_alarm(self, audience: Audience) -> None:
        at = audience.stream.due_at()
        if at < audience.alarm_at:
            audience.alarm_at = at
            heapq.heappush(self._alarms, (at, next(self._number), weakref.ref(audience)))

    # -- ends ------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        for connection in list(self._connections.values()):
            stream = connection.audience.stream
            if connection.rest is None:
                if now >= stream.leaves_at(connection.stay):
                    self._dismiss(connection)
            elif now - connection.blocked_since >= stream.settings.write_deadline:
                self._drop(connection)

    def _dismiss(self, connection: Connection, retry_ms: tuple[int, int] = RETRY_MS) -> None:
        """It has been here for long enough, and is told when to come back."""
        audience = connection.audience
        data = audience.data + audience.ending(sse.closing(random.randint(*retry_ms)))
        with suppress(OSError):
            connection.sent += connection.socket.send(data)
        self._finish(connection)

    def _finish(self, connection: Connection) -> None:
        """Close it behind its last bytes. Input that nobody reads would make that a reset, and lose them."""
        with suppress(OSError):
            for _ in range(UNREAD):
                if not connection.socket.recv(65536):
                    break
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        """Free everything. Dropping twice is harmless."""
        if self._connections.pop(connection.socket.fileno(), None) is None:
            return
        connection.socket.close()
        audience = connection.audience
        audience.connections.pop(connection, None)
        if not audience.connections:
            self._lead_no_more(audience)
            audience.stream.close()
        connection.left(connection.stay.since, connection.sent)
        if connection.line:
            connection.line(connection.sent)
