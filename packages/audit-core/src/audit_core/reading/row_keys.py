"""Primary keys as the triggers write them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, DateTime, Integer, LargeBinary, case, cast, collate, literal
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from .exact import ExactText, exact_text, is_named, operate, pg, undecorated
from .types import StoredType

#: Keys of more bytes stand in the trail as their digest, filled up to a length that no other key has.
_LONGEST_KEY = 1000


def key_value(value: Any, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    given: ColumnElement[Any] = cast(literal(value, type_), StoredType(type_, keep_scale=True))
    # Those of several columns cannot stand in one array.
    if getattr(undecorated(type_), "collation", None) is not None:
        given = collate(given, "C")
    return key_part(given, type_)


def key_part(given: ColumnElement[Any], type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """Write a value of a key in the form that it has in JSON."""
    stored = undecorated(type_)
    # As the triggers write it, whatever the settings of the session are.
    if isinstance(stored, DateTime) and stored.timezone:
        array = pg.jsonb_build_array(pg.timezone(exact_text("UTC"), given), type_=JSONB())
        written = operate(array, "->>", literal(0, Integer()), ExactText())
        return case((pg.isfinite(given), written + "+00:00"), else_=written)
    if isinstance(stored, LargeBinary):
        return exact_text("\\x") + pg.encode(given, exact_text("hex"), type_=ExactText())
    # As its text, which takes none of the casts that the application may have made.
    return pg.format(exact_text("%s"), given, type_=ExactText()) if is_named(type_) else given


def key_text(values: ColumnElement[Any], size: int) -> ColumnElement[str]:
    """Write the values of a key, a JSON array, as ``row_key`` has them."""
    if size == 1:
        return shortened(operate(values, "->>", literal(0, Integer()), ExactText()))
    return shortened(cast(values, ExactText))


def shortened(key: ColumnElement[str]) -> ColumnElement[str]:
    """Write a key as its digest if it is too long for an index."""
    encoded = pg.convert_to(key, pg.getdatabaseencoding())
    digest = exact_text("sha256:") + pg.encode(pg.sha256(encoded), exact_text("hex"), type_=ExactText())
    filled = pg.rpad(digest, literal(_LONGEST_KEY + 1, Integer()), exact_text("."), type_=ExactText())
    return case((pg.octet_length(key) > _LONGEST_KEY, filled), else_=key)
