"""The audited tables: what their triggers would not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from ...quoting import qualified, quote
from ..objects import TableTriggers
from .problem import Problem

# Each audited table with itself and all that is below it.
_MEMBERS = (
    "WITH RECURSIVE root (relid, schema, table_name) AS ("
    " SELECT c.oid, n.nspname, c.relname"
    " FROM ROWS FROM (pg_catalog.unnest(CAST(:schemas AS pg_catalog.text[])),"
    "  pg_catalog.unnest(CAST(:tables AS pg_catalog.text[]))) AS audited (schema, table_name)"
    " JOIN pg_catalog.pg_namespace AS n ON n.nspname = audited.schema"
    " JOIN pg_catalog.pg_class AS c ON c.relname = audited.table_name AND c.relnamespace = n.oid"
    "), member (root, relid) AS ("
    " SELECT r.relid, r.relid FROM root AS r"
    " UNION SELECT m.root, i.inhrelid"
    " FROM member AS m JOIN pg_catalog.pg_inherits AS i ON i.inhparent = m.relid"
    ") "
)

# Partitions share the row triggers of their table, so that only TRUNCATE of the partition itself can escape.
_DESCENDANTS = text(
    _MEMBERS + "SELECT r.schema AS root_schema, r.table_name AS root_name,"
    " n.nspname AS schema, c.relname AS table_name, c.relispartition AS is_partition "
    "FROM member AS m"
    " JOIN root AS r ON r.relid = m.root AND r.relid <> m.relid"
    " JOIN pg_catalog.pg_class AS c ON c.oid = m.relid AND c.relkind IN ('r', 'p')"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger AS wanted"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = wanted.tgfoid"
    " WHERE wanted.tgrelid = r.relid AND wanted.tgparentid = 0"
    " AND pg_catalog.starts_with(p.proname, 'audit_logger_record')"
    " AND (NOT c.relispartition"
    "  OR p.proname IN ('audit_logger_record_partitioned_statement', 'audit_logger_record_truncate'))"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS own"
    "  WHERE own.tgrelid = c.oid AND own.tgname = wanted.tgname AND own.tgenabled = 'O')) "
    "ORDER BY 1, 2, 3, 4"
)

_RULES = text(
    _MEMBERS + "SELECT r.schema AS root_schema, r.table_name AS root_name,"
    " n.nspname AS schema, c.relname AS table_name, w.rulename "
    "FROM member AS m"
    " JOIN root AS r ON r.relid = m.root"
    " JOIN pg_catalog.pg_class AS c ON c.oid = m.relid AND c.relkind IN ('r', 'p')"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = c.oid "
    "ORDER BY 1, 2, 3, 4, 5"
)


def problems(connection: Connection, triggers: Sequence[TableTriggers], default_schema: str) -> Iterator[Problem]:
    """List what of the audited tables would not be recorded as it is sent."""
    tables = {(each.schema or default_schema, each.table): each for each in triggers}
    if not tables:
        return
    audited = {"schemas": [schema for schema, _ in tables], "tables": [name for _, name in tables]}
    for row in connection.execute(_DESCENDANTS, audited):
        table = tables[row.root_schema, row.root_name]
        kind = "TRUNCATE of partition" if row.is_partition else "Writes to the child table"
        yield Problem(
            table.table,
            f"{kind} {row.schema}.{row.table_name} of {table.table!r} would not be recorded: it has no audit "
            f"triggers of its own. Run: {table.copy_triggers()}",
        )
    for row in connection.execute(_RULES, audited):
        yield Problem(
            tables[row.root_schema, row.root_name].table,
            f"Rule {row.rulename!r} on {row.schema}.{row.table_name} puts other statements in the place of writes, or "
            "beside them, so that what is recorded need not be what was sent. Use a trigger instead. Run: "
            f"DROP RULE {quote(row.rulename)} ON {qualified(row.table_name, row.schema)}",
        )
