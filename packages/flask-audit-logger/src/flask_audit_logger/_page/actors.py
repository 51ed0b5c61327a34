"""What an actor did, when and how much, found in a bounded part of the trail."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import is_of_actor, scope_of
from sqlalchemy import select
from sqlalchemy.orm import Session

from .days import Day, days_of_actor
from .entries import Group
from .few import own_activities
from .zones import Zone


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
    own = own_activities(log, session, actor)
    counts = Counter((each.schema, each.table_name, each.verb) for each in own.rows)
    groups = [Group(*key, count) for key, count in counts.most_common()]
    days = days_of_actor(log, session, actor, now, zone)
    return Summary(first_at, last_at, groups, own.are_all, days)
