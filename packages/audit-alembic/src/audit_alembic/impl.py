"""How the operations run: online and as a script, by the same statements."""

from __future__ import annotations

from contextlib import nullcontext

from alembic.operations import Operations
from audit_core.ddl import Statement, require_postgresql

from .errors import command_errors
from .ops import AuditOperation


@Operations.implementation_for(AuditOperation)
@command_errors()
def run(operations: Operations, operation: AuditOperation) -> None:
    """Send, or write, each statement by itself."""
    require_postgresql(operations.impl.dialect)
    context = operations.get_context()
    with context.autocommit_block() if operation.commits else nullcontext():
        for sql in operation.statements():
            if context.as_sql:
                # Alembic's execute() would write spaces for a tab, which may stand in a name.
                context.impl.static_output(sql + context.impl.command_terminator)
            else:
                operations.execute(Statement(sql))
