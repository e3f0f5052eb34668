"""All that is gevent. Without this module everything works, but a viewer who left is noticed only at the next write."""

import socket
import time
from contextlib import suppress
from typing import Any

import gevent

from headway.streams import Stream


class Watch:
    """Ends a stream at once when its viewer closes the connection, and when it has not read for too long."""

    def __init__(self, connection: Any, stream: Stream, write_deadline: float) -> None:
        self._connection = connection
        self._stream = stream
        self._write_deadline = write_deadline
        loop = gevent.get_hub().loop
        self._readable = loop.io(connection.fileno(), 1)
        self._readable.start(self._read)
        self._timer = loop.timer(write_deadline, write_deadline / 2)
        self._timer.start(self._check)

    def stop(self) -> None:
        """Stop watching; the connection may serve another request."""
        for watcher in (self._readable, self._timer):
            watcher.stop()
            watcher.close()

    def _read(self) -> None:
        """The viewer has closed, or sends something it was not asked for, which the server will read later."""
        try:
            gone = not self._connection._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        self._readable.stop()
        if gone:
            self._stream.leave()

    def _check(self) -> None:
        since = self._stream.writing_since
        if since is not None and time.monotonic() - since >= self._write_deadline:
            self._timer.stop()
            self._stream.leave()
            with suppress(OSError):  # the writer, which waits for it, gets EPIPE
                self._connection.shutdown(socket.SHUT_RDWR)
