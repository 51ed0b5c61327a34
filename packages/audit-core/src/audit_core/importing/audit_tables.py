"""The trails whose tables are ``activity`` and ``transaction`` as well: flask-audit-logger and PostgreSQL-Audit."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Connection

from .source import Source

_ACTIVITY = frozenset({"id", "table_name", "relid", "issued_at", "native_transaction_id", "verb", "old_data"})
_TRANSACTION = frozenset({"id", "native_transaction_id", "issued_at", "client_addr", "actor_id"})


class AuditTables(Source):
    """Reads them as they stand, in the order of their ids. Their times are those of UTC."""

    #: The column of the schema of a table.
    schema_column: ClassVar[str]

    def require(self, connection: Connection) -> None:
        self.require_columns(connection, "activity", {*_ACTIVITY, "changed_data", "transaction_id", self.schema_column})
        self.require_columns(connection, "transaction", set(_TRANSACTION))

    def rows(self, pending: str) -> str:
        activity, transaction = self.named("activity"), self.named("transaction")
        at = "(a.issued_at AT TIME ZONE 'UTC')"
        # Newer versions of PostgreSQL-Audit have the type xid8, which has no cast to a number. A number that is used
        # again, in a database that was restored, is that of another day.
        native = "CAST(CAST(a.native_transaction_id AS text) AS bigint)"
        return f"""
            SELECT a.id AS position,
                   coalesce(CAST(t.id AS text), concat('-', a.native_transaction_id, '-', CAST(a.issued_at AS date)))
                       AS transaction_key,
                   coalesce(t.issued_at AT TIME ZONE 'UTC', {at}) AS begun_at, {at} AS issued_at,
                   {native} AS native_transaction_id, CAST(a.relid AS bigint) AS relid,
                   a.{self.schema_column} AS schema, a.table_name AS table_name, a.verb AS verb,
                   coalesce(a.old_data, jsonb '{{}}') AS old_data,
                   coalesce(a.changed_data, jsonb '{{}}') AS changed_data,
                   CAST(t.actor_id AS text) AS actor_id, host(t.client_addr) AS client_addr, CAST(NULL AS jsonb) AS meta
            FROM {activity} AS a LEFT JOIN {transaction} AS t ON t.id = a.transaction_id
        """


class FlaskAuditLogger1(AuditTables):
    """flask-audit-logger 1.x."""

    name = "flask-audit-logger-1"
    schema_column = "schema"


class FlaskAuditLogger2(AuditTables):
    """flask-audit-logger 2.x, whose tables are those of 1.x."""

    name = "flask-audit-logger-2"
    schema_column = "schema"


class PostgreSQLAudit(AuditTables):
    """PostgreSQL-Audit, with its layouts of 0.13 and of 0.18."""

    name = "postgresql-audit"
    schema_column = "schema_name"
