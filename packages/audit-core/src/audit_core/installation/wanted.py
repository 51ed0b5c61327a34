"""What one trail wants in the database, taken from the models; and how far the database is from it."""

from __future__ import annotations

from sqlalchemy import Connection

from ..audited import audited_tables, is_partitioned, refuse_name_clash
from ..quoting import qualified
from ..scope import Scope
from . import catalog
from .compare import Difference, compare
from .objects import TABLE_NAMES, TableTriggers, Trail


def wanted_trail(scope: Scope) -> Trail:
    """Describe the tables and functions of the trail."""
    return Trail(scope.schema, scope.actor.sql_type())


def wanted_triggers(scope: Scope) -> list[TableTriggers]:
    """Describe the triggers of the audited tables.

    :raises ConfigurationError: if the options of a table cannot be used.
    """
    return [
        TableTriggers(
            table.name,
            table.schema,
            scope.schema,
            options,
            is_partitioned(table),
            tuple(column.name for column in table.primary_key.columns),
        )
        for table, options in audited_tables(scope.metadata)
    ]


def differences(
    scope: Scope, installed: catalog.Installed, dropped: frozenset[tuple[str | None, str]] = frozenset()
) -> list[Difference]:
    """List what has to be done to a database, in order.

    :param dropped: schema and name of tables that are about to be dropped.
    :raises ConfigurationError: if a setting or an audited table cannot be used.
    """
    refuse_name_clash(scope.metadata, scope.schema, TABLE_NAMES)
    known = {(table.schema, table.name) for table in scope.metadata.tables.values()} | dropped
    return compare(wanted_trail(scope), wanted_triggers(scope), sorted(known, key=str), installed)


def actor_id_type_problem(scope: Scope, connection: Connection) -> str | None:
    """Describe what is wrong if ``actor_id`` has another type than the actor's primary key."""
    wanted = wanted_trail(scope)
    found = catalog.other_actor_id_type(connection, wanted)
    if found is None:
        return None
    return (
        f"transaction.actor_id in schema {scope.schema!r} is {found}, and the actor's primary key is "
        f"{wanted.actor_id_type}. Change the type of the column with a migration of your own: "
        f"ALTER TABLE {qualified('transaction', scope.schema)} ALTER COLUMN actor_id TYPE {wanted.actor_id_type}."
    )
