"""The columns of an export, and the query for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, Text, cast, func, literal, null
from sqlalchemy.dialects import postgresql

from ..reading.exact import pg

if TYPE_CHECKING:
    from ..archive import Timeline
    from ..audit_log import AuditLog

COLUMNS = (
    "id",
    "issued_at",
    "transaction_id",
    "actor_id",
    "actor",
    "client_addr",
    "db_user",
    "application_name",
    "meta",
    "verb",
    "schema",
    "table",
    "row_key",
    "old_data",
    "changed_data",
    "delta_depth",
    "masked",
    "erased",
)
JSON_COLUMNS = frozenset({"meta", "old_data", "changed_data", "masked", "erased"})


def select_columns(log: AuditLog | Timeline, activities: Select[Any]) -> Select[Any]:
    """Select the columns of activities, oldest first; JSON as the text that the database makes of it."""
    activity, transaction = log.activity_cls, log.transaction_cls
    json = {
        "meta": transaction.meta,
        "old_data": activity.old_data,
        "changed_data": activity.changed_data,
        **{
            name: pg.to_jsonb(func.coalesce(names, literal([], postgresql.ARRAY(Text))))
            for name, names in (("masked", activity.masked), ("erased", activity.erased))
        },
    }
    columns: dict[str, Any] = {
        "id": activity.id,
        "issued_at": activity.issued_at,
        "transaction_id": activity.transaction_id,
        "actor_id": transaction.actor_id,
        # Its place; names are loaded for each batch.
        "actor": null(),
        "client_addr": pg.host(transaction.client_addr),
        "db_user": transaction.db_user,
        "application_name": transaction.application_name,
        "verb": activity.verb,
        "schema": activity.schema,
        "table": activity.table_name,
        "row_key": activity.row_key,
        "delta_depth": activity.delta_depth,
        **{name: cast(column, Text) for name, column in json.items()},
    }
    ordered = [columns[name].label(name) for name in COLUMNS]
    joined = activities.outerjoin(transaction, transaction.id == activity.transaction_id)
    return joined.with_only_columns(*ordered).order_by(None).order_by(activity.id)
