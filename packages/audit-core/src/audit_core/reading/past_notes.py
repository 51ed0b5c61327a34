"""How a row of the past may differ from the row as it was."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from .audited_table import AuditedTable, array_of
from .chain import is_torn
from .coverage import last_loss
from .exact import ExactText, exact_text, operate, pg
from .past_objects import (
    BYPASS_NOTE,
    LOSS_NOTE,
    TORN_NOTE,
    TRUNCATE_NOTE,
    erased_note,
    masked_note,
    missing_note,
)
from .relations import pg_class

#: Whether a row of the past may differ from the row as it was, and in which way.
_Note: TypeAlias = "tuple[ColumnElement[bool], str]"


def is_truncated(
    audited: AuditedTable, id_: ColumnElement[int], until: ColumnElement[dt.datetime]
) -> ColumnElement[bool]:
    """Return whether a TRUNCATE ended the row that an activity left; that of a partition ends only the rows in it."""
    event = audited.interruptions.alias()
    last = (
        select(event.c.relid, func.max(event.c.id).label("id"))
        .where(event.c.verb == "truncate", event.c.issued_at <= until)
        .group_by(event.c.relid)
        .cte()
    )
    row, relation = audited.all_activities, pg_class.alias()
    ended = exists(
        _one()
        .select_from(row.join(last, last.c.id > row.c.id).outerjoin(relation, relation.c.oid == last.c.relid))
        .where(row.c.id == id_, _is_of_truncated(audited, row.c.relid, last.c.relid, relation))
        .correlate_except(row, last, relation)
    )
    # Of rows that no TRUNCATE came after, their table is not looked up.
    return and_(id_ < func.coalesce(select(func.max(last.c.id)).scalar_subquery(), id_), ended)


def is_ended(audited: AuditedTable, activity: Any, until: ColumnElement[dt.datetime]) -> ColumnElement[bool]:
    """Return the same of an activity whose columns are at hand, where the instant is another one for each."""
    event, relation = audited.interruptions.alias(), pg_class.alias()
    return exists(
        _one()
        .select_from(event.outerjoin(relation, relation.c.oid == event.c.relid))
        .where(
            event.c.verb == "truncate",
            event.c.issued_at <= until,
            event.c.id > activity.id,
            _is_of_truncated(audited, activity.relid, event.c.relid, relation),
        )
        .correlate_except(event, relation)
    )


def _is_of_truncated(
    audited: AuditedTable, number: ColumnElement[int], truncated: ColumnElement[int], relation: FromClause
) -> ColumnElement[bool]:
    """Return whether a row of the table with one number was in that with another one, if that is still there.

    Of a partitioned table each partition speaks for itself. That the numbers are equal is all that is asked: in a
    database that was restored they are those of another one. A table that is not partitioned may have been made anew,
    with another number; one that is gone cannot have held a row of one that is still there.
    """
    of_row = pg_class.alias()
    of_other = case(
        (audited.is_partitioned, false()),
        (relation.c.oid.is_(None), ~exists(_one().where(of_row.c.oid == number).correlate_except(of_row))),
        else_=not_(relation.c.relispartition),
    )
    return or_(number == truncated, of_other)


def last_bypass(audited: AuditedTable, until: ColumnElement[dt.datetime]) -> Select[Any]:
    """Select the last activity that says that something of the table was not recorded."""
    event = audited.interruptions.alias()
    return select(func.max(event.c.id)).where(event.c.verb == "bypass", event.c.issued_at <= until)


def _last_truncate(audited: AuditedTable, until: ColumnElement[dt.datetime]) -> Select[Any]:
    """Select the last TRUNCATE of a partition that is there."""
    event = audited.interruptions.alias()
    is_there = event.c.relid.in_(select(audited.numbers_now.c.relid))
    return select(func.max(event.c.id)).where(event.c.verb == "truncate", is_there, event.c.issued_at <= until)


def notes_of(
    audited: AuditedTable, activity: FromClause, data: ColumnElement[Any], until: ColumnElement[dt.datetime]
) -> ColumnElement[Any]:
    missing = _unnest([each.name for each in audited.table.columns])
    masked = pg.unnest(activity.c.masked, type_=ExactText()).column_valued()
    is_erased = pg.array_position(activity.c.erased, masked).is_not(None)
    of_columns = array_of(
        union_all(
            select(pg.format(exact_text(missing_note("%s")), missing)).where(not_(operate(data, "?", missing))),
            select(
                case(
                    (is_erased, pg.format(exact_text(erased_note("%s")), masked)),
                    else_=pg.format(exact_text(masked_note("%s")), masked),
                )
            ).where(operate(data, "?", masked)),
        )
    )
    # Of most rows there is nothing to say, and finding that out is cheaper than putting nothing together.
    names = literal([each.name for each in audited.table.columns], ARRAY(Text()))
    is_whole = and_(operate(data, "?&", names), activity.c.masked.is_(None))
    return notes_since(audited, activity, until, case((is_whole, _NOTHING), else_=of_columns))


def notes_since(
    audited: AuditedTable,
    activity: FromClause,
    until: ColumnElement[dt.datetime],
    of_columns: ColumnElement[Any] | None = None,
) -> ColumnElement[Any]:
    """Put together how a row may differ from what an activity left, whatever its columns say."""
    is_truncated = and_(
        audited.is_partitioned,
        activity.c.relid.not_in(select(audited.numbers_now.c.relid)),
        activity.c.id < _last_truncate(audited, until).scalar_subquery(),
    )
    notes = _with_notes(
        _NOTHING if of_columns is None else of_columns,
        _bypass(audited, activity, until),
        (is_truncated, TRUNCATE_NOTE),
        _loss(audited, activity, until),
        (is_torn(audited, activity.c), TORN_NOTE),
    )
    if not audited.options.is_complete:
        only = ", ".join(audited.options.operations)
        notes = operate(notes, "||", _array(f"of this table only {only} is recorded"), ARRAY(Text()))
    return type_coerce(notes, ARRAY(Text()))


def notes_of_gone(audited: AuditedTable, activity: FromClause, until: ColumnElement[dt.datetime]) -> ColumnElement[Any]:
    """Put together in which ways it may be wrong that the row of an activity is gone."""
    notes = _with_notes(_NOTHING, _bypass(audited, activity, until), _loss(audited, activity, until))
    return type_coerce(notes, ARRAY(Text()))


def _bypass(audited: AuditedTable, activity: FromClause, until: ColumnElement[dt.datetime]) -> _Note:
    return activity.c.id < last_bypass(audited, until).scalar_subquery(), BYPASS_NOTE


def _loss(audited: AuditedTable, activity: FromClause, until: ColumnElement[dt.datetime]) -> _Note:
    return activity.c.issued_at < last_loss(audited, until), LOSS_NOTE


def _with_notes(notes: ColumnElement[Any], *said: _Note) -> ColumnElement[Any]:
    """Add what holds to some notes. Each stands in the query once: planning it takes longer than to find one row."""
    for holds, note in said:
        notes = operate(notes, "||", case((holds, _array(note)), else_=_NOTHING), ARRAY(Text()))
    return notes


def _array(*notes: str) -> ColumnElement[Any]:
    return literal(list(notes), ARRAY(Text()))


_NOTHING = _array()


def _unnest(names: list[str]) -> ColumnElement[str]:
    return pg.unnest(literal(names, ARRAY(Text())), type_=ExactText()).column_valued()


def _one() -> Select[Any]:
    return select(literal(1))
