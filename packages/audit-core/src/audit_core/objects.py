"""What should be installed, as values that can be compared and that render their own SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .quoting import literal, qualified, quote, type_name
from .sql import RELEASES, FunctionDefinition, TriggerDefinition, latest, release

TABLE_NAMES = ("activity", "transaction")


@dataclass(frozen=True)
class Trail:
    """The audit tables and functions in one schema."""

    schema: str = "public"
    actor_id_type: str = "text"
    version: int = field(default_factory=latest)

    def create(self) -> list[str]:
        """Render the statements that make the schema, the tables and the functions."""
        statements = [] if self.schema == "public" else self._statements("create_schema")
        values = {**self._values(), "actor_id_type": type_name(self.actor_id_type)}
        tables = release(self.version).statements("create_tables", **values)
        return [*statements, *tables, *self.create_functions()]

    def drop(self) -> list[str]:
        """Render the statements that remove the trail and all that it holds."""
        statements = [*self.drop_functions(), *self._statements("drop_tables")]
        return statements if self.schema == "public" else [*statements, *self._statements("drop_schema")]

    def create_functions(self) -> list[str]:
        """Render the statements that put every function into its released state."""
        return release(self.version).functions(**self._values())

    def drop_functions(self) -> list[str]:
        """Render the statements that drop every function; they fail while a trigger uses one."""
        return [
            f"DROP FUNCTION IF EXISTS {qualified(name, self.schema)}"
            for name in reversed(release(self.version).function_names())
        ]

    def migrate_to(self, version: int) -> list[str]:
        """Render the statements that lead from this version to a later or an earlier one.

        Triggers are led there table by table.
        """
        statements: list[str] = []
        if version > self.version:
            for step in range(self.version + 1, version + 1):
                statements += release(step).statements("upgrade", **self._values())
        else:
            for step in range(self.version, version, -1):
                statements += release(step).statements("downgrade", **self._values())
        target = Trail(self.schema, self.actor_id_type, version)
        return [*statements, *target.create_functions()]

    def function_definitions(self) -> dict[str, FunctionDefinition]:
        """Tell how the catalog shows the functions when they are as released."""
        return release(self.version).function_definitions(**self._values())

    def _statements(self, name: str) -> list[str]:
        return release(self.version).statements(name, **self._values())

    def _values(self) -> dict[str, str]:
        return {"schema": quote(self.schema), "schema_literal": literal(self.schema)}


@dataclass(frozen=True)
class TableTriggers:
    """The triggers of one table; ``schema`` None leaves the table to the search path."""

    table: str
    schema: str | None = None
    audit_schema: str = "public"
    excluded_columns: tuple[str, ...] = ()
    version: int = field(default_factory=latest)

    def __post_init__(self) -> None:
        object.__setattr__(self, "excluded_columns", tuple(sorted(set(self.excluded_columns))))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the triggers: one excluded column each."""
        return self.excluded_columns

    def create(self) -> list[str]:
        """Render the statements that create the triggers or put them into this state."""
        created = release(self.version).triggers(
            schema=quote(self.audit_schema),
            table=qualified(self.table, self.schema),
            arguments=", ".join(map(literal, self.arguments)),
        )
        return [*self._drop(_names_of_all_versions() - self.definitions().keys()), *created]

    def drop(self) -> list[str]:
        """Render the statements that drop the triggers, whichever version they are of."""
        return self._drop(_names_of_all_versions())

    def definitions(self) -> dict[str, TriggerDefinition]:
        """Tell how the catalog shows the triggers when they are as released."""
        return release(self.version).trigger_definitions()

    def _drop(self, names: Iterable[str]) -> list[str]:
        return [
            f"DROP TRIGGER IF EXISTS {quote(name)} ON {qualified(self.table, self.schema)}" for name in sorted(names)
        ]


def _names_of_all_versions() -> set[str]:
    return {name for each in RELEASES.values() for name in each.trigger_definitions()}
