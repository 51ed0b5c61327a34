"""What becomes of a trail that flask-audit-logger 1.x or 2.x, or PostgreSQL-Audit, made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations
from audit_core.siblings import Predecessor, Renamed, find_source, import_within
from sqlalchemy import Connection

from .ops import AuditOperation

#: The schema into which a trail is moved whose place is needed.
ASIDE = {
    "flask-audit-logger-1": "audit_1x",
    "flask-audit-logger-2": "audit_2x",
    "postgresql-audit": "audit_postgresql_audit",
}


class PredecessorOperation(AuditOperation):
    """An operation on another trail, whose arguments are what it consists of."""

    def __init__(self, predecessor: Predecessor, into: str | None) -> None:
        self.predecessor = predecessor
        self.into = into

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        found = self.predecessor
        named: dict[str, Any] = {"schema": found.schema, "into": self.into}
        named["tables"] = [(schema, table, list(columns)) for (schema, table), columns in found.tables.items()]
        if found.foreign_keys:
            named["foreign_keys"] = dict(found.foreign_keys)
        return [found.source], named


def _predecessor(
    source: str,
    schema: str,
    tables: Iterable[tuple[str, str, Sequence[str]]],
    foreign_keys: Mapping[str, str] | None,
) -> Predecessor:
    recorded = {(of_schema, table): tuple(columns) for of_schema, table, columns in tables}
    return Predecessor(source, schema, recorded, dict(foreign_keys or {}))


@Operations.register_operation("set_audit_trail_aside")
class SetAuditTrailAsideOp(PredecessorOperation):
    """End the recording of another trail, and make room for ours."""

    name = "set_audit_trail_aside"

    def notes(self) -> list[str]:
        source, schema = self.predecessor.source, self.into or self.predecessor.schema
        command = "flask audit" if source.startswith("flask") else "audit-log"
        return [
            "What the trail before this one recorded stays. To read it as a part of this one, run afterwards:",
            f"{command} import --source {source} --schema {schema}",
        ]

    @classmethod
    def set_audit_trail_aside(
        cls,
        operations: Operations,
        source: str,
        schema: str = "public",
        into: str | None = None,
        tables: Iterable[tuple[str, str, Sequence[str]]] = (),
        foreign_keys: Mapping[str, str] | None = None,
    ) -> None:
        """Drop the triggers of another trail and move its tables and functions to another schema.

        What it recorded stays; ``op.import_audit_trail()`` or ``audit-log import`` makes it a part of ours.

        :param source: ``flask-audit-logger-1``, ``flask-audit-logger-2`` or ``postgresql-audit``.
        :param schema: where it is.
        :param into: where its tables and functions go; None leaves them where they are.
        :param tables: which tables it records: schema, name, and the columns that it leaves out.
        :param foreign_keys: what is dropped of its ties to tables of the application, and comes back in a downgrade.
        """
        operations.invoke(cls(_predecessor(source, schema, tables, foreign_keys), into))

    def statements(self) -> list[str]:
        return self.predecessor.set_aside(self.into)

    def reverse(self) -> MigrateOperation:
        return BringAuditTrailBackOp(self.predecessor, self.into)


@Operations.register_operation("bring_audit_trail_back")
class BringAuditTrailBackOp(PredecessorOperation):
    """Let another trail record again, where it was."""

    name = "bring_audit_trail_back"

    @classmethod
    def bring_audit_trail_back(
        cls,
        operations: Operations,
        source: str,
        schema: str = "public",
        into: str | None = None,
        tables: Iterable[tuple[str, str, Sequence[str]]] = (),
        foreign_keys: Mapping[str, str] | None = None,
    ) -> None:
        """Undo ``op.set_audit_trail_aside()``, which has the same arguments."""
        operations.invoke(cls(_predecessor(source, schema, tables, foreign_keys), into))

    def statements(self) -> list[str]:
        return self.predecessor.bring_back(self.into)

    def reverse(self) -> MigrateOperation:
        return SetAuditTrailAsideOp(self.predecessor, self.into)


@Operations.register_operation("import_audit_trail")
class ImportAuditTrailOp(AuditOperation):
    """Take over what another trail recorded."""

    name = "import_audit_trail"

    def __init__(
        self, source: str, schema: str, audit_schema: str, names: Mapping[str, str], keys: Mapping[str, Sequence[str]]
    ) -> None:
        self.source = source
        self.schema = schema
        self.audit_schema = audit_schema
        self.renamed = Renamed(dict(names), {table: list(columns) for table, columns in keys.items()})

    @classmethod
    def import_audit_trail(
        cls,
        operations: Operations,
        source: str,
        schema: str = "public",
        audit_schema: str = "public",
        names: Mapping[str, str] | None = None,
        keys: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Take over the history that another audit trail recorded, all of it in the transaction of the migration.

        A million changes take about half a minute. ``audit-log import`` does the same in batches that commit, beside
        the running application. A downgrade does nothing: removing the trail removes it.

        :param source: as in :meth:`audit_core.AuditLog.import_trail`.
        :param schema: where the tables of the other trail are.
        :param audit_schema: the schema of ours.
        :param names: new names of tables that were renamed since, by their old ones.
        :param keys: the columns of the primary keys of tables that are gone, by their names.
        """
        operations.invoke(cls(source, schema, audit_schema, names or {}, keys or {}))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [self.source], {"schema": self.schema, "audit_schema": self.audit_schema}

    def run(self, connection: Connection) -> Iterator[str]:
        """Import, and yield what there is to say of it."""
        done = import_within(self.audit_schema, connection, find_source(self.source, self.schema), self.renamed)
        yield f"Imported {done.activities} changes in {done.transactions} transactions of {self.source}"
        for table, count in done.without_key:
            yield f"{count} changes of {table} have no key: the table is gone, or its key was not recorded"
        for each in done.skipped:
            yield f"Not imported: {each.rows} changes of {each.table}: {each.reason} (the first is {each.first})"
