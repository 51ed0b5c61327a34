"""Tests of applications: what a block of code changed, as the trail says.

With pytest the fixture ``audit_trail`` is there as soon as the package is installed; elsewhere, make an
:class:`AuditTrail`.
"""

from .assertions import assert_changes, assert_unchanged, changes
from .change import Change
from .trail import AuditTrail

__all__ = ["AuditTrail", "Change", "assert_changes", "assert_unchanged", "changes"]
