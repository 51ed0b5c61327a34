"""What should be installed, as values that can be compared and that render their own SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..options import TableOptions
from ..quoting import literal, qualified, quote, type_name
from ..sql import FunctionDefinition, TableKind, TriggerDefinition, latest, sql_version

TABLE_NAMES = (
    "activity",
    "transaction",
    "activity_coverage",
    "activity_partition",
    "activity_retention",
    "activity_hold",
    "activity_stream",
    "activity_seal",
    "activity_seal_leaf",
    "activity_commitment",
)

_KEY = "key"


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
        tables = sql_version(self.version).statements("create_tables", **values)
        for name in ("create_coverage_index", "create_stream_table"):
            tables += self._statements(name)
        return [*statements, *tables, *self.refresh()]

    def drop(self) -> list[str]:
        """Render the statements that remove the trail and all that it holds."""
        tables = [*self._statements("drop_stream_table"), *self._statements("drop_tables")]
        statements = [*tables, *self.drop_functions()]
        return statements if self.schema == "public" else [*statements, *self._statements("drop_schema")]

    def refresh(self) -> list[str]:
        """Render the statements that put functions and protection into their released state."""
        functions = sql_version(self.version).functions(**self._values())
        return [*functions, *self._statements("protect_tables"), *self._statements("protect_stream_table")]

    def drop_functions(self, keep: Collection[str] = ()) -> list[str]:
        """Render the statements that drop the functions; they fail while a trigger uses one."""
        return [
            f"DROP ROUTINE IF EXISTS {qualified(name, self.schema)}{types}"
            for name, types in reversed(sql_version(self.version).signatures().items())
            if name not in keep
        ]

    def migrate_to(self, version: int) -> list[str]:
        """Render the statements that move from this version to a later or an earlier one.

        Triggers are led there table by table.
        """
        statements: list[str] = []
        if version > self.version:
            for step in range(self.version + 1, version + 1):
                statements += sql_version(step).statements("upgrade", **self._values())
        else:
            for step in range(self.version, version, -1):
                statements += sql_version(step).statements("downgrade", **self._values())
        target = Trail(self.schema, self.actor_id_type, version)
        return [*statements, *target.refresh()]

    def protection_definitions(self) -> set[tuple[str, TriggerDefinition]]:
        """Return how the catalog shows the protection of the tables when it is as released."""
        return sql_version(self.version).protection_definitions()

    def function_definitions(self) -> dict[str, FunctionDefinition]:
        """Return how the catalog shows the functions when they are as released."""
        return sql_version(self.version).function_definitions(**self._values())

    def _statements(self, name: str) -> list[str]:
        return sql_version(self.version).statements(name, **self._values())

    def _values(self) -> dict[str, str]:
        return _values(self.schema)


def wake_up_trigger(schema: str, *, on: bool) -> str:
    """Render the statement that lets commits wake the readers of streams, or stops it."""
    table = qualified("transaction", schema)
    if not on:
        return f"DROP TRIGGER IF EXISTS audit_logger_notify ON {table}"
    return (
        f"CREATE OR REPLACE TRIGGER audit_logger_notify AFTER INSERT ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {qualified('audit_logger_notify', schema)}()"
    )


@dataclass(frozen=True)
class TableTriggers:
    """The triggers of one table; ``schema`` None leaves the table to the search path."""

    table: str
    schema: str | None = None
    audit_schema: str = "public"
    options: TableOptions = TableOptions()  # noqa: RUF009 - frozen
    #: Whether the table has partitions, which share its triggers row by row.
    partitioned: bool = False
    #: The columns of the primary key, in its order. Without them they are looked up at each statement.
    key_columns: tuple[str, ...] = ()
    version: int = field(default_factory=latest)

    def create(self) -> list[str]:
        """Render the statements that create the triggers or put them into this state."""
        names = sorted(self.definitions())
        created = sql_version(self.version).triggers(
            self._kind,
            names,
            **_values(self.audit_schema),
            table=self.relation,
            arguments=", ".join(map(literal, self.arguments)),
        )
        return [
            self._call("audit_logger_write_coverage", literal("before")),
            *created,
            self.copy_triggers(f"ARRAY[{', '.join(map(literal, names))}]"),
        ]

    def copy_triggers(self, *names: str) -> str:
        """Render the statement that copies the triggers to partitions and children."""
        return self._call("audit_logger_copy_triggers", *(names or ("NULL::pg_catalog.text[]",)))

    def drop(self) -> list[str]:
        """Render the statement that drops the triggers, also those of partitions and children."""
        return [self._call("audit_logger_drop_triggers")]

    def definitions(self) -> dict[str, TriggerDefinition]:
        """Return how the catalog shows the triggers when they are as released."""
        return {
            name: definition
            for name, definition in sql_version(self.version).trigger_definitions(self._kind).items()
            if definition.event.lower() in self.options.operations
        }

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the triggers, ``option=value`` each."""
        return (*(f"{_KEY}={column}" for column in self.key_columns), *self.options.arguments)

    @classmethod
    def from_arguments(cls, arguments: Iterable[str], **others: Any) -> TableTriggers | None:
        """Describe triggers by their arguments; None if those are not ours."""
        said = [argument.partition("=") for argument in arguments]
        options = TableOptions.from_arguments("".join(each) for each in said if each[0] != _KEY)
        if options is None:
            return None
        return cls(options=options, key_columns=tuple(column for key, _, column in said if key == _KEY), **others)

    @property
    def relation(self) -> str:
        """The quoted name of the table."""
        return qualified(self.table, self.schema)

    @property
    def _kind(self) -> TableKind:
        return "partitioned" if self.partitioned else "plain"

    def _call(self, function: str, *arguments: str) -> str:
        # With the types of the function: one that others made with better fitting types would be called instead.
        relation = f"{literal(self.relation)}::pg_catalog.regclass"
        return f"SELECT {qualified(function, self.audit_schema)}({', '.join([relation, *arguments])})"


def _values(schema: str) -> dict[str, str]:
    """Return what the files of the SQL need to know of the schema of a trail."""
    return {
        "schema": quote(schema),
        "schema_literal": literal(schema),
        "sequence": qualified("activity_id_seq", schema),
        "sequence_literal": literal(qualified("activity_id_seq", schema)),
        "command_sequence_literal": literal(qualified("activity_command_seq", schema)),
    }
