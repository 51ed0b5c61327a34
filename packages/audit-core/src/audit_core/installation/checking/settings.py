"""Settings that a role or a database begins each session with, and that change what is recorded."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, text

from ...quoting import quote
from .problem import Problem

_EFFECTS = {
    "audit_logger.enabled": "changes bypass the trail",
    "audit_logger.maintenance": "the trail is not protected from its owner",
    "audit_logger.actor_id": "changes are credited to an actor who need not have made them",
    "session_replication_role": "the triggers of the trail do not fire",
}
# What has no effect may stand there.
_HARMLESS = {
    "audit_logger.enabled": ("", "on", "true", "yes", "1"),
    "audit_logger.maintenance": ("", "off", "false", "no", "0"),
    "audit_logger.actor_id": ("",),
    "session_replication_role": ("origin", "local"),
}

# Also those of superusers: session_replication_role is for them alone, and a setting is not a right.
_SETTINGS = text(
    "SELECT r.rolname AS role, d.datname AS database, s.name, s.value "
    "FROM pg_catalog.pg_db_role_setting AS g"
    " LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = g.setrole"
    " LEFT JOIN pg_catalog.pg_database AS d ON d.oid = g.setdatabase"
    " CROSS JOIN LATERAL pg_catalog.unnest(g.setconfig) AS e (entry)"
    " CROSS JOIN LATERAL (SELECT pg_catalog.lower(pg_catalog.split_part(e.entry, '=', 1)) AS name,"
    "  pg_catalog.substr(e.entry, pg_catalog.strpos(e.entry, '=') + 1) AS value) AS s "
    "WHERE (g.setdatabase = 0 OR d.datname = pg_catalog.current_database()) AND s.name IN :names "
    "ORDER BY 1, 2, 3"
).bindparams(bindparam("names", expanding=True))


def problems(connection: Connection) -> Iterator[Problem]:
    """List the settings with which changes are recorded otherwise, or not at all."""
    for row in connection.execute(_SETTINGS, {"names": list(_EFFECTS)}):
        if row.value.lower() in _HARMLESS[row.name]:
            continue
        whose, target = _whose(row.role, row.database)
        yield Problem(
            None,
            f"{row.name} is set to {row.value!r} for {whose}, so that {_EFFECTS[row.name]}. "
            f"Run: ALTER {target} RESET {row.name}",
        )


def _whose(role: str | None, database: str | None) -> tuple[str, str]:
    if role is None and database is None:
        return "all roles", "ROLE ALL"
    if role is None:
        return f"database {database}", f"DATABASE {quote(database or '')}"
    if database is None:
        return f"role {role}", f"ROLE {quote(role)}"
    return f"role {role} in database {database}", f"ROLE {quote(role)} IN DATABASE {quote(database)}"
