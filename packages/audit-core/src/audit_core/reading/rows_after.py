"""Rows as some activities left them, where it is known which these are.

That takes one look into the trail for all of them, and :func:`~.as_of.row_as_of` looks for the activities as well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, Integer, Table, case, literal, or_, select, union_all

from .audited_table import execute
from .coverage import is_kept
from .entities import Entity
from .past_notes import is_ended, notes_of_gone, notes_since
from .past_objects import column_notes

if TYPE_CHECKING:
    from ..models import AuditLogActivity
    from ..scope import Scope


def rows_after(
    scope: Scope, session: Any, table: Table, asked: Sequence[tuple[AuditLogActivity, dt.datetime]]
) -> list[tuple[dict[str, Any] | None, tuple[str, ...]] | None]:
    """Return rows as they are recorded, None for one that was gone, and say in which ways that may be wrong.

    :param asked: the last activities of a record until some instants, with these.
    :return: for each in turn; None where retention removed what was before the instant, so that the activity does not
        tell how the row was.
    """
    audited = Entity.find(scope, table).audited
    picked = []
    for place, (activity, when) in enumerate(asked):
        # Each is looked for by itself, so that only its own partition is planned for.
        one, until = audited.all_activities, literal(when, DateTime(timezone=True))
        is_known = or_(is_kept(audited, one.c.issued_at), one.c.issued_at >= until)
        columns = (literal(place, Integer()).label("place"), until.label("until"), *one.c)
        picked.append(select(*columns).where(one.c.id == activity.id, is_known))
    own = union_all(*picked).subquery()
    is_gone = or_(own.c.verb == "delete", is_ended(audited, own.c, own.c.until))
    notes = case((is_gone, notes_of_gone(audited, own, own.c.until)), else_=notes_since(audited, own, own.c.until))
    query = select(own.c.place, is_gone.label("is_gone"), notes.label("notes"))
    found = {each.place: each for each in execute(scope, session, query)}
    return [
        _row(table, activity, found[place].is_gone, found[place].notes) if place in found else None
        for place, (activity, _) in enumerate(asked)
    ]


def _row(
    table: Table, activity: AuditLogActivity, is_gone: bool, said: Sequence[str]
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    if is_gone:
        return None, tuple(said)
    row = dict(activity.data)
    of_columns = column_notes((each.name for each in table.columns), row, activity.masked, activity.erased)
    return row, (*of_columns.values(), *said)
