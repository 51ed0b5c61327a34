"""What is installed, read from the catalog as the values of :mod:`audit_core.installation.objects`."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, text

from ..sql import SQL_VERSIONS, FunctionDefinition, TriggerDefinition, latest
from .objects import TABLE_NAMES, TableTriggers, Trail

_MARKER = re.compile(r"\(SQL version (\d+)\)")

_TABLES = text(
    "SELECT c.relname, c.relkind, pg_catalog.obj_description(c.oid, 'pg_class') AS comment, "
    " (SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute AS a"
    "  WHERE a.attrelid = c.oid AND a.attname = 'actor_id') AS actor_id_type "
    "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname IN :names AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
).bindparams(bindparam("names", expanding=True))

# Asked with the search path of the application, which may have a type of its own: all operands have the same type.
_OTHER_ACTOR_ID_TYPE = text(
    "SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) "
    "FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = 'transaction' AND a.attname = 'actor_id'"
    " AND a.atttypid <> CAST(pg_catalog.to_regtype(CAST(:wanted AS text)) AS oid)"
)

_FUNCTIONS = text(
    "SELECT p.proname, p.prosrc, p.prosecdef, p.proconfig,"
    " pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE') AS public_may_execute "
    "FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace "
    "WHERE n.nspname = :schema AND p.proname IN :names"
).bindparams(bindparam("names", expanding=True))

# Whether a trigger is ours is decided by the function that it calls. The definition is compared field by
# field: pg_get_triggerdef() depends on the search path.
_TRIGGERS = text(
    "SELECT tn.nspname AS schema, c.relname AS table_name, fn.nspname AS audit_schema, p.proname, t.tgname,"
    " t.tgtype, t.tgenabled::text AS tgenabled, t.tgargs, t.tgoldtable, t.tgnewtable,"
    " t.tgqual IS NULL AND t.tgattr = ''::pg_catalog.int2vector AND NOT t.tgdeferrable AS unconditional,"
    " c.relkind = 'p' AS partitioned,"
    " EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid) AS inherits "
    "FROM pg_catalog.pg_trigger AS t"
    " JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid"
    " JOIN pg_catalog.pg_namespace AS tn ON tn.oid = c.relnamespace"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid"
    " JOIN pg_catalog.pg_namespace AS fn ON fn.oid = p.pronamespace "
    "WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND NOT c.relispartition AND p.proname IN :functions "
    "ORDER BY tn.nspname, c.relname, t.tgname"
).bindparams(bindparam("functions", expanding=True))

_FOREIGN_TRIGGERS = text(
    "SELECT n.nspname AS schema, c.relname AS table_name, t.tgname "
    "FROM pg_catalog.pg_trigger AS t"
    " JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid "
    "WHERE t.tgname IN :names AND p.proname NOT IN :functions"
).bindparams(bindparam("names", expanding=True), bindparam("functions", expanding=True))

_TRIGGERS_OF_TRAIL = text(
    "SELECT c.relname AS table_name, p.proname, t.tgname, t.tgtype, t.tgenabled::text AS tgenabled,"
    " t.tgoldtable, t.tgnewtable, t.tgqual IS NULL AND t.tgattr = ''::pg_catalog.int2vector AS unconditional "
    "FROM pg_catalog.pg_trigger AS t"
    " JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = n.oid "
    "WHERE NOT t.tgisinternal AND n.nspname = :schema AND c.relname IN :names"
).bindparams(bindparam("names", expanding=True))

# Statement triggers are not inherited, and TRUNCATE has no others.
_UNPROTECTED_PARTITIONS = text(
    "SELECT c.relname "
    "FROM pg_catalog.pg_class AS parent JOIN pg_catalog.pg_namespace AS n ON n.oid = parent.relnamespace"
    " CROSS JOIN LATERAL pg_catalog.pg_partition_tree(parent.oid) AS tree"
    " JOIN pg_catalog.pg_class AS c ON c.oid = tree.relid "
    "WHERE n.nspname = :schema AND parent.relname = 'activity' AND tree.parentrelid IS NOT NULL"
    " AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid"
    " WHERE t.tgrelid = tree.relid AND t.tgname = 'audit_logger_protect_table' AND t.tgtype = 34"
    " AND t.tgenabled = 'O' AND t.tgqual IS NULL"
    " AND p.pronamespace = n.oid AND p.proname = 'audit_logger_protect')"
)

_RELATIONS = text(
    "WITH ours AS ("
    " SELECT c.oid FROM pg_catalog.pg_class AS c "
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    # A closed partition may be detached, and be about to be dropped.
    " WHERE (c.relname IN :names OR pg_catalog.starts_with(c.relname::text, 'activity_p')) AND c.relkind IN ('r', 'p')"
    " AND (CAST(:schema AS text) IS NULL OR n.nspname = :schema)"
    " AND pg_catalog.obj_description(c.oid, 'pg_class') LIKE 'audit trail%'"
    ") "
    "SELECT n.nspname, c.relname "
    "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.oid IN (SELECT oid FROM ours UNION ALL SELECT tree.relid"
    " FROM ours CROSS JOIN LATERAL pg_catalog.pg_partition_tree(ours.oid) AS tree)"
    # The catalog of an archive, which PyIceberg makes.
    " OR CAST(:schema AS text) IS NULL AND n.nspname = 'audit_archive'"
    " AND c.relname IN ('iceberg_tables', 'iceberg_namespace_properties')"
).bindparams(bindparam("names", expanding=True))

# What of a table the triggers depend on, and a declaration may lack: a table may be reflected or made by raw SQL.
_APPLICATION_TABLES = text(
    "SELECT n.nspname AS schema, c.relname AS table_name, c.relkind = 'p' AS partitioned,"
    " pn.nspname AS parent_schema, p.relname AS parent_name,"
    " ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0"
    " AND NOT a.attisdropped AND a.attgenerated = 'v' ORDER BY a.attnum) AS virtual_columns "
    "FROM pg_catalog.pg_class AS c"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition"
    " LEFT JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent"
    " LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
)

# The bits of pg_trigger.tgtype; statement triggers have the row bit (1) off.
_TIMING_BITS = {2: "BEFORE", 0: "AFTER", 64: "INSTEAD OF"}
_EVENT_BITS = {4: "INSERT", 8: "DELETE", 16: "UPDATE", 32: "TRUNCATE"}


@dataclass(frozen=True)
class InstalledTrail:
    """The audit tables and functions as they are found in one schema."""

    definition: Trail
    #: The tables of the trail that are there.
    tables: frozenset[str]
    #: The tables that stand in their place and are not ours.
    foreign_tables: frozenset[str]
    #: Whether the functions are as released with the version that the tables name.
    intact: bool
    #: The version that the tables name; None where there are no tables.
    version: int | None


@dataclass(frozen=True)
class InstalledTriggers:
    """The triggers of one table as they are found."""

    audit_schema: str
    #: The released definition that the triggers equal; None if they equal none.
    exact: TableTriggers | None
    #: The same, or what records no column that any of them leaves out.
    definition: TableTriggers
    #: Whether the table inherits from another one, whose triggers it may share.
    inherits: bool


@dataclass(frozen=True)
class ApplicationTable:
    """What the catalog says of a table of the application."""

    partitioned: bool
    #: Schema and name of the table of which it is a partition.
    parent: tuple[str, str] | None
    #: The generated columns that are not stored, so that no trigger sees their values.
    virtual_columns: tuple[str, ...]


@dataclass(frozen=True)
class Installed:
    """What a database holds of one trail, and of triggers of any trail."""

    default_schema: str
    trail: InstalledTrail
    triggers: dict[tuple[str, str], InstalledTriggers] = field(default_factory=dict)
    #: Every table that is there, by schema and name.
    tables: dict[tuple[str, str], ApplicationTable] = field(default_factory=dict)
    #: Triggers of others that have a name of ours, by schema and table.
    foreign_triggers: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def version_problem(self) -> str | None:
        """Describe what is wrong if a later version of the library made the trail."""
        version = self.trail.version
        if version is None or version <= latest():
            return None
        return (
            f"The audit trail in schema {self.trail.definition.schema!r} has SQL version {version}, and this library "
            f"knows {latest()}. Upgrade audit-core."
        )


def read(connection: Connection, schema: str) -> Installed:
    """Read what is installed of the trail in ``schema``."""
    return Installed(
        default_schema=connection.dialect.default_schema_name or "public",
        trail=_read_trail(connection, schema),
        triggers=_read_triggers(connection),
        tables=_read_application_tables(connection),
        foreign_triggers=_read_foreign_triggers(connection),
    )


def other_actor_id_type(connection: Connection, trail: Trail) -> str | None:
    """Return the type of ``actor_id`` that is installed, if it is another one than ``trail`` wants."""
    wanted = {"schema": trail.schema, "wanted": trail.actor_id_type}
    found: str | None = connection.scalar(_OTHER_ACTOR_ID_TYPE, wanted)
    return found


def audit_relations(connection: Connection, schema: str | None = None) -> set[tuple[str, str]]:
    """Return schema and table of every trail in the database, or of one, every partition of them, and the archive's."""
    found = connection.execute(_RELATIONS, {"names": TABLE_NAMES, "schema": schema})
    return {(row.nspname, row.relname) for row in found}


