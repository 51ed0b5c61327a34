"""Everything that a database holds outside of its rows, as one set that can be compared."""

from __future__ import annotations

import psycopg
from sqlalchemy import URL

# Objects that belong to an extension or to PostgreSQL itself are left out by their schema. Names and
# definitions are asked for with an empty search path, so that every name comes with its schema.
QUERIES = {
    "schema": "SELECT nspname, nspacl::text, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE {schemas}",
    "relation": "SELECT n.nspname, c.relname, c.relkind::text, c.relacl::text, c.relispartition, "
    " obj_description(c.oid, 'pg_class'), pg_get_expr(c.relpartbound, c.oid), "
    " CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, "
    " CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {schemas}",
    "column": "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
    " a.attidentity::text, pg_get_expr(d.adbin, d.adrelid) "
    "FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    " LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "WHERE a.attnum > 0 AND NOT a.attisdropped AND {schemas}",
    "constraint": "SELECT n.nspname, c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid) "
    "FROM pg_constraint AS c JOIN pg_namespace AS n ON n.oid = c.connamespace WHERE {schemas}",
    "index": "SELECT n.nspname, c.relname, pg_get_indexdef(i.indexrelid) "
    "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {schemas}",
    "function": "SELECT n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), p.prosrc, "
    " p.prosecdef, p.proconfig::text, p.proacl::text, p.provolatile::text, p.proisstrict "
    "FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {schemas}",
    "trigger": "SELECT n.nspname, c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text "
    "FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid "
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {schemas}",
}
OWN_SCHEMAS = "nspname NOT IN ('information_schema', 'pg_catalog', 'pg_toast') AND nspname NOT LIKE 'pg\\_temp%'"


def inventory(url: URL) -> set[tuple[object, ...]]:
    """Read what a database holds, but for Alembic's own table."""
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    found = set()
    with psycopg.connect(conninfo) as connection:
        connection.execute("SET search_path = ''")
        for kind, query in QUERIES.items():
            for row in connection.execute(query.format(schemas=OWN_SCHEMAS)):
                if not any("alembic_version" in str(value) for value in row):
                    found.add((kind, *row))
    return found
