"""The reference parser itself, against the examples and rules of the specification."""

import pytest

from tests.eventstream import Event, Parser, parse

CASES = {
    "three lines make one event": (
        "data: YHOO\ndata: +2\ndata: 10\n\n",
        [("message", None, "YHOO\n+2\n10", "")],
    ),
    "ids stick until they are emptied": (
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [
            ("message", "1", "first event", "1"),
            ("message", "", "second event", ""),
            ("message", None, " third event", ""),
        ],
    ),
    "data may be empty, and what is not ended is not an event": (
        "data\n\ndata\ndata\n\ndata:",
        [("message", None, "", ""), ("message", None, "\n", "")],
    ),
    "one space after the colon is left out": (
        "data:test\n\ndata: test\n\n",
        [("message", None, "test", ""), ("message", None, "test", "")],
    ),
    "lines end with CR, LF or both": (
        "data: a\rdata: b\r\ndata: c\n\r\n",
        [("message", None, "a\nb\nc", "")],
    ),
    "nothing else ends a line": (
        "data: a\x0b\x0c\x1c\x85\u2028\u2029b\n\n",
        [("message", None, "a\x0b\x0c\x1c\x85\u2028\u2029b", "")],
    ),
    "one byte order mark is left out, at the beginning": (
        "\ufeffdata: a\n\n\ufeffdata: b\n\n",
        [("message", None, "a", "")],
    ),
    "an id with NUL is no id": (
        "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        [("message", "1", "a", "1"), ("message", None, "b", "1")],
    ),
    "an id without data counts and makes no event": (
        "id: 7\n\ndata: a\n\n",
        [("message", None, "a", "7")],
    ),
    "a name without data makes no event and is forgotten": (
        "event: open\n\ndata: a\n\n",
        [("message", None, "a", "")],
    ),
    "names are the sender's, an empty one is message": (
        "event: add\ndata: 1\n\nevent:\ndata: 2\n\n",
        [("add", None, "1", ""), ("message", None, "2", "")],
    ),
    "fields are told apart by their exact names": (
        "Data: a\n data: b\ndata : c\ndata: d\n\n",
        [("message", None, "d", "")],
    ),
    "comments are no events": (":\n\n: x\n\n:data: y\n\n", []),
}


@pytest.mark.parametrize("name", CASES)
def test_the_reference_reads(name: str) -> None:
    stream, expected = CASES[name]
    assert parse(stream.encode()) == [Event(*each) for each in expected]


@pytest.mark.parametrize("name", CASES)
def test_the_reference_reads_the_same_byte_by_byte(name: str) -> None:
    stream = CASES[name][0].encode()
    parser = Parser()
    torn = [event for byte in stream for event in parser.feed(bytes([byte]))]
    assert torn == parse(stream)


def test_the_reference_takes_digits_alone_for_a_retry() -> None:
    parser = Parser()
    for line, told in (("retry: 10", 10), ("retry: 1e3", 10), ("retry: -1", 10), ("retry:", 10)):
        parser.feed(f"{line}\n".encode())
        assert parser.retry_ms == told


def test_the_reference_replaces_what_is_not_utf_8() -> None:
    assert parse(b"data: \xff\xed\xa0\x80\n\n")[0].data == "\ufffd\ufffd\ufffd\ufffd"