def function_names() -> list[str]:
    """Return the names of the functions of every SQL version."""
    return sorted({name for each in SQL_VERSIONS.values() for name in each.function_names()})


def _read_trail(connection: Connection, schema: str) -> InstalledTrail:
    rows = _read_tables(connection, schema)
    ours = {row.relname: row for row in rows if _is_ours(row)}
    version = _version(ours["activity"].comment) if "activity" in ours else None
    actor_id_type = ours["transaction"].actor_id_type if "transaction" in ours else Trail().actor_id_type
    trail = Trail(schema, actor_id_type, version if version in SQL_VERSIONS else latest())
    functions = connection.execute(_FUNCTIONS, {"schema": schema, "names": function_names()})
    # Somebody may have made others of the same names.
    found = {
        FunctionDefinition(row.proname, row.prosrc, row.prosecdef, tuple(row.proconfig or ()), row.public_may_execute)
        for row in functions
    }
    return InstalledTrail(
        definition=trail,
        tables=frozenset(ours),
        foreign_tables=frozenset(row.relname for row in rows) - frozenset(ours),
        intact=(
            found.issuperset(trail.function_definitions().values())
            and trail.protection_definitions() <= _read_protection(connection, schema)
            and connection.execute(_UNPROTECTED_PARTITIONS, {"schema": schema}).first() is None
        ),
        version=version,
    )


