"""Is everything recorded as it should be? What a person, or a script, wants to know from time to time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, text

from . import catalog

if TYPE_CHECKING:
    from .audit_log import AuditLog

_GRANTS = text(
    "SELECT n.nspname AS schema, c.relname AS table_name, coalesce(r.rolname, 'PUBLIC') AS role,"
    " pg_catalog.string_agg(lower(a.privilege_type), ', ' ORDER BY a.privilege_type) AS privileges "
    "FROM pg_catalog.pg_class AS c"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a"
    " LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee "
    "WHERE (n.nspname, c.relname) IN :relations AND a.grantee <> c.relowner"
    " AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER') "
    "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
).bindparams(bindparam("relations", expanding=True))

# Partitions share the row triggers of their table, so that only TRUNCATE of the partition itself can escape.
_DESCENDANTS = text(
    "WITH RECURSIVE descendant (relid) AS ("
    " SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i"
    " WHERE i.inhparent = pg_catalog.to_regclass(CAST(:relation AS text))"
    " UNION SELECT i.inhrelid FROM descendant AS d JOIN pg_catalog.pg_inherits AS i ON i.inhparent = d.relid"
    ") "
    "SELECT n.nspname AS schema, c.relname AS table_name, c.relispartition AS is_partition "
    "FROM descendant AS d"
    " JOIN pg_catalog.pg_class AS c ON c.oid = d.relid AND c.relkind IN ('r', 'p')"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger AS wanted"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = wanted.tgfoid"
    " WHERE wanted.tgrelid = pg_catalog.to_regclass(CAST(:relation AS text)) AND wanted.tgparentid = 0"
    " AND pg_catalog.starts_with(p.proname, 'audit_logger_record')"
    " AND (NOT c.relispartition OR p.proname IN ('audit_logger_record_statement', 'audit_logger_record_truncate'))"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS own"
    "  WHERE own.tgrelid = c.oid AND own.tgname = wanted.tgname AND own.tgenabled = 'O')) "
    "ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Problem:
    """Something that is not recorded, or not protected, as it should be."""

    #: The table concerned, with its schema where it is not the default one; None for the whole trail.
    table: str | None
    #: What is wrong, and what to do.
    message: str

    def __str__(self) -> str:
        return self.message


def check(audit_log: AuditLog, connection: Connection) -> Iterator[Problem]:
    """Compare a database with what is wanted."""
    installed = catalog.read(connection, audit_log.schema)
    if message := installed.version_problem:
        yield Problem(None, message)
        return
    for step in audit_log.steps(installed):
        triggers = getattr(step, "triggers", None)
        yield Problem(
            triggers and triggers.table,
            f"Found {step.summary}. Write a migration with autogenerate, or call install().",
        )
    if message := audit_log.actor_id_type_problem(connection):
        yield Problem(None, message)
    for triggers in audit_log.triggers():
        for row in connection.execute(_DESCENDANTS, {"relation": triggers.relation}):
            kind = "TRUNCATE of partition" if row.is_partition else "Writes to the child table"
            yield Problem(
                triggers.table,
                f"{kind} {row.schema}.{row.table_name} of {triggers.table!r} would not be recorded: it has no audit "
                f"triggers of its own. Run: {triggers.adopt()}",
            )
    relations = sorted(catalog.audit_relations(connection, audit_log.schema))
    if relations:
        for row in connection.execute(_GRANTS, {"relations": relations}):
            yield Problem(
                None,
                f"{row.role} may {row.privileges} in {row.schema}.{row.table_name}, and nobody but the triggers "
                "should. Revoke it.",
            )
