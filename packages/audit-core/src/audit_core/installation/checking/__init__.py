"""Is everything recorded as it should be? What a person, or a script, wants to know from time to time."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ...lifecycle.stream_cursor import states
from ...scope import Scope
from ...settings import fixed_search_path
from .. import catalog
from ..wanted import actor_id_type_problem, differences, wanted_triggers
from . import rights, settings, tables, trail, upkeep
from .problem import Problem

__all__ = ["Problem", "check", "creators"]


def check(scope: Scope, connection: Connection) -> list[Problem]:
    """Compare a database with what is wanted."""
    # The type is named as the application finds it.
    type_problem = actor_id_type_problem(scope, connection)
    with fixed_search_path(connection):
        installed = catalog.read(connection, scope.schema)
        if message := installed.version_problem:
            return [Problem(None, message)]
        return list(_problems(scope, connection, installed, type_problem))


def creators(connection: Connection, schema: str) -> list[str]:
    """Return who may create functions in the schema of a trail, beside the role that owns it or is about to."""
    with fixed_search_path(connection):
        relations = trail.read_relations(connection, schema)
        owner = trail.owner_of(relations).owner if relations else None
        return list(rights.creators(connection, schema, owner))


def _stream_problems(connection: Connection, schema: str) -> Iterator[Problem]:
    for state in states(connection, schema):
        if state.problem:
            yield Problem(None, state.problem)


def _problems(
    scope: Scope, connection: Connection, installed: catalog.Installed, type_problem: str | None
) -> Iterator[Problem]:
    for difference in differences(scope, installed):
        triggers = getattr(difference, "triggers", None)
        yield Problem(
            triggers and triggers.table,
            f"Found {difference.summary}. Write a migration with autogenerate, or call install().",
        )
    if type_problem:
        yield Problem(None, type_problem)
    yield from tables.problems(connection, wanted_triggers(scope), installed.default_schema)
    if installed.trail.tables:
        relations = trail.read_relations(connection, scope.schema)
        yield from trail.problems(connection, installed.trail.definition, relations)
        yield from rights.problems(connection, scope.schema, trail.owner_of(relations).owner, relations)
        yield from upkeep.problems(connection, scope.schema)
        yield from _stream_problems(connection, scope.schema)
    yield from settings.problems(connection)
