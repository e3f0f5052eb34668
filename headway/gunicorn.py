"""All that is gevent or gunicorn. Without this module everything works, slower: each stream holds a greenlet, and a
viewer who left is noticed only at the next write.

Under gunicorn's gevent worker a request for a stream goes through the app like any other, to the end of its
teardown. Then its socket is taken from gunicorn and given to the process's one writer. Where that cannot be (TLS,
HTTP/2, a middleware in between, not Linux) the stream's own generator is served.
"""

import _socket
import atexit
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event
import gevent.monkey
import gevent.socket
from gunicorn.http.wsgi import Response
from gunicorn.workers.ggevent import GeventWorker

if TYPE_CHECKING:  # gunicorn loads its worker class before gevent has patched what these load
    from headway.audiences import Connection
    from headway.streams import Stream

ERROR_SECONDS = 0.5  # until a writer that has failed tries again
ALIVE_SECONDS = 0.1  # between looks at whether the worker is to end
LOOK_SECONDS = 0.5  # between looks for the end of a viewer who has sent something unasked
UNSENT = 65536  # bytes the system may hold for a viewer before that one counts as slow
CONNECTION = "headway.connection"  # in the environ of a request whose stream goes on without it
REPLY = "headway.reply"  # there too: gunicorn's own response

logger = logging.getLogger(__name__)
access_log = logging.getLogger("gunicorn.access")


def body(
    stream: "Stream",
    environ: dict[str, Any],
    start_response: Any,
    left: Callable[[float, int], None],
) -> Iterable[bytes]:
    """What the server is to send. `left` is called when the viewer has gone: since when, and what it was sent."""
    reply: Any = environ.get(REPLY) or getattr(start_response, "__self__", None)
    if type(reply) is Response and type(reply.sock) is gevent.socket.socket and _epoll:
        return HandOver(stream, environ, reply, left)
    if environ["SERVER_PROTOCOL"] == "HTTP/2.0":
        _warn_of_http_2()
    return Watched(stream, environ["gunicorn.socket"], reply, left)


@cache
def _warn_of_http_2() -> None:
    logger.warning(
        "gunicorn answers the requests of an HTTP/2 connection one after another: while a stream lasts, all others "
        "on its connection wait. Let a proxy such as nginx speak HTTP/2 with browsers, and HTTP/1.1 with gunicorn."
    )


def end_streams() -> None:
    """Say goodbye to all viewers of this process, who come back to another one."""
    for watched in list(_watched):
        watched.end()
    if loop := _loops.get(os.getpid()):
        loop.writer.end()


# -- the hand-over ---------------------------------------------------------------------------------------------

_epoll: Any = gevent.monkey.get_original("select", "epoll") if sys.platform == "linux" else None
_loops: dict[int, "Loop"] = {}  # by process


class HandOver:
    """The body of a response whose stream goes on without it: gunicorn finds it empty, and the request done.

    Bodies are asked for after the app has torn down the request. What it held (a database session) is free.
    """

    def __init__(
        self,
        stream: "Stream",
        environ: dict[str, Any],
        reply: Response,
        left: Callable[[float, int], None],
    ) -> None:
        self._stream: Stream | None = stream
        self._environ = environ
        self._reply = reply
        self._left = left

    def __iter__(self) -> "HandOver":
        return self

    def __next__(self) -> bytes:
        if stream := self._stream:
            loop = _loops.get(os.getpid()) or _loops.setdefault(os.getpid(), Loop())
            reply = self._reply
            chunked = reply.chunked
            reply.force_close()
            headers = [f"{name}: {value}\r\n" for name, value in reply.headers]
            head = "".join([*reply.default_headers(), *headers, "\r\n"]).encode("latin-1")
            reply.headers_sent, reply.chunked = True, False  # nothing is left for gunicorn to send
            taken = _taken(reply.sock, stream.settings.write_deadline)
            connection = loop.writer.add(stream, taken, head, chunked, self._left)
            self._environ[CONNECTION] = connection
            self._stream = None
        raise StopIteration

    def close(self) -> None:
        """The response is done. If nobody has asked for its body, so is the stream."""
        if self._stream:
            self._stream.close()
            self._left(time.monotonic(), 0)


def _taken(connection: Any, write_deadline: float) -> Any:
    """The connection without gevent, and out of gunicorn's hands."""
    family, type, proto = connection.family, connection.type, connection.proto
    taken = _socket.socket(family, type, proto, connection.detach())
    taken.setblocking(False)
    _bound_silence(taken, write_deadline)
    if family != socket.AF_UNIX:
        # What a slow viewer has not been sent yet is better kept here, where newer things may overtake it.
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return taken


def _bound_silence(connection: Any, seconds: float) -> None:
    """Whoever is cut off may be silent for as long as one who does not read. The system alone would wait a quarter
    of an hour, for heartbeats never fill its buffers.
    """
    if sys.platform == "linux" and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


