"""What task code may put into a report, and what becomes of it. Pure.

The table (docs/reporting.md says the same in words):

    None, bool, str, finite float, int up to 2**53   themselves
    larger int                                       its digits as a string; over 4,000 digits refused
    NaN, infinity                                    null
    Decimal, UUID, Path, date, time, aware datetime  text (ISO 8601)
    Enum                                             its value
    dataclass, msgspec.Struct, pydantic model        an object of its fields
    list, tuple, set, frozenset, deque               a list
    Mapping with str, int or Enum keys               an object; keys that collide are refused
    numpy scalar                                     its Python value
    naive datetime, bytes, cycles, depth over 20,
    over 64 KiB, what raises while it is read,
    anything else                                    refused

Text is cut at its limit and lone surrogates become U+FFFD. An object's own `__str__`, `__repr__` or iterator
is never called outside this table.
"""

import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any

import msgspec
from celery.exceptions import SoftTimeLimitExceeded

from headway.errors import InvalidReport
from headway.events import encode

MAX_DEPTH = 20
MAX_BYTES = 64 * 1024  # of one value, encoded: proxies and parsers choke on longer lines
MAX_TEXT = 2_000  # characters of a message
MAX_KEY = 100  # characters of a stage key, label or unit
MAX_DIGITS = 4_000  # CPython refuses to write out longer integers
SAFE_INTEGER = 2**53  # beyond it a browser's number changes value

EMIT_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
# EventSource sends events of its own by these names.
RESERVED = frozenset({"message", "error", "open"})

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TOO_LARGE_INTEGER = 10**MAX_DIGITS
_TOO_MUCH = "The data of one report is at most 64 KiB. Report where it is kept instead."


def text(value: object, limit: int = MAX_TEXT) -> str:
    """The value as text of at most `limit` characters; what is no text goes by the table, or is named by its type."""
    if type(value) is str and len(value) <= limit and value.isascii():
        return value  # nearly always: a fifth of the time
    if not issubclass(type(value), str):  # unlike isinstance, asks the value itself nothing
        try:
            value = str(plain(value))
        except InvalidReport:
            value = _type_name(value)
    said = _exact(value)
    return _whole(said if len(said) <= limit else said[: limit - 1] + "…")


def key(value: object) -> str:
    """A stage's key: text on one line."""
    return _CONTROLS.sub(" ", text(value, MAX_KEY)).strip() or "stage"


def emit_name(value: object) -> str:
    """The name of an emitted event, which becomes the `event:` field of its frame."""
    name = _exact(value) if issubclass(type(value), str) else ""
    if not EMIT_NAME.fullmatch(name):
        raise InvalidReport(
            "The name of an emitted event is 1 to 64 of the characters A-Z a-z 0-9 . _ : -"
        )
    if name in RESERVED:
        raise InvalidReport(f"EventSource uses the name {name!r} itself. Emit under another name.")
    return name


def may_be_emitted(name: str) -> bool:
    """Whether a frame may carry this name: what stands in a journal may have been written by anyone."""
    return bool(EMIT_NAME.fullmatch(name)) and name not in RESERVED


def number(value: object) -> float | int | None:
    """A count: a finite number, never negative; None for what is unknown."""
    if type(value) is int and 0 <= value <= SAFE_INTEGER:
        return value  # nearly always: a tenth of the time
    said = plain(value)
    if said is None:
        return None
    if type(said) not in (int, float):
        raise InvalidReport(f"A count is a number of at most 2**53, not this {_type_name(value)}.")
    return max(0, said)  # type: ignore[no-any-return]


def step(value: object) -> float | int:
    """What is added to a count: any finite number; nothing for NaN and infinity."""
    said = plain(value)
    if said is None and isinstance(value, float):
        return 0
    if type(said) not in (int, float):
        raise InvalidReport(f"A count advances by a number, not by this {_type_name(value)}.")
    return said  # type: ignore[no-any-return]


def data(value: object) -> Any:
    """The value as JSON can say it, at most 64 KiB of it."""
    said = plain(value)
    if isinstance(said, list | dict | str) and len(encode(said)) > MAX_BYTES:
        raise InvalidReport(_TOO_MUCH)
    return said


def plain(value: object) -> Any:
    """The value by the table above; InvalidReport for what the table refuses, whatever the value itself raises."""
    try:
        return _Reading().read(value)
    except (InvalidReport, SoftTimeLimitExceeded):  # a time limit can land anywhere
        raise
    except Exception as error:
        raise InvalidReport(
            f"A value of type {_type_name(value)} raised {_type_name(error)} while it was read."
        ) from error


