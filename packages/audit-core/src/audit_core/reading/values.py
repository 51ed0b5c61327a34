"""Recorded values as the types of a model have them in Python."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.ranges import AbstractMultiRange, AbstractRange, MultiRange, Range
from sqlalchemy.types import TypeDecorator, TypeEngine

#: What stands where people read, for a value that was erased.
ERASED = "(erased)"

_DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)

_INTERVAL = re.compile(
    r"(?:(?P<years>-?\d+) years? ?)?(?:(?P<months>[+-]?\d+) mons? ?)?(?:(?P<days>[+-]?\d+) days? ?)?"
    r"(?:(?P<sign>[+-])?(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?))?"
)
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d{1,6})")
_SHORT_OFFSET = re.compile(r"([+-]\d\d)$")
_RANGE = re.compile(
    r'(?P<open>[\[(])(?P<lower>"(?:[^"\\]|\\.|"")*"|[^",]*),(?P<upper>"(?:[^"\\]|\\.|"")*"|[^",\])]*)(?P<close>[\])])'
)


class ExactFloat(float):
    """A float that remembers how it was written, since numeric has more digits than a float."""

    text: str

    def __new__(cls, text: str) -> ExactFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


def load_json(text: str) -> Any:
    """Read a recorded row without losing digits; what is nested deeper than Python can read stays a text."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return text


def load_recorded(text: str) -> Any:
    """Read JSON that PostgreSQL wrote, which is JSON, with nothing before it or after it."""
    try:
        # Half of what is read is the old row of an insert, and what is new in a delete.
        return {} if text == "{}" else _SCAN(text, 0)[0]
    except RecursionError:
        return text


def as_object(value: Any) -> dict[str, Any]:
    """Return what is read as a JSON object, or an empty one: anybody can have something else written in some places."""
    return value if isinstance(value, dict) else {}


def for_people(data: Any, erased: Collection[str] | None) -> Any:
    """Return recorded data as people should read it: a value that was erased is null in it, and says so here."""
    if not erased or not isinstance(data, dict):
        return data
    return {name: ERASED if name in erased else value for name, value in data.items()}


def dump_json(value: Any) -> str:
    """Write a value as JSON in one line; recorded numbers keep all their digits."""
    try:
        return _dumped(value)
    except RecursionError:
        return json.dumps("nested too deeply to be shown")


def _dumped(value: Any) -> str:
    if isinstance(value, ExactFloat):
        return value.text
    if isinstance(value, dict):
        pairs = (f"{_ENCODER.encode(str(name))}: {_dumped(each)}" for name, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_dumped, value)) + "]"
    return _ENCODER.encode(value)


def to_python(value: Any, type_: TypeEngine[Any]) -> Any:
    """Convert a recorded value into what the type of its column gives in Python.

    What does not fit, because the column had another type then or Python has no such value, stays as it is
    recorded.
    """
    try:
        return convert(value, type_)
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, InvalidOperation):
        return value


def convert(value: Any, type_: TypeEngine[Any]) -> Any:
    """Convert a recorded value as :func:`to_python` does, or fail with whatever error the conversion makes of it."""
    if isinstance(type_, TypeDecorator) and not isinstance(type_, types.Interval):
        return _decorated(None if value is None else convert(value, type_.type_engine(_DIALECT)), type_)
    if value is None or isinstance(type_, types.JSON):
        return value
    if isinstance(type_, postgresql.DOMAIN):
        return convert(value, type_.data_type)
    if isinstance(type_, types.ARRAY):
        return _array(value, type_)
    if isinstance(type_, types.Enum):
        return _after(type_, value)
    if isinstance(type_, AbstractRange):
        return _ranges(value, type_) if isinstance(type_, AbstractMultiRange) else _range(value, type_)
    for kind, conversion in _CONVERSIONS:
        if isinstance(type_, kind):
            return conversion(value, type_)
    return _after(type_, value)


def _decorated(value: Any, type_: TypeDecorator[Any]) -> Any:
    if type(type_).process_result_value is not TypeDecorator.process_result_value:
        return type_.process_result_value(value, _DIALECT)
    if type(type_).result_processor is not TypeDecorator.result_processor:
        return _after(type_, value)
    return value


def _after(type_: TypeEngine[Any], value: Any) -> Any:
    """Do what the type itself does with what a driver returns."""
    process: Callable[[Any], Any] | None = type_.result_processor(_DIALECT, None)
    return value if process is None else process(value)


def _array(value: Any, type_: types.ARRAY[Any]) -> Any:
    collection: Any = tuple if type_.as_tuple else list
    return collection(
        _array(item, type_) if isinstance(item, list) else convert(item, type_.item_type) for item in value
    )


