"""What becomes of the bytes that a server says, on their way through a proxy. Pure."""

from collections.abc import Callable, Iterable, Iterator

#: Takes a piece of a stream: bytes are passed on, a number is a pause in seconds.
Shape = Callable[[bytes], Iterable[bytes | float]]


class Cut(Exception):
    """A shape raises it to end the line, after what it has passed on."""


def whole(data: bytes) -> Iterable[bytes | float]:
    return [data]


def byte_by_byte(count: int) -> Shape:
    """The first bytes come alone, each a packet of its own."""
    left = count

    def shape(data: bytes) -> Iterator[bytes | float]:
        nonlocal left
        for i in range(min(left, len(data))):
            yield data[i : i + 1]
        yield data[left:]
        left = max(0, left - len(data))

    return shape


def one_a_second(data: bytes) -> Iterator[bytes | float]:
    for i in range(len(data)):
        yield data[i : i + 1]
        yield 1.0


def late(seconds: float) -> Shape:
    return lambda data: [seconds, data]


def only(count: int) -> Shape:
    """The first bytes pass, then the line breaks."""
    left = count

    def shape(data: bytes) -> Iterator[bytes | float]:
        nonlocal left
        yield data[:left]
        left -= len(data)
        if left <= 0:
            raise Cut

    return shape


def replies(heard: Callable[[bytes], bool], then: Shape) -> Shape:
    """Passes on whole replies of Redis, those that shall be heard."""
    rest = b""

    def shape(data: bytes) -> Iterator[bytes | float]:
        nonlocal rest
        rest += data
        start = 0
        while (end := _end_of_reply(rest, start)) is not None:
            reply, start = rest[start:end], end
            if heard(reply):
                yield from then(reply)
        rest = rest[start:]

    return shape


def _end_of_reply(said: bytes, at: int) -> int | None:
    """Where the reply (RESP 2) that begins there ends; None if it has not all come yet."""
    line_end = said.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, end = said[at : at + 1], line_end + 2
    if kind in b"+-:":
        return end
    count = int(said[at + 1 : line_end])
    if kind == b"$":
        end += count + 2 if count >= 0 else 0
        return end if end <= len(said) else None
    for _ in range(count):
        after = _end_of_reply(said, end)
        if after is None:
            return None
        end = after
    return end
