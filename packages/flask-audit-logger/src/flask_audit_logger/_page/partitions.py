"""Which partitions a query has to look at: planning one takes about as long as there are partitions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import ClosedPartitions, pg, read_closed, scope_of
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, func, inspect, literal, select, true
from sqlalchemy.orm import Session

_CLOSED = "audit_logger_closed"
#: The partitions of a stretch.
_STRETCH = 10


def closed_partitions(log: AuditLog, session: Session) -> ClosedPartitions:
    """Return what is known of the closed partitions, which is read once for each answer."""
    # What is closed meanwhile changes nothing of it.
    found: ClosedPartitions | None = session.info.get(_CLOSED)
    if found is None:
        found = session.info[_CLOSED] = read_closed(scope_of(log), session)
    return found


def is_among(log: AuditLog, session: Session, transactions: Sequence[int]) -> list[ColumnElement[bool]]:
    """Return the conditions that an activity of these transactions meets by its id."""
    activity = inspect(log.activity_cls).local_table
    first, end = closed_partitions(log, session).of_transactions(transactions)
    return [activity.c.id >= first, activity.c.id < end]


def of_each(
    log: AuditLog,
    session: Session,
    matching: Select[Any],
    transactions: Sequence[int],
    limit: int,
    *,
    is_backwards: bool = False,
) -> Select[Any]:
    """Select what matches of some transactions, one after the other and not more of each than a limit.

    Joined without a limit, all activities might be read. There are no bounds of each: with a range that it does not
    know, the planner might read all ids of a partition.

    :param is_backwards: of each those that lie last on disk, which most often came last.
    """
    number = inspect(log.activity_cls).local_table.c.transaction_id
    own = pg.unnest(literal(list(transactions), ARRAY(BigInteger()))).table_valued("id", name="own").render_derived()
    if is_backwards:
        # Of equal numbers there would be no order, and the index be read forwards.
        matching = matching.where(number >= own.c.id, number <= own.c.id).order_by(number.desc())
    else:
        matching = matching.where(number == own.c.id)
    found = matching.where(*is_among(log, session, transactions)).limit(limit).correlate(own).lateral("found")
    return select(found).select_from(own).join(found, true())


def stretches(log: AuditLog, session: Session, transactions: Sequence[int]) -> Iterator[list[int]]:
    """Yield transactions, newest first, by the partitions that they may be in, some of these at a time.

    Each transaction is looked for in each partition of its stretch, so that a thousand in a hundred partitions would
    be looked for a hundred thousand times.
    """
    rows = closed_partitions(log, session).rows
    lasts = sorted(row.last_transaction_id for row in rows if row.last_transaction_id is not None)
    newest_first = sorted(transactions, reverse=True)
    for _, own in groupby(newest_first, lambda number: bisect_left(lasts, number) // _STRETCH):
        yield list(own)


def by_ids(log: AuditLog, matching: Select[Any], ids: Sequence[int]) -> Select[Any]:
    """Select what matches of some activities; each is looked for in its own partition only."""
    activity = inspect(log.activity_cls).local_table
    own = pg.unnest(literal(list(ids), ARRAY(BigInteger()))).table_valued("id", name="own").render_derived()
    among = matching.where(activity.c.id == own.c.id, activity.c.id >= min(ids), activity.c.id <= max(ids))
    # Joined without a limit, all activities might be read.
    found = among.limit(1).correlate(own).lateral("found")
    return select(found).select_from(own).join(found, true())


def lowest_id(log: AuditLog, session: Session) -> int | None:
    """Return the first id of the trail."""
    activity = inspect(log.activity_cls).local_table
    lowest = select(func.min(activity.c.id))
    tries = [lowest.where(activity.c.id < end) for end in closed_partitions(log, session).ends[:1]]
    return _first(session, [*tries, lowest])


def highest_id(log: AuditLog, session: Session, below: int | None = None) -> int | None:
    """Return the last id of the trail, or the last one below another."""
    activity = inspect(log.activity_cls).local_table
    highest = select(func.max(activity.c.id))
    ends = closed_partitions(log, session).ends
    if below is not None:
        highest = highest.where(activity.c.id < below)
        ends = [end for end in ends if end < below]
    return _first(session, [*(highest.where(activity.c.id >= end) for end in ends[-1:]), highest])


def _first(session: Session, tries: Sequence[Any]) -> int | None:
    """Ask one query after the other, as long as there is nothing in the partition that it looks at."""
    for each in tries:
        found: int | None = session.scalar(each)
        if found is not None:
            return found
    return None
