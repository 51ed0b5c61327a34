"""Rows of the archive on their way into the database, as one statement for a batch, with any driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from ..lifecycle.owner import actor_id_type, statement

_TIME = "timestamptz '1970-01-01 00\\:00\\:00+00' + x.{0} * interval '1 microsecond'"
_NAMES = "CASE WHEN x.{0} IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(CAST(x.{0} AS jsonb))) END"
_ACTIVITY = {
    "id": ("bigint", "x.id"),
    "transaction_id": ("bigint", "x.transaction_id"),
    "issued_at": ("bigint", _TIME.format("issued_at")),
    "native_transaction_id": ("bigint", "x.native_transaction_id"),
    "relid": ("bigint", "CAST(x.relid AS oid)"),
    "schema": ("text", "x.schema"),
    "table_name": ("text", "x.table_name"),
    "verb": ("text", "x.verb"),
    "row_key": ("text", "x.row_key"),
    "old_row_key": ("text", "x.old_row_key"),
    "old_data": ("text", "CAST(x.old_data AS jsonb)"),
    "changed_data": ("text", "CAST(x.changed_data AS jsonb)"),
    "masked": ("text", _NAMES.format("masked")),
    "delta_depth": ("bigint", "CAST(x.delta_depth AS smallint)"),
    "erased": ("text", _NAMES.format("erased")),
}
_TRANSACTION = {
    "id": ("bigint", "x.id"),
    "native_transaction_id": ("bigint", "x.native_transaction_id"),
    "issued_at": ("bigint", _TIME.format("issued_at")),
    "actor_id": ("text", "CAST(x.actor_id AS {actor_id_type})"),
    "client_addr": ("text", "CAST(x.client_addr AS inet)"),
    "meta": ("text", "CAST(x.meta AS jsonb)"),
    "db_user": ("text", "x.db_user"),
    "application_name": ("text", "x.application_name"),
    "erased": ("text", _NAMES.format("erased")),
}


class Loader:
    """Inserts rows of the archive that are not there. The connection finds functions in ``pg_catalog`` only."""

    def __init__(self, connection: Connection, trail: str, schema: str, activity: str, transaction: str) -> None:
        """Say in which schema the trail is, and into which tables of which schema rows go."""
        self._connection = connection
        self._trail = trail
        self._schema = schema
        self._activity = activity
        self._transaction = transaction
        self._actor_id_type: str | None = None

    def activities(self, rows: Sequence[Sequence[Any]], of_schema: str) -> None:
        """Insert activities, unless ``activity`` of a schema has them."""
        self._insert(self._activity, _ACTIVITY, rows, "activity", of_schema)

    def transactions(self, rows: Sequence[Sequence[Any]], of_schema: str) -> None:
        """Insert transactions, unless ``transaction`` of a schema has them."""
        if self._actor_id_type is None:
            self._actor_id_type = actor_id_type(self._connection, self._trail).replace(":", "\\:")
        columns = {
            name: (type_, made.replace("{actor_id_type}", self._actor_id_type))
            for name, (type_, made) in _TRANSACTION.items()
        }
        self._insert(self._transaction, columns, rows, "transaction", of_schema)

    def _insert(
        self, into: str, columns: dict[str, tuple[str, str]], rows: Sequence[Sequence[Any]], has: str, of_schema: str
    ) -> None:
        if not rows:
            return
        names = ", ".join(columns)
        arrays = ", ".join(f"CAST(:{name} AS {type_}[])" for name, (type_, _) in columns.items())
        made = ", ".join(made for _, made in columns.values())
        sql = (
            f"INSERT INTO {{schema}}.{{into}} ({names}) OVERRIDING SYSTEM VALUE SELECT {made} "
            f"FROM unnest({arrays}) AS x({names}) "
            f"WHERE NOT EXISTS (SELECT FROM {{of_schema}}.{has} AS h WHERE h.id = x.id)"
        )
        values = {name: list(column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)}
        self._connection.execute(statement(sql, schema=self._schema, into=into, of_schema=of_schema), values)
