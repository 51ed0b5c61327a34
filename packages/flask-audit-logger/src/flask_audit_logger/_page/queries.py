"""The queries of the page: each looks at a bounded part of the trail, along an index."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import equal, execute, is_of_actor, pg, scope_of
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, defer, selectinload

#: Activities of a page.
PAGE = 50
#: The number that is looked at for one page. With a filter that few of them pass, a link continues the search.
WINDOW = 20_000
#: An actor, or a table, with not more activities is found by its index, however long ago they were.
_FEW = 5000
DAYS = 30
#: A day with more is told from the ids, which also count what was rolled back.
_COUNTED = 1000
# An id is taken when a row is written, and the time when its statement began: they may be out of step by as long as
# a statement runs.
_OUT_OF_STEP = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Page:
    """Activities, newest first, and where the next page begins."""

    activities: Sequence[Any]
    #: The id after which the next page begins; None at the end of the trail.
    after: int | None = None
    #: The search was cut off, and may find more further back.
    is_partial: bool = False


@dataclass(frozen=True)
class Day:
    """How many changes a day had."""

    day: dt.date
    count: int
    is_exact: bool


def start_reading(connection: Any) -> None:
    """Begin a transaction that can change nothing, and whose queries go along an index."""
    connection.execute(text("SET TRANSACTION READ ONLY"))
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    # The planner thinks that a question to many partitions is so dear that it is worth compiling, which takes longer.
    connection.execute(text("SET LOCAL jit = off"))


def log_page(log: AuditLog, session: Session, filters: dict[str, Any], after: int | None) -> Page:
    """Load a page of the log, with the names of the changed columns as ``columns`` instead of the data."""
    activity = log.activity_cls
    if _finds_few(log, session, filters):
        # Put in order afterwards: on its way along the order the planner would pass the whole trail.
        by_id = (activity.id + literal_column("0")).desc()
        query = log.activities(**filters, after=after).order_by(None).order_by(by_id)
        return _page(session, query.options(*_without_data(activity)), log)
    # Looked up for each activity of the part: a subquery of all transactions of an actor would be read as a whole.
    of_activity = {name: value for name, value in filters.items() if name not in ("actor", "meta")}
    query = log.activities(**of_activity, after=after).where(*_of_transaction(log, filters))
    floor = 0
    # What is asked of one transaction goes along the index of its activities.
    is_bounded = bool(filters) and "transaction" not in filters
    if is_bounded:
        last = session.scalar(select(func.max(activity.id))) or 0
        top = last if after is None else min(last, after - 1)
        margins = [
            None if when is None else when + sign * _OUT_OF_STEP
            for when, sign in ((filters.get("since"), -1), (filters.get("until"), 1))
        ]
        first, end = _ids_at(log, session, margins)
        if end is not None:
            top = min(top, end - 1)
        floor = max(top - WINDOW, 0 if first is None else first - 1)
        query = query.where(activity.id <= top, activity.id > floor)
    page = _page(session, query.options(*_without_data(activity)), log)
    if page.after is None and is_bounded:
        lowest = first if first is not None else session.scalar(select(func.min(activity.id)))
        if lowest is not None and floor >= lowest:
            return replace(page, after=floor + 1, is_partial=True)
    return page


def _finds_few(log: AuditLog, session: Session, filters: dict[str, Any]) -> bool:
    """Return whether an index leads to few activities."""
    activity, transaction = log.activity_cls, log.transaction_cls
    candidates = []
    if "actor" in filters:
        of_actor = select(activity.id).join(transaction, transaction.id == activity.transaction_id)
        candidates.append(of_actor.where(is_of_actor(scope_of(log), filters["actor"])))
    if "table" in filters:
        name = getattr(filters["table"], "name", filters["table"])
        candidates.append(select(activity.id).where(activity.table_name == name).order_by(activity.row_key))
    counts = (select(func.count()).select_from(each.limit(_FEW + 1).subquery()) for each in candidates)
    return any((session.scalar(count) or 0) <= _FEW for count in counts)


def record_page(log: AuditLog, session: Session, query: Select[Any], after: int | None) -> Page:
    """Load a page of a record's activities, with the data."""
    if after is not None:
        query = query.where(log.activity_cls.id < after)
    return _page(session, query, log)


