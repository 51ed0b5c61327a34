"""The rows of one table, as the last activity until an instant left them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    and_,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import HSTORE, JSONB
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.selectable import Subquery

from .audited_table import AuditedTable
from .bounds import LAST_ID, end_id_until
from .coverage import limit
from .exact import ExactText, exact_text, operate, pg
from .first_afterwards import first_afterwards
from .known_keys import ROW_KEY, comparing
from .merging import ROW_VERBS, changed, whole_before
from .past_notes import is_truncated, notes_of
from .types import StoredType

_PAIR = (column("key", ExactText), column("value", ExactText))
# What the columns are called until they get their names, which may be any.
_COLUMN = "column_"


def past_rows(audited: AuditedTable, when: dt.datetime, row_key: ColumnElement[str] | None = None) -> Select[Any]:
    """Select the rows of a table, or one of them, as the last activity until then left them."""
    return states(audited, _latest(audited, when, row_key), literal(when, DateTime(timezone=True)))


def states(audited: AuditedTable, latest: Subquery, until: ColumnElement[dt.datetime]) -> Select[Any]:
    """Select the rows that activities left, or found, where they are ``is_before``."""
    activity = audited.all_activities
    new = case((latest.c.is_before, literal({}, JSONB())), else_=changed(activity.c))
    left = operate(whole_before(activity.c, audited.scope.activity_cls), "||", new, JSONB())
    # Computed once, whatever looks at it.
    state = select(left.label("data")).offset(0).correlate(latest, activity).lateral()
    columns = [column(each.name, StoredType(each.type)) for each in audited.table.columns]
    values = readable(audited, state.c.data, activity.c.masked)
    record = pg.jsonb_to_record(values).table_valued(*columns).render_derived(with_types=True)
    # Each row has one activity and one record. PostgreSQL can tell by the index of the one, and by the DISTINCT of the
    # other, so that it reads neither where only the rows are counted.
    labels = {each: f"{_COLUMN}{place}" for place, each in enumerate(audited.table.columns)}
    found = (
        select(
            latest.c.id.label("of_id"),
            state.c.data,
            *(record.c[each.name].label(label) for each, label in labels.items()),
        )
        # The two versions of SQLAlchemy have no other word for it in common.
        .prefix_with(literal_column("DISTINCT ON"), Grouping(latest.c.id))
        .select_from(state)
        .join(record, true())
        .correlate(latest, activity)
        .lateral()
    )
    return (
        select(
            *(as_column(each, found.c[label]) for each, label in labels.items()),
            latest.c.id.label("audit_activity_id"),
            notes_of(audited, activity, found.c.data, until).label("audit_notes"),
            latest.c.row_key.label(ROW_KEY),
        )
        .select_from(latest)
        .outerjoin(activity, activity.c.id == latest.c.id)
        .outerjoin(found, found.c.of_id == latest.c.id)
        .where(not_(is_truncated(audited, latest.c.id, until)))
    )


def as_column(wanted: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Label a value as a column, in a way that ``aliased(Model, rows)`` takes it for that column."""
    type_ = comparing(wanted.type) if wanted.primary_key else wanted.type
    coerced = type_coerce(value, type_)
    coerced._proxies = [wanted]
    return coerced.label(wanted.key)


