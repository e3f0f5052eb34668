"""What is published, as it is heard: one subscribed connection that says when it breaks."""

import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import hiredis
import redis

from headway.errors import JournalUnavailable
from headway.events import Subject
from headway.keys import EVERY_TASK, key, seq_of, subject_of

READ_SIZE = 65536


class Message(NamedTuple):
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
        except (TimeoutError, BlockingIOError):
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
    if not isinstance(reply, list) or reply[0] == b"pong":
        return Acknowledged(NOTHING)  # the first is a PONG while nothing is subscribed
    kind, channel, *rest = reply
    if kind == b"psubscribe":
        return Acknowledged(EVERYTHING)
    if kind == b"pmessage":
        kind, (channel, *rest) = b"message", rest
    subject = subject_of(channel)
    if subject is None:
        return None
    if kind == b"subscribe":
        return Acknowledged(subject)
    parts = rest[0].split(b" ", 2) if kind == b"message" else []
    if len(parts) != 3:
        return None
    message = Message(subject, parts[0].decode("latin-1"), parts[1].decode("latin-1"), parts[2])
    return message if seq_of(message.id) else None
