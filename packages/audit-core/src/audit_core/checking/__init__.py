"""Is everything recorded as it should be? What a person, or a script, wants to know from time to time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from .. import catalog
from ..settings import fixed_search_path
from . import rights, settings, tables, trail
from .problem import Problem

if TYPE_CHECKING:
    from ..audit_log import AuditLog

__all__ = ["Problem", "check", "creators"]


def check(audit_log: AuditLog, connection: Connection) -> list[Problem]:
    """Compare a database with what is wanted."""
    # The type is named as the application finds it.
    type_problem = audit_log.actor_id_type_problem(connection)
    with fixed_search_path(connection):
        installed = catalog.read(connection, audit_log.schema)
        if message := installed.version_problem:
            return [Problem(None, message)]
        return list(_problems(audit_log, connection, installed, type_problem))


def creators(connection: Connection, schema: str) -> list[str]:
    """Say who may create functions in the schema of a trail, beside the role that owns it or is about to."""
    with fixed_search_path(connection):
        relations = trail.read_relations(connection, schema)
        owner = trail.owner_of(relations).owner if relations else None
        return list(rights.creators(connection, schema, owner))


def _problems(
    audit_log: AuditLog, connection: Connection, installed: catalog.Installed, type_problem: str | None
) -> Iterator[Problem]:
    for step in audit_log.steps(installed):
        triggers = getattr(step, "triggers", None)
        yield Problem(
            triggers and triggers.table,
            f"Found {step.summary}. Write a migration with autogenerate, or call install().",
        )
    if type_problem:
        yield Problem(None, type_problem)
    yield from tables.problems(connection, audit_log.triggers(), installed.default_schema)
    if installed.trail.tables:
        relations = trail.read_relations(connection, audit_log.schema)
        yield from trail.problems(connection, installed.trail.trail, relations)
        yield from rights.problems(connection, audit_log.schema, trail.owner_of(relations).owner, relations)
    yield from settings.problems(connection)
