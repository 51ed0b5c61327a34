"""Why the database refuses something, without the values that its messages quote.

The details of PostgreSQL show whole rows: also columns that are masked, or not recorded, in the trail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_KINDS = {
    "23001": "the foreign key",
    "23502": "the not-null constraint",
    "23503": "the foreign key",
    "23505": "the unique constraint",
    "23514": "the check constraint",
    "23P01": "the exclusion constraint",
}

# The name is that of a constraint, or of a unique index without one.
_COLUMNS = text(
    "SELECT a.attname FROM pg_catalog.pg_class AS c"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " CROSS JOIN LATERAL ("
    "SELECT o.conkey FROM pg_catalog.pg_constraint AS o WHERE o.conrelid = c.oid AND o.conname = :constraint"
    " UNION ALL SELECT i.indkey::pg_catalog.int2[] FROM pg_catalog.pg_index AS i"
    " JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid"
    " WHERE i.indrelid = c.oid AND x.relname = :constraint LIMIT 1) AS found (numbers)"
    " CROSS JOIN LATERAL pg_catalog.unnest(found.numbers) WITH ORDINALITY AS k (number, place)"
    " JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number "
    "WHERE n.nspname = :schema AND c.relname = :table ORDER BY k.place"
)


@dataclass(frozen=True)
class Refusal:
    """What a database error says of the constraint that it comes from."""

    sqlstate: str | None
    schema: str | None = None
    table: str | None = None
    column: str | None = None
    constraint: str | None = None

    @classmethod
    def read(cls, error: DBAPIError) -> Refusal:
        """Read an error of any driver."""
        return cls(
            _field(error, "sqlstate"),
            *(_field(error, f"{name}_name") for name in ("schema", "table", "column", "constraint")),
        )

    @property
    def is_of_row(self) -> bool:
        """Whether a row is refused for what is in it; asyncpg has no class of errors for values."""
        return self.sqlstate is not None and self.sqlstate[:2] in ("22", "23")

    @property
    def is_of_constraint(self) -> bool:
        """Whether a constraint refuses it."""
        return self.sqlstate is not None and self.sqlstate.startswith("23")

    @property
    def is_of_server(self) -> bool:
        """Whether less would be refused as well: a lock, a time limit, or a connection that is lost."""
        return self.sqlstate is None or self.sqlstate[:2] in ("08", "40", "53", "55", "57", "58", "XX")

    def columns(self, connection: Connection) -> list[str]:
        """Look up the columns of the constraint, on a connection that can be used."""
        if self.column is not None:
            return [self.column]
        where = {"schema": self.schema, "table": self.table, "constraint": self.constraint}
        return [] if None in where.values() else list(connection.scalars(_COLUMNS, where))

    def message(self, columns: list[str] | None = None) -> str:
        """Return the constraint."""
        if not self.is_of_constraint:
            return f"a value does not fit the table as it is now (SQLSTATE {self.sqlstate})"
        said = _KINDS.get(str(self.sqlstate), "a constraint")
        if self.constraint is not None:
            said += f' "{self.constraint}"'
        if self.table is not None:
            said += f" of {self.table}"
        if columns:
            said += f" ({', '.join(columns)})"
        return f"{said} prevents it (SQLSTATE {self.sqlstate})"


def headline(error: DBAPIError) -> str:
    """Summarise an error of the database in one line: without its details, and of a constraint its name only."""
    refusal = Refusal.read(error)
    if refusal.is_of_constraint:
        return refusal.message()
    # A driver that cannot reach the server has several lines to say, and nothing of rows.
    said = _field(error, "message_primary") or str(error.orig)
    return " ".join(said.split())


def _field(error: DBAPIError, name: str) -> str | None:
    # psycopg keeps what the server says in diag, asyncpg in the error that SQLAlchemy's one comes from.
    for source in (getattr(error.orig, "diag", None), getattr(error.orig, "__cause__", None)):
        found: Any = getattr(source, name, None)
        if found:
            return str(found)
    return None
