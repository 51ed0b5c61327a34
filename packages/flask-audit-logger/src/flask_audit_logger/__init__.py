"""Audit trail for Flask: who changed what, with the actor from Flask-Login."""

from audit_core import (
    AuditError,
    AuditLogActivity,
    AuditLogTransaction,
    ConfigurationError,
    ContextError,
    audit_context,
)

from ._extension import AuditLogger

__all__ = [
    "AuditError",
    "AuditLogActivity",
    "AuditLogTransaction",
    "AuditLogger",
    "ConfigurationError",
    "ContextError",
    "audit_context",
]
