"""The plugin for pytest. It imports nothing of the library before a test asks for a fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from audit_core import AuditLog
    from audit_core.testing import AuditTrail


@pytest.fixture(scope="session")
def audit_log() -> AuditLog:
    """The AuditLog of the application, which a project's own fixture of this name returns."""
    raise pytest.UsageError(
        "audit_trail needs to know the AuditLog of the application. Write a fixture audit_log(), with "
        "scope='session', that returns it."
    )


@pytest.fixture(scope="session")
def audit_trail(audit_log: AuditLog) -> AuditTrail:
    """The trail for tests: ``audit_trail.install(engine)`` after ``create_all()``."""
    from audit_core.testing import AuditTrail

    return AuditTrail(audit_log)
