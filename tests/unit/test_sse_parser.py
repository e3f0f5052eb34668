"""The parser, by the examples of tests/fixtures/sse, however the bytes are torn."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.sse import MOST, Comment, Frame, Parser, Retry
from tests import eventstream

FOLDER = Path(__file__).parents[1] / "fixtures" / "sse"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))
]


def read(*chunks: bytes) -> dict[str, Any]:
    parser = Parser()
    said = [each for chunk in chunks for each in parser.feed(chunk)]
    retries = [each.ms for each in said if isinstance(each, Retry)]
    return {
        "events": [each._asdict() for each in said if isinstance(each, Frame)],
        "comments": [each.text for each in said if isinstance(each, Comment)],
        "retry": retries[-1] if retries else None,
        "last_id": parser.last_id,
    }


@pytest.mark.parametrize("case", CASES)
def test_a_stream_means_the_same_however_it_is_torn(case: dict[str, Any]) -> None:
    stream = base64.b64decode(case["base64"]) if "base64" in case else case["stream"].encode()
    expected = {
        "events": case["events"],
        "comments": case.get("comments", []),
        "retry": case.get("retry"),
        "last_id": case["last_id"],
    }
    assert read(stream) == expected
    assert read(*(bytes([byte]) for byte in stream)) == expected
    for cut in range(1, len(stream)):
        assert read(stream[:cut], stream[cut:]) == expected, f"cut at {cut}"


def test_there_are_at_least_forty_examples() -> None:
    assert len(CASES) >= 40


PARTS = ["data", "id", "event", "retry", ":", ": ", " ", "\n", "\n\n", "\r", "\r\n", "a", "7", "é"]


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join))
def test_it_agrees_with_the_reference_about_random_streams(text: str) -> None:
    stream = text.encode() + b":"  # the reference keeps a last CR for the LF that may follow
    told = [(each.event, each.data, each.id, each.last_id) for each in eventstream.parse(stream)]
    assert [tuple(each) for each in Parser().feed(stream) if isinstance(each, Frame)] == [
        (event, data, id, last) for event, data, id, last in told
    ]


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: x\n" * 8192])
def test_a_line_or_an_event_that_never_ends_is_given_up_at_a_megabyte(piece: bytes) -> None:
    pieces = [piece] * (2 * MOST // len(piece) + 1)
    with pytest.raises(ValueError, match="longer than 1 MiB"):
        read(*pieces)


def test_comments_without_end_cost_nothing() -> None:
    parser = Parser()
    piece = (b":" + b"x" * 62 + b"\n") * 1024
    assert sum(len(parser.feed(piece)) for _ in range(64)) == 64 * 1024
