"""Which transactions have been on a page before: where others wrote meanwhile, they lie on both sides of its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit_core import AuditLog
from sqlalchemy import ARRAY, BigInteger, Select, any_, func, inspect, literal, select
from sqlalchemy.orm import Session

from .partitions import of_each
from .queries import along_index

#: A link remembers so many large transactions.
REMEMBERED = 100
#: So many activities of a transaction are looked at; one with fewer is looked at as a whole. Of a larger one the link
#: to the next page has to say that it was listed: no index has the activities of a transaction in their order, and
#: those that lie last on disk need not be the last ones.
_LOOKED_AT = 500


def listed_before(
    log: AuditLog, session: Session, matching: Select[Any], transactions: Sequence[int], after: int
) -> set[int]:
    """Return those that match after the end of the page before."""
    activity = inspect(log.activity_cls).local_table
    if not transactions:
        return set()
    last = of_each(log, session, select(activity.c.id), transactions, _LOOKED_AT, is_backwards=True).subquery()
    with along_index(session):
        ids = session.scalars(select(last.c.id).where(last.c.id >= after)).all()
    if not ids:
        return set()
    above = matching.where(activity.c.id == any_(literal(ids, ARRAY(BigInteger())))).subquery()
    return set(session.scalars(select(above.c.transaction_id).distinct()))


def large_among(log: AuditLog, session: Session, transactions: Sequence[int]) -> list[int]:
    """Return those that ``listed_before`` does not look at as a whole."""
    activity = inspect(log.activity_cls).local_table
    if not transactions:
        return []
    own = of_each(log, session, select(activity.c.transaction_id), transactions, _LOOKED_AT).subquery()
    counted = select(own.c.transaction_id).group_by(own.c.transaction_id).having(func.count() >= _LOOKED_AT)
    return list(session.scalars(counted.order_by(own.c.transaction_id)))