def _read_tables(connection: Connection, schema: str) -> list[Any]:
    return list(connection.execute(_TABLES, {"schema": schema, "names": TABLE_NAMES}))


def _is_ours(row: Any) -> bool:
    return bool(row.comment) and row.comment.startswith("audit trail")


def _version(comment: str) -> int:
    match = _MARKER.search(comment)
    return int(match[1]) if match else latest()


def _read_protection(connection: Connection, schema: str) -> set[tuple[str, TriggerDefinition]]:
    rows = connection.execute(
        _TRIGGERS_OF_TRAIL,
        {"schema": schema, "names": TABLE_NAMES},
    )
    return {(row.table_name, _definition(row)) for row in rows if row.tgenabled == "O" and row.unconditional}


def _read_application_tables(connection: Connection) -> dict[tuple[str, str], ApplicationTable]:
    return {
        (row.schema, row.table_name): ApplicationTable(
            row.partitioned,
            None if row.parent_name is None else (row.parent_schema, row.parent_name),
            tuple(row.virtual_columns),
        )
        for row in connection.execute(_APPLICATION_TABLES)
    }


def _read_triggers(connection: Connection) -> dict[tuple[str, str], InstalledTriggers]:
    names = [name for name in function_names() if name.startswith("audit_logger_record")]
    rows = connection.execute(_TRIGGERS, {"functions": names}).all()
    encoding: str = connection.scalar(text("SELECT pg_catalog.getdatabaseencoding()")) or "UTF8" if rows else "UTF8"
    installed = {}
    for (schema, table), group in groupby(rows, key=lambda row: (row.schema, row.table_name)):
        found = list(group)
        exact = _released_definition(schema, table, found, _python_encoding(encoding))
        installed[schema, table] = InstalledTriggers(
            audit_schema=found[0].audit_schema,
            exact=exact,
            definition=exact or _similar_definition(schema, table, found, _python_encoding(encoding)),
            inherits=found[0].inherits,
        )
    return installed


def _read_foreign_triggers(connection: Connection) -> dict[tuple[str, str], str]:
    names = sorted({name for each in SQL_VERSIONS.values() for name in each.trigger_names()})
    rows = connection.execute(_FOREIGN_TRIGGERS, {"names": names, "functions": function_names()})
    return {(row.schema, row.table_name): row.tgname for row in rows}


def _released_definition(schema: str, table: str, rows: list[Any], encoding: str) -> TableTriggers | None:
    """Find the released definition that the triggers of a table equal in every field."""
    targets = {(row.audit_schema, tuple(_arguments(row.tgargs, encoding))) for row in rows}
    if len(targets) > 1:
        return None
    ((audit_schema, arguments),) = targets
    if any(row.tgenabled != "O" or not row.unconditional for row in rows):
        return None
    found = {row.tgname: _definition(row) for row in rows}
    for version in sorted(SQL_VERSIONS, reverse=True):
        candidate = TableTriggers.from_arguments(
            arguments,
            table=table,
            schema=schema,
            audit_schema=audit_schema,
            partitioned=rows[0].partitioned,
            version=version,
        )
        if candidate is not None and candidate.definitions() == found:
            return candidate
    return None


def _similar_definition(schema: str, table: str, rows: list[Any], encoding: str) -> TableTriggers:
    """Describe altered triggers so that a downgrade to it records nothing that any of them left out."""
    arguments = dict.fromkeys(argument for row in rows for argument in _arguments(row.tgargs, encoding))
    named = {
        "table": table,
        "schema": schema,
        "audit_schema": rows[0].audit_schema,
        "partitioned": rows[0].partitioned,
    }
    return TableTriggers.from_arguments(arguments, **named) or TableTriggers(**named)


def _definition(row: Any) -> TriggerDefinition:
    events = [event for bit, event in _EVENT_BITS.items() if row.tgtype & bit]
    return TriggerDefinition(
        name=row.tgname,
        function=row.proname,
        timing=_TIMING_BITS[row.tgtype & (2 | 64)],
        event=" OR ".join(events),
        level="ROW" if row.tgtype & 1 else "STATEMENT",
        old_table=row.tgoldtable,
        new_table=row.tgnewtable,
    )


def _arguments(tgargs: Any, encoding: str) -> Iterable[str]:
    """Split what pg_trigger keeps as one byte string, with a NUL after each argument."""
    return (argument.decode(encoding) for argument in bytes(tgargs).split(b"\x00")[:-1])


def _python_encoding(name: str) -> str:
    """Translate PostgreSQL's name of an encoding; what Python calls otherwise is a Windows code page."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        return codecs.lookup(name.lower().replace("win", "cp")).name if name.startswith("WIN") else "latin-1"