class _Reading:
    """One value on its way through the table. It stops at what cannot fit, so no value takes it long."""

    def __init__(self) -> None:
        self._left = MAX_BYTES  # every item and every character is at least a byte of JSON
        self._above: list[object] = []  # what holds the value that is being read

    def read(self, value: Any) -> Any:
        self._spend(1)
        # Its type is asked, never the value: proxies and mocks say they are what they are not.
        kind = type(value)
        if issubclass(kind, enum.Enum):
            return self._inside(value, kind)
        for kinds, say in _SCALARS:
            if issubclass(kind, kinds):
                said = say(value)
                return self._text(said) if issubclass(type(said), str) else said
        return self._inside(value, kind)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidReport(_TOO_MUCH)

    def _text(self, value: str) -> str:
        said = _exact(value)
        self._spend(len(said))
        return _whole(said)

    def _inside(self, value: object, kind: type) -> Any:
        if len(self._above) >= MAX_DEPTH or any(value is above for above in self._above):
            raise InvalidReport(f"Data is nested over {MAX_DEPTH} deep, or holds itself.")
        self._above.append(value)
        said = self._compound(value, kind)
        self._above.pop()
        return said

    def _compound(self, value: Any, kind: type) -> Any:
        if issubclass(kind, enum.Enum):
            return self.read(value.value)
        if issubclass(kind, Mapping):
            return self._object(value.items())
        if issubclass(kind, list | tuple | set | frozenset | deque):
            return [self.read(item) for item in value]
        if dataclasses.is_dataclass(kind):
            return self._fields(value, [field.name for field in dataclasses.fields(kind)])
        if issubclass(kind, msgspec.Struct):
            return self._fields(value, kind.__struct_fields__)
        if kind.__module__.partition(".")[0] == "numpy" and value.shape == ():
            return self.read(value.item())
        if isinstance(fields := getattr(kind, "model_fields", None), dict):  # pydantic
            return self._fields(value, fields)
        raise InvalidReport(f"A {_type_name(value)} cannot be sent. Send its text or its fields.")

    def _fields(self, value: object, names: Iterable[str]) -> dict[str, Any]:
        fields = ((name, getattr(value, name)) for name in names)
        return self._object((name, field) for name, field in fields if field is not msgspec.UNSET)

    def _object(self, items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, item in items:
            said = self._key(name)
            if said in result:
                raise InvalidReport(f"Two keys of an object are both {said[:MAX_KEY]!r} in JSON.")
            result[said] = self.read(item)
        return result

    def _key(self, name: Any) -> str:
        name = name.value if issubclass(type(name), enum.Enum) else name
        if issubclass(type(name), str):
            return self._text(name)
        if issubclass(type(name), int) and not issubclass(type(name), bool):
            return self._text(str(_integer(name)))
        raise InvalidReport(f"The keys of an object are text, not {_type_name(name)}.")


def _integer(value: int) -> int | str:
    value = int.__int__(value)
    if abs(value) <= SAFE_INTEGER:
        return value
    if abs(value) >= _TOO_LARGE_INTEGER:
        raise InvalidReport(f"An integer of over {MAX_DIGITS} digits cannot be sent.")
    return str(value)


def _float(value: float) -> float | None:
    return float.__float__(value) if math.isfinite(value) else None


def _moment(value: datetime.datetime) -> str:
    if value.tzinfo is None:
        raise InvalidReport(
            "A datetime without a time zone says no time. Use datetime.now(timezone.utc)."
        )
    return value.isoformat()


def _exact(value: Any) -> str:
    """A str, made of a subclass without asking the subclass."""
    return str.__str__(value)


def _whole(value: str) -> str:
    return _SURROGATES.sub("\ufffd", value)


def _type_name(value: object) -> str:
    """Fit for a log line, whatever the type or its metaclass say."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return _CONTROLS.sub(" ", _whole(name[:MAX_KEY]))


_SCALARS: tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((bool, NoneType), lambda value: value),
    ((str,), _exact),
    ((int,), _integer),
    ((float,), _float),
    ((decimal.Decimal, uuid.UUID, pathlib.PurePath), str),
    ((datetime.datetime,), _moment),  # is a date too
    ((datetime.date, datetime.time), lambda value: value.isoformat()),
)
