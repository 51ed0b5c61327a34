"""What an actor did, when and how much, found in a bounded part of the trail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import is_of_actor, scope_of
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from .days import Day, days_of_actor
from .entries import Group
from .partitions import of_each
from .zones import Zone

#: So many of the last activities of an actor are counted by table and verb.
LAST = 1000


@dataclass(frozen=True)
class Summary:
    """What an actor did."""

    #: When the first transaction and the last began.
    first_at: dt.datetime
    last_at: dt.datetime
    #: The last activities.
    groups: Sequence[Group]
    #: Whether there are no more than the groups count.
    is_counted: bool
    days: Sequence[Day]


def summary_of(log: AuditLog, session: Session, actor: Any, now: dt.datetime, zone: Zone) -> Summary | None:
    """Find what an actor did; None if the trail has no transaction of this one."""
    transaction = log.transaction_cls
    is_own = is_of_actor(scope_of(log), actor)
    times = select(transaction.issued_at).where(is_own).limit(1)
    first_at, last_at = (session.scalar(times.order_by(each)) for each in (transaction.id, transaction.id.desc()))
    if first_at is None or last_at is None:
        return None
    own = select(transaction.id).where(is_own).order_by(transaction.id.desc()).limit(LAST + 1)
    ids = session.scalars(own).all()
    groups, is_all = _last_of(log, session, ids[:LAST])
    days = days_of_actor(log, session, actor, now, zone)
    return Summary(first_at, last_at, groups, is_all and len(ids) <= LAST, days)


def _last_of(log: AuditLog, session: Session, ids: Sequence[int]) -> tuple[list[Group], bool]:
    """Count the activities of transactions, one transaction after the other, and whether these are all."""
    if not ids:
        return [], True
    columns = inspect(log.activity_cls).local_table.c
    own = select(columns.schema, columns.table_name, columns.verb)
    last = of_each(log, session, own, ids, LAST + 1).limit(LAST + 1).subquery()
    count = func.count()
    query = select(last.c.schema, last.c.table_name, last.c.verb, count).group_by(*last.c)
    rows = session.execute(query.order_by(count.desc()))
    groups = [Group(schema, table_name, verb, number) for schema, table_name, verb, number in rows]
    if sum(group.count for group in groups) <= LAST:
        return groups, True
    # One too many was looked at, to know that there are more.
    return [groups[0].one_less(), *groups[1:]], False
