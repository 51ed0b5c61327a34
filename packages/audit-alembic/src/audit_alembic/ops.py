"""The operations, as values without state: all that a migration means stands in its text.

Defaults of the signatures never change, so that a migration written by hand keeps its meaning, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from alembic.operations import MigrateOperation, Operations
from audit_core.siblings import OPERATIONS, TableOptions, TableTriggers, Trail, literal, qualified

from . import stand_ins


class AuditOperation(MigrateOperation):
    """An operation that consists of statements, and that is rendered as a call with its arguments."""

    #: What the operation is called in a migration: ``op.<name>(...)``.
    name: ClassVar[str]
    #: Whether the statements commit, and so cannot run within a transaction.
    commits: ClassVar[bool] = False

    def notes(self) -> list[str]:
        """Return what a migration says above the operation."""
        return []

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of the call that makes this operation."""
        raise NotImplementedError

    def statements(self) -> list[str]:
        """Return the SQL statements, in order."""
        raise NotImplementedError

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Describe the operation for ``alembic check`` and ``compare_metadata()``."""
        positional, named = self.arguments()
        return (self.name, *positional, named)


@Operations.register_operation("init_audit_logger")
class InitAuditLoggerOp(AuditOperation):
    """Create the schema, the tables and the functions of a trail."""

    name = "init_audit_logger"

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    @classmethod
    def init_audit_logger(
        cls, operations: Operations, schema: str = "public", actor_id_type: str = "text", version: int = 1
    ) -> None:
        """Create the schema, the tables ``activity`` and ``transaction``, and the functions.

        :param actor_id_type: the PostgreSQL type of ``transaction.actor_id``.
        :param version: the version of the SQL.
        """
        operations.invoke(cls(Trail(schema, actor_id_type, version)))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        trail = self.trail
        return [], {
            "schema": trail.schema,
            "actor_id_type": trail.actor_id_type,
            "version": trail.version,
        }

    def statements(self) -> list[str]:
        return self.trail.create()

    def reverse(self) -> MigrateOperation:
        return RemoveAuditLoggerOp(self.trail)


@Operations.register_operation("remove_audit_logger")
class RemoveAuditLoggerOp(AuditOperation):
    """Drop the functions and the tables of a trail, with all that it holds."""

    name = "remove_audit_logger"

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    @classmethod
    def remove_audit_logger(
        cls, operations: Operations, schema: str = "public", actor_id_type: str = "text", version: int = 1
    ) -> None:
        """Drop the functions and the tables, with all that was recorded, and the schema if it is empty then.

        :param actor_id_type: what a downgrade of this operation needs to know.
        :param version: the version of the SQL.
        """
        operations.invoke(cls(Trail(schema, actor_id_type, version)))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return InitAuditLoggerOp(self.trail).arguments()

    def statements(self) -> list[str]:
        return self.trail.drop()

    def reverse(self) -> MigrateOperation:
        return InitAuditLoggerOp(self.trail)


@Operations.register_operation("upgrade_audit_logger")
class UpgradeAuditLoggerOp(AuditOperation):
    """Move the tables and functions of a trail from one version of the SQL to another."""

    name = "upgrade_audit_logger"

    def __init__(self, schema: str, from_version: int, to_version: int) -> None:
        self.schema = schema
        self.from_version = from_version
        self.to_version = to_version

    @classmethod
    def upgrade_audit_logger(
        cls, operations: Operations, schema: str = "public", *, from_version: int, to_version: int
    ) -> None:
        """Move the tables and functions from one version of the SQL to another, later or earlier.

        The triggers follow with ``op.init_audit_logger_triggers(..., version=...)``, table by table.
        """
        operations.invoke(cls(schema, from_version, to_version))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [], {
            "schema": self.schema,
            "from_version": self.from_version,
            "to_version": self.to_version,
        }

    def statements(self) -> list[str]:
        return Trail(self.schema, version=self.from_version).migrate_to(self.to_version)

    def reverse(self) -> MigrateOperation:
        return UpgradeAuditLoggerOp(self.schema, self.to_version, self.from_version)


@Operations.register_operation("refresh_audit_logger")
class RefreshAuditLoggerOp(AuditOperation):
    """Restore altered or missing functions of a trail to their released state."""

    name = "refresh_audit_logger"

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    @classmethod
    def refresh_audit_logger(cls, operations: Operations, schema: str = "public", version: int = 1) -> None:
        """Restore altered or missing functions to their released state; a downgrade does the same.

        :param version: the version of the SQL.
        """
        operations.invoke(cls(Trail(schema, version=version)))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [], {"schema": self.trail.schema, "version": self.trail.version}

    def statements(self) -> list[str]:
        return self.trail.refresh()

    def reverse(self) -> MigrateOperation:
        return self


class TriggersOperation(AuditOperation):
    """An operation on the triggers of one table, whose arguments are how it is recorded."""

    def __init__(self, triggers: TableTriggers) -> None:
        self.triggers = triggers

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        triggers = self.triggers
        default = TableTriggers(triggers.table)
        named = {
            name: list(value) if isinstance(value, tuple) else value
            for name in ("schema", "audit_schema", "key_columns", "partitioned")
            if (value := getattr(triggers, name)) != getattr(default, name)
        }
        return [triggers.table], {**named, **triggers.options.parameters, "version": triggers.version}


@Operations.register_operation("init_audit_logger_triggers")
class InitAuditLoggerTriggersOp(TriggersOperation):
    """Create the triggers of a table, or change them to a new state."""

    name = "init_audit_logger_triggers"

    def __init__(self, triggers: TableTriggers, replaces: TableTriggers | None = None, repairs: bool = False) -> None:
        super().__init__(triggers)
        #: What a downgrade brings back.
        self.replaces = replaces
        #: Whether it mends triggers that somebody altered; a downgrade does not alter them again.
        self.repairs = repairs

    @classmethod
    def init_audit_logger_triggers(
        cls,
        operations: Operations,
        table_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
        excluded_columns: Iterable[str] | None = None,
        included_columns: Iterable[str] | None = None,
        masked_columns: Iterable[str] | None = None,
        recorded_operations: Iterable[str] = OPERATIONS,
        truncate: str = "count",
        require_actor: str = "allow",
        bypass: str = "allow",
        store: str = "rows",
        partitioned: bool = False,
        key_columns: Iterable[str] | None = None,
        version: int | None = None,
        original_excluded_columns: Iterable[str] | None = None,
    ) -> None:
        """Record the changes of a table from now on, or change what is recorded of it.

        :param schema: the schema of the table.
        :param audit_schema: the schema of the audit tables.
        :param key_columns: the columns of the primary key, in its order. Without them, and if one of them is no
            longer there, the triggers look the key up, which takes some microseconds for each statement.
        :param excluded_columns: columns that are not recorded.
        :param included_columns: the only columns that are recorded, beside the primary key.
        :param masked_columns: columns whose values are not recorded, only that they changed.
        :param recorded_operations: what is recorded, of insert, update, delete and truncate.
        :param truncate: ``rows`` records the rows that a TRUNCATE removes, not only their number.
        :param require_actor: ``reject`` makes writes without an actor fail.
        :param bypass: ``reject`` makes writes in a block of ``disable()`` fail.
        :param store: ``changes`` records of an update only the columns that it changes, where the trail has the rest.
        :param partitioned: whether the table is partitioned.
        :param version: the version of the SQL; 1 if None.
        :param original_excluded_columns: of a migration of flask-audit-logger 1.x or 2.x, which has no version. Where
            that trail still is in place, nothing is done.
        """
        if version is None and stand_ins.is_of_2x(operations, audit_schema):
            stand_ins.init_triggers(operations)
            return
        options = TableOptions(
            exclude=tuple(excluded_columns or ()),
            include=tuple(included_columns or ()),
            mask=tuple(masked_columns or ()),
            operations=tuple(recorded_operations),
            truncate=truncate,
            require_actor=require_actor,
            bypass=bypass,
            store=store,
        )
        triggers = TableTriggers(
            table_name, schema, audit_schema, options, partitioned, tuple(key_columns or ()), version or 1
        )
        operations.invoke(cls(triggers))

    def statements(self) -> list[str]:
        return self.triggers.create()

    def reverse(self) -> MigrateOperation:
        if self.replaces is not None:
            return InitAuditLoggerTriggersOp(self.replaces, replaces=self.triggers)
        if self.repairs:
            return self
        return RemoveAuditLoggerTriggersOp(self.triggers)


@Operations.register_operation("remove_audit_logger_triggers")
class RemoveAuditLoggerTriggersOp(TriggersOperation):
    """Drop the triggers of a table."""

    name = "remove_audit_logger_triggers"

    @classmethod
    def remove_audit_logger_triggers(
        cls,
        operations: Operations,
        table_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
        *,
        version: int | None = None,
        **how_it_was_recorded: Any,
    ) -> None:
        """Record the changes of a table no longer. What was recorded stays.

        :param version: as in ``init_audit_logger_triggers``.
        :param how_it_was_recorded: the other arguments of ``init_audit_logger_triggers``, for whoever reads it.
        """
        if version is None and stand_ins.is_of_2x(operations, audit_schema):
            stand_ins.remove_triggers(operations, table_name)
            return
        operations.invoke(cls(TableTriggers(table_name, schema, audit_schema, version=version or 1)))

    def statements(self) -> list[str]:
        return self.triggers.drop()

    def reverse(self) -> MigrateOperation:
        return InitAuditLoggerTriggersOp(self.triggers)


@Operations.register_operation("snapshot_audited_table")
class SnapshotAuditedTableOp(AuditOperation):
    """Record the present rows of a table, so that a table with a past gets a baseline."""

    name = "snapshot_audited_table"
    commits = True

    def __init__(
        self, table_name: str, schema: str | None = None, audit_schema: str = "public", pages: int = 1000
    ) -> None:
        self.table_name = table_name
        self.schema = schema
        self.audit_schema = audit_schema
        self.pages = pages

    @classmethod
    def snapshot_audited_table(
        cls,
        operations: Operations,
        table_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
        pages: int = 1000,
    ) -> None:
        """Record the rows of a table that have no activity yet, with the verb ``snapshot``.

        It commits what the migration did before, and then after each batch; run again, it continues where it stopped.
        Give it a migration of its own. The table needs its audit triggers and a primary key.

        :param pages: how many pages of the table, of 8 KiB each, make a batch.
        """
        operations.invoke(cls(table_name, schema, audit_schema, pages))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [self.table_name], {
            "schema": self.schema,
            "audit_schema": self.audit_schema,
            "pages": self.pages,
        }

    def statements(self) -> list[str]:
        relation = literal(qualified(self.table_name, self.schema))
        return [f"CALL {qualified('audit_logger_snapshot', self.audit_schema)}({relation}, {int(self.pages)})"]


@Operations.register_operation("split_audit_logger")
class SplitAuditLoggerOp(AuditOperation):
    """Close the open partition of a trail."""

    name = "split_audit_logger"
    commits = True

    def __init__(self, schema: str = "public", at_once: bool = False) -> None:
        self.schema = schema
        self.at_once = at_once

    @classmethod
    def split_audit_logger(cls, operations: Operations, schema: str = "public", at_once: bool = False) -> None:
        """Close the partition into which activities are written, and begin another one, without blocking writers.

        It does nothing if the partition holds nothing of an earlier month. It commits what the migration did before,
        so give it a migration of its own. A downgrade does nothing.

        :param at_once: close it also if it was begun this month.
        """
        operations.invoke(cls(schema, at_once))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [], {"schema": self.schema, "at_once": self.at_once}

    def statements(self) -> list[str]:
        procedure = qualified("audit_logger_split", self.schema)
        return [f"CALL {procedure}({str(bool(self.at_once)).lower()}, CAST('1 minute' AS pg_catalog.interval))"]
