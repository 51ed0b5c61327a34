"""How the operations are written into a migration."""

from __future__ import annotations

from alembic.autogenerate.api import AutogenContext

from .ops import AuditOperation

IMPORT = "import audit_alembic  # noqa: F401 - registers the operations of the audit trail"


def render(autogen_context: AutogenContext, operation: AuditOperation) -> str:
    """Write the call of an operation, and the import that makes it known."""
    autogen_context.imports.add(IMPORT)
    positional, named = operation.arguments()
    arguments = [*map(repr, positional), *(f"{name}={value!r}" for name, value in named.items())]
    call = f"op.{operation.name}({', '.join(arguments)})"
    return "\n".join([*(f"# {note}" for note in operation.notes()), call])
