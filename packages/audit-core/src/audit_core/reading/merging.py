"""The row before an activity and after it, put together from what is recorded.

A delta is an update that says of the row only what changed (``store`` is ``"changes"``). ``delta_depth`` says how many
activities before it under its key the whole row stands; what they changed since then completes it. Key changes are
always recorded whole, and so is the first activity of a row in a partition. ``audit_logger_complete_delta()`` says the
same for what runs in the database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, column, func, inspect, literal, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from .exact import ExactText, exact_text, operate, pg

#: The verbs of activities that hold a row.
ROW_VERBS = ("insert", "update", "delete", "snapshot")

_PAIR = (column("key", ExactText), column("value", JSONB()))


def whole_before(activity: Any, model: Any) -> ColumnElement[Any]:
    """The row before a change, also where only what changed is recorded of it.

    :param activity: the class, or the columns of a selection.
    :param model: the class of the activities.
    """
    old = type_coerce(activity.old_data, JSONB())
    known = func.coalesce(_left_before(activity, model), literal({}, JSONB()))
    return case((activity.delta_depth.is_(None), old), else_=operate(known, "||", old, JSONB()))


def merged(activity: Any, model: Any) -> ColumnElement[Any]:
    """The row as a change left it; for a delete, as it was."""
    return operate(whole_before(activity, model), "||", changed(activity), JSONB())


def changed(activity: Any) -> ColumnElement[Any]:
    """What is new in a row; nothing where it is no row that an activity speaks of."""
    # What was read is what somebody says: where it is not an object, the two cannot be put together.
    new = type_coerce(activity.changed_data, JSONB())
    return case((activity.verb.in_((exact_text("read"), exact_text("event"))), literal({}, JSONB())), else_=new)


def _left_before(activity: Any, model: Any) -> ColumnElement[Any]:
    """Select the row that the activities before a delta left, from the last one that has all of it."""
    earlier = inspect(model).local_table.alias()
    old, new = (type_coerce(each, JSONB()) for each in (earlier.c.old_data, earlier.c.changed_data))
    said = case((earlier.c.delta_depth.is_(None), operate(old, "||", new, JSONB())), else_=new)
    steps = (
        select(earlier.c.id, said.label("data"))
        .where(
            earlier.c.table_name == activity.table_name,
            earlier.c.row_key == activity.row_key,
            earlier.c.id < activity.id,
            earlier.c.schema == activity.schema,
            earlier.c.verb.in_(ROW_VERBS),
        )
        .order_by(earlier.c.id.desc())
        .limit(activity.delta_depth)
        .correlate_except(earlier)
        .subquery()
    )
    pair = pg.jsonb_each(steps.c.data).table_valued(*_PAIR, joins_implicitly=True)
    # Of equal keys the last one counts.
    put_together = pg.jsonb_object_agg(pair.c.key, aggregate_order_by(pair.c.value, steps.c.id), type_=JSONB())
    return select(put_together).select_from(steps, pair).correlate_except(steps, pair).scalar_subquery()
