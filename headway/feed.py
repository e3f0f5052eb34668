"""What is published, as it is heard: one subscribed connection that says when it breaks."""

import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import hiredis
import redis
from msgspec import Struct

from headway.errors import JournalUnavailable
from headway.events import Subject
from headway.keys import CURSOR, EVERY_TASK, key, subject_of

READ_SIZE = 65536


class Message(Struct, frozen=True, gc=False):
    """An event as it was published."""

    subject: Subject
    previous: str
    id: str
    payload: bytes


class Acknowledged(NamedTuple):
    """Redis has confirmed a subscription: whatever is appended from now on will be heard. Or it has only answered
    a ping: then this is about NOTHING.
    """

    subject: Subject


NOTHING = Subject("task", "")
EVERYTHING = Subject("task", "*")


class Feed:
    """One subscribed connection. It never reconnects by itself: whoever reads it must know that it broke.

    One thread reads; any thread may subscribe. redis-py's own pub/sub is not used because it reconnects
    silently, which loses messages (docs/why.md).
    """

    def __init__(self, connection: Any) -> None:
        """`connection` has been made and greeted, and nothing else reads from it."""
        self._connection = connection
        self._socket = connection._sock
        self._reader = hiredis.Reader(replyError=redis.ResponseError)
        self._sending = threading.Lock()
        self._broken = False

    def subscribe(self, subjects: Iterable[Subject]) -> None:
        self._send("SUBSCRIBE", [key(subject) for subject in subjects])

    def subscribe_all(self) -> None:
        """Hear every task. Acknowledged as EVERYTHING."""
        self._send("PSUBSCRIBE", [EVERY_TASK])

    def unsubscribe(self, subjects: Iterable[Subject]) -> None:
        self._send("UNSUBSCRIBE", [key(subject) for subject in subjects])

    def ping(self) -> None:
        """Ask for a sign of life: a half-open connection looks like a quiet one."""
        self._send("PING", [""])

    def _send(self, command: str, arguments: list[str]) -> None:
        with self._sending:
            if self._broken or not arguments:
                return
            try:
                packed = self._connection.pack_command(command, *arguments)
                self._connection.send_packed_command(packed, check_health=False)
            except (redis.RedisError, OSError):
                self._broken = True  # the reader finds out too, and starts anew with everything

    def read(self, seconds: float) -> list[Message | Acknowledged]:
        """What has come, waiting at most `seconds` for more of it. Raises JournalUnavailable when it broke."""
        try:
            self._socket.settimeout(seconds)
            while True:
                data = self._socket.recv(READ_SIZE)
                if not data:
                    raise redis.ConnectionError("Redis has closed the connection")
                self._reader.feed(data)
                if heard := list(self._replies()):
                    return heard
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            if not self._broken:
                return []
            raise JournalUnavailable("The subscription was closed.") from None
        except (redis.RedisError, OSError, hiredis.HiredisError) as error:
            self.close()
            raise JournalUnavailable(f"The subscription broke: {error}") from error

    def _replies(self) -> Iterator[Message | Acknowledged]:
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, redis.ResponseError):
                raise reply
            if heard := _heard(reply):
                yield heard

    def close(self) -> None:
        with self._sending:
            self._broken = True
            self._connection.disconnect()


def _heard(reply: Any) -> Message | Acknowledged | None:
    """None for what is not ours; the audit finds out if something was."""
    if not isinstance(reply, list):
        return Acknowledged(NOTHING)  # a PONG while nothing is subscribed
    kind, channel, said = reply[0], reply[-2], reply[-1]
    if kind in (b"message", b"pmessage"):
        return _message(subject_of(channel), said)
    if kind == b"subscribe" and (subject := subject_of(channel)):
        return Acknowledged(subject)
    if kind == b"psubscribe":
        return Acknowledged(EVERYTHING)
    return Acknowledged(NOTHING) if kind == b"pong" else None


def _message(subject: Subject | None, said: bytes) -> Message | None:
    parts = said.split(b" ", 2)
    if subject is None or len(parts) != 3:
        return None
    previous, id = parts[0].decode("latin-1"), parts[1].decode("latin-1")
    return Message(subject, previous, id, parts[2]) if CURSOR.fullmatch(id) else None
