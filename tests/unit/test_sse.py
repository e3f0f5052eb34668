"""Frames: their exact bytes, and that every parser finds in them what was put in."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from httpx_sse import EventSource
from sseclient import SSEClient

from headway import events, sse
from headway.events import Error, Stage, Subject, encode
from headway.topics import frame
from tests.eventstream import Parser, parse

TASK = "t1"
ID = "3-77"

#: Every event there is, and the JSON it is sent as.
WIRE: list[tuple[events.Event, bytes]] = [
    (
        events.Queued(task=TASK, at=1.5, name="jobs.read", title="a.pdf"),
        b'{"type":"queued","task":"t1","at":1.5,"name":"jobs.read","title":"a.pdf","workflow":null,"due_at":null}',
    ),
    (
        events.Started(task=TASK, at=2.0, attempt=1, worker="w@h", stages=(Stage(key="read"),)),
        b'{"type":"started","task":"t1","at":2.0,"attempt":1,"name":null,"title":null,"workflow":null,'
        b'"worker":"w@h","due_at":null,"queued_at":null,"started_at":null,"progress":null,"remaining":null,'
        b'"message":null,"data":null,"stages":[{"key":"read","label":null,"status":"waiting","current":null,'
        b'"total":null,"unit":null,"message":null,"data":null,"needs":[],"started_at":null,"finished_at":null,'
        b'"expected":null,"runs":0}]}',
    ),
    (
        events.StageReported(
            task=TASK,
            at=2.5,
            stage=Stage(key="read", status="running", current=1, total=3, unit="page", runs=1),
            progress=0.25,
        ),
        b'{"type":"stage","task":"t1","at":2.5,"stage":{"key":"read","label":null,"status":"running","current":1,'
        b'"total":3,"unit":"page","message":null,"data":null,"needs":[],"started_at":null,"finished_at":null,'
        b'"expected":null,"runs":1},"progress":0.25,"remaining":null}',
    ),
    (
        events.MessageReported(task=TASK, at=3.0, message="half way", progress=0.5),
        b'{"type":"message","task":"t1","at":3.0,"message":"half way","data":null,"progress":0.5}',
    ),
    (
        events.Emitted(task=TASK, at=3.5, name="token", data={"text": "é\n"}),
        b'{"type":"emitted","task":"t1","at":3.5,"name":"token","data":{"text":"\\u00e9\\n"}}',
    ),
    (
        events.Retrying(
            task=TASK, at=4.0, error=Error(type="E", message="m", stage="read"), delay=2.0
        ),
        b'{"type":"retrying","task":"t1","at":4.0,"error":{"type":"E","message":"m","stage":"read"},"delay":2.0}',
    ),
    (
        events.Finished(task=TASK, at=5.0, status="succeeded", result=[1]),
        b'{"type":"finished","task":"t1","at":5.0,"status":"succeeded","result":[1],"error":null}',
    ),
]

#: What the server says of itself: never in a journal, and without an id but for snapshots.
SAID: list[tuple[object, bytes]] = [
    (
        events.Stalled(task=TASK, at=6.0, stalled=True, reason="silent"),
        b'{"type":"stalled","task":"t1","at":6.0,"stalled":true,"reason":"silent"}',
    ),
    (events.Link(at=6.5, live=False), b'{"type":"link","at":6.5,"live":false}'),
    (events.Ended(at=7.0, tasks=2), b'{"type":"ended","at":7.0,"tasks":2}'),
]


def expected_frame(wire: bytes, id: bytes | None = None, event: bytes | None = None) -> bytes:
    lines = [b"event: " + event] if event else []
    lines += [b"data: " + wire, *([b"id: " + id] if id else [])]
    return b"\n".join(lines) + b"\n\n"


def framed(event: events.Event) -> bytes:
    return frame(Subject("task", TASK), ID, encode(event)).data


def by_httpx_sse(stream: bytes) -> list[tuple[str, str, str]]:
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=stream)
    return [(each.event, each.id, each.data) for each in EventSource(response).iter_sse()]


def by_sseclient(stream: bytes) -> list[tuple[str, str | None, str]]:
    client = SSEClient(io.BytesIO(stream))
    return [(each.event, each.id, each.data) for each in client.events()]


def names(values: list[tuple[Any, bytes]]) -> list[str]:
    return [type(value).__name__ for value, _ in values]


# -- exact bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "event", "expected"),
    [
        (None, None, b"data: {}\n\n"),
        ("t1/3-77", None, b"data: {}\nid: t1/3-77\n\n"),
        (None, "token", b"event: token\ndata: {}\n\n"),
        ("t1/3-77", "token", b"event: token\ndata: {}\nid: t1/3-77\n\n"),
    ],
)
def test_a_frame_is_a_name_then_one_line_of_data_then_its_id(
    id: str | None, event: str | None, expected: bytes
) -> None:
    assert sse.frame(b"{}", id=id, event=event) == expected


@pytest.mark.parametrize("data", [b'{"a":\r\n1}', b'{"a":\n1}', b'{"a":\r1}', b'{"a":\n\n\r\r1}'])
def test_line_breaks_between_json_tokens_become_spaces(data: bytes) -> None:
    assert sse.frame(data) == b'data: {"a": 1}\n\n'


def test_an_id_that_is_not_ascii_is_never_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        sse.frame(b"{}", id="é/1-1")


def test_a_stream_opens_with_when_to_come_back_and_how_often_it_will_be_heard_of() -> None:
    assert sse.opening(1234, 15.0) == b"retry: 1234\n:heartbeat 15\n"
    assert sse.opening(1, 0.25) == b"retry: 1\n:heartbeat 0.25\n"


def test_a_heartbeat_is_a_comment_line_without_a_blank_line() -> None:
    assert sse.HEARTBEAT == b":\n"


def test_a_stream_closes_with_when_to_come_back_and_no_blank_line() -> None:
    assert sse.closing(2500) == b"retry: 2500\n"
    parser = Parser()
    assert parser.feed(sse.closing(2500)) == []
    assert parser.retry_ms == 2500


@pytest.mark.parametrize(("event", "wire"), WIRE, ids=names(WIRE))
def test_an_event_is_framed_as_these_bytes(event: events.Event, wire: bytes) -> None:
    name = b"token" if isinstance(event, events.Emitted) else None
    assert encode(event) == wire
    assert framed(event) == expected_frame(wire, b"t1/3-77", name)


@pytest.mark.parametrize(("said", "wire"), SAID, ids=names(SAID))
def test_what_the_server_says_of_itself_is_these_bytes(said: object, wire: bytes) -> None:
    assert encode(said) == wire


def test_a_snapshot_says_its_version_and_names_a_gap_only_when_there_is_one() -> None:
    state = events.State(task=TASK)
    plain = encode(events.Snapshot(task=TASK, at=1.0, state=state))
    assert plain.startswith(
        b'{"type":"snapshot","task":"t1","at":1.0,"v":1,"state":{"task":"t1","name":null,'
    )
    assert b"gap" not in plain
    gap = events.Gap(reason="trimmed", first=1, last=7)
    told = encode(events.Snapshot(task=TASK, at=1.0, state=state, gap=gap))
    assert told.endswith(b',"gap":{"reason":"trimmed","first":1,"last":7}}')


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "expired", "lost"])
def test_every_end_but_lost_ends_a_stream(status: Any) -> None:
    payload = encode(events.Finished(task=TASK, at=1.0, status=status))
    assert frame(Subject("task", TASK), ID, payload).ends is (status != "lost")


# -- what others wrote into the journal ------------------------------------------------------------


def test_json_laid_out_over_lines_is_one_event() -> None:
    payload = json.dumps({"type": "message", "task": TASK, "at": 1, "message": "a"}, indent=1)
    (event,) = parse(frame(Subject("task", TASK), ID, payload.replace("\n", "\r\n").encode()).data)
    assert json.loads(event.data)["message"] == "a"


@pytest.mark.parametrize("name", ["open", "error", "message", "a\nid: 9", "é", "", "x" * 65, "a b"])
def test_a_name_that_emit_would_refuse_is_never_framed(name: str) -> None:
    payload = json.dumps(
        {"type": "emitted", "task": TASK, "at": 1, "name": name}, separators=(",", ":")
    )
    (event,) = parse(frame(Subject("task", TASK), ID, payload.encode()).data)
    assert (event.event, event.id) == ("message", f"{TASK}/{ID}")


@pytest.mark.parametrize(
    "payload", [b"", b"\n", b"not json", b"\xff\xfe", b"data: x\n\nid: 9", b"[]"]
)
def test_what_is_no_event_at_all_forges_nothing(payload: bytes) -> None:
    told = parse(frame(Subject("task", TASK), ID, payload).data)
    assert [(each.event, each.id) for each in told] == [("message", f"{TASK}/{ID}")]


# -- other parsers ---------------------------------------------------------------------------------


def a_whole_stream() -> bytes:
    parts = [sse.opening(1500, 15.0)]
    for event, _ in WIRE:
        parts += [sse.HEARTBEAT, framed(event), sse.HEARTBEAT * 3]
    return b"".join([*parts, sse.HEARTBEAT])


@pytest.mark.parametrize("read", [by_httpx_sse, by_sseclient])
def test_other_parsers_read_the_same_events(
    read: Callable[[bytes], list[tuple[str, str | None, str]]],
) -> None:
    told = [(each.event, each.id, each.data) for each in parse(a_whole_stream())]
    assert told == [
        ("token" if isinstance(event, events.Emitted) else "message", f"{TASK}/{ID}", wire.decode())
        for event, wire in WIRE
    ]
    assert read(a_whole_stream()) == told


@pytest.mark.parametrize("read", [by_httpx_sse, by_sseclient])
def test_the_closing_bytes_are_no_event_to_any_parser(read: Callable[[bytes], list[Any]]) -> None:
    stream = framed(WIRE[0][0]) + sse.closing(2500)
    assert len(read(stream)) == 1


def test_a_stream_torn_at_any_byte_is_read_up_to_its_last_whole_frame() -> None:
    stream = a_whole_stream()
    whole = parse(stream)
    for at in range(len(stream)):
        parser = Parser()
        before = parser.feed(stream[:at])
        assert before == whole[: len(before)]
        assert before + parser.feed(stream[at:]) == whole


def test_what_is_encoded_is_what_msgspec_would_say_but_in_ascii() -> None:
    value = {"é": ["\u2028", 1, 2**60, -0.5, True, None, {}, []]}
    said = encode(value)
    assert said.isascii()
    assert msgspec.json.decode(said) == value
