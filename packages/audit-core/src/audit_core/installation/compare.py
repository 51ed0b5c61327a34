"""What is wanted and what is installed, compared: the steps from one to the other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from ..errors import ConfigurationError
from .catalog import ApplicationTable, Installed
from .objects import TABLE_NAMES, TableTriggers, Trail


@dataclass(frozen=True)
class InitTrail:
    """Create the schema, the tables and the functions."""

    trail: Trail

    @property
    def summary(self) -> str:
        return f"missing audit trail in schema {self.trail.schema!r}"

    def statements(self) -> list[str]:
        return self.trail.create()


@dataclass(frozen=True)
class UpgradeTrail:
    """Move the tables and functions from one version to another."""

    trail: Trail
    to_version: int

    @property
    def summary(self) -> str:
        return (
            f"audit trail in schema {self.trail.schema!r} with SQL version {self.trail.version}; "
            f"version {self.to_version} is the latest"
        )

    def statements(self) -> list[str]:
        return self.trail.migrate_to(self.to_version)


@dataclass(frozen=True)
class RefreshTrail:
    """Restore altered or missing functions, and the protection of the tables, to their released state."""

    trail: Trail

    @property
    def summary(self) -> str:
        return f"altered functions or protection of the audit trail in schema {self.trail.schema!r}"

    def statements(self) -> list[str]:
        return self.trail.refresh()


@dataclass(frozen=True)
class InitTriggers:
    """Create the triggers of a table, or change them to what is wanted."""

    triggers: TableTriggers
    #: What was there before, if it equals a released definition.
    replaces: TableTriggers | None = None
    #: Whether what was there equals no released definition.
    repairs: bool = False

    @property
    def summary(self) -> str:
        if self.repairs:
            return f"altered audit triggers on table {self.triggers.table!r}"
        if self.replaces is not None:
            return f"change in what is recorded of table {self.triggers.table!r}"
        return f"table {self.triggers.table!r} to be audited"

    def statements(self) -> list[str]:
        return self.triggers.create()


@dataclass(frozen=True)
class RemoveTriggers:
    """Drop the triggers of a table."""

    triggers: TableTriggers

    @property
    def summary(self) -> str:
        return f"table {self.triggers.table!r} to be audited no longer"

    def statements(self) -> list[str]:
        return self.triggers.drop()


Difference = InitTrail | UpgradeTrail | RefreshTrail | InitTriggers | RemoveTriggers


def compare(
    wanted: Trail,
    wanted_triggers: Iterable[TableTriggers],
    known_tables: Collection[tuple[str | None, str]],
    installed: Installed,
) -> list[Difference]:
    """List the steps that lead from what is installed to what is wanted.

    :param known_tables: schema and name of the tables that may be touched, audited or not.
    :raises ConfigurationError: if the tables of the trail cannot be created or used.
    """
    steps: list[Difference] = [*_trail_steps(wanted, installed)]
    audited: set[tuple[str, str]] = set()
    for triggers in wanted_triggers:
        key = (triggers.schema or installed.default_schema, triggers.table)
        audited.add(key)
        triggers = _as_it_is(triggers, installed.tables.get(key))
        if key in installed.foreign_triggers:
            raise ConfigurationError(
                f"Table {triggers.table!r} has a trigger {installed.foreign_triggers[key]!r} that is not of the audit "
                f"trail, which needs that name. Rename it: ALTER TRIGGER {installed.foreign_triggers[key]} ON "
                f"{triggers.relation} RENAME TO ..."
            )
        found = installed.triggers.get(key)
        before = None
        if found is not None and found.exact is not None:
            # A migration that was written by hand may leave the key to be looked up.
            key_columns = found.exact.key_columns or triggers.key_columns
            before = replace(found.exact, schema=triggers.schema, key_columns=key_columns)
        elif found is not None and installed.trail.definition.version != triggers.version:
            # A downgrade has to leave triggers that fit to the functions of then.
            before = replace(triggers, version=installed.trail.definition.version)
        if before != triggers:
            altered = found is not None and found.exact is None
            steps.append(InitTriggers(triggers, before, repairs=altered))
    for schema, table in known_tables:
        key = (schema or installed.default_schema, table)
        found = installed.triggers.get(key)
        if found and key not in audited and not found.inherits:
            removed = found.exact or replace(found.definition, version=installed.trail.definition.version)
            steps.append(RemoveTriggers(replace(removed, schema=schema)))
    return steps


def _as_it_is(triggers: TableTriggers, table: ApplicationTable | None) -> TableTriggers:
    """Want what fits to the table that is there, however it was declared.

    :raises ConfigurationError: if it is a partition, whose changes are recorded with those of its table.
    """
    if table is None:
        return triggers
    if table.parent is not None:
        raise ConfigurationError(
            f"Table {triggers.table!r} is a partition of {'.'.join(table.parent)!r}: declare that table "
            f"'versioned', which is recorded with all its partitions, and take 'versioned' out of {triggers.table!r}."
        )
    return replace(triggers, partitioned=table.partitioned, options=triggers.options.without(table.virtual_columns))


def _trail_steps(wanted: Trail, installed: Installed) -> Iterable[Difference]:
    found = installed.trail
    if found.foreign_tables:
        names = " and ".join(f"{wanted.schema}.{name}" for name in sorted(found.foreign_tables))
        raise ConfigurationError(
            f"The database has {names}, not made by this version of the audit trail. Put the trail into another "
            "schema with schema='audit', or rename that table first. (flask-audit-logger 2.x and PostgreSQL-Audit use "
            "these names, too: a migration by autogenerate sets their trail aside.)"
        )
    if not found.tables:
        yield InitTrail(wanted)
    elif missing := [name for name in TABLE_NAMES if name not in found.tables]:
        raise ConfigurationError(
            f"The audit trail in schema {wanted.schema!r} lacks the table {', '.join(missing)}. Restore it from a "
            "backup, or rename the others: the trail is then made anew."
        )
    elif found.definition.version < wanted.version:
        yield UpgradeTrail(found.definition, wanted.version)
    elif not found.intact:
        yield RefreshTrail(found.definition)
