"""What may be reported, and what becomes of it: the table of `headway.values`, row by row, then by brute force."""

import datetime
import decimal
import enum
import json
import math
import pathlib
import re
import types
import uuid
from collections import ChainMap, OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import msgspec
import pytest

from headway import values
from headway.errors import InvalidReport
from headway.events import encode

UTC = datetime.UTC


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(enum.StrEnum):
    ADA = "ada"


class Mixed(str, enum.Enum):  # noqa: UP042 - the spelling that prints itself as Mixed.ONE
    ONE = "one"


@dataclass
class Point:
    x: int
    y: object = None
    hidden: int = field(default=7, repr=False)


class Record(msgspec.Struct):
    a: int
    b: int | msgspec.UnsetType = msgspec.UNSET


class Model:
    """Looks like a pydantic model."""

    model_fields: Mapping[str, object] = types.MappingProxyType({})

    def __init__(self, **fields: object) -> None:
        type(self).model_fields = dict.fromkeys(fields)
        vars(self).update(fields)


def numpy_scalar(item: object, shape: object = ()) -> object:
    kind = type("float32", (), {"__module__": "numpy", "shape": shape, "item": lambda self: item})
    return kind()


Pair = namedtuple("Pair", "left right")

SAID_AS = [
    (None, None),
    (True, True),
    (False, False),
    ("", ""),
    ("plain", "plain"),
    ("é\u2028\x00\x1b[31m\u202e", "é\u2028\x00\x1b[31m\u202e"),
    (0, 0),
    (-5, -5),
    (2**53, 2**53),
    (-(2**53), -(2**53)),
    (2**53 + 1, "9007199254740993"),
    (-(2**53) - 1, "-9007199254740993"),
    (10**4000 - 1, "9" * 4000),
    (1.5, 1.5),
    (1e300, 1e300),
    (math.nan, None),
    (math.inf, None),
    (-math.inf, None),
    (decimal.Decimal("1.10"), "1.10"),
    (decimal.Decimal("NaN"), "NaN"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.time(3, 4), "03:04:00"),
    (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Name.ADA, "ada"),
    (Mixed.ONE, "one"),
    (Point(1, [Point(2)]), {"x": 1, "y": [{"x": 2, "y": None, "hidden": 7}], "hidden": 7}),
    (Record(1), {"a": 1}),
    (Record(1, 2), {"a": 1, "b": 2}),
    (Model(a=1, b=Colour.RED), {"a": 1, "b": "red"}),
    ([1, (2, {3}), frozenset({4}), deque([5])], [1, [2, [3]], [4], [5]]),
    (Pair(1, 2), [1, 2]),
    ({"a": {"b": [1]}}, {"a": {"b": [1]}}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    ({1: "a", -2: "b"}, {"1": "a", "-2": "b"}),
    ({2**60: 1}, {"1152921504606846976": 1}),
    ({Mixed.ONE: 1, Level.HIGH: 2, Name.ADA: 3}, {"one": 1, "3": 2, "ada": 3}),
    ({"a\nb": 1, "": 2}, {"a\nb": 1, "": 2}),
    (numpy_scalar(0.5), 0.5),
    (numpy_scalar(math.nan), None),
]

REFUSED = {
    "bytes": b"abc",
    "bytearray": bytearray(b"abc"),
    "memoryview": memoryview(b"abc"),
    "naive datetime": datetime.datetime(2026, 1, 2),
    "complex": 1j,
    "object": object(),
    "class": Point,
    "class of a pydantic model": Model,
    "function": len,
    "lambda": lambda: 1,
    "module": math,
    "exception": ValueError("secret"),
    "iterator": iter([1]),
    "generator": (n for n in [1]),
    "range": range(3),
    "timedelta": datetime.timedelta(seconds=1),
    "over 4,000 digits": 10**4000,
    "a million digits": 1 << 3_400_000,
    "a million digits for a key": {1 << 3_400_000: 1},
    "array": numpy_scalar(1, shape=(3,)),
    "mock": mock.MagicMock(),
    "mock of a dict": mock.MagicMock(spec=dict),
    "mock of a str": mock.MagicMock(spec=str),
    "keys that collide": {1: "a", "1": "b"},
    "keys that collide through an enum": {Colour.RED: 1, "red": 2},
    "keys that collide once mended": dict.fromkeys(("\ud800", "\udfff")),
    "key None": {None: 1},
    "key True": {True: 1},
    "key float": {1.5: 1},
    "key tuple": {(1, 2): 1},
    "key bytes": {b"a": 1},
}


@pytest.mark.parametrize(("given", "said"), SAID_AS, ids=lambda value: type(value).__name__)
def test_each_row_of_the_table_is_said_as_it_promises(given: object, said: object) -> None:
    result = values.data(given)
    assert result == said
    assert type(result) is type(said)
    assert json.loads(json.dumps(result, allow_nan=False)) == said


@pytest.mark.parametrize("given", REFUSED)
@pytest.mark.parametrize("wrapped", [lambda it: it, lambda it: [{"a": it}]], ids=["bare", "inside"])
def test_what_is_not_in_the_table_is_refused(given: str, wrapped: Callable[..., Any]) -> None:
    with pytest.raises(InvalidReport):
        values.data(wrapped(REFUSED[given]))


def test_a_generator_is_refused_without_being_started() -> None:
    taken: list[int] = []
    with pytest.raises(InvalidReport):
        values.data(taken.append(n) for n in range(3))  # type: ignore[func-returns-value]
    assert taken == []


# -- how deep, how much --------------------------------------------------------------------------------------


def nested(depth: int, wrap: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


class Holder(enum.Enum):
    SELF = "self"


def list_of_itself() -> object:
    value: list[Any] = []
    value.append(value)
    return value


def object_of_itself() -> object:
    value: dict[str, Any] = {"a": {}}
    value["a"]["b"] = value
    return value


def dataclass_of_itself() -> object:
    value = Point(1)
    value.y = (value,)
    return value


def enum_of_itself() -> object:
    Holder.SELF._value_ = Holder.SELF  # type: ignore[assignment]
    return Holder.SELF


def numpy_scalar_of_itself() -> object:
    value = numpy_scalar(None)
    type(value).item = lambda self: self  # type: ignore[attr-defined]
    return value


@pytest.mark.parametrize(
    "make",
    [list_of_itself, object_of_itself, dataclass_of_itself, enum_of_itself, numpy_scalar_of_itself],
)
def test_what_holds_itself_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidReport, match="holds itself"):
        values.data(make())


def test_a_value_that_occurs_twice_is_no_cycle() -> None:
    twice = [1]
    assert values.data([twice, twice, {"again": twice}]) == [[1], [1], {"again": [1]}]


@pytest.mark.parametrize("wrap", [lambda it: [it], lambda it: {"a": it}, lambda it: Point(1, it)])
def test_twenty_deep_is_sent_and_one_more_is_refused(wrap: Callable[[Any], Any]) -> None:
    encode(values.data(nested(values.MAX_DEPTH, wrap)))
    with pytest.raises(InvalidReport, match="deep"):
        values.data(nested(values.MAX_DEPTH + 1, wrap))


def test_a_hundred_thousand_deep_is_refused() -> None:
    with pytest.raises(InvalidReport, match="deep"):
        values.data(nested(100_000))


@pytest.mark.parametrize(
    "value",
    ["x" * (64 * 1024 - 2), [1] * (32 * 1024 - 1), "é" * ((64 * 1024 - 2) // 6)],
    ids=["text", "items", "text that is escaped"],
)
def test_sixty_four_kib_on_the_wire_are_sent_and_one_item_more_is_refused(value: Any) -> None:
    assert 64 * 1024 - 6 < len(encode(values.data(value))) <= 64 * 1024
    with pytest.raises(InvalidReport, match="64 KiB"):
        values.data(value + value[:1])


def billion() -> object:
    value: object = "lol"
    for _ in range(values.MAX_DEPTH - 1):
        value = [value] * 10
    return value


class Endless(list[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class EndlessMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return map(str, iter(int, 1.5))


@pytest.mark.parametrize(
    "value",
    [billion(), Endless(), "x" * 50_000_000, {"x" * 50_000_000: 1}, [range(9)] * 10**7],
    ids=["a billion laughs", "an endless list", "50 MB", "a key of 50 MB", "ten million items"],
)
def test_what_can_never_fit_is_refused_after_a_look_at_what_would_fit(value: object) -> None:
    with pytest.raises(InvalidReport):
        values.data(value)
    assert len(values.text(value)) <= values.MAX_TEXT


def test_an_endless_mapping_is_refused() -> None:
    with pytest.raises(InvalidReport):
        values.data(EndlessMapping())


# -- text, keys, names, counts -------------------------------------------------------------------------------


def named(value: object) -> str:
    """Its name in a report, the same in every process."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hello", "hello"),
        ("a\r\nb\0\u2028\x1b[31m\u202e", "a\r\nb\0\u2028\x1b[31m\u202e"),
        ("\ud800 and \udfff", "\ufffd and \ufffd"),
        (None, "None"),
        (3, "3"),
        (Colour.RED, "red"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (["a", 1], "['a', 1]"),
        (object(), "object"),
        (b"bytes", "bytes"),
        (ValueError("secret"), "ValueError"),
        (type("Forged\n\x1b[2J", (), {})(), "Forged [2J"),
        ("x" * 2000, "x" * 2000),
        ("x" * 2001, "x" * 1999 + "…"),
        ("\ud800" * 2001, "\ufffd" * 1999 + "…"),
    ],
    ids=named,
)
def test_a_message_is_text_of_at_most_two_thousand_characters(given: object, said: str) -> None:
    assert values.text(given) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("read", "read"),
        ("read pages", "read pages"),
        ("a\nb\r\nc", "a b c"),
        ("\x00a\u2028b\u2029c\x7fd\x85e\x9bf\t", "a b c d e f"),
        ("", "stage"),
        ("\n\n", "stage"),
        (None, "None"),
        (7, "7"),
        (Colour.RED, "red"),
        ("é" * 101, "é" * 99 + "…"),
    ],
    ids=named,
)
def test_a_stage_key_is_one_line_of_at_most_a_hundred_characters(given: object, said: str) -> None:
    assert values.key(given) == said


@pytest.mark.parametrize("name", ["token", "a.b:c-d_E9", "x" * 64])
def test_an_event_may_have_any_safe_name(name: str) -> None:
    assert values.emit_name(name) == name


BAD_NAMES = ["", "message", "error", "open", "a b", "x" * 65, "x\ndata: y", "a\n", "é", "a/b", "٣"]


@pytest.mark.parametrize("name", [*BAD_NAMES, None, 7, b"token", ["token"]], ids=repr)
def test_a_name_that_could_not_stand_in_a_frame_is_refused(name: object) -> None:
    with pytest.raises(InvalidReport, match=r"name"):
        values.emit_name(name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (0, 0),
        (3, 3),
        (1.5, 1.5),
        (-1, 0),
        (-0.5, 0),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        (numpy_scalar(2.5), 2.5),
        (Level.HIGH, 3),
        (2**53, 2**53),
    ],
    ids=named,
)
def test_a_count_is_finite_and_never_negative(given: object, said: object) -> None:
    assert values.number(given) == said


@pytest.mark.parametrize(
    "given", [True, False, "3", "", b"3", [3], decimal.Decimal(3), 2**53 + 1, object()]
)
def test_a_count_that_is_no_number_is_refused(given: object) -> None:
    with pytest.raises(InvalidReport):
        values.number(given)
