"""What may be reported, against objects that fight back, and by brute force."""

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headway import values
from headway.errors import InvalidReport
from headway.events import encode
from tests.unit.test_values import (
    REFUSED,
    Colour,
    EndlessMapping,
    Level,
    Mixed,
    Model,
    Name,
    Point,
    Record,
    numpy_scalar,
)


class Trap(Exception):
    """Raised by an object that should have been left alone."""


def spring(*_: object, **__: object) -> Any:
    raise Trap


EVERY_METHOD = """__str__ __repr__ __iter__ __len__ __getitem__ __json__ __hash__ __eq__ __bool__ __int__ __float__
__index__ __format__ __lt__ __getattr__ __dir__ __bytes__ __abs__ __contains__ __reduce__"""


def evil(base: type, *arguments: Any, **more: object) -> Any:
    """An instance of a subclass of which every method raises."""
    members = dict.fromkeys(EVERY_METHOD.split(), spring) | more
    return type("Evil", (base,), members)(*arguments)


class EvilMeta(type):
    __name__ = property(spring)


KINDS = (bool, int, float, str, list, dict, set, enum.Enum, decimal.Decimal, Point, Record)


class Liar:
    def __init__(self, kind: type) -> None:
        self.kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.kind


class LiarThatRaises:
    __class__ = property(spring)


class EvilZone(datetime.tzinfo):
    utcoffset = dst = tzname = spring


class EvilModel:
    model_fields: Mapping[str, object] = {"a": None}
    a = property(spring)


@dataclasses.dataclass
class EvilField:
    x: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "x":
            raise Trap
        return super().__getattribute__(name)


def struct_with_a_field_unset() -> Record:
    value = Record(1)
    del value.a
    return value


EVIL: dict[str, Callable[[], Any]] = {
    "object": lambda: evil(object),
    "list": lambda: evil(list, [1]),
    "tuple": lambda: evil(tuple, [1]),
    "set": lambda: evil(set),
    "deque": lambda: evil(deque, [1]),
    "dict": lambda: evil(dict, items=spring, keys=spring),
    "mapping": lambda: evil(EndlessMapping),
    "Decimal": lambda: evil(decimal.Decimal, 1),
    "Path": lambda: evil(pathlib.PurePosixPath, "a"),
    "UUID": lambda: evil(uuid.UUID, "0" * 32),
    "date": lambda: evil(datetime.date, 2026, 1, 1, isoformat=spring),
    "time zone": lambda: datetime.datetime(2026, 1, 1, tzinfo=EvilZone()),
    "dataclass": EvilField,
    "struct with a field unset": struct_with_a_field_unset,
    "pydantic": EvilModel,
    "numpy": lambda: evil(type(numpy_scalar(1)), shape=property(spring), __module__="numpy"),
    "module None": lambda: evil(object, __module__=None),
    "metaclass": EvilMeta("Meta", (), {}),
    "class that raises": LiarThatRaises,
    **{f"says it is {kind.__name__}": partial(Liar, kind) for kind in KINDS},
}

ENTRANCES: dict[str, Callable[[Any], object]] = {
    "data": values.data,
    "data in a list": lambda value: values.data([value]),
    "data in an object": lambda value: values.data({"a": value}),
    "number": values.number,
    "emit_name": values.emit_name,
}


@pytest.mark.parametrize("kind", EVIL)
@pytest.mark.parametrize("entrance", ENTRANCES.values(), ids=ENTRANCES)
def test_an_object_that_raises_whatever_it_is_asked_is_refused(
    entrance: Callable[[Any], object], kind: str
) -> None:
    value = EVIL[kind]()
    with pytest.raises(InvalidReport):
        entrance(value)


@pytest.mark.parametrize("kind", EVIL)
def test_text_and_keys_are_made_of_anything_without_raising(kind: str) -> None:
    assert type(values.text(EVIL[kind]())) is str
    assert type(values.key(EVIL[kind]())) is str


@pytest.mark.parametrize(
    ("value", "said"),
    [(evil(str, "abc"), "abc"), (evil(int, 7), 7), (evil(float, 1.5), 1.5)],
    ids=["str", "int", "float"],
)
def test_a_subclass_is_said_as_what_it_is_without_asking_it(value: Any, said: object) -> None:
    for result in (values.data(value), values.data([value])[0]):
        assert type(result) is type(said)
        assert result == said


