"""The tables, sequences and functions of the trail: what would keep a change out, or alter it on its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from ...quoting import qualified, quote
from .. import catalog
from ..objects import TABLE_NAMES, Trail
from .problem import Problem

# The owner of a sequence that belongs to a column is that of its table, and with ALTER TABLE it becomes unlogged, too.
# That of the commands holds what is of interest to a session alone, and is unlogged on purpose.
_RELATIONS = text(
    "WITH ours AS ("
    " SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relname IN :names AND c.relkind IN ('r', 'p')"
    "), tables AS ("
    " SELECT oid FROM ours"
    " UNION SELECT tree.relid FROM ours CROSS JOIN LATERAL pg_catalog.pg_partition_tree(ours.oid) AS tree"
    "), sequences AS ("
    " SELECT d.objid AS oid, t.oid AS table_oid FROM tables AS t"
    " JOIN pg_catalog.pg_depend AS d ON d.refobjid = t.oid AND d.refclassid = 'pg_class'::regclass"
    " AND d.classid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')"
    ") "
    "SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind = 'S' AS is_sequence,"
    " c.relpersistence = 'p' OR b.relpersistence = 'u' OR c.relname = 'activity_command_seq' AS is_logged,"
    " c.relrowsecurity OR c.relforcerowsecurity AS has_row_security,"
    " c.relowner AS owner, o.rolname AS owner_name "
    "FROM (SELECT oid, NULL::oid AS table_oid FROM tables UNION SELECT oid, table_oid FROM sequences) AS r"
    " JOIN pg_catalog.pg_class AS c ON c.oid = r.oid AND c.relkind IN ('r', 'p', 'S')"
    " LEFT JOIN pg_catalog.pg_class AS b ON b.oid = r.table_oid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner "
    "ORDER BY 2, 3"
).bindparams(bindparam("names", expanding=True))

_FUNCTIONS = text(
    "SELECT p.proname, p.prosrc, p.prokind = 'p' AS is_procedure, o.rolname AS owner_name,"
    " pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid))"
    "  AS signature "
    "FROM pg_catalog.pg_proc AS p"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner "
    "WHERE n.nspname = :schema AND p.proname IN :names ORDER BY 5"
).bindparams(bindparam("names", expanding=True))

_RULES = text(
    "SELECT w.ev_class AS relid, w.rulename FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class IN :relids ORDER BY 1, 2"
).bindparams(bindparam("relids", expanding=True))

# Those that a partition has of its table stand there once.
_TRIGGERS = text(
    "SELECT t.tgrelid AS relid, t.tgname, n.nspname = :schema AND p.proname = 'audit_logger_protect' AS protects,"
    # After each INSERT statement, where it can do nothing but notify.
    " n.nspname = :schema AND p.proname = 'audit_logger_notify' AND t.tgtype = 4 AS notifies "
    "FROM pg_catalog.pg_trigger AS t"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace "
    "WHERE t.tgrelid IN :relids AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY 1, 2"
).bindparams(bindparam("relids", expanding=True))

# As the catalog shows them with this search path. The one of activity.id draws from the sequence that belongs to it.
_WANTED_DEFAULTS = {
    (table, column): default
    for table in ("transaction", "activity_coverage", "activity_hold")
    for column, default in (
        ("db_user", "SESSION_USER"),
        ("application_name", "current_setting('application_name'::text)"),
    )
} | {("activity_hold", "issued_at"): "clock_timestamp()"}
_SEQUENCE_DEFAULT = text(
    "SELECT pg_catalog.format('nextval(%L::regclass)', pg_catalog.pg_get_serial_sequence("
    "pg_catalog.format('%I.activity', CAST(:schema AS text)), 'id'))"
)
# A column of a partition has the default of its table, or none: the triggers write to the table.
_DEFAULTS = text(
    "SELECT a.attrelid AS relid, coalesce(root.relname, c.relname) AS table_name, a.attname, c.relispartition,"
    " pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression,"
    " pg_catalog.pg_get_expr(rd.adbin, rd.adrelid) AS expression_of_root "
    "FROM pg_catalog.pg_attribute AS a"
    " JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid"
    " LEFT JOIN pg_catalog.pg_class AS root ON root.oid = pg_catalog.pg_partition_root(c.oid)"
    " LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " LEFT JOIN pg_catalog.pg_attribute AS ra ON ra.attrelid = root.oid AND ra.attname = a.attname"
    " LEFT JOIN pg_catalog.pg_attrdef AS rd ON rd.adrelid = ra.attrelid AND rd.adnum = ra.attnum "
    "WHERE a.attrelid IN :relids AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') ORDER BY 1, 3"
).bindparams(bindparam("relids", expanding=True))


def read_relations(connection: Connection, schema: str) -> list[Any]:
    """Read the tables of a trail, their partitions and the sequences that belong to them."""
    return list(connection.execute(_RELATIONS, {"schema": schema, "names": TABLE_NAMES}))


def owner_of(relations: Sequence[Any]) -> Any:
    """Find the table whose owner everything of a trail should have."""
    return next(each for each in relations if each.name in TABLE_NAMES)


def problems(connection: Connection, trail: Trail, relations: Sequence[Any]) -> Iterator[Problem]:
    """List what is not as a trail should be, beside its functions and its protection."""
    for each in relations:
        yield from _relation_problems(each, owner_of(relations))
    yield from _function_problems(connection, trail, owner_of(relations))
    found = {"relids": [each.oid for each in relations]}
    names = {each.oid: each for each in relations}
    for row in connection.execute(_RULES, found):
        name = _shown(names[row.relid])
        yield Problem(
            None,
            f"Rule {row.rulename!r} on {name} can keep changes out of the trail. "
            f"Run: DROP RULE {quote(row.rulename)} ON {_quoted(names[row.relid])}",
        )
    wanted = {definition.name for _, definition in trail.protection_definitions()}
    for row in connection.execute(_TRIGGERS, {**found, "schema": trail.schema}):
        if not row.notifies and (not row.protects or row.tgname not in wanted):
            yield Problem(
                None,
                f"Trigger {row.tgname!r} on {_shown(names[row.relid])} is not of the audit trail, and can keep changes "
                f"out of it or alter them. Run: DROP TRIGGER {quote(row.tgname)} ON {_quoted(names[row.relid])}",
            )
    yield from _default_problems(connection, trail, names)


def _relation_problems(relation: Any, first: Any) -> Iterator[Problem]:
    name, kind = _shown(relation), "SEQUENCE" if relation.is_sequence else "TABLE"
    alter = f"Run: ALTER {kind} {_quoted(relation)}"
    if relation.owner != first.owner and not relation.is_sequence:
        yield Problem(
            None,
            f"{name} belongs to {relation.owner_name}, and {_shown(first)} to {first.owner_name}: one role should own "
            f"the whole trail. {alter} OWNER TO {quote(first.owner_name)}",
        )
    if not relation.is_logged:
        yield Problem(None, f"{name} is UNLOGGED: a crash of the server empties it. {alter} SET LOGGED")
    if relation.has_row_security:
        yield Problem(
            None,
            f"{name} has row level security, which hides activities or refuses them. {alter} DISABLE ROW LEVEL "
            f"SECURITY, NO FORCE ROW LEVEL SECURITY",
        )


def _function_problems(connection: Connection, trail: Trail, first: Any) -> Iterator[Problem]:
    definitions = trail.function_definitions()
    found = connection.execute(_FUNCTIONS, {"schema": trail.schema, "names": catalog.function_names()}).all()
    by_name: dict[str, list[Any]] = {}
    for row in found:
        by_name.setdefault(row.proname, []).append(row)
    for row in found:
        kind = "PROCEDURE" if row.is_procedure else "FUNCTION"
        wanted = definitions.get(row.proname)
        is_ours = wanted is not None and row.prosrc == wanted.body
        if len(by_name[row.proname]) > 1 and not is_ours:
            yield Problem(
                None,
                f"{row.signature} has the name of a function of the audit trail and could be called in its place. "
                f"Run: DROP {kind} {row.signature}",
            )
        elif row.owner_name != first.owner_name:
            yield Problem(
                None,
                f"{row.signature} belongs to {row.owner_name}, and {_shown(first)} to {first.owner_name}: one role "
                f"should own the whole trail. Run: ALTER {kind} {row.signature} OWNER TO {quote(first.owner_name)}",
            )


def _default_problems(connection: Connection, trail: Trail, names: dict[int, Any]) -> Iterator[Problem]:
    sequence = connection.scalar(_SEQUENCE_DEFAULT, {"schema": trail.schema})
    wanted = {**_WANTED_DEFAULTS, ("activity", "id"): sequence}
    for row in connection.execute(_DEFAULTS, {"relids": list(names)}):
        default = wanted.get((row.table_name, row.attname))
        if row.expression == default or (row.relispartition and row.expression in (None, row.expression_of_root)):
            continue
        put_right = "DROP DEFAULT" if default is None else f"SET DEFAULT {default}"
        yield Problem(
            None,
            f"Column {row.attname!r} of {_shown(names[row.relid])} has the default {row.expression or 'NULL'}, which "
            f"is not that of the audit trail. Run: ALTER TABLE {_quoted(names[row.relid])} ALTER COLUMN "
            f"{quote(row.attname)} {put_right}",
        )


def _shown(relation: Any) -> str:
    return f"{relation.schema}.{relation.name}"


def _quoted(relation: Any) -> str:
    return qualified(relation.name, relation.schema)
