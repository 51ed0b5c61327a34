"""Activities and transactions as the commands show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session, joinedload

from audit_core import AuditLog, AuditLogActivity, AuditLogTransaction
from audit_core.audit_log import scope_of
from audit_core.reading import actor_names
from audit_core.reading.values import as_object, for_people

from .cutting import cut_pair
from .differences import difference
from .output import Listing, print_json, value_text
from .times import shown

ACTIVITY_COLUMNS = ("id", "time", "transaction", "actor", "verb", "table", "key", "changes")

#: The number of activities in memory at once.
BATCH = 500


def names_of(session: Session, log: AuditLog, transactions: Iterable[AuditLogTransaction | None]) -> dict[Any, str]:
    """Load what the actors of transactions are called, in one query."""
    return actor_names(scope_of(log), session, {each.actor_id for each in transactions if each is not None})


def actor_text(actor_id: Any, names: Mapping[Any, str]) -> str:
    """Show an actor by name and primary key."""
    if actor_id is None:
        return "-"
    name, key = names.get(actor_id), value_text(actor_id)
    return key if name is None or name == key else f"{name} ({key})"


def witness(transaction: AuditLogTransaction) -> str:
    """Show from where a transaction came: the address, the role and the program, as far as they are known."""
    address = None if transaction.client_addr is None else str(transaction.client_addr)
    role = f"{address} as {transaction.db_user}" if address and transaction.db_user else address or transaction.db_user
    return value_text(", ".join(filter(None, (role, transaction.application_name))) or "-")


def reason_of(transaction: AuditLogTransaction) -> str:
    """Show why a transaction was made, if that was said."""
    reason = as_object(transaction.meta).get("reason")
    return "" if reason is None else value_text(reason)


def transaction_json(transaction: AuditLogTransaction, names: Mapping[Any, str] | None = None) -> dict[str, Any]:
    """Describe who, from where and why."""
    return {
        "transaction_id": transaction.id,
        "actor_id": transaction.actor_id,
        **({} if names is None else {"actor": names.get(transaction.actor_id)}),
        "client_addr": None if transaction.client_addr is None else str(transaction.client_addr),
        "db_user": transaction.db_user,
        "application_name": transaction.application_name,
        "meta": transaction.meta,
    }


def activity_json(activity: AuditLogActivity, names: Mapping[Any, str] | None = None) -> dict[str, Any]:
    """Describe a change, and who made it; with the name of the actor, if names are given."""
    return {
        "id": activity.id,
        "issued_at": activity.issued_at,
        **transaction_json(activity.transaction, names),
        "verb": activity.verb,
        "schema": activity.schema,
        "table": activity.table_name,
        "row_key": activity.row_key,
        "old_data": activity.old_data,
        "changed_data": activity.changed_data,
        "delta_depth": activity.delta_depth,
        # What they have is null, and not that of the row.
        "masked": activity.masked or [],
        "erased": activity.erased or [],
        "changes": {name: {"old": old, "new": new} for name, (old, new) in recorded_changes(activity).items()},
    }


def activity_row(activity: AuditLogActivity, names: Mapping[Any, str], listing: Listing) -> list[Any]:
    """Describe a change in the cells of ``ACTIVITY_COLUMNS``."""
    return [
        str(activity.id),
        shown(activity.issued_at),
        str(activity.transaction_id),
        actor_text(activity.transaction.actor_id, names),
        activity.verb,
        activity.table_name,
        text_or_dash(activity.row_key),
        change_lines(activity, listing),
    ]


def text_or_dash(value: Any) -> str:
    """Show a value that may be missing."""
    return "-" if value is None else value_text(value)


def recorded_changes(activity: AuditLogActivity) -> dict[str, tuple[Any, Any]]:
    """Return what changed as ``{column: (old, new)}``, with the values as they are recorded."""
    return _changes(activity, activity.old_data, activity.changed_data)


def _changes(activity: AuditLogActivity, old_data: Any, changed_data: Any) -> dict[str, tuple[Any, Any]]:
    old, new = as_object(old_data), as_object(changed_data)
    return {name: (old.get(name), new.get(name)) for name in activity.changes}


def change_lines(activity: AuditLogActivity, listing: Listing) -> list[str]:
    """Show what changed, a line for each column, or for each line of a difference."""
    old_data, changed_data = (for_people(each, activity.erased) for each in (activity.old_data, activity.changed_data))
    changes = _changes(activity, old_data, changed_data)
    if listing.is_below and changes:
        return list(difference(activity.verb, changes, listing.is_cut))
    if activity.verb == "update":
        return [_change(name, value_text(old), value_text(new), listing) for name, (old, new) in changes.items()]
    if activity.verb == "delete":
        return [f"{name}: {listing.fitted(value_text(old))}" for name, (old, _) in changes.items()]
    if not isinstance(changed_data, dict):
        # What was read is what somebody says.
        return [listing.fitted(value_text(changed_data))]
    return [f"{name}: {listing.fitted(value_text(new))}" for name, new in changed_data.items()]


def _change(name: str, old: str, new: str, listing: Listing) -> str:
    if listing.is_cut:
        old, new = cut_pair(old, new)
    return f"{name}: {old} → {new}"


def print_activities(
    session: Session, log: AuditLog, activities: Sequence[AuditLogActivity], listing: Listing | None
) -> None:
    """Print activities; as lines of JSON if there is no listing."""
    names = names_of(session, log, (each.transaction for each in activities))
    if listing is not None:
        listing.add(activity_row(each, names, listing) for each in activities)
        return
    for activity in activities:
        print_json(activity_json(activity, names))


def print_found(
    session: Session, log: AuditLog, activities: Iterable[AuditLogActivity], listing: Listing | None
) -> int:
    """Print activities batch by batch, and return how many there were."""
    count, remaining = 0, iter(activities)
    while batch := list(islice(remaining, BATCH)):
        print_activities(session, log, batch, listing)
        count += len(batch)
    return count


def print_selected(session: Session, log: AuditLog, query: Select[Any], listing: Listing | None) -> int:
    """Print the activities of a query batch by batch, and return how many there were."""
    query = query.options(joinedload(log.activity_cls.transaction)).execution_options(yield_per=BATCH)
    count = 0
    with session.scalars(query) as found:
        for batch in found.partitions():
            print_activities(session, log, batch, listing)
            count += len(batch)
    return count
