"""How much the trail holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import BigInteger, Date, DateTime, Integer, Select, cast, func, inspect

from ..errors import HistoryError
from .activities import activities
from .exact import exact_text, pg

if TYPE_CHECKING:
    from ..scope import Scope

#: What the trail can be counted by.
Dimension = Literal["table", "actor", "day"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


def stats(
    scope: Scope,
    by: Dimension | Sequence[Dimension],
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Select[Any]:
    """Select the number of activities and their size; see :meth:`audit_core.AuditLog.stats`."""
    activity, transaction = scope.activity_cls, scope.transaction_cls
    dimensions = [by] if isinstance(by, str) else list(by)
    choices: dict[str, list[Any]] = {
        "table": [activity.schema, activity.table_name.label("table")],
        "actor": [transaction.actor_id.label("actor_id")],
        "day": [cast(pg.timezone(exact_text("UTC"), activity.issued_at, type_=DateTime()), Date).label("day")],
    }
    columns: list[Any] = []
    for each in dimensions:
        if each not in DIMENSIONS:
            raise HistoryError(f"by is {each!r}; it can be {', '.join(map(repr, DIMENSIONS))}.")
        columns += choices[each]
    columns_of_trail = inspect(activity).local_table.columns
    sizes = [func.coalesce(pg.pg_column_size(each, type_=Integer()), 0) for each in columns_of_trail]
    rows = func.count().label("rows")
    size = cast(func.sum(reduce(add, sizes)), BigInteger).label("bytes")
    query = activities(scope, since=since, until=until).order_by(None)
    if "actor" in dimensions:
        query = query.outerjoin(transaction, transaction.id == activity.transaction_id)
    # A day has its place in time, others are of interest by their size.
    order = columns if "day" in dimensions else [rows.desc(), *columns]
    return query.with_only_columns(*columns, rows, size).group_by(*columns).order_by(*order)