def _number(value: Any) -> Decimal:
    return Decimal(value.text if isinstance(value, ExactFloat) else value)


def _numeric(value: Any, type_: Any) -> Any:
    return _number(value) if type_.asdecimal else float(value)


def _date(value: str, type_: Any) -> dt.date:
    return dt.date.fromisoformat(value)


def _datetime(value: str, type_: Any) -> dt.datetime:
    return dt.datetime.fromisoformat(_iso(value))


def _time(value: str, type_: Any) -> dt.time:
    return dt.time.fromisoformat(_iso(value))


def _iso(value: str) -> str:
    """Write a time as Python 3.10 wants it: six digits after the point, minutes in the offset."""
    value = _FRACTION.sub(lambda match: f".{match[1]:0<6}", value)
    return _SHORT_OFFSET.sub(r"\1:00", value) if ":" in value else value


def _interval(value: str, type_: Any) -> dt.timedelta:
    """Read PostgreSQL's own style; months have 30 days and years 365, as psycopg takes them."""
    match = _INTERVAL.fullmatch(value)
    if match is None:
        raise ValueError(value)
    part = {name: found or 0 for name, found in match.groupdict().items()}
    time = dt.timedelta(
        hours=int(part["hours"]), minutes=int(part["minutes"]), microseconds=int(Decimal(part["seconds"]) * 1_000_000)
    )
    days = int(part["years"]) * 365 + int(part["months"]) * 30 + int(part["days"])
    return dt.timedelta(days=days) + (-time if part["sign"] == "-" else time)


def _uuid(value: str, type_: Any) -> Any:
    return uuid.UUID(value) if type_.as_uuid else str(uuid.UUID(value))


def _bytes(value: str, type_: Any) -> bytes:
    if value.startswith("\\x"):
        return bytes.fromhex(value[2:])
    # As bytea_output = escape writes it.
    unescaped = re.sub(r"\\(\\|[0-7]{3})", lambda match: "\\" if match[1] == "\\" else chr(int(match[1], 8)), value)
    return unescaped.encode("latin-1")


def _range(value: str, type_: Any) -> Range[Any]:
    if value == "empty":
        return Range(empty=True)
    match = _RANGE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return _range_of(match, type_)


def _ranges(value: str, type_: Any) -> list[Range[Any]]:
    return MultiRange(_range_of(match, type_) for match in _RANGE.finditer(value))


def _range_of(match: re.Match[str], type_: Any) -> Range[Any]:
    bounds: Any = match["open"] + match["close"]
    return Range(_bound(match["lower"], type_), _bound(match["upper"], type_), bounds=bounds)


def _bound(text: str, type_: Any) -> Any:
    if not text:
        return None
    if text.startswith('"'):
        text = re.sub(r'\\(.)|"(")', r"\1\2", text[1:-1])
    conversion = _BOUNDS.get(type_.__visit_name__.removesuffix("RANGE").removesuffix("MULTI"))
    return text if conversion is None else conversion(text, None)


def _integer(text: str) -> int | float:
    # Python refuses to read more digits, and numeric can have them.
    return int(text) if len(text) < 4000 else ExactFloat(text)


# json.loads() would make one for each text, which takes as long as reading it.
_DECODER = json.JSONDecoder(parse_float=ExactFloat, parse_int=_integer)
# What decode() calls, once it has looked for white space around the text.
_SCAN: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined]


def _int(value: Any, type_: Any) -> int:
    return int(value)


def _timestamp(value: str, type_: Any) -> dt.datetime:
    return _datetime(value.replace(" ", "T", 1), None)


_BOUNDS: dict[str, Callable[[str, Any], Any]] = {
    "INT4": _int,
    "INT8": _int,
    "NUM": lambda text, _: Decimal(text),
    "DATE": _date,
    "TS": _timestamp,
    "TSTZ": _timestamp,
}

# A subclass stands before its base.
_CONVERSIONS: list[tuple[Any, Callable[[Any, Any], Any]]] = [
    (types.Integer, _int),
    ((types.Numeric, types.Float), _numeric),
    (types.DateTime, _datetime),
    (types.Date, _date),
    (types.Time, _time),
    ((types.Interval, postgresql.INTERVAL), _interval),
    (types.Uuid, _uuid),
    (types.LargeBinary, _bytes),
    (postgresql.INET, lambda value, _: ipaddress.ip_interface(value) if "/" in value else ipaddress.ip_address(value)),
    (postgresql.CIDR, lambda value, _: ipaddress.ip_network(value)),
]
