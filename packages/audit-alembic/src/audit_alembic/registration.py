"""What Alembic has to know of this package, told in one place."""

from __future__ import annotations

from functools import cache

from alembic.autogenerate import comparators, renderers
from alembic.operations import Operations
from alembic.util import DispatchPriority

from . import compare, impl, render, stand_ins
from . import rewrite as rewrite  # its operations register themselves, as those of ops do
from .ops import AuditOperation
from .predecessor import ImportAuditTrailOp


@cache
def register() -> None:
    """Register the operations with Alembic, how they run and are written, and what autogenerate compares.

    Importing this package does it, too; the call makes that visible in ``env.py``. Calling it again does nothing.
    """
    Operations.implementation_for(AuditOperation)(impl.run)
    Operations.implementation_for(stand_ins.StandInOp)(stand_ins.run)
    Operations.implementation_for(ImportAuditTrailOp)(impl.import_trail)
    renderers.dispatch_for(AuditOperation)(render.render)
    comparators.dispatch_for("autogenerate", priority=DispatchPriority.FIRST, subgroup="audit_logger_filters")(
        compare.hide_trail
    )
    comparators.dispatch_for(
        "autogenerate", qualifier="postgresql", priority=DispatchPriority.LAST, subgroup="audit_logger_operations"
    )(compare.add_operations)