def test_a_subclass_of_text_becomes_text_wherever_text_is_taken() -> None:
    name = evil(str, "name")
    for result in (values.text(name), values.key(name), values.emit_name(name)):
        assert type(result) is str
        assert result == "name"
    assert [type(key) for key in values.data({Name.ADA: 1})] == [str]


def test_an_object_outside_the_table_is_never_asked_for_its_text() -> None:
    asked = mock.MagicMock(name="asked")

    class Lazy:
        __str__ = __repr__ = __iter__ = __len__ = __json__ = asked

    with pytest.raises(InvalidReport, match="A Lazy cannot be sent"):
        values.data({"lazy": Lazy()})
    assert values.text(Lazy()) == "Lazy"
    asked.assert_not_called()


def test_a_collection_that_changes_while_it_is_read_is_refused() -> None:
    class Changing(set[int]):
        def __iter__(self) -> Iterator[int]:
            for item in super().__iter__():
                self.add(item + 1)
                yield item

    with pytest.raises(InvalidReport, match="RuntimeError"):
        values.data(Changing({1}))


def test_a_soft_time_limit_that_lands_in_a_value_is_not_taken_for_the_values_own() -> None:
    class Slow(dict[str, int]):
        def items(self) -> Any:
            raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        values.data(Slow())


def test_near_the_end_of_the_stack_a_value_is_refused_not_fatal() -> None:
    def dive() -> None:
        try:
            dive()
        except RecursionError:
            refusals.append(refusal())
            raise

    def refusal() -> str:
        try:
            values.data([[[[[[1]]]]]])
        except InvalidReport:
            return "refused"
        return "sent"

    refusals: list[str] = []
    with pytest.raises(RecursionError):
        dive()
    assert set(refusals) == {"refused", "sent"}


# -- brute force ---------------------------------------------------------------------------------------------

TOO_EVIL = {"class that raises"}  # Hypothesis asks it for its class
any_text = st.text(st.characters(codec=None))  # surrogates too
scalars = st.one_of(
    st.none(),
    st.booleans(),
    any_text,
    st.integers(),
    st.integers(4000, 20_000).map(lambda digits: 1 << digits),
    st.floats(),
    st.decimals(),
    st.uuids(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.dates(),
    st.times(),
    st.binary(),
    st.complex_numbers(),
    st.sampled_from([Colour.RED, Level.HIGH, Mixed.ONE]),
    st.sampled_from(sorted(REFUSED)).map(lambda kind: REFUSED[kind]),
    st.sampled_from(sorted(EVIL.keys() - TOO_EVIL)).map(lambda kind: EVIL[kind]()),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(any_text | st.integers() | st.sampled_from([*Colour, *Mixed, None]), inner),
        st.builds(Point, st.integers(), inner),
        st.builds(numpy_scalar, inner),
        inner.map(lambda value: Model(a=value)),
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
@example(float("nan"))
@example({"\ud83d\ude00": 1})
def test_whatever_comes_in_what_goes_out_is_json_or_it_is_refused(value: object) -> None:
    try:
        said = values.data(value)
    except InvalidReport:
        return
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    wire = encode(said)
    assert json.loads(wire) == said
    assert wire.isascii()
    assert len(wire) <= values.MAX_BYTES


@settings(max_examples=200, deadline=None)
@given(anything, st.integers(1, 50))
def test_whatever_comes_in_its_text_has_an_end_and_its_key_is_one_line(
    value: object, limit: int
) -> None:
    said, key = values.text(value, limit), values.key(value)
    assert len(said) <= limit
    assert 0 < len(key) <= values.MAX_KEY
    assert len(key.splitlines()) == 1
    for result in (said, key):
        result.encode()


@settings(max_examples=200, deadline=None)
@given(anything)
def test_whatever_comes_in_a_count_is_a_sendable_number_or_unknown_or_refused(
    value: object,
) -> None:
    try:
        count = values.number(value)
    except InvalidReport:
        return
    assert count is None or 0 <= count < math.inf
