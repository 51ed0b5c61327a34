"""When the trail has what: where instants lie among the ids, and what each of the last days had."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import FIRST_ID, LAST_ID, execute, is_of_actor, scope_of
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    case,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.orm import Session

from .given_rows import given_rows
from .partitions import closed_partitions, highest_id, lowest_id
from .zones import Zone

DAYS = 30
#: A day with more changes is told from the ids, which also count what was rolled back. Of an actor's transactions, not
#: more are counted.
_COUNTED = 1000


@dataclass(frozen=True)
class Day:
    """How many changes a day had, or how many transactions of an actor."""

    day: dt.date
    count: int
    #: Otherwise it had about as many changes, or more transactions.
    is_exact: bool


def beginnings(now: dt.datetime, zone: Zone) -> list[dt.datetime]:
    """Return when each of the last days began, and when the last ends."""
    today = zone.local(now).date()
    return [zone.midnight(today - dt.timedelta(days=DAYS - 1 - number)) for number in range(DAYS + 1)]


def days(log: AuditLog, session: Session, now: dt.datetime, zone: Zone) -> list[Day]:
    """Count the changes of each of the last days."""
    activity = log.activity_cls
    starts = beginnings(now, zone)
    ids = [first for first, _ in ids_at(log, session, starts)]
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


def days_of_actor(log: AuditLog, session: Session, actor: Any, now: dt.datetime, zone: Zone) -> list[Day]:
    """Count the transactions of an actor on each of the last days, in the index that has them by their ids."""
    transaction = log.transaction_cls
    starts = beginnings(now, zone)
    is_own = is_of_actor(scope_of(log), actor)
    ends = select(func.min(transaction.id), func.max(transaction.id) + 1).where(is_own)
    first_id, end_id = session.execute(ends).one()
    if first_id is not None and not closed_partitions(log, session).are_in_order(FIRST_ID, LAST_ID):
        # What was imported is left out where it is in no order with the rest: most often it is older than these days.
        first_id, end_id = max(first_id, 0), max(end_id, 0)
    if first_id is None:
        return [Day(each.date(), 0, True) for each in starts[:-1]]
    ids = _ids_at(log, session, transaction, starts, [(first_id, end_id) for _ in starts], is_own)
    numbered = [(place, *span) for place, span in enumerate(pairwise(ids))]
    spans = given_rows("spans", numbered, place=Integer(), first=BigInteger(), end=BigInteger())
    inside = (
        select(literal(1))
        .where(is_own, transaction.id >= spans.c.first, transaction.id < spans.c.end)
        .limit(_COUNTED + 1)
        .correlate(spans)
        .subquery()
    )
    counted = select(func.count()).select_from(inside).scalar_subquery()
    counts = session.scalars(select(counted).select_from(spans).order_by(spans.c.place))
    return [
        Day(start.date(), min(count, _COUNTED), count <= _COUNTED) for start, count in zip(starts, counts, strict=False)
    ]


def ids_at(
    log: AuditLog, session: Session, instants: Sequence[dt.datetime | None]
) -> list[tuple[int, int] | tuple[None, None]]:
    """Find the first id of each instant: below one id all is older, from the other on all is younger.

    They are the same where ids grow with time.
    """
    given = [each for each in instants if each is not None]
    lowest, highest = (lowest_id(log, session), highest_id(log, session)) if given else (None, None)
    first, last = (1, 0) if lowest is None or highest is None else (lowest, highest)
    # Two of them, of which one is after the other, need not be in the same order where they meet.
    closed = closed_partitions(log, session)
    known = [closed.around(each) for each in given]
    bounds = [(max(first, begin), max(first, begin, min(last + 1, end))) for begin, end in known]
    ordered = [place for place, each in enumerate(known) if closed.are_in_order(*each)]
    ids = _ids_at(log, session, log.activity_cls, [given[n] for n in ordered], [bounds[n] for n in ordered])
    for place, id_ in zip(ordered, ids, strict=True):
        bounds[place] = (id_, id_)
    found = iter(bounds)
    return [(None, None) if each is None else next(found) for each in instants]


def _ids_at(
    log: AuditLog,
    session: Session,
    model: Any,
    instants: Sequence[dt.datetime],
    bounds: Sequence[tuple[int, int]],
    *own: ColumnElement[bool],
) -> list[int]:
    """Find the first id of each instant, where ids grow with time: a binary search, all in one query.

    :param bounds: the ids between which each of them is looked for.
    """
    if not instants:
        return []
    numbered = [(place, when, *bounds[place]) for place, when in enumerate(instants)]
    timestamp = DateTime(timezone=True)
    asked = given_rows("asked", numbered, place=Integer(), instant=timestamp, low=BigInteger(), high=BigInteger())
    search = select(asked.c.instant, asked.c.place, asked.c.low, asked.c.high).cte("search", recursive=True)
    # PostgreSQL cuts towards 0, and ids of what was imported are negative.
    middle = search.c.low + (search.c.high - search.c.low) // 2
    lowest = min(low for low, _ in bounds)
    above = select(model.id, model.issued_at).where(*own, model.id >= middle, model.id >= lowest)
    found = above.order_by(model.id).limit(1).lateral()
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
    return [ids[place] for place in range(len(instants))]
