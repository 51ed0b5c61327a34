"""What an import asks of another audit trail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from sqlalchemy import Connection

from ..errors import ConfigurationError
from ..lifecycle.owner import statement
from ..quoting import literal, qualified

#: What each change says, as columns of a query: their name and type.
COLUMNS = {
    # Where the change stands in the other trail; those that came later have greater ones.
    "position": "bigint",
    # Equal for the changes of one transaction of one actor.
    "transaction_key": "text",
    "begun_at": "timestamptz",
    "issued_at": "timestamptz",
    "native_transaction_id": "bigint",
    "relid": "bigint",
    "schema": "text",
    "table_name": "text",
    "verb": "text",
    "old_data": "jsonb",
    "changed_data": "jsonb",
    "actor_id": "text",
    "client_addr": "text",
    "meta": "jsonb",
}

_HAS_COLUMNS = (
    "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :of_schema AND c.relname = :of_table AND a.attnum > 0 AND NOT a.attisdropped"
)


class Source(ABC):
    """Another audit trail, in the database of ours. The connection finds functions in ``pg_catalog`` only."""

    #: What it is called in ``transaction.meta`` and on the command line.
    name: ClassVar[str]

    def __init__(self, schema: str) -> None:
        #: The schema of its tables.
        self.schema = schema

    @abstractmethod
    def require(self, connection: Connection) -> None:
        """Refuse tables that are not what this reads.

        :raises ConfigurationError: saying what is missing.
        """

    def prepare(self, connection: Connection, pending: str) -> None:  # noqa: B027 - most need nothing
        """Fill a table that has the :data:`COLUMNS`, where the rows cannot be read in their order as they stand."""

    @abstractmethod
    def rows(self, pending: str) -> str:
        """Return a query that has the :data:`COLUMNS`; ``pending`` is the table of :meth:`prepare`, quoted."""

    def named(self, table: str) -> str:
        """Quote a table of the other trail, for a text in which a colon begins a parameter."""
        return in_text(qualified(table, self.schema))

    def columns_of(self, connection: Connection, table: str) -> dict[str, str]:
        """Return the columns that a table has, with their types; none if it is not there."""
        found = connection.execute(statement(_HAS_COLUMNS), {"of_schema": self.schema, "of_table": table})
        return {row[0]: row[1] for row in found}

    def require_columns(self, connection: Connection, table: str, columns: set[str]) -> None:
        """Refuse a table that lacks columns."""
        if missing := columns - self.columns_of(connection, table).keys():
            raise ConfigurationError(
                f"{self.schema}.{table} is not a table of {self.name}: it is not there, or has no column "
                f"{', '.join(map(repr, sorted(missing)))}. Say with schema= where the other trail is."
            )


def in_text(sql: str) -> str:
    """Write SQL into a text in which a colon begins a parameter."""
    return sql.replace(":", "\\:")


def quoted(text: str) -> str:
    """Quote a text as a literal, in the same way."""
    return in_text(literal(text))
