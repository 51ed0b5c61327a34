"""The operations, as values without state: all that a migration means stands in its text.

Defaults of the signatures never change, so that a migration written by hand keeps its meaning, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from alembic.operations import MigrateOperation, Operations
from audit_core.objects import TableTriggers, Trail


class AuditOperation(MigrateOperation):
    """An operation that consists of statements, and that is rendered as a call with its arguments."""

    #: What the operation is called in a migration: ``op.<name>(...)``.
    name: ClassVar[str]

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
    """Lead the tables and functions of a trail from one version of the SQL to another."""

    name = "upgrade_audit_logger"

    def __init__(self, schema: str, from_version: int, to_version: int) -> None:
        self.schema = schema
        self.from_version = from_version
        self.to_version = to_version

    @classmethod
    def upgrade_audit_logger(
        cls, operations: Operations, schema: str = "public", *, from_version: int, to_version: int
    ) -> None:
        """Lead the tables and functions from one version of the SQL to another, later or earlier.

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
    """Put altered or missing functions of a trail back into their released state."""

    name = "refresh_audit_logger"

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    @classmethod
    def refresh_audit_logger(cls, operations: Operations, schema: str = "public", version: int = 1) -> None:
        """Put altered or missing functions back into their released state; a downgrade does the same.

        :param version: the version of the SQL.
        """
        operations.invoke(cls(Trail(schema, version=version)))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return [], {"schema": self.trail.schema, "version": self.trail.version}

    def statements(self) -> list[str]:
        return self.trail.create_functions()

    def reverse(self) -> MigrateOperation:
        return self


@Operations.register_operation("init_audit_logger_triggers")
class InitAuditLoggerTriggersOp(AuditOperation):
    """Create the triggers of a table, or change them to a new state."""

    name = "init_audit_logger_triggers"

    def __init__(self, triggers: TableTriggers, replaces: TableTriggers | None = None, repairs: bool = False) -> None:
        self.triggers = triggers
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
        version: int = 1,
    ) -> None:
        """Record the changes of a table from now on, or change what is recorded of it.

        :param schema: the schema of the table.
        :param audit_schema: the schema of the audit tables.
        :param excluded_columns: columns whose values are not recorded.
        :param version: the version of the SQL.
        """
        operations.invoke(cls(TableTriggers(table_name, schema, audit_schema, tuple(excluded_columns or ()), version)))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        triggers = self.triggers
        named: dict[str, Any] = {}
        if triggers.schema is not None:
            named["schema"] = triggers.schema
        if triggers.audit_schema != "public":
            named["audit_schema"] = triggers.audit_schema
        if triggers.excluded_columns:
            named["excluded_columns"] = list(triggers.excluded_columns)
        named["version"] = triggers.version
        return [triggers.table], named

    def statements(self) -> list[str]:
        return self.triggers.create()

    def reverse(self) -> MigrateOperation:
        if self.replaces is not None:
            return InitAuditLoggerTriggersOp(self.replaces, replaces=self.triggers)
        if self.repairs:
            return self
        return RemoveAuditLoggerTriggersOp(self.triggers)


@Operations.register_operation("remove_audit_logger_triggers")
class RemoveAuditLoggerTriggersOp(AuditOperation):
    """Drop the triggers of a table."""

    name = "remove_audit_logger_triggers"

    def __init__(self, triggers: TableTriggers) -> None:
        self.triggers = triggers

    @classmethod
    def remove_audit_logger_triggers(
        cls,
        operations: Operations,
        table_name: str,
        schema: str | None = None,
        audit_schema: str = "public",
        excluded_columns: Iterable[str] | None = None,
        version: int = 1,
    ) -> None:
        """Record the changes of a table no longer. What was recorded stays.

        The arguments after ``schema`` say how it was recorded, for a downgrade of this operation.
        """
        operations.invoke(cls(TableTriggers(table_name, schema, audit_schema, tuple(excluded_columns or ()), version)))

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return InitAuditLoggerTriggersOp(self.triggers).arguments()

    def statements(self) -> list[str]:
        return self.triggers.drop()

    def reverse(self) -> MigrateOperation:
        return InitAuditLoggerTriggersOp(self.triggers)
