"""A table becomes a partition of the trail, without writers waiting for it."""

from __future__ import annotations

import time

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..connections import sqlstate
from ..errors import MaintenanceError
from ..installation import ddl
from ..quoting import literal, qualified

#: How long a change of the partitions waits for a lock, while writers wait behind it.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '200ms'"
LOCK_NOT_AVAILABLE = "55P03"


def attachment(schema: str, name: str, from_id: int | None, end_id: int | None) -> list[str]:
    """Render the statements that make a table the partition of a range of ids."""
    activity, own = qualified("activity", schema), qualified(name, schema)
    copied = ", ".join(f"{literal(each)}::pg_catalog.regclass" for each in (qualified("activity_open", schema), own))
    bounds = f"FROM ({'MINVALUE' if from_id is None else from_id}) TO ({end_id})"
    return [
        f"ALTER TABLE {activity} ATTACH PARTITION {own} FOR VALUES {bounds}",
        f"COMMENT ON TABLE {own} IS 'audit trail: a closed partition'",
        f"SELECT {qualified('audit_logger_copy_grants', schema)}({copied})",
        f"SELECT {qualified('audit_logger_protect_partitions', schema)}()",
    ]


def alter(connection: Connection, schema: str, patience: float, *statements: str) -> None:
    """Run statements that lock the trail for a moment, within a transaction, and try again if somebody has a lock.

    :param patience: how long, in seconds.
    :raises MaintenanceError: if that was not long enough.
    """
    deadline = time.monotonic() + patience
    while True:
        ddl.execute(connection, ["SAVEPOINT audit_logger_alter"])
        try:
            ddl.execute(connection, [_LOCK_TIMEOUT, *statements])
        except DBAPIError as error:
            if sqlstate(error.orig) != LOCK_NOT_AVAILABLE:
                raise
            ddl.execute(connection, ["ROLLBACK TO SAVEPOINT audit_logger_alter"])
            if time.monotonic() > deadline:
                raise MaintenanceError(
                    f"Some transaction held a lock on {schema}.activity for {patience:g} seconds. Nothing was changed; "
                    "try again when no long transaction is writing."
                ) from error
            time.sleep(min(1.0, patience / 10))
        else:
            ddl.execute(connection, ["SET LOCAL lock_timeout = 0"])
            return
