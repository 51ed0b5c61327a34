"""Operations that rewrite what was recorded, so that it follows a change of the tables.

They are called by hand and never generated: they change history. Each is one statement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from alembic.operations import MigrateOperation, Operations
from audit_core import ConfigurationError
from audit_core.siblings import BODY_TAG, literal, qualified

from .ops import AuditOperation

# The activities whose data are rows of the table.
_OF_ROWS = "verb IN ('insert', 'update', 'delete', 'snapshot')"


class RewriteOperation(AuditOperation):
    """An UPDATE of the activities of one table, which leaves an activity ``maintenance`` that says so.

    Without ``schema`` the table is in the first schema of the search path, as in Alembic's own operations.
    """

    def __init__(self, table_name: str, schema: str | None, audit_schema: str) -> None:
        self.table_name = table_name
        self.schema = schema
        self.audit_schema = audit_schema

    def parameters(self) -> list[Any]:
        """Return the arguments that are particular to the operation."""
        raise NotImplementedError

    def assignments(self) -> tuple[str, str]:
        """Return what is set, and which of the table's activities are concerned."""
        raise NotImplementedError

    def recorded_already(self, of_rows: str) -> tuple[str, str] | None:
        """Return a query for what the history has under the new name already, and what to say of it.

        What was recorded later has that name because the migration is late: it belongs together.

        :param of_rows: selects from activities that hold rows and are of the same schema.
        """
        return None

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        named: dict[str, Any] = {}
        if self.schema is not None:
            named["schema"] = self.schema
        if self.audit_schema != "public":
            named["audit_schema"] = self.audit_schema
        return [self.table_name, *self.parameters()], named

    def values_that_go(self) -> str | None:
        """Return the column whose values are replaced or removed, so that seals keep what stands for them."""
        return None

    @property
    def resulting_name(self) -> str:
        """The name that the table has afterwards."""
        return self.table_name

    def statements(self) -> list[str]:
        assignments, condition = self.assignments()
        schema = "pg_catalog.current_schema()" if self.schema is None else literal(self.schema)
        positional, _ = self.arguments()
        note = literal(json.dumps({"operation": self.name, "arguments": positional}))
        activity = qualified("activity", self.audit_schema)
        refusal = ""
        recorded = self.recorded_already(f"FROM {activity} AS a WHERE schema = {schema} AND {_OF_ROWS}")
        if recorded is not None:
            query, message = recorded
            refusal = f"""
    IF EXISTS ({query}) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = {literal(f"op.{self.name}(): {message}")},
            HINT = {literal("Give what was recorded under that name another one first, or remove it.")};
    END IF;"""
        sequence = literal(qualified("activity_id_seq", self.audit_schema))
        kept = self._keep_commitments(activity, schema, condition)
        body = f"""
DECLARE
    rewritten bigint;
    maintenance_id bigint;
BEGIN{refusal}
    -- Sealing waits, and what was sealed before is told by the id, which is drawn when there is a number: streams wait
    -- for numbers.
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(
        'audit_logger_seal ' || {literal(self.audit_schema)}, 0));
    PERFORM pg_catalog.pg_current_xact_id();
    maintenance_id := pg_catalog.nextval({sequence}::regclass);
    PERFORM pg_catalog.set_config('audit_logger.maintenance', 'on', true);
{kept}    UPDATE {activity}
    SET {assignments}
    WHERE schema = {schema} AND table_name = {literal(self.table_name)}
      AND ({condition});
    GET DIAGNOSTICS rewritten = ROW_COUNT;
    PERFORM pg_catalog.set_config('audit_logger.maintenance', '', true);
    INSERT INTO {activity} (
        id, transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, old_data, changed_data)
    VALUES (maintenance_id, {qualified("audit_logger_ensure_transaction", self.audit_schema)}(),
        pg_catalog.clock_timestamp(),
        pg_catalog.pg_current_xact_id()::text::bigint, 0, {schema}, {literal(self.resulting_name)}, 'maintenance',
        '{{}}', {note}::jsonb || pg_catalog.jsonb_build_object('rows', rewritten));
END
"""
        if BODY_TAG in body:
            raise ConfigurationError(f"op.{self.name}() cannot take {BODY_TAG!r} in a name or a value.")
        return [f"DO {BODY_TAG}{body}{BODY_TAG}"]

    def _keep_commitments(self, activity: str, schema: str, condition: str) -> str:
        column = self.values_that_go()
        if column is None:
            return ""
        function = qualified("audit_logger_keep_commitments", self.audit_schema)
        fields = ", ".join(f"{literal(f'{data}.{column}')}::text" for data in ("old_data", "changed_data"))
        return f"""    PERFORM {function}(
        'activity', ARRAY(
            SELECT id FROM {activity}
            WHERE schema = {schema} AND table_name = {literal(self.table_name)} AND ({condition})),
        ARRAY[{fields}], maintenance_id);
"""


