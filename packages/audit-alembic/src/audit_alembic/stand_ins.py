"""The operations of flask-audit-logger 1.x and 2.x, so that the migrations of then still run, from the first one on.

They leave the schema that later migrations expect. The functions and triggers of then are not made: the migration that
sets that trail aside would remove them. What they recorded is never touched.
"""

from __future__ import annotations

import logging
from typing import Any

from alembic.operations import Operations
from alembic.operations.ops import MigrateOperation
from alembic.util import to_list
from audit_core.siblings import (
    TRIGGERS_OF_PREDECESSORS,
    Statement,
    find_audit_log,
    fixed_search_path,
    qualified,
    quote,
    read_installed,
    read_predecessors,
)

# Below "alembic", so that the logging configuration of an alembic.ini does not switch it off.
log = logging.getLogger("alembic.runtime.migration.audit_logger")

#: Where a script, in which nobody can look, keeps that operations of then came before.
_SEEN = "audit_logger_2x"


class StandInOp(MigrateOperation):
    """A call of an operation of then, by the name that it had."""

    def __init__(self, name: str, *statements: str) -> None:
        self.name = name
        self.statements = statements

    @classmethod
    def init_audit_logger_schema(cls, operations: Operations) -> None:
        """Create the schema of the trail, in a migration of 1.x or 2.x."""
        made = [f"CREATE SCHEMA IF NOT EXISTS {quote(name)}" for name in _schemas(operations)]
        operations.invoke(cls("init_audit_logger_schema", *made))

    @classmethod
    def remove_audit_logger_schema(cls, operations: Operations) -> None:
        """Drop the schema of the trail, in a downgrade of 1.x or 2.x; it fails if something is left in it."""
        dropped = [f"DROP SCHEMA IF EXISTS {quote(name)}" for name in _schemas(operations)]
        operations.invoke(cls("remove_audit_logger_schema", *dropped))

    @classmethod
    def init_audit_logger_extension(cls, operations: Operations, extension: str) -> None:
        """Create the extension that the tables of 1.x and 2.x need."""
        made = f"CREATE EXTENSION IF NOT EXISTS {quote(extension)} WITH SCHEMA public"
        operations.invoke(cls("init_audit_logger_extension", made))

    @classmethod
    def remove_audit_logger_extension(cls, operations: Operations, extension: str) -> None:
        """Leave the extension alone: others may need it by now."""
        operations.invoke(cls("remove_audit_logger_extension"))

    @classmethod
    def init_audit_logger_function(cls, operations: Operations, function_signature: str) -> None:
        """Make no function of 1.x or 2.x."""
        operations.invoke(cls("init_audit_logger_function"))

    @classmethod
    def remove_audit_logger_function(cls, operations: Operations, function_signature: str) -> None:
        """Leave the function alone, as 1.x and 2.x did: the statement that they sent named none."""
        operations.invoke(cls("remove_audit_logger_function"))

    @classmethod
    def add_column_to_activity(cls, operations: Operations, table_name: str, column_name: str, **named: Any) -> None:
        """Leave what was recorded as it is, in a migration of 1.x."""
        operations.invoke(cls("add_column_to_activity"))

    @classmethod
    def remove_column_from_activity(
        cls, operations: Operations, table_name: str, column_name: str, **named: Any
    ) -> None:
        """Leave what was recorded as it is, in a migration of 1.x."""
        operations.invoke(cls("remove_column_from_activity"))


for _name in [name for name in vars(StandInOp) if not name.startswith("_")]:
    Operations.register_operation(_name)(StandInOp)


def is_of_2x(operations: Operations, audit_schema: str) -> bool:
    """Return whether a trail of 1.x or 2.x is in place and ours is not, so that a migration is one of then."""
    context = operations.get_context()
    if context.as_sql:
        return bool(context.opts.get(_SEEN))
    connection = operations.get_bind()
    with fixed_search_path(connection):
        is_there = any(each.source.startswith("flask-audit-logger") for each in read_predecessors(connection))
        return is_there and not read_installed(connection, audit_schema).trail.tables


def init_triggers(operations: Operations) -> None:
    """Make no trigger of 1.x or 2.x."""
    operations.invoke(StandInOp("init_audit_logger_triggers"))


def remove_triggers(operations: Operations, table_name: str) -> None:
    """Drop the triggers of 1.x or 2.x of a table."""
    table = qualified(table_name, None)
    dropped = [f"DROP TRIGGER IF EXISTS {name} ON {table}" for name in TRIGGERS_OF_PREDECESSORS]
    operations.invoke(StandInOp("remove_audit_logger_triggers", *dropped))


def run(operations: Operations, operation: StandInOp) -> None:
    """Run what is left of an operation of then, online or in a script."""
    operations.get_context().opts[_SEEN] = True
    log.info("op.%s() is of flask-audit-logger 1.x or 2.x, whose trail is not made any more", operation.name)
    for sql in operation.statements:
        operations.execute(Statement(sql))


def _schemas(operations: Operations) -> list[str]:
    """Return the schemas of the trails that the env.py is about: the operations of then did not name any."""
    logs = [find_audit_log(each) for each in to_list(operations.get_context().opts.get("target_metadata"), [])]
    return sorted({each.schema for each in logs if each is not None} - {"public"})
