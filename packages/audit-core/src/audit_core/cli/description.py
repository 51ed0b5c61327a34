"""Activities and transactions as the commands show them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session, joinedload

from audit_core import AuditLog, AuditLogActivity, AuditLogTransaction
from audit_core.reading.values import as_object

from .output import Listing, print_json, value_text
from .times import shown

ACTIVITY_COLUMNS = ("id", "time", "transaction", "actor", "verb", "table", "key", "changes")

#: The number of activities in memory at once.
BATCH = 500


def transaction_json(transaction: AuditLogTransaction) -> dict[str, Any]:
    """Describe who, from where and why."""
    return {
        "transaction_id": transaction.id,
        "actor_id": transaction.actor_id,
        "client_addr": None if transaction.client_addr is None else str(transaction.client_addr),
        "db_user": transaction.db_user,
        "application_name": transaction.application_name,
        "meta": transaction.meta,
    }


def activity_json(activity: AuditLogActivity) -> dict[str, Any]:
    """Describe a change, and who made it."""
    return {
        "id": activity.id,
        "issued_at": activity.issued_at,
        **transaction_json(activity.transaction),
        "verb": activity.verb,
        "schema": activity.schema,
        "table": activity.table_name,
        "row_key": activity.row_key,
        "old_data": activity.old_data,
        "changed_data": activity.changed_data,
        "delta_depth": activity.delta_depth,
        "changes": {name: {"old": old, "new": new} for name, (old, new) in recorded_changes(activity).items()},
    }


def activity_row(activity: AuditLogActivity) -> list[Any]:
    """Describe a change in the cells of ``ACTIVITY_COLUMNS``."""
    return [
        str(activity.id),
        shown(activity.issued_at),
        str(activity.transaction_id),
        _text_or_dash(activity.transaction.actor_id),
        activity.verb,
        activity.table_name,
        _text_or_dash(activity.row_key),
        _change_lines(activity),
    ]


def _text_or_dash(value: Any) -> str:
    return "-" if value is None else value_text(value)


def recorded_changes(activity: AuditLogActivity) -> dict[str, tuple[Any, Any]]:
    """Return what changed as ``{column: (old, new)}``, with the values as they are recorded."""
    old, new = as_object(activity.old_data), as_object(activity.changed_data)
    return {name: (old.get(name), new.get(name)) for name in activity.changes}


def _change_lines(activity: AuditLogActivity) -> list[str]:
    changes = recorded_changes(activity)
    if activity.verb == "update":
        return [f"{name}: {value_text(old)} → {value_text(new)}" for name, (old, new) in changes.items()]
    if activity.verb == "delete":
        return [f"{name}: {value_text(old)}" for name, (old, _) in changes.items()]
    if not isinstance(activity.changed_data, dict):
        # What was read is what somebody says.
        return [value_text(activity.changed_data)]
    return [f"{name}: {value_text(new)}" for name, new in activity.changed_data.items()]


def print_activities(activities: Iterable[AuditLogActivity], listing: Listing | None) -> None:
    """Print activities; as lines of JSON if there is no listing."""
    if listing is not None:
        listing.add(map(activity_row, activities))
        return
    for activity in activities:
        print_json(activity_json(activity))


def print_found(activities: Iterable[AuditLogActivity], listing: Listing | None) -> int:
    """Print activities batch by batch, and return how many there were."""
    count, remaining = 0, iter(activities)
    while batch := list(islice(remaining, BATCH)):
        print_activities(batch, listing)
        count += len(batch)
    return count


def print_selected(session: Session, log: AuditLog, query: Select[Any], listing: Listing | None) -> int:
    """Print the activities of a query batch by batch, and return how many there were."""
    query = query.options(joinedload(log.activity_cls.transaction)).execution_options(yield_per=BATCH)
    count = 0
    with session.scalars(query) as found:
        for batch in found.partitions():
            print_activities(batch, listing)
            count += len(batch)
    return count
