"""How the operations run: online and as a script, by the same statements."""

from __future__ import annotations

import logging
from contextlib import nullcontext

from alembic.operations import Operations
from audit_core import ConfigurationError
from audit_core.siblings import Statement, creators, require_postgresql

from .errors import command_errors
from .ops import AuditOperation, InitAuditLoggerOp
from .predecessor import ImportAuditTrailOp

# Below "alembic", so that the logging configuration of an alembic.ini does not switch it off.
log = logging.getLogger("alembic.runtime.migration.audit_logger")


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
    if isinstance(operation, InitAuditLoggerOp) and not context.as_sql:
        for message in creators(operations.get_bind(), operation.trail.schema):
            log.warning("%s", message)


@command_errors()
def import_trail(operations: Operations, operation: ImportAuditTrailOp) -> None:
    """Take over what another trail recorded, in the transaction of the migration."""
    if operations.get_context().as_sql:
        raise ConfigurationError(
            "op.import_audit_trail() depends on what is in the database, so it cannot be written into a script. Leave "
            "the migration out, and run audit-log import."
        )
    for line in operation.run(operations.get_bind()):
        log.info("%s", line)
