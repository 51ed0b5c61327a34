"""Whether an index leads to few activities, which are then found at once, however long ago they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import is_of_actor, scope_of
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from .partitions import of_each, stretches

#: An actor with not more activities has few; not more transactions are looked at.
OF_ACTOR = 1000
_OF_TABLE = 5000
_OWN = "audit_logger_own"


@dataclass(frozen=True)
class Own:
    """The last activities of an actor."""

    #: Each with its ``id``, ``transaction_id``, ``schema``, ``table_name`` and ``verb``.
    rows: Sequence[Any]
    #: Whether the actor has no others.
    are_all: bool


def own_activities(log: AuditLog, session: Session, actor: Any) -> Own:
    """Find the last activities of an actor, which is done once for each answer."""
    known: dict[Any, Own] = session.info.setdefault(_OWN, {})
    if actor not in known:
        known[actor] = _own_activities(log, session, actor)
    return known[actor]


def _own_activities(log: AuditLog, session: Session, actor: Any) -> Own:
    transaction, activity = log.transaction_cls, inspect(log.activity_cls).local_table.c
    last = select(transaction.id).where(is_of_actor(scope_of(log), actor)).order_by(transaction.id.desc())
    ids = session.scalars(last.limit(OF_ACTOR + 1)).all()
    columns = select(activity.id, activity.transaction_id, activity.schema, activity.table_name, activity.verb)
    rows: list[Any] = []
    for stretch in stretches(log, session, ids[:OF_ACTOR]):
        most = OF_ACTOR + 1 - len(rows)
        if most:
            rows += session.execute(of_each(log, session, columns, stretch, most).limit(most))
    return Own(rows[:OF_ACTOR], len(ids) <= OF_ACTOR and len(rows) <= OF_ACTOR)


def are_few_of_table(log: AuditLog, session: Session, table: Any) -> bool:
    """Return whether a table has few activities."""
    activity = log.activity_cls
    own = select(activity.id).where(activity.table_name == getattr(table, "name", table)).order_by(activity.row_key)
    counted = select(func.count()).select_from(own.limit(_OF_TABLE + 1).subquery())
    return (session.scalar(counted) or 0) <= _OF_TABLE