def _latest(audited: AuditedTable, when: dt.datetime, row_key: ColumnElement[str] | None) -> Subquery:
    """Select each key that a row had, with the last activity that gave it to the row.

    Where retention removed what was before, the first activity afterwards says what a row was before it.
    """
    until = literal(when, DateTime(timezone=True))
    cut = func.coalesce(limit(audited, "removed_until"), cast(exact_text("-infinity"), DateTime(timezone=True)))
    activities = _activities(audited, row_key)
    given, taken, other = activities(), activities(), activities()

    # Of one row an index finds what there is.
    end = end_id_until(audited.scope, when) if row_key is None else literal(LAST_ID, BigInteger())

    def is_before(activity: Any) -> ColumnElement[bool]:
        return and_(activity.id < end, activity.issued_at <= until, activity.issued_at >= cut)

    query = select(given.c.row_key, given.c.id, (given.c.verb != "delete").label("stays")).where(
        given.c.verb.in_(ROW_VERBS), is_before(given.c)
    )
    # Where rows change places in one statement, the key that one gives up belongs to another one.
    is_taken_over = exists(
        _one().where(
            other.c.row_key == taken.c.old_row_key,
            other.c.native_transaction_id == taken.c.native_transaction_id,
            other.c.issued_at == taken.c.issued_at,
            other.c.id < taken.c.id,
        )
    )
    left = select(taken.c.old_row_key, taken.c.id, false()).where(
        taken.c.old_row_key.is_not(None), is_before(taken.c), not_(is_taken_over)
    )
    if row_key is not None:
        query = query.where(given.c.row_key == row_key)
        left = left.where(taken.c.old_row_key == row_key)
    # Named once: what is named twice would be written down, all of it, before it is grouped.
    events = union_all(query, left).subquery()
    last_id = func.max(events.c.id)
    last = (
        select(events.c.row_key, last_id.label("id"), false().label("is_before"))
        .group_by(events.c.row_key)
        .having(last_id == last_id.filter(events.c.stays))
    )
    # Where nothing was removed, nothing of this is read. A snapshot was taken of a row that had not changed.
    was_cut = limit(audited, "known_since") <= until
    first = first_afterwards(activities, until, row_key, lambda _: was_cut).subquery()
    later = select(first.c.row_key, first.c.id, first.c.is_before).where(first.c.was_there).cte()
    known, gone = activities(), activities()
    is_known = or_(
        exists(_one().where(known.c.row_key == later.c.row_key, known.c.verb.in_(ROW_VERBS), is_before(known.c))),
        exists(_one().where(gone.c.old_row_key == later.c.row_key, is_before(gone.c))),
    )
    return union_all(last, select(later.c.row_key, later.c.id, later.c.is_before).where(not_(is_known))).subquery()


def _activities(audited: AuditedTable, row_key: ColumnElement[str] | None) -> Callable[[], FromClause]:
    """Return what gives the activities of the table; of one row they are looked up once, without their data.

    Each time that they are named, they are planned for each partition.
    """
    if row_key is None:
        return lambda: audited.activities
    came, left = audited.activities, audited.activities
    found = [
        select(
            each.c.id, each.c.verb, each.c.row_key, each.c.old_row_key, each.c.issued_at, each.c.native_transaction_id
        ).where(is_own)
        for each, is_own in ((came, came.c.row_key == row_key), (left, left.c.old_row_key == row_key))
    ]
    return union_all(*found).cte().alias


def readable(audited: AuditedTable, data: ColumnElement[Any], masked: ColumnElement[Any]) -> ColumnElement[Any]:
    """Convert a recorded row to what the types of its columns read, without those that are masked."""
    for each in audited.table.columns:
        if isinstance(each.type, HSTORE):
            data = _with_hstore(data, each.name)
    return case((masked.is_not(None), operate(data, "-", masked, JSONB())), else_=data)


def _with_hstore(data: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """Write an hstore, which PostgreSQL converts to a JSON object and not back, as its text."""
    value = operate(data, "->", exact_text(name), JSONB())
    pair = pg.jsonb_each_text(value).table_valued(*_PAIR, joins_implicitly=True)
    pairs = _hstore_string(pair.c.key) + "=>" + func.coalesce(_hstore_string(pair.c.value), "NULL")
    joined = pg.string_agg(pairs, exact_text(", "), type_=ExactText())
    text = select(func.coalesce(joined, "")).correlate_except(pair).scalar_subquery()
    written = pg.jsonb_build_object(exact_text(name), text, type_=JSONB())
    is_object = pg.jsonb_typeof(value, type_=ExactText()) == "object"
    return case((is_object, operate(data, "||", written, JSONB())), else_=data)


def _hstore_string(value: ColumnElement[str]) -> ColumnElement[str]:
    for character in ("\\", '"'):
        value = pg.replace(value, exact_text(character), exact_text(f"\\{character}"), type_=ExactText())
    return exact_text('"') + value + '"'


def _one() -> Select[Any]:
    return select(literal(1))
