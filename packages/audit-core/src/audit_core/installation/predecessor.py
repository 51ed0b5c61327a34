"""A trail of flask-audit-logger 1.x or 2.x, or of PostgreSQL-Audit, which makes room for ours and keeps what it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from ..quoting import literal, qualified, quote

#: What their tables are marked with when they are set aside, so that nothing takes them for tables to drop.
COMMENT = "audit trail of {source}, set aside"

_FLASK = "get_setting(text, text)", "jsonb_subtract(jsonb, jsonb)", "create_activity()"
_OF_1X = "jsonb_change_key_name(jsonb, text, text)"
#: The functions that belong to a trail alone; what PostgreSQL-Audit puts beside them may be used by others.
FUNCTIONS = {
    "flask-audit-logger-1": (*_FLASK, _OF_1X),
    "flask-audit-logger-2": _FLASK,
    "postgresql-audit": ("create_activity()", "audit_table(regclass)", "audit_table(regclass, text[])"),
}
TRIGGERS = ("audit_trigger_insert", "audit_trigger_update", "audit_trigger_delete", "audit_trigger_row")

# By the columns of their two tables, of which one is none of ours, in a schema where they are not set aside.
_TRAILS = text(
    "SELECT n.oid AS number, n.nspname AS schema, NOT a.columns @> CAST(ARRAY['schema'] AS text[]) AS has_other_name,"
    " to_regprocedure(quote_ident(n.nspname) || '.jsonb_change_key_name(jsonb, text, text)') IS NOT NULL AS is_old "
    "FROM pg_namespace AS n CROSS JOIN LATERAL ("
    "SELECT c.oid, ARRAY(SELECT CAST(t.attname AS text) FROM pg_attribute AS t"
    " WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS columns"
    " FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'activity' AND c.relkind = 'r'"
    " AND obj_description(c.oid, 'pg_class') IS NULL) AS a CROSS JOIN LATERAL ("
    "SELECT ARRAY(SELECT CAST(t.attname AS text) FROM pg_attribute AS t"
    " WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS columns"
    " FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'transaction' AND c.relkind = 'r') AS t "
    "WHERE a.columns @> CAST(ARRAY['id', 'table_name', 'relid', 'issued_at', 'native_transaction_id', 'verb',"
    " 'old_data', 'changed_data', 'transaction_id'] AS text[])"
    " AND a.columns && CAST(ARRAY['schema', 'schema_name'] AS text[])"
    " AND t.columns @> CAST(ARRAY['id', 'native_transaction_id', 'issued_at', 'client_addr', 'actor_id'] AS text[]) "
    "ORDER BY n.nspname"
)
_TABLES = text(
    "SELECT n.nspname AS schema, c.relname AS table_name, min(encode(t.tgargs, 'escape')) AS arguments "
    "FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_proc AS p ON p.oid = t.tgfoid "
    "WHERE p.pronamespace = :number AND p.proname = 'create_activity' AND NOT t.tgisinternal AND t.tgparentid = 0 "
    "GROUP BY n.nspname, c.relname ORDER BY n.nspname, c.relname"
)
_FOREIGN_KEYS = text(
    "SELECT k.conname AS name, pg_get_constraintdef(k.oid) AS definition "
    "FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS r ON r.oid = k.confrelid "
    "WHERE c.relnamespace = :number AND c.relname = 'transaction' AND k.contype = 'f'"
    " AND NOT (r.relnamespace = c.relnamespace AND r.relname IN ('activity', 'transaction')) ORDER BY k.conname"
)


@dataclass(frozen=True)
class Predecessor:
    """The tables, functions and triggers of another trail."""

    #: What made it, as an import names it.
    source: str
    schema: str
    #: The tables that it records, by schema and name, with the columns that it leaves out.
    tables: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: What ties it to tables of the application: definitions by name.
    foreign_keys: Mapping[str, str] = field(default_factory=dict)

    def set_aside(self, into: str | None) -> list[str]:
        """Render the statements that end its recording, and move it to another schema, if ours needs its place."""
        statements = [
            f"DROP TRIGGER IF EXISTS {name} ON {qualified(table, schema)}"
            for schema, table in self.tables
            for name in TRIGGERS
        ]
        transaction = qualified("transaction", self.schema)
        statements += [
            f"ALTER TABLE IF EXISTS {transaction} DROP CONSTRAINT IF EXISTS {quote(name)}" for name in self.foreign_keys
        ]
        if into is not None:
            # It may hold what the application is not allowed to read.
            statements += [
                f"CREATE SCHEMA IF NOT EXISTS {quote(into)}",
                f"REVOKE ALL ON SCHEMA {quote(into)} FROM PUBLIC",
                *self._move(self.schema, into),
            ]
        comment = literal(COMMENT.format(source=self.source))
        return [*statements, *self._comment(into or self.schema, comment)]

    def bring_back(self, into: str | None) -> list[str]:
        """Render the statements that undo :meth:`set_aside`."""
        statements = self._comment(into or self.schema, "NULL")
        if into is not None:
            statements += self._move(into, self.schema)
            # Not if somebody put something else there.
            statements.append(
                _block(
                    f"IF NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = {_schema(into)})"
                    f" AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = {_schema(into)}) THEN "
                    f"DROP SCHEMA {quote(into)}; END IF;"
                )
            )
        # Somebody that it names may be gone.
        statements += [
            f"ALTER TABLE {qualified('transaction', self.schema)} ADD CONSTRAINT {quote(name)} {definition} NOT VALID"
            for name, definition in self.foreign_keys.items()
        ]
        return [*statements, *(self._record(*table, columns) for table, columns in self.tables.items())]

    def _move(self, schema: str, into: str) -> list[str]:
        tables = [
            f"ALTER TABLE IF EXISTS {qualified(name, schema)} SET SCHEMA {quote(into)}"
            for name in ("activity", "transaction")
        ]
        # They are not there where the migrations of then ran with this version of the library.
        functions = " ".join(
            f"IF pg_catalog.to_regprocedure({literal(f'{quote(schema)}.{each}')}) IS NOT NULL THEN "
            f"ALTER FUNCTION {quote(schema)}.{each} SET SCHEMA {quote(into)}; END IF;"
            for each in FUNCTIONS[self.source]
        )
        return [*tables, _block(functions)]

    def _comment(self, schema: str, comment: str) -> list[str]:
        return [f"COMMENT ON TABLE {qualified(name, schema)} IS {comment}" for name in ("activity", "transaction")]

    def _record(self, schema: str, table: str, columns: Iterable[str]) -> str:
        """Render the statement that records a table again, if the functions for it are there."""
        relation, listed = qualified(table, schema), list(columns)
        function = f"{quote(self.schema)}.create_activity"
        if self.source == "postgresql-audit":
            names = ", ".join(map(literal, listed))
            made = f"PERFORM {quote(self.schema)}.audit_table({literal(relation)}, CAST(ARRAY[{names}] AS text[]));"
        else:
            argument = literal("{" + ",".join(listed) + "}") if listed else ""
            setting = f"{quote(self.schema)}.get_setting('flask_audit_logger.enable_versioning', 'true')"
            made = " ".join(
                f"CREATE TRIGGER audit_trigger_{verb} AFTER {verb.upper()} ON {relation} REFERENCING {rows} "
                f"FOR EACH STATEMENT WHEN (CAST({setting} AS boolean)) EXECUTE FUNCTION {function}({argument});"
                for verb, rows in (
                    ("insert", "NEW TABLE AS new_table"),
                    ("update", "OLD TABLE AS old_table NEW TABLE AS new_table"),
                    ("delete", "OLD TABLE AS old_table"),
                )
            )
        return _block(f"IF pg_catalog.to_regprocedure({literal(f'{function}()')}) IS NOT NULL THEN {made} END IF;")


def read_predecessors(connection: Connection) -> list[Predecessor]:
    """Find the trails that others left, in any schema. The connection finds functions in ``pg_catalog`` only."""
    found = []
    for row in connection.execute(_TRAILS).all():
        number = {"number": row.number}
        flask = "flask-audit-logger-1" if row.is_old else "flask-audit-logger-2"
        found.append(
            Predecessor(
                "postgresql-audit" if row.has_other_name else flask,
                row.schema,
                {
                    (each.schema, each.table_name): _columns(each.arguments)
                    for each in connection.execute(_TABLES, number)
                },
                {each.name: each.definition for each in connection.execute(_FOREIGN_KEYS, number)},
            )
        )
    return found


def _columns(arguments: str) -> tuple[str, ...]:
    """Read the columns that a trigger leaves out from its argument, ``{a,b}``."""
    listed = arguments.removesuffix("\\000").strip("{}")
    return tuple(each.strip('"') for each in listed.split(",")) if listed else ()


def _schema(name: str) -> str:
    return f"CAST({literal(quote(name))} AS pg_catalog.regnamespace)"


def _block(body: str) -> str:
    return f"DO {literal(f'BEGIN {body} END')}"
