"""The rows that a table has now, with what was recorded since an instant taken back."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Float,
    Select,
    String,
    Text,
    any_,
    cast,
    collate,
    column,
    exists,
    literal,
    not_,
    null,
    select,
    table,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, OID

from ..errors import HistoryError
from .audited_table import AuditedTable, array_of
from .bounds import first_id_since
from .exact import ExactText, operate, pg, undecorated
from .first_afterwards import first_afterwards
from .known_keys import ROW_KEY
from .live_refusals import AS_TEXT, DOUBLE, is_told, types_of_key
from .past_objects import masked_note, missing_note
from .past_rows import as_column, states
from .row_keys import key_part, key_text, shortened
from .types import StoredType


def live_rows(audited: AuditedTable, when: dt.datetime, row_key: ColumnElement[str] | None = None) -> Select[Any]:
    """Select the rows that a table has now, and of those that changed since an instant, what they were.

    A row that nothing is recorded of since is given as it is, so all that was changed has to be recorded: where that
    cannot be told, the query fails.

    :raises HistoryError: if not all changes of the table are recorded.
    """
    if not audited.options.is_complete:
        raise HistoryError(
            f"Of table {audited.table.fullname!r} only {', '.join(audited.options.operations)} is recorded, so its "
            "rows of today do not tell how they were. Ask without live=True."
        )
    until = literal(when, DateTime(timezone=True))
    since = first_id_since(audited.scope, when)
    first = first_afterwards(lambda: audited.activities, until, row_key, lambda activity: activity.id >= since).cte()
    changed = select(first.c.row_key, first.c.id, first.c.is_before).where(first.c.was_there).subquery()
    rows = union_all(_unchanged(audited, first, row_key), states(audited, changed, until)).subquery()
    columns = [as_column(each, rows.c[each.key]) for each in audited.table.columns]
    return select(*columns, rows.c.audit_activity_id, rows.c.audit_notes, rows.c[ROW_KEY]).where(
        is_told(audited, until, since)
    )


def _unchanged(audited: AuditedTable, first: CTE, row_key: ColumnElement[str] | None) -> Select[Any]:
    """Select the rows of which nothing is recorded since."""
    relation = table(
        audited.table.name,
        *(column(each.name) for each in audited.table.columns if audited.records(each.name)),
        column("tableoid", OID),
        schema=audited.table.schema,
    )
    row = relation.alias()
    own_key = _key_of(audited, row)
    query = select(
        *(as_column(each, _value(audited, row, each)) for each in audited.table.columns),
        cast(null(), BigInteger).label("audit_activity_id"),
        _notes(audited).label("audit_notes"),
        own_key.label(ROW_KEY),
    ).where(
        # Tables that inherit from it are recorded under their own names, and so is a temporary one that hides it.
        operate(row.c.tableoid, "=", any_(array_of(select(audited.numbers_now.c.relid)))),
        not_(exists(select(literal(1)).where(first.c.row_key == own_key))),
    )
    return query if row_key is None else query.where(own_key == row_key)


def _value(audited: AuditedTable, row: Any, each: Column[Any]) -> ColumnElement[Any]:
    """Return a value as it is now; none of a column that is not recorded, which may have changed."""
    if not audited.records(each.name):
        return cast(null(), StoredType(each.type))
    value = row.c[each.name]
    type_ = undecorated(each.type)
    if isinstance(type_, Float) and (type_.precision or DOUBLE) < DOUBLE:
        # What is 0.1 is another number in double precision, in which recorded ones are read; its text is the same.
        value = cast(value, ExactText)
    return cast(value, StoredType(each.type))


def _notes(audited: AuditedTable) -> ColumnElement[Any]:
    masked = audited.options.mask
    unknown = [each.name for each in audited.table.columns if not audited.records(each.name)]
    said = [*(missing_note(name) for name in unknown if name not in masked), *map(masked_note, masked)]
    return literal(said, ARRAY(Text()))


def _key_of(audited: AuditedTable, row: Any) -> ColumnElement[str]:
    """Write the primary key of a row as the triggers do, in the collation of those in the trail."""
    return collate(_key_text(audited, row), "C")


def _key_text(audited: AuditedTable, row: Any) -> ColumnElement[str]:
    columns = audited.key_columns
    if len(columns) == 1 and types_of_key(columns[0]) == AS_TEXT:
        text = cast(row.c[columns[0].name], ExactText)
        return shortened(text) if isinstance(undecorated(columns[0].type), String) else text
    parts = [key_part(row.c[each.name], each.type) for each in columns]
    return key_text(pg.jsonb_build_array(*parts, type_=JSONB()), len(parts))
