"""What the rows of the trail are, as one text that can be computed here and from the archive.

A row is written as its columns one after the other, each with its length before it, so that no two rows are written
alike. The checksum is the sum of the first 64 bits of each row's SHA-256, so the order of the rows does not matter, and
how many rows there are. It finds mistakes; who can write the trail and the archive can make them agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from .owner import statement

_TEXT = "CAST({0} AS text)"
_TIME = "CAST(EXTRACT(epoch FROM {0}) * 1000000 AS bigint)"
# As the types print themselves, whatever casts there are.
_PRINTED = "CASE WHEN {0} IS NOT NULL THEN format('%s', {0}) END"

#: The columns of an activity, as the archive has them.
ACTIVITY = {
    "id": "a.id",
    "transaction_id": "a.transaction_id",
    "issued_at": _TIME.format("a.issued_at"),
    "native_transaction_id": "a.native_transaction_id",
    "relid": "CAST(a.relid AS bigint)",
    "schema": "a.schema",
    "table_name": "a.table_name",
    "verb": "a.verb",
    "row_key": "a.row_key",
    "old_row_key": "a.old_row_key",
    "old_data": _TEXT.format("a.old_data"),
    "changed_data": _TEXT.format("a.changed_data"),
    "masked": _TEXT.format("to_jsonb(a.masked)"),
    "delta_depth": "CAST(a.delta_depth AS bigint)",
    "erased": _TEXT.format("to_jsonb(a.erased)"),
}
#: The columns of a transaction, as the archive has them.
TRANSACTION = {
    "id": "t.id",
    "native_transaction_id": "t.native_transaction_id",
    "issued_at": _TIME.format("t.issued_at"),
    "actor_id": _PRINTED.format("t.actor_id"),
    "client_addr": _PRINTED.format("t.client_addr"),
    "meta": _TEXT.format("t.meta"),
    "db_user": "t.db_user",
    "application_name": "t.application_name",
    "erased": _TEXT.format("to_jsonb(t.erased)"),
}


class Checksum:
    """Collects rows and says their checksum."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Iterable[str]) -> None:
        """Add rows, as they are written."""
        for row in rows:
            self.rows += 1
            self._sum += int.from_bytes(hashlib.sha256(row.encode()).digest()[:8], "big", signed=True)

    def __str__(self) -> str:
        return f"{self.rows}:{self._sum}"


def selected(columns: Mapping[str, str]) -> str:
    """Write the list of a SELECT for columns."""
    return ", ".join(f"{expression} AS {name}" for name, expression in columns.items())


def checksum_sql(columns: Mapping[str, str]) -> str:
    """Write the checksum of the rows of a query."""
    texts = (_TEXT.format(each) for each in columns.values())
    row = " || ".join(f"coalesce(CAST(length({each}) AS text) || '\\:' || {each}, '-')" for each in texts)
    hashed = f"substr(encode(sha256(convert_to({row}, 'UTF8')), 'hex'), 1, 16)"
    total = f"coalesce(sum(CAST(CAST('x' || {hashed} AS bit(64)) AS bigint)), 0)"
    return f"CAST(count(*) AS text) || '\\:' || CAST({total} AS text)"


def checksum_of_partition(connection: Connection, schema: str, name: str) -> str:
    """Return the checksum of the activities in a partition. The connection finds functions in ``pg_catalog`` only."""
    sql = "SELECT " + checksum_sql(ACTIVITY) + " FROM {schema}.{name} AS a"
    return str(connection.scalar(statement(sql, schema=schema, name=name)))
