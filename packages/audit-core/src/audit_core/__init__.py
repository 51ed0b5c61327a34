"""An audit trail for PostgreSQL tables used through SQLAlchemy."""

from importlib.metadata import version

from .audit_log import AuditLog
from .checking import Problem
from .context import audit_context
from .errors import AuditError, ConfigurationError, ContextError, UnsupportedDatabaseError
from .models import AuditLogActivity, AuditLogTransaction

__all__ = [
    "AuditError",
    "AuditLog",
    "AuditLogActivity",
    "AuditLogTransaction",
    "ConfigurationError",
    "ContextError",
    "Problem",
    "UnsupportedDatabaseError",
    "audit_context",
]

__version__ = version("audit-core")
