"""The queries of the page: each looks at a bounded part of the trail, along an index."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from sqlalchemy.orm import Session

from .loading import LOADED, STATES, load_activities
from .zones import Zone

#: Activities of a page.
PAGE = 50
#: An actor, or a table, with not more activities is found by its index, however long ago they were. Those of an actor
#: are looked for in each partition, transaction by transaction.
_FEW_OF_ACTOR, _FEW_OF_TABLE = 1000, 5000
#: So many rows of a large transaction are looked at to find the first.
_FIRST = 10_000
DAYS = 30
#: A day with more is told from the ids, which also count what was rolled back.
_COUNTED = 1000


@dataclass(frozen=True)
class Page:
    """Activities, newest first, and where the next page begins."""

    activities: Sequence[Any]
    #: The id after which the next page begins; None at the end of the trail.
    after: int | None = None


@dataclass(frozen=True)
class Day:
    """How many changes a day had."""

    day: dt.date
    count: int
    is_exact: bool


def start_reading(connection: Any, patience: dt.timedelta) -> None:
    """Begin a transaction that can change nothing, and whose queries go along an index and end in time."""
    connection.execute(text("SET TRANSACTION READ ONLY"))
    limit_time(connection, patience)
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    # The planner thinks that a question to many partitions is so dear that it is worth compiling, which takes longer.
    connection.execute(text("SET LOCAL jit = off"))


def limit_time(connection: Any, patience: dt.timedelta) -> None:
    """Have each statement of this transaction end in time."""
    milliseconds = int(patience / dt.timedelta(milliseconds=1))
    connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))


def finds_few(log: AuditLog, session: Session, filters: dict[str, Any]) -> bool:
    """Return whether an index leads to few activities."""
    activity, transaction = log.activity_cls, log.transaction_cls
    candidates = []
    if "actor" in filters:
        is_own = is_of_actor(scope_of(log), filters["actor"])
        own = select(transaction.id).where(is_own).limit(_FEW_OF_ACTOR + 1).subquery()
        # Transaction by transaction: joined, all activities might be read.
        changes = select(activity.id).where(activity.transaction_id == own.c.id).limit(_FEW_OF_ACTOR + 1).lateral()
        candidates.append((select(changes.c.id).select_from(own).join(changes, true()), _FEW_OF_ACTOR))
    if "table" in filters:
        name = getattr(filters["table"], "name", filters["table"])
        of_table = select(activity.id).where(activity.table_name == name).order_by(activity.row_key)
        candidates.append((of_table, _FEW_OF_TABLE))
    return any(
        (session.scalar(select(func.count()).select_from(query.limit(few + 1).subquery())) or 0) <= few
        for query, few in candidates
    )


def few_of(log: AuditLog, session: Session, filters: dict[str, Any]) -> Sequence[int] | None:
    """Return the transactions of an actor who is asked for, if they are few."""
    if "actor" not in filters:
        return None
    transaction = log.transaction_cls
    own = select(transaction.id).where(is_of_actor(scope_of(log), filters["actor"])).order_by(transaction.id.desc())
    found = session.scalars(own.limit(_FEW_OF_ACTOR + 1)).all()
    return found if len(found) <= _FEW_OF_ACTOR else None


def record_page(log: AuditLog, session: Session, query: Select[Any], after: int | None) -> Page:
    """Load a page of a record's activities, newest first, with the data."""
    if after is not None:
        query = query.where(log.activity_cls.id < after)
    ids = session.scalars(query.with_only_columns(log.activity_cls.id).limit(PAGE + 1)).all()
    activities = load_activities(log, session, ids[:PAGE], LOADED)
    return Page(activities[::-1], ids[PAGE - 1] if len(ids) > PAGE else None)


def states_of(log: AuditLog, session: Session, query: Select[Any], asked: Sequence[int | None]) -> list[Any]:
    """Load the activities of a record that left the states asked for: by their ids, or the last one.

    One that is not of the record is None.
    """
    activity = log.activity_cls
    own = query.where(activity.verb.in_(STATES)).with_only_columns(activity.id)
    ids = set(session.scalars(own.where(activity.id.in_([each for each in asked if each is not None]))))
    last = session.scalars(own.limit(1)).first() if None in asked else None
    if last is not None:
        ids.add(last)
    found = {each.id: each for each in load_activities(log, session, ids, LOADED)}
    wanted = [last if each is None else each for each in asked]
    return [None if each is None else found.get(each) for each in wanted]


def transaction_page(log: AuditLog, session: Session, transaction_id: int, after: int | None, is_large: bool) -> Page:
    """Load a page of a transaction's activities, in the order in which they happened, with the data."""
    activity = log.activity_cls
    own = select(activity.id).where(activity.transaction_id == transaction_id)
    if not is_large:
        query = own.order_by(activity.id + literal_column("0"))
    else:
        query = own.where(activity.id >= _first_of(log, session, transaction_id)).order_by(activity.id)
    if after is not None:
        query = query.where(activity.id > after)
    ids = session.scalars(query.limit(PAGE + 1)).all()
    return Page(load_activities(log, session, ids[:PAGE], LOADED), ids[PAGE - 1] if len(ids) > PAGE else None)


def _first_of(log: AuditLog, session: Session, transaction_id: int) -> int:
    """Return the first id of a large transaction. To put a million in order takes a second."""
    activity = log.activity_cls
    own = select(activity.id).where(activity.transaction_id == transaction_id)
    # The index leads to those that lie first on disk, which most often came first.
    found: int | None = session.scalar(select(func.min(own.limit(_FIRST).subquery().c.id)))
    first = 0
    while found is not None:
        first = found
        # Not always: room that became free is used again. Among the ids before it, the index of ids looks.
        is_own = activity.transaction_id + literal_column("0") == transaction_id
        before = select(func.min(activity.id)).where(is_own, activity.id < first, activity.id >= first - _FIRST)
        found = session.scalar(before)
    return first


def beginnings(now: dt.datetime, zone: Zone) -> list[dt.datetime]:
    """Return when each of the last days began, and when the last ends."""
    today = zone.local(now).date()
    return [zone.midnight(today - dt.timedelta(days=DAYS - 1 - number)) for number in range(DAYS + 1)]


def days(log: AuditLog, session: Session, now: dt.datetime, zone: Zone) -> list[Day]:
    """Count the changes of each of the last days."""
    activity = log.activity_cls
    starts = beginnings(now, zone)
    ids = ids_at(log, session, starts)
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


def of_activity(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that an activity answers by itself."""
    return {name: value for name, value in filters.items() if name not in ("actor", "meta", "text")}


def of_transaction(log: AuditLog, filters: dict[str, Any]) -> Iterator[ColumnElement[bool]]:
    """Return the conditions that ask for the transaction of an activity."""
    transaction = log.transaction_cls
    is_own = transaction.id == log.activity_cls.transaction_id
    if "actor" in filters:
        actor = select(transaction.actor_id).where(is_own).scalar_subquery()
        key_type = scope_of(log).actor.key_type()
        yield actor.is_(None) if filters["actor"] is None else equal(actor, filters["actor"], key_type)
    if "meta" in filters:
        yield select(type_coerce(transaction.meta, JSONB()).contains(filters["meta"])).where(is_own).scalar_subquery()


def ids_at(log: AuditLog, session: Session, instants: Sequence[dt.datetime | None]) -> list[int | None]:
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
    # PostgreSQL cuts towards 0, and ids of what was imported are negative.
    middle = search.c.low + (search.c.high - search.c.low) // 2
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
