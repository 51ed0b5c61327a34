"""Whether what is to be done with the trail from time to time is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from ...lifecycle.owner import statement
from ...quoting import qualified
from .problem import Problem

#: So long after its last run, retention is late. It may run every month, and is best run every night.
LATE = "35 days"
#: What waits for a seal for so long was forgotten, where anything is sealed.
UNSEALED = "1 day"

_OPEN = text(
    "SELECT c.relname, pg_catalog.to_regclass(CAST(:pending AS pg_catalog.text)) IS NOT NULL AS is_importing "
    "FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid"
    " JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = parent.relnamespace "
    "WHERE n.nspname = :schema AND parent.relname = 'activity'"
    " AND pg_catalog.pg_get_expr(c.relpartbound, c.oid) LIKE '% TO (MAXVALUE)'"
)

_INTERRUPTED = text(
    "SELECT c.relname FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND k.conname = 'audit_logger_split' AND c.relispartition"
    " AND pg_catalog.pg_get_expr(c.relpartbound, c.oid) LIKE '% TO (MAXVALUE)'"
)


def problems(connection: Connection, schema: str) -> Iterator[Problem]:
    """List what was left half done, and what was not done for too long."""
    pending = qualified("activity_pending_transaction", schema)
    found = connection.execute(_OPEN, {"schema": schema, "pending": pending}).first()
    if found is None:
        yield Problem(
            None,
            f"{schema}.activity has no open partition: writes fail once ids reach the end of the last one. Run: CREATE "
            f"TABLE {qualified('activity_open', schema)} PARTITION OF {qualified('activity', schema)} FOR VALUES FROM "
            "(where the last one ends) TO (MAXVALUE)",
        )
        return
    name = found.relname
    if name != "activity_open":
        yield Problem(
            None,
            f"The open partition of {schema}.activity is called {name!r}, and readers look for 'activity_open'. Run: "
            f"ALTER TABLE {qualified(name, schema)} RENAME TO activity_open",
        )
        return
    for name in connection.scalars(_INTERRUPTED, {"schema": schema}):
        yield Problem(
            None,
            f"A split of {schema}.{name} was interrupted, and ids will reach the constraint that it left: writes would "
            f"fail then. Run audit-log partitions --split, or: ALTER TABLE {qualified(name, schema)} DROP CONSTRAINT "
            "audit_logger_split",
        )
    if found.is_importing:
        yield Problem(
            None,
            f"An import into {schema}.activity was interrupted, and nothing of it can be seen. Run it again to go on, "
            "or drop the tables whose comment says that they are of an import that is not finished.",
        )
    for row in connection.execute(_late(schema)):
        what = f"Retention of {row.schema}.{row.table_name}" if row.table_name else "Retention"
        yield Problem(
            None,
            f"{what} keeps {row.keep} and ran last on {row.run_at:%Y-%m-%d}: what is older is still there. Run "
            "audit-log retain every night, or say that all is kept: audit-log retain --keep forever",
        )
    for row in connection.execute(_unsealed(schema)):
        yield Problem(
            None,
            f"{schema}.activity is sealed up to {row.to_id}, and {row.id} was recorded at {row.issued_at.isoformat()}: "
            "what is not sealed can be altered without a trace. Run audit-log seal from cron, or with --every 60s.",
        )
    for row in connection.execute(_left(schema)):
        yield Problem(
            None,
            f"Retention keeps {row.keep}, and {schema}.{row.name} still begins at {row.first_issued_at.isoformat()}: "
            f"{row.why}.",
        )


def _unsealed(schema: str) -> Any:
    """Select the first activity that waits for a seal for too long, if somebody began to seal."""
    return statement(
        "SELECT s.to_id, a.id, a.issued_at FROM (SELECT max(to_id) AS to_id FROM {schema}.activity_seal) AS s"
        " CROSS JOIN LATERAL (SELECT o.id, o.issued_at FROM {schema}.activity AS o WHERE o.id > s.to_id"
        " ORDER BY o.id LIMIT 1) AS a"
        f" WHERE a.issued_at < pg_catalog.clock_timestamp() - CAST('{UNSEALED}' AS interval)",
        schema=schema,
    )


def _left(schema: str) -> Any:
    """Select what should have gone: a partition lasts for a month, and is closed some time after that."""
    return statement(
        "SELECT CAST(r.keep AS text) AS keep, p.name, p.first_issued_at, p.why FROM {schema}.activity_retention AS r"
        " CROSS JOIN LATERAL ("
        "SELECT p.name, p.first_issued_at, 'run audit-log retain, which says what prevents it, and see whether the"
        " consumer of a stream lags behind' AS why FROM {schema}.activity_partition AS p"
        " WHERE p.removed_at IS NULL AND p.held_count IS NULL AND p.last_issued_at < pg_catalog.now() - r.keep"
        f" - CAST('{LATE}' AS interval)"
        " UNION ALL (SELECT 'activity_open', a.issued_at, 'close it with audit-log partitions --split, every night'"
        " FROM {schema}.activity_open AS a ORDER BY a.id LIMIT 1)"
        ") AS p "
        "WHERE r.table_name = '' AND r.keep IS NOT NULL"
        f" AND p.first_issued_at < pg_catalog.now() - r.keep - 2 * CAST('{LATE}' AS interval) ORDER BY 3 LIMIT 1",
        schema=schema,
    )


def _late(schema: str) -> Any:
    return statement(
        "SELECT r.schema, r.table_name, CAST(r.keep AS text) AS keep, r.run_at FROM {schema}.activity_retention AS r "
        f"WHERE r.keep IS NOT NULL AND r.run_at < pg_catalog.clock_timestamp() - CAST('{LATE}' AS interval) "
        "ORDER BY 1, 2",
        schema=schema,
    )
