"""Each activity of a record begins where the one before it ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, and_, case, column, exists, func, literal, not_, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from .audited_table import AuditedTable
from .exact import ExactText, operate, pg
from .merging import ROW_VERBS, merged

_PAIR = (column("key", ExactText), column("value", JSONB()))


def shown(activity: Any, data: ColumnElement[Any]) -> ColumnElement[Any]:
    """A recorded row without the columns that are masked."""
    masked = func.coalesce(activity.masked, literal([], ARRAY(Text())))
    return operate(type_coerce(data, JSONB()), "-", masked, JSONB())


def differs(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether two states of a row differ in a column that both have, or one of them is NULL."""
    left = pg.jsonb_each(one).table_valued(*_PAIR, joins_implicitly=True)
    right = pg.jsonb_each(other).table_valued(*_PAIR, joins_implicitly=True)
    differing = exists(
        select(literal(1))
        .where(operate(left.c.key, "=", right.c.key), operate(left.c.value, "<>", right.c.value))
        .correlate_except(left, right)
    )
    return or_(one.is_(None) != other.is_(None), and_(operate(one, "<>", other), differing))


def is_torn(audited: AuditedTable, activity: Any) -> ColumnElement[bool]:
    """Return whether an update does not begin where the activity of its key before it ended, and no bypass says why.

    It takes a look into the index for each row; :meth:`audit_core.AuditLog.verify` looks at everything.
    """
    other = audited.activities
    left = case((other.c.verb != "delete", shown(other.c, merged(other.c, audited.scope.activity_cls))))
    last = (
        select(other.c.id, left.label("left"), other.c.native_transaction_id, other.c.old_row_key)
        .where(
            other.c.row_key == func.coalesce(activity.old_row_key, activity.row_key),
            other.c.id < activity.id,
            other.c.verb.in_(ROW_VERBS),
        )
        .order_by(other.c.id.desc())
        .limit(1)
        .correlate_except(other)
        .lateral()
    )
    # Where rows change places, it may be another one that has come.
    is_other = and_(last.c.old_row_key.is_not(None), last.c.native_transaction_id == activity.native_transaction_id)
    # What a delta leaves out is what the activity before it left.
    begins = shown(activity, activity.old_data)
    bypass = audited.interruptions.alias()
    is_explained = exists(
        select(literal(1))
        .where(bypass.c.verb == "bypass", bypass.c.id > last.c.id, bypass.c.id < activity.id)
        .correlate_except(bypass)
    )
    torn = select(literal(1)).select_from(last).where(not_(is_other), differs(last.c.left, begins), not_(is_explained))
    return and_(activity.verb == "update", exists(torn.correlate_except(last)))