def changed_columns(log: AuditLog, session: Session, page: Page) -> dict[int, list[str]]:
    """Return the columns that each update of a page changed."""
    activity = log.activity_cls
    ids = [each.id for each in page.activities if each.verb == "update"]
    if not ids:
        return {}
    key = pg.jsonb_object_keys(type_coerce(activity.changed_data, JSONB())).column_valued()
    names = func.array(select(cast(key, Text)).scalar_subquery(), type_=ARRAY(Text()))
    rows = session.execute(select(activity.id, names).where(activity.id.in_(ids)))
    return {row[0]: sorted(row[1]) for row in rows}


def days(log: AuditLog, session: Session, now: dt.datetime) -> list[Day]:
    """Count the changes of each of the last days, in UTC."""
    activity = log.activity_cls
    midnight = now.astimezone(dt.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [midnight - dt.timedelta(days=DAYS - 1 - number) for number in range(DAYS + 1)]
    ids = _ids_at(log, session, starts)
    counts = []
    for first, end in pairwise(ids):
        span = (end or 0) - (first or 0)
        inside = select(literal(1)).where(activity.id >= first, activity.id < end).subquery()
        counts.append(select(func.count()).select_from(inside).scalar_subquery() if 0 < span <= _COUNTED else span)
    row = session.execute(select(*(literal(each) if isinstance(each, int) else each for each in counts))).one()
    return [
        Day(start.date(), count, not isinstance(asked, int) or not count)
        for start, count, asked in zip(starts, row, counts, strict=False)
    ]


def _of_transaction(log: AuditLog, filters: dict[str, Any]) -> Iterator[ColumnElement[bool]]:
    transaction = log.transaction_cls
    is_own = transaction.id == log.activity_cls.transaction_id
    if "actor" in filters:
        actor = select(transaction.actor_id).where(is_own).scalar_subquery()
        key_type = scope_of(log).actor.key_type()
        yield actor.is_(None) if filters["actor"] is None else equal(actor, filters["actor"], key_type)
    if "meta" in filters:
        yield select(type_coerce(transaction.meta, JSONB()).contains(filters["meta"])).where(is_own).scalar_subquery()


def _page(session: Session, query: Select[Any], log: AuditLog) -> Page:
    query = query.options(selectinload(log.activity_cls.transaction)).limit(PAGE + 1)
    found = session.scalars(query).all()
    shown = found[:PAGE]
    return Page(shown, shown[-1].id if len(found) > PAGE else None)


def _without_data(activity: Any) -> list[Any]:
    # A value may have megabytes.
    return [defer(activity.old_data, raiseload=True), defer(activity.changed_data, raiseload=True)]


def _ids_at(log: AuditLog, session: Session, instants: Sequence[dt.datetime | None]) -> list[int | None]:
    """Find the first id of each instant, where ids grow with time: a binary search, all in one query."""
    if not any(instants):
        return [None for _ in instants]
    activity = log.activity_cls
    moments = literal(list(instants), ARRAY(DateTime(timezone=True)))
    asked = pg.unnest(moments).table_valued("instant", with_ordinality="place", name="asked").render_derived()
    low: ColumnElement[int] = func.coalesce(select(func.min(activity.id)).scalar_subquery(), 1)
    high: ColumnElement[int] = func.coalesce(select(func.max(activity.id)).scalar_subquery(), 0) + 1
    search = (
        select(
            cast(asked.c.instant, DateTime(timezone=True)).label("instant"),
            asked.c.place,
            cast(low, BigInteger).label("low"),
            cast(high, BigInteger).label("high"),
        )
        .select_from(asked)
        .cte("search", recursive=True)
    )
    middle = (search.c.low + search.c.high) // 2
    found = (
        select(activity.id, activity.issued_at).where(activity.id >= middle).order_by(activity.id).limit(1).lateral()
    )
    is_before = found.c.issued_at < search.c.instant
    search = search.union_all(
        select(
            search.c.instant,
            search.c.place,
            case((is_before, found.c.id + 1), else_=search.c.low),
            case((is_before, search.c.high), else_=middle),
        )
        .select_from(search)
        .join(found, true())
        .where(search.c.low < search.c.high)
    )
    rows = execute(scope_of(log), session, select(search.c.place, search.c.low).where(search.c.low >= search.c.high))
    ids: dict[int, int] = dict(map(tuple, rows))
    return [None if when is None else ids.get(number) for number, when in enumerate(instants, 1)]