@Operations.register_operation("rename_audited_column")
class RenameAuditedColumnOp(RewriteOperation):
    """Rename a column in what was recorded."""

    name: ClassVar[str] = "rename_audited_column"

    def __init__(
        self,
        table_name: str,
        old_name: str,
        new_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        super().__init__(table_name, schema, audit_schema)
        self.old_name = old_name
        self.new_name = new_name

    @classmethod
    def rename_audited_column(
        cls,
        operations: Operations,
        table_name: str,
        old_name: str,
        new_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        """Rename a column in what was recorded, alongside ``op.alter_column(new_column_name=...)``."""
        operations.invoke(cls(table_name, old_name, new_name, schema, audit_schema))

    def parameters(self) -> list[Any]:
        return [self.old_name, self.new_name]

    def assignments(self) -> tuple[str, str]:
        old, new = _text(self.old_name), _text(self.new_name)
        return _for_each_data(
            old, lambda data: f"{data} - {old} || pg_catalog.jsonb_build_object({new}, {data} -> {old})"
        )

    def recorded_already(self, of_rows: str) -> tuple[str, str]:
        rows = f"{of_rows} AND table_name = {literal(self.table_name)}"
        old, new = (
            f"{rows} AND (old_data ? {literal(name)} OR changed_data ? {literal(name)})"
            for name in (self.old_name, self.new_name)
        )
        query = f"SELECT {new} AND id <= (SELECT pg_catalog.max(id) {old})"
        return query, f"the history of {self.table_name!r} has another column {self.new_name!r} already."

    def reverse(self) -> MigrateOperation:
        return RenameAuditedColumnOp(self.table_name, self.new_name, self.old_name, self.schema, self.audit_schema)


@Operations.register_operation("remove_audited_column")
class RemoveAuditedColumnOp(RewriteOperation):
    """Remove the recorded values of a column."""

    name: ClassVar[str] = "remove_audited_column"

    def __init__(
        self, table_name: str, column_name: str, schema: str | None = None, audit_schema: str = "public"
    ) -> None:
        super().__init__(table_name, schema, audit_schema)
        self.column_name = column_name

    @classmethod
    def remove_audited_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        """Remove the recorded values of a column for good. The activities stay, also those with no other change."""
        operations.invoke(cls(table_name, column_name, schema, audit_schema))

    def parameters(self) -> list[Any]:
        return [self.column_name]

    def values_that_go(self) -> str:
        return self.column_name

    def assignments(self) -> tuple[str, str]:
        column = _text(self.column_name)
        return _for_each_data(column, lambda data: f"{data} - {column}")


@Operations.register_operation("add_audited_column")
class AddAuditedColumnOp(RewriteOperation):
    """Add a column to the rows that were recorded without it."""

    name: ClassVar[str] = "add_audited_column"

    def __init__(
        self,
        table_name: str,
        column_name: str,
        default: Any,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        super().__init__(table_name, schema, audit_schema)
        self.column_name = column_name
        self.default = default

    @classmethod
    def add_audited_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        default: Any = None,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        """Add a column, with one value, to the rows that were recorded without it.

        :param default: a value that JSON can hold.
        """
        operations.invoke(cls(table_name, column_name, default, schema, audit_schema))

    def parameters(self) -> list[Any]:
        return [self.column_name, self.default]

    def assignments(self) -> tuple[str, str]:
        column = _text(self.column_name)
        value = literal(json.dumps(self.default))
        added = f"pg_catalog.jsonb_build_object({column}, {value}::jsonb)"
        # A whole row stands in old_data of an update or a delete, and in changed_data of an insert or a snapshot.
        # One of these has what a delta leaves out.
        return (
            f"old_data = CASE WHEN verb IN ('update', 'delete') AND delta_depth IS NULL AND NOT old_data ? {column}"
            f" THEN old_data || {added} ELSE old_data END,\n"
            f"    changed_data = CASE WHEN verb IN ('insert', 'snapshot') AND NOT changed_data ? {column}"
            f" THEN changed_data || {added} ELSE changed_data END",
            _OF_ROWS,
        )

    def reverse(self) -> MigrateOperation:
        return RemoveAuditedColumnOp(self.table_name, self.column_name, self.schema, self.audit_schema)


@Operations.register_operation("alter_audited_column")
class AlterAuditedColumnOp(RewriteOperation):
    """Convert the recorded values of a column."""

    name: ClassVar[str] = "alter_audited_column"

    def __init__(
        self,
        table_name: str,
        column_name: str,
        sql: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        super().__init__(table_name, schema, audit_schema)
        self.column_name = column_name
        self.sql = sql

    @classmethod
    def alter_audited_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        sql: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        """Convert the recorded values of a column, when its type changes.

        :param sql: an SQL expression of type jsonb over ``value``, the recorded jsonb; for instance
            ``"to_jsonb((value #>> '{}')::int)"`` turns texts into numbers.
        """
        operations.invoke(cls(table_name, column_name, sql, schema, audit_schema))

    def parameters(self) -> list[Any]:
        return [self.column_name, self.sql]

    def values_that_go(self) -> str:
        return self.column_name

    def assignments(self) -> tuple[str, str]:
        column = _text(self.column_name)
        return _for_each_data(
            column,
            lambda data: (
                f"{data} || pg_catalog.jsonb_build_object({column},"
                f" (SELECT {self.sql} FROM (SELECT {data} -> {column} AS value) AS recorded))"
            ),
        )


@Operations.register_operation("erase_audited_values")
class EraseAuditedValuesOp(AuditOperation):
    """Erase the recorded values of columns, and keep what seals need of them."""

    name: ClassVar[str] = "erase_audited_values"

    def __init__(
        self,
        table_name: str,
        columns: Sequence[str],
        reason: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        self.table_name = table_name
        self.columns = list(columns)
        self.reason = reason
        self.schema = schema
        self.audit_schema = audit_schema

    @classmethod
    def erase_audited_values(
        cls,
        operations: Operations,
        table_name: str,
        columns: Sequence[str],
        reason: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        """Erase the recorded values of columns of all rows for good: they are null, and masked.

        :param reason: why; it stays.
        """
        operations.invoke(cls(table_name, columns, reason, schema, audit_schema))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        named: dict[str, Any] = {} if self.schema is None else {"schema": self.schema}
        if self.audit_schema != "public":
            named["audit_schema"] = self.audit_schema
        return [self.table_name, self.columns, self.reason], named

    def statements(self) -> list[str]:
        schema = "pg_catalog.current_schema()" if self.schema is None else literal(self.schema)
        columns = f"ARRAY[{', '.join(map(_text, self.columns))}]"
        said = literal(json.dumps({"reason": self.reason, "table": self.table_name}))
        return [
            f"SELECT {qualified('audit_logger_erase', self.audit_schema)}(ARRAY("
            f"SELECT id FROM {qualified('activity', self.audit_schema)} "
            f"WHERE schema = {schema} AND table_name = {literal(self.table_name)} AND {_OF_ROWS} "
            f"AND (old_data ?| {columns} OR changed_data ?| {columns}) ORDER BY id), "
            f"{columns}, ARRAY[]::bigint[], ARRAY[]::text[], {said}::jsonb)"
        ]


@Operations.register_operation("rename_audited_table")
class RenameAuditedTableOp(RewriteOperation):
    """Rename a table in what was recorded."""

    name: ClassVar[str] = "rename_audited_table"

    def __init__(self, old_name: str, new_name: str, schema: str | None = None, audit_schema: str = "public") -> None:
        super().__init__(old_name, schema, audit_schema)
        self.new_name = new_name

    @classmethod
    def rename_audited_table(
        cls,
        operations: Operations,
        old_name: str,
        new_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
    ) -> None:
        """Rename a table in what was recorded, alongside ``op.rename_table()``."""
        operations.invoke(cls(old_name, new_name, schema, audit_schema))

    @property
    def resulting_name(self) -> str:
        return self.new_name

    def parameters(self) -> list[Any]:
        return [self.new_name]

    def assignments(self) -> tuple[str, str]:
        return f"table_name = {literal(self.new_name)}", "true"

    def recorded_already(self, of_rows: str) -> tuple[str, str]:
        old, new = (f"{of_rows} AND table_name = {literal(name)}" for name in (self.table_name, self.new_name))
        # Partitions have numbers of their own, and may have come later.
        table = "coalesce(pg_catalog.pg_partition_root(a.relid::pg_catalog.oid), a.relid)"
        query = (
            f"SELECT {new} AND EXISTS (SELECT {old}) AND (id <= (SELECT pg_catalog.max(id) {old})"
            f" OR {table} NOT IN (SELECT {table} {old}))"
        )
        return query, f"the trail has the history of another table {self.new_name!r} already."

    def reverse(self) -> MigrateOperation:
        return RenameAuditedTableOp(self.new_name, self.table_name, self.schema, self.audit_schema)


def _text(value: str) -> str:
    """Write a text with its type, for which jsonb has operators; others could have made one that fits a literal."""
    return f"{literal(value)}::text"


def _for_each_data(column: str, expression: Any) -> tuple[str, str]:
    """Apply an expression to both payloads where they hold the column."""
    assignments = ",\n    ".join(
        f"{data} = CASE WHEN {data} ? {column} THEN {expression(data)} ELSE {data} END"
        for data in ("old_data", "changed_data")
    )
    return assignments, f"{_OF_ROWS} AND (old_data ? {column} OR changed_data ? {column})"
