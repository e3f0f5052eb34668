"""What task code may put into a report, and what becomes of it. Pure.

The table (docs/values.md says the same in words):

    None, bool, str, finite float, int up to 2**53   themselves
    larger int                                       its digits as a string; over 4,000 digits refused
    NaN, infinity                                    null
    Decimal, UUID, Path, date, time, aware datetime  text (ISO 8601)
    Enum                                             its value
    dataclass, msgspec.Struct, pydantic model        an object of its fields
    list, tuple, set, frozenset, deque               a list
    Mapping with str or int keys                     an object; keys that collide are refused
    numpy scalar                                     its Python value
    naive datetime, bytes, cycles, depth over 20,
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
from collections.abc import Mapping
from typing import Any

import msgspec

from headway.errors import InvalidReport

MAX_DEPTH = 20
MAX_BYTES = 64 * 1024  # of one value, encoded: proxies and parsers choke on longer lines
MAX_TEXT = 2_000  # characters of a message
MAX_KEY = 100  # characters of a stage key, label or unit
MAX_DIGITS = 4_000  # CPython refuses to write out longer integers
SAFE_INTEGER = 2**53  # beyond it a browser's number changes value

EMIT_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
RESERVED = frozenset(
    {"message", "error", "open"}
)  # EventSource sends events of its own by these names

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def text(value: object, limit: int = MAX_TEXT) -> str:
    """The value as text of at most `limit` characters; what is no text goes by the table, or is named by its type."""
    if not isinstance(value, str):
        try:
            value = str(plain(value))
        except InvalidReport:
            value = type(value).__name__
    value = _SURROGATES.sub("\ufffd", value)
    return value if len(value) <= limit else value[: limit - 1] + "…"


def key(value: object) -> str:
    """A stage's key: text on one line."""
    return _CONTROLS.sub(" ", text(value, MAX_KEY)).strip() or "stage"


def emit_name(value: object) -> str:
    """The name of an emitted event, which becomes the `event:` field of its frame."""
    if not isinstance(value, str) or not EMIT_NAME.fullmatch(value):
        raise InvalidReport(
            "The name of an emitted event is 1 to 64 of the characters A-Z a-z 0-9 . _ : -"
        )
    if value in RESERVED:
        raise InvalidReport(f"EventSource uses the name {value!r} itself. Emit under another name.")
    return value


def number(value: object) -> float | int | None:
    """A count: a finite number, never negative; None for what is unknown."""
    value = plain(value)
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        if value is None:
            return None
        raise InvalidReport(f"A count is a number, not {type(value).__name__}.")
    return max(0, value)


def data(value: object) -> Any:
    """The value as JSON can say it, at most 64 KiB of it."""
    value = plain(value)
    if isinstance(value, list | dict | str) and len(msgspec.json.encode(value)) > MAX_BYTES:
        raise InvalidReport(
            "The data of one report is at most 64 KiB. Report where it is kept instead."
        )
    return value


def plain(value: object) -> Any:
    """The value by the table above; raises InvalidReport for what the table refuses."""
    return _plain(value, 0, ())


def _plain(value: object, depth: int, above: tuple[int, ...]) -> Any:
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return _plain(value.value, depth + 1, above)
        case str():
            return _SURROGATES.sub("\ufffd", value)
        case int():
            return _integer(int(value))
        case float():
            return float(value) if math.isfinite(value) else None
        case decimal.Decimal() | uuid.UUID() | pathlib.PurePath():
            return str(value)
        case datetime.datetime() if value.tzinfo is None:
            raise InvalidReport(
                "A datetime without a time zone says no time. Use datetime.now(timezone.utc)."
            )
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
    if depth >= MAX_DEPTH or id(value) in above:
        raise InvalidReport(f"Data is nested over {MAX_DEPTH} deep, or holds itself.")
    return _compound(value, depth + 1, (*above, id(value)))


def _integer(value: int) -> int | str:
    if abs(value) <= SAFE_INTEGER:
        return value
    if value.bit_length() > MAX_DIGITS * 3:
        raise InvalidReport(f"An integer of over {MAX_DIGITS} digits cannot be sent.")
    return str(value)


def _compound(value: object, depth: int, above: tuple[int, ...]) -> Any:
    if isinstance(value, Mapping):
        return _object(value, depth, above)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_plain(item, depth, above) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return _object({name: getattr(value, name) for name in names}, depth, above)
    if isinstance(value, msgspec.Struct):
        return _object(msgspec.structs.asdict(value), depth, above)
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and getattr(value, "shape", None) == ():
        return _plain(value.item(), depth, above)  # type: ignore[attr-defined]
    fields = getattr(type(value), "model_fields", None)  # pydantic
    if isinstance(fields, dict):
        return _object({name: getattr(value, name) for name in fields}, depth, above)
    raise InvalidReport(f"A {type(value).__name__} cannot be sent. Send its text or its fields.")


def _object(value: Mapping[Any, Any], depth: int, above: tuple[int, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise InvalidReport(f"The keys of an object are text, not {type(name).__name__}.")
        said = _SURROGATES.sub("\ufffd", str(name))
        if said in result:
            raise InvalidReport(f"Two keys of an object are both {said!r} in JSON.")
        result[said] = _plain(item, depth, above)
    return result
