"""A condition on the key of the rows of the past, said in a way that the index of the trail answers.

A row's columns are read from JSON, so PostgreSQL cannot tell that ``id = 7`` is a condition on ``row_key``. Where a
key of one column is compared with a value, ``row_key`` is compared as well, with what the triggers write of it.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Sequence
from copy import copy
from typing import Any

from sqlalchemy import ClauseElement, ColumnClause, ColumnElement, and_, any_, case, exists, literal, select, union
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import operators, sqltypes
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.selectable import Subquery
from sqlalchemy.types import TypeEngine

from .audited_table import AuditedTable, array_of
from .coverage import coverage_table
from .exact import ExactText, exact_text, pg

#: What the key of a row is called among its columns.
ROW_KEY = "audit_row_key"

# Of a longer one there may be the digest only: a character takes up to 4 of 1,000 bytes.
_LONGEST_TEXT = 250

_INTEGERS: tuple[type, ...] = (sqltypes.Integer, sqltypes.BigInteger, sqltypes.SmallInteger)
_INTEGERS += (sqltypes.INTEGER, sqltypes.BIGINT, sqltypes.SMALLINT)
_TEXTS = (sqltypes.String, sqltypes.Text, sqltypes.Unicode, sqltypes.UnicodeText, sqltypes.VARCHAR, sqltypes.TEXT)
_UUIDS = (sqltypes.Uuid, sqltypes.UUID, postgresql.UUID)


class Keyed(Subquery):
    """Rows of the past, which know what their key is."""

    inherit_cache = True

    _audited: AuditedTable
    #: The name of the column that is the key, if it is a single one.
    _key: str | None


class _Comparator(TypeEngine.Comparator[Any]):
    """Compares a column of rows of the past, and their ``row_key`` where the column is the key."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        compared = super().operate(op, *other, **kwargs)
        texts = _texts(self.type, op, other)
        rows = self.expr.table if isinstance(self.expr, ColumnClause) else None
        if texts is None or not isinstance(rows, Keyed) or rows._key != self.expr.key:
            return compared
        return and_(compared, rows.c[ROW_KEY] == any_(_Aside(_keys(rows._audited, texts))))


class _Aside(Grouping[Any]):
    """An expression with queries of its own: who joins by a condition looks at the columns that the condition has."""

    inherit_cache = True

    def get_children(self, *, omit_attrs: tuple[str, ...] = (), **kwargs: Any) -> tuple[ClauseElement, ...]:
        return ()


class _IntegerComparator(_Comparator, sqltypes.Integer.Comparator[Any]):
    pass


class _TextComparator(_Comparator, sqltypes.String.Comparator[Any]):
    pass


def comparing(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of a column such that, as a key, it is found by the index; the type itself if it has no such."""
    kind = type(type_)
    factory: Any
    if kind in _INTEGERS:
        factory = _IntegerComparator
    # By another collation texts may be equal that are written differently.
    elif kind in _TEXTS and getattr(type_, "collation", None) is None:
        factory = _TextComparator
    elif kind in _UUIDS and getattr(type_, "as_uuid", False) and getattr(type_, "native_uuid", False):
        factory = _Comparator
    else:
        return type_
    found = copy(type_)
    found.comparator_factory = factory
    return found


def _texts(type_: TypeEngine[Any], op: Any, other: Sequence[Any]) -> list[str] | None:
    """Write the values with which a column is compared, as the triggers do; None if not all of them can be."""
    values: Any
    if op is operator.eq:
        values = other
    elif op is operators.in_op and isinstance(other[0], (list, tuple, set, frozenset)):
        values = other[0]
    else:
        return None
    texts = [_text(type_, each) for each in values]
    return None if None in texts else [each for each in texts if each is not None]


def _text(type_: TypeEngine[Any], value: Any) -> str | None:
    if isinstance(type_, sqltypes.Integer) and type(value) is int:
        return str(value)
    if isinstance(type_, sqltypes.String) and type(value) is str and len(value) <= _LONGEST_TEXT:
        return value
    if isinstance(type_, sqltypes.Uuid) and isinstance(value, uuid.UUID):
        return str(value)
    return None


def _keys(audited: AuditedTable, texts: list[str]) -> ColumnElement[Any]:
    """Return the keys of the rows that are asked for; all that there are, if other columns once were the key."""
    events = coverage_table(audited.scope)
    name = exact_text("key=")
    argument = pg.unnest(events.c.arguments, type_=ExactText()).column_valued()
    is_key = and_(pg.starts_with(argument, name), argument != name + exact_text(str(audited.key_columns[0].name)))
    had_other = exists(
        select(literal(1)).where(audited.is_of(events.c), exists(select(literal(1)).where(is_key).correlate(events)))
    )
    # Those of other tables of the name do no harm, and to tell them apart takes time for each partition.
    given, left = audited.all_activities, audited.all_activities
    keys = (
        select(key).where(audited.has_name(each.c), key.is_not(None))
        for each, key in ((given, given.c.row_key.label("key")), (left, left.c.old_row_key))
    )
    every = union(*keys)
    return case((had_other, array_of(every)), else_=literal(texts, ARRAY(ExactText())))
