"""Rows for the trail of this project, written without its triggers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect

#: Column -> its value for change or transaction number g, in SQL.
KNOWN = {
    "transaction_id": "1",
    "issued_at": "clock_timestamp()",
    "native_transaction_id": "pg_current_xact_id()::text::bigint",
    "relid": "'item'::regclass",
    "schema": "'public'",
    "table_name": "'item'",
    "verb": "'update'",
    "actor_id": "'1'",
    "db_user": "session_user",
    "application_name": "'bench'",
}


def fill_columns(model: type[Any], **values: str) -> tuple[str, str]:
    """Return columns and values of an INSERT into the table of a model.

    What is not known here, such as ids, is left to the defaults.
    """
    known = {**KNOWN, **values}
    names = [column.name for column in inspect(model).local_table.columns if column.name in known]
    return ", ".join(names), ", ".join(known[name] for name in names)
