"""One audited table, for tests of what its options may be."""

from __future__ import annotations

from audit_core import AuditLog
from sqlalchemy import Column, Integer, MetaData, String, Table


def log_of_users(versioned: object) -> AuditLog:
    """Return the AuditLog of a table ``users`` with these options, whatever they are."""
    metadata = MetaData()
    log = AuditLog(metadata)
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        info={"versioned": versioned},
    )
    return log
