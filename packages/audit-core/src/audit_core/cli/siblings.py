"""What ``flask audit`` takes from the command line of the core; see :mod:`audit_core.siblings`."""

from .errors import Mistake
from .group import AuditGroup
from .origin import Database, Origin

__all__ = ["AuditGroup", "Database", "Mistake", "Origin"]
