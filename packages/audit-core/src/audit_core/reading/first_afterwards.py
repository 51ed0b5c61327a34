"""The first activity of each row after an instant, which says how the row was at that instant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, exists, func, literal, not_, select, union_all

from .exact import exact_text
from .merging import ROW_VERBS


def first_afterwards(
    activities: Callable[[], FromClause],
    until: ColumnElement[dt.datetime],
    row_key: ColumnElement[str] | None,
    is_wanted: Callable[[Any], ColumnElement[bool]],
) -> Select[Any]:
    """Select each key of which something is recorded after an instant, with the first activity of it.

    ``was_there`` is whether a row had the key before that activity, and ``is_before`` whether that was the row which
    the activity found; a snapshot is one of a row that had not changed.

    :param activities: those of the table.
    :param row_key: of this key only.
    :param is_wanted: a further condition on the activities.
    """
    given, taken, swapped = activities(), activities(), activities()
    # Where rows change places in one statement, the key that comes to one of them was that of another one before.
    is_swapped = exists(
        select(literal(1)).where(
            swapped.c.old_row_key == given.c.row_key,
            swapped.c.native_transaction_id == given.c.native_transaction_id,
            swapped.c.issued_at == given.c.issued_at,
            swapped.c.id > given.c.id,
            is_wanted(swapped.c),
        )
    )
    arrivals = select(
        given.c.row_key,
        given.c.id,
        (given.c.verb != exact_text("snapshot")).label("is_before"),
        (given.c.old_row_key.is_(None) & (given.c.verb != exact_text("insert"))).label("was_there"),
    ).where(given.c.verb.in_(ROW_VERBS), given.c.issued_at > until, is_wanted(given.c), not_(is_swapped))
    departures = select(taken.c.old_row_key, taken.c.id, literal(True), literal(True)).where(
        taken.c.old_row_key.is_not(None), taken.c.issued_at > until, is_wanted(taken.c)
    )
    if row_key is not None:
        arrivals = arrivals.where(given.c.row_key == row_key)
        departures = departures.where(taken.c.old_row_key == row_key)
    events = union_all(arrivals, departures).subquery()
    place = func.row_number().over(partition_by=events.c.row_key, order_by=events.c.id)
    first = select(events, place.label("place")).subquery()
    return select(first.c.row_key, first.c.id, first.c.is_before, first.c.was_there).where(first.c.place == 1)
