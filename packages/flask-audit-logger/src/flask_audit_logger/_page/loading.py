"""Activities and transactions, loaded by their ids; a value may have megabytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import pg
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session, defer, selectinload

#: Values of more bytes, as they are stored, are not loaded into the log,
LOADED_INTO_LOG = 8000
#: nor into the page of a record or of a transaction.
LOADED = 250_000
#: A longer key stands in the trail as its digest.
_LONGEST_KEY = 1000
#: The verbs of activities that leave a record in a state.
STATES = ("insert", "update", "delete", "snapshot")


def load_activities(log: AuditLog, session: Session, ids: Iterable[int], longest: int) -> list[Any]:
    """Load activities in the order of their ids, without the data where that is long."""
    activity = log.activity_cls
    columns = inspect(activity).local_table.c
    size = pg.pg_column_size(columns.old_data) + pg.pg_column_size(columns.changed_data)
    wanted = list(ids)
    if not wanted:
        return []
    sizes = session.execute(select(activity.id, size).where(activity.id.in_(wanted))).all()
    long = [id_ for id_, found in sizes if found > longest]
    short = [id_ for id_, found in sizes if found <= longest]
    found: list[Any] = []
    for chosen, options in ((short, []), (long, _without_data(activity))):
        if chosen:
            query = select(activity).where(activity.id.in_(chosen)).options(selectinload(activity.transaction))
            found += session.scalars(query.options(*options))
    return sorted(found, key=lambda each: each.id)


def is_loaded(activity: Any) -> bool:
    """Return whether the data of an activity was loaded."""
    unloaded: set[str] = inspect(activity).unloaded
    return unloaded.isdisjoint(("old_data", "changed_data"))


def is_digest(row_key: str) -> bool:
    """Return whether a row key is the digest of one that no index could hold: no other has so many characters."""
    return len(row_key) > _LONGEST_KEY


def transactions_of(log: AuditLog, session: Session, ids: Iterable[int]) -> dict[int, Any]:
    """Load transactions by their ids."""
    transaction = log.transaction_cls
    return {each.id: each for each in session.scalars(select(transaction).where(transaction.id.in_(list(ids))))}


def _without_data(activity: Any) -> list[Any]:
    """Leave the data where it is: a value may have megabytes."""
    return [defer(activity.old_data, raiseload=True), defer(activity.changed_data, raiseload=True)]