class Loop:
    """What a writer needs of gevent: its turns are a greenlet's."""

    def __init__(self) -> None:
        from headway.writer import TICK_SECONDS, Writer

        self.poll = _epoll()
        self.writer = Writer(self)
        self._event = gevent.event.Event()
        self.wake = self._event.set
        self._readable = False
        loop = gevent.get_hub().loop
        self._watchers = loop.io(self.poll.fileno(), 1), loop.timer(TICK_SECONDS, TICK_SECONDS)
        for watcher, callback in zip(self._watchers, (self._hear, self.wake), strict=True):
            watcher.start(callback)
        access_log.addFilter(_hold_back)
        atexit.register(end_streams)
        gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            try:
                self._event.wait()
                self._event.clear()
                if self._readable:
                    self._readable = False
                    self.writer.hear()
                self.writer.turn()
            except Exception:
                logger.exception("The writer goes on after an error.")
                gevent.sleep(ERROR_SECONDS)

    def _hear(self) -> None:
        self._readable = True
        self.wake()

    def pause(self) -> None:
        gevent.sleep(0)

    def spawn(self, work: Callable[..., None], *args: object) -> None:
        gevent.spawn(work, *args)


# -- the access log --------------------------------------------------------------------------------------------

OPEN = {"b": "\0b", "B": "\0b", "T": "\0T", "D": "\0D", "M": "\0M", "L": "\0L"}  # known at the end


def _hold_back(record: logging.LogRecord) -> bool:
    """Keep gunicorn's line of a request whose stream goes on; it is logged when that ends."""
    atoms = record.args
    if not isinstance(atoms, dict):
        return True
    connection: Connection | None = atoms.get("{" + CONNECTION + "}e")
    if connection is None:
        return True
    atoms.update(OPEN)
    connection.line = partial(_log, record.msg % atoms, time.monotonic())
    return False


def _log(line: str, since: float, sent: int) -> None:
    seconds = time.monotonic() - since
    for name, value in (
        ("b", sent),
        ("T", int(seconds)),
        ("D", int(seconds * 1e6)),
        ("M", int(seconds * 1e3)),
        ("L", f"{seconds:.6f}"),
    ):
        line = line.replace(f"\0{name}", str(value))
    access_log.info("%s", line)


# -- where a generator is served -------------------------------------------------------------------------------

HUNG_UP = select.POLLRDHUP if sys.platform == "linux" else select.POLLHUP
_poll: Any = gevent.monkey.get_original("select", "poll")
_watched: set["Watched"] = set()


class Watched:
    """A stream's generator that ends at once when its viewer closes the connection, and when it reads too late."""

    def __init__(
        self, stream: "Stream", connection: Any, reply: Any, left: Callable[[float, int], None]
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._reply = reply
        self._left = left
        self._since = time.monotonic()
        deadline = stream.settings.write_deadline
        _bound_silence(connection, deadline)
        self._loop = gevent.get_hub().loop
        self._gone: Any = self._loop.io(connection.fileno(), 1)
        self._gone.start(self._look)
        self._timer = self._loop.timer(deadline, deadline / 2)
        self._timer.start(self._check)
        _watched.add(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Stop watching; the connection may serve another request."""
        _watched.discard(self)
        for watcher in (self._gone, self._timer):
            watcher.stop()
            watcher.close()
        self._stream.close()
        self._left(self._since, self._stream.sent)

    def end(self) -> None:
        """Ask the viewer to come back, on another connection."""
        if isinstance(self._reply, Response):
            self._reply.force_close()
        if self._stream.writing_since is None:
            self._stream.expire()
        else:
            self._give_up()

    def _look(self) -> None:
        """The viewer has closed, or sent something it was not asked for, which the server will read later. Behind
        that its end cannot be read: from now on it is looked for.
        """
        self._gone.close()
        if _hung_up(self._connection):
            self._stream.leave()
        else:
            self._gone = self._loop.timer(LOOK_SECONDS)
            self._gone.start(self._look)

    def _check(self) -> None:
        since = self._stream.writing_since
        if since is not None and time.monotonic() - since >= self._stream.settings.write_deadline:
            self._timer.stop()
            self._give_up()

    def _give_up(self) -> None:
        self._stream.leave()
        with suppress(OSError):  # the writer, which waits for it, gets EPIPE
            self._connection.shutdown(socket.SHUT_RDWR)


def _hung_up(connection: Any) -> bool:
    """Whether the viewer has closed its end, or the connection has failed."""
    poll = _poll()
    poll.register(connection.fileno(), HUNG_UP)
    return bool(poll.poll(0))


# -- the worker ------------------------------------------------------------------------------------------------


class StreamWorker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, for `-k headway.gunicorn.StreamWorker`: when it is to end it ends all streams first,
    those that a generator serves too. And no middleware keeps their sockets from the writer.
    """

    wsgi: Any

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = partial(_tell_reply, self.wsgi)

    def run(self) -> None:
        gevent.spawn(self._end_streams)
        super().run()

    def _end_streams(self) -> None:
        while self.alive:
            gevent.sleep(ALIVE_SECONDS)
        end_streams()


def _tell_reply(app: Any, environ: dict[str, Any], start_response: Any) -> Any:
    environ[REPLY] = start_response.__self__
    return app(environ, start_response)
