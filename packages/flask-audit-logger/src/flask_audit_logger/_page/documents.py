"""What the views answer to programs: the same as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from audit_core.siblings import dump_json
from flask import Response, request

from .actors import Summary
from .belonging import COUNTED, Belonging
from .entries import Entry, Group
from .loading import is_loaded
from .naming import Names
from .sentences import plain, sentence
from .states import State


def wants_json() -> bool:
    """Return whether the visitor is a program: by the address, or by what it accepts."""
    if request.path.endswith(".json"):
        return True
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def json_answer(document: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with JSON, in which recorded numbers keep all their digits."""
    return Response(dump_json(dict(document)) + "\n", status, mimetype="application/json")


def entry_document(entry: Entry, names: Names) -> dict[str, Any]:
    """Describe a transaction with what it did."""
    return {
        **transaction_document(entry.transaction_id, entry.transaction, names),
        "last_activity_id": entry.last_id,
        "what": plain(sentence(entry, names)),
        **counts_document(entry.groups, entry.is_counted),
        "activities": [activity_document(each, names) for each in entry.activities],
    }


def transaction_document(number: int, transaction: Any, names: Names) -> dict[str, Any]:
    """Describe who, from where and why."""
    if transaction is None:
        return {"transaction_id": number}
    return {
        "transaction_id": number,
        "issued_at": time_text(transaction.issued_at),
        "actor_id": key_value(transaction.actor_id),
        "actor": None if transaction.actor_id is None else names.actor(transaction.actor_id),
        "client_addr": None if transaction.client_addr is None else str(transaction.client_addr),
        "db_user": transaction.db_user,
        "application_name": transaction.application_name,
        "meta": transaction.meta,
    }


def counts_document(groups: Iterable[Group], is_counted: bool) -> dict[str, Any]:
    """Describe how many rows were changed."""
    return {
        "counts": [
            {"schema": each.schema, "table": each.table_name, "verb": each.verb, "count": each.count} for each in groups
        ],
        "is_counted": is_counted,
    }


def summary_document(summary: Summary) -> dict[str, Any]:
    """Describe what an actor did."""
    days = [{"day": each.day.isoformat(), "count": each.count, "is_exact": each.is_exact} for each in summary.days]
    return {
        "first_at": time_text(summary.first_at),
        "last_at": time_text(summary.last_at),
        **counts_document(summary.groups, summary.is_counted),
        "days": days,
    }


def activity_document(activity: Any, names: Names) -> dict[str, Any]:
    """Describe a change."""
    document = {
        "id": activity.id,
        "issued_at": time_text(activity.issued_at),
        "transaction_id": activity.transaction_id,
        "verb": activity.verb,
        "schema": activity.schema,
        "table": activity.table_name,
        "row_key": activity.row_key,
        "record": names.record(activity),
    }
    if not is_loaded(activity):
        return {**document, "is_too_long": True}
    return {
        **document,
        "old_data": activity.old_data,
        "changed_data": activity.changed_data,
        "delta_depth": activity.delta_depth,
        "masked": activity.masked or [],
        "erased": activity.erased or [],
        "names": names.called_by_column(activity),
    }


def state_document(state: State) -> dict[str, Any]:
    """Describe a record at a moment."""
    row = state.row
    if row is not None:
        # As in the state at a time: what is not known is null, and the notes say why.
        row = {name: None if name in state.masked else value for name, value in row.items()}
    return {
        "activity_id": state.activity.id,
        "when": time_text(state.when),
        "row": row,
        "is_too_long": state.is_too_long,
        "notes": list(state.notes),
    }


def belonging_document(belonging: Iterable[Belonging], names: Names) -> dict[str, Any]:
    """Describe the rows that belong to a record."""
    found: dict[str, Any] = {"refers_to": [], "referred_to_by": []}
    for each in belonging:
        rows = [
            {
                "row_key": row.row_key,
                "name": names.record_of(row.schema, row.table_name, row.row_key),
                "changes": min(row.changes, COUNTED),
                "are_changes_counted": row.changes <= COUNTED,
            }
            for row in each.rows
        ]
        found["refers_to" if each.is_referred else "referred_to_by"].append(
            {
                "table": each.table.fullname,
                "columns": list(each.columns),
                "count": None if each.count is None else min(each.count, COUNTED),
                "is_counted": each.is_counted,
                "rows": rows,
            }
        )
    return found


def time_text(when: dt.datetime | None) -> str | None:
    """Write a time in UTC."""
    return None if when is None else when.astimezone(dt.timezone.utc).isoformat()


def key_value(value: Any) -> Any:
    """Write a primary key as a number or a text."""
    return value if value is None or isinstance(value, (int, str)) else str(value)
