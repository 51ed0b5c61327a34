"""Who may do what with the trail beside its owner. Superusers may do everything, and are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from ...quoting import qualified, quote
from .problem import Problem

# What a role may do by itself with things whose rights are listed in an ACL; the owner of the database stands for
# pg_database_owner.
_GRANTEES = (
    "CROSS JOIN LATERAL pg_catalog.aclexplode(g.acl) AS a"
    " LEFT JOIN pg_catalog.pg_roles AS named ON named.oid = a.grantee"
    " LEFT JOIN pg_catalog.pg_database AS b"
    "  ON b.datname = pg_catalog.current_database() AND named.rolname = 'pg_database_owner'"
    " LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = coalesce(b.datdba, a.grantee) "
    "WHERE coalesce(r.oid, 0) <> g.owner AND NOT coalesce(r.rolsuper, false) AND a.privilege_type = ANY (g.watched) "
)

_GRANTS = text(
    "SELECT g.kind, g.schema, g.name, g.part, coalesce(r.rolname, 'PUBLIC') AS role, r.oid IS NULL AS is_public,"
    " pg_catalog.string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS privileges "
    "FROM ("
    " SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, n.nspname AS schema, c.relname AS name,"
    "  CAST(NULL AS text) AS part, c.relacl AS acl, c.relowner AS owner,"
    "  CASE c.relkind WHEN 'S' THEN ARRAY['UPDATE', 'USAGE']"
    "   ELSE ARRAY['DELETE', 'INSERT', 'TRIGGER', 'TRUNCATE', 'UPDATE'] END AS watched"
    " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.oid IN :relids"
    " UNION ALL"
    " SELECT 'COLUMN', n.nspname, c.relname, a.attname, a.attacl, c.relowner, ARRAY['INSERT', 'UPDATE']"
    " FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid"
    "  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.oid IN :relids AND NOT a.attisdropped"
    " UNION ALL"
    " SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname, p.proname,"
    "  pg_catalog.pg_get_function_identity_arguments(p.oid), p.proacl, p.proowner, ARRAY['EXECUTE']"
    " FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
    " WHERE n.nspname = :schema AND pg_catalog.starts_with(p.proname, 'audit_logger_')"
    "  AND p.proname NOT IN ('audit_logger_acknowledge', 'audit_logger_record_event', 'audit_logger_record_read')"
    ") AS g " + _GRANTEES +
    # What PUBLIC may execute is compared with the function as it was released.
    "AND (a.grantee <> 0 OR g.kind NOT IN ('FUNCTION', 'PROCEDURE')) "
    "GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5"
).bindparams(bindparam("relids", expanding=True))

_CREATORS = text(
    "SELECT coalesce(r.rolname, 'PUBLIC') AS role, r.oid IS NULL AS is_public, b.oid IS NOT NULL AS owns_database,"
    " r.oid = g.schema_owner AS owns_schema "
    "FROM ("
    " SELECT coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl, CAST(:owner AS oid) AS owner,"
    "  n.nspowner AS schema_owner, ARRAY['CREATE'] AS watched"
    " FROM pg_catalog.pg_namespace AS n WHERE n.nspname = :schema"
    ") AS g " + _GRANTEES + "ORDER BY 1"
)

# Whose rights somebody has, or can take. Since PostgreSQL 16 a member may have neither, and only give the role away.
_MEMBERS = text(
    "WITH RECURSIVE grants AS ("
    " SELECT m.roleid, m.member FROM pg_catalog.pg_auth_members AS m"
    " CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(m) AS options) AS o"
    " WHERE coalesce((o.options ->> 'set_option')::boolean OR (o.options ->> 'inherit_option')::boolean, true)"
    "), member (role, granted, member) AS ("
    " SELECT g.roleid, g.roleid, g.member FROM grants AS g JOIN pg_catalog.pg_roles AS r ON r.oid = g.roleid"
    " WHERE r.oid = CAST(:owner AS oid) OR r.rolname = 'pg_write_all_data'"
    " UNION SELECT o.role, g.roleid, g.member FROM member AS o JOIN grants AS g ON g.roleid = o.member"
    ") "
    "SELECT role.rolname AS role, granted.rolname AS granted, r.rolname AS member "
    "FROM member AS m JOIN pg_catalog.pg_roles AS role ON role.oid = m.role"
    " JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.granted"
    " JOIN pg_catalog.pg_roles AS r ON r.oid = m.member "
    "WHERE r.oid <> CAST(:owner AS oid) AND NOT r.rolsuper ORDER BY 1, 2, 3"
)

_CURRENT_ROLE = text("SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user")


def problems(connection: Connection, schema: str, owner: int, relations: Sequence[Any]) -> Iterator[Problem]:
    """List the rights that let others write to the trail, or stand in for it."""
    found = {"relids": [each.oid for each in relations], "schema": schema}
    for row in connection.execute(_GRANTS, found):
        yield Problem(None, _grant_message(row))
    for message in creators(connection, schema, owner):
        yield Problem(None, message)
    for row in connection.execute(_MEMBERS, {"owner": owner}):
        why = (
            "may write to every table, so also to the audit trail"
            if row.role == "pg_write_all_data"
            else "may do with the audit trail what its owner may"
        )
        yield Problem(
            None,
            f"{row.member} is a member of {row.role}, and {why}. "
            f"Run: REVOKE {quote(row.granted)} FROM {quote(row.member)}",
        )


def creators(connection: Connection, schema: str, owner: int | None) -> Iterator[str]:
    """Return who else may create in the schema of the trail: functions there could be called in place of ours.

    :param owner: the role that owns the trail; None for the one that asks, and is about to make it.
    """
    if owner is None:
        owner = connection.scalar(_CURRENT_ROLE)
    for row in connection.execute(_CREATORS, {"schema": schema, "owner": owner}):
        put_right = f"Run: REVOKE CREATE ON SCHEMA {quote(schema)} FROM {_role(row)}"
        if row.owns_database:
            put_right = "Let the owner of the trail own the database"
        elif row.owns_schema:
            put_right = "Let the owner of the trail own the schema"
        yield (
            f"{row.role} may create functions in schema {schema!r}, where they could be called in place of those of "
            f"the audit trail. {put_right}, or put the trail into a schema of its own with schema='audit'."
        )


def _grant_message(row: Any) -> str:
    name = f"{row.schema}.{row.name}"
    target = f"{row.kind} {qualified(row.name, row.schema)}"
    privileges = row.privileges
    if row.kind == "COLUMN":
        name = f"column {row.part} of {name}"
        target = f"TABLE {qualified(row.name, row.schema)}"
        privileges = ", ".join(f"{each} ({quote(row.part)})" for each in row.privileges.split(", "))
    elif row.kind in ("FUNCTION", "PROCEDURE"):
        name, target = f"{name}({row.part})", f"{target}({row.part})"
    return (
        f"{row.role} may {row.privileges.lower()} in {name}, and nobody but the triggers should. "
        f"Run: REVOKE {privileges} ON {target} FROM {_role(row)}"
    )


def _role(row: Any) -> str:
    return "PUBLIC" if row.is_public else quote(row.role)
