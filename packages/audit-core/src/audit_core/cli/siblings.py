"""What ``flask audit`` takes from the command line of the core; see :mod:`audit_core.siblings`."""

from .errors import CommandError
from .group import AuditGroup
from .source import Database, TrailSource

__all__ = ["AuditGroup", "CommandError", "Database", "TrailSource"]
