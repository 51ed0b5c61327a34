"""Archived partitions come back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine

from ..errors import ConfigurationError, MaintenanceError
from ..lifecycle.checksum import ACTIVITY, checksum_of_partition
from ..lifecycle.holds import hold
from ..lifecycle.owner import WhoIsAtWork, one_transaction, owner_connection, statement, try_lock
from ..lifecycle.retention import Run
from . import scanning
from .catalog import Archive, opened_archive
from .loading import Loader
from .outcome import Archived

if TYPE_CHECKING:
    from ..scope import Scope

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")

_WANTED = (
    "SELECT p.name, p.from_id, p.end_id, p.first_issued_at, p.last_issued_at, p.archive_checksum, p.held_count "
    "FROM {schema}.activity_partition AS p WHERE p.archived_at IS NOT NULL"
    " AND (p.removed_at IS NOT NULL OR p.held_count IS NOT NULL)"
    " AND (p.name = :name OR p.first_issued_at < CAST(:until AS timestamptz)"
    " AND p.last_issued_at >= CAST(:since AS timestamptz)) ORDER BY p.end_id"
)
_CREATE = "CREATE TABLE {schema}.{name} (LIKE {schema}.activity INCLUDING DEFAULTS INCLUDING INDEXES)"
# What was rewritten since stays, so that the checksum differs.
_FORGET_COMPLETED = (
    "DELETE FROM {schema}.{name} AS a USING unnest(CAST(:ids AS bigint[]), CAST(:changed AS text[])) AS x (id, changed)"
    " WHERE a.id = x.id AND a.delta_depth IS NULL AND a.changed_data = CAST(x.changed AS jsonb)"
)
_BACK = (
    "UPDATE {schema}.activity_partition AS p SET removed_at = NULL, held_count = NULL, row_count = :rows"
    " WHERE p.name = :partition"
)
# As of what is still missing.
_KNOWN = (
    "UPDATE {schema}.activity_retention AS r SET known_since = g.known_since,"
    " removed_at = CASE WHEN g.known_since IS NOT NULL THEN r.removed_at END "
    "FROM (SELECT max(p.last_issued_at) AS known_since FROM {schema}.activity_partition AS p"
    " WHERE p.removed_at IS NOT NULL OR p.held_count IS NOT NULL) AS g WHERE r.table_name = ''"
)
_RECORD = (
    "SELECT {schema}.audit_logger_record_maintenance(pg_catalog.jsonb_build_object("
    "'operation', 'unarchive', 'partition', CAST(:partition AS text), 'rows', CAST(:rows AS bigint),"
    " 'transactions', CAST(:transactions AS bigint), 'checksum', CAST(:checksum AS text), 'from', CAST(:place AS text),"
    " 'since', CAST(:since AS timestamptz), 'until', CAST(:until AS timestamptz)))"
)


def unarchive(
    scope: Scope,
    engine: Engine,
    who: WhoIsAtWork,
    which: str,
    *,
    reason: str | None,
    catalog: Any,
    patience: dt.timedelta,
) -> Iterator[Archived]:
    """Bring partitions back; see :meth:`audit_core.AuditLog.unarchive`."""
    since, until = _month(which)
    with owner_connection(engine, who) as connection:
        if not try_lock(connection, f"audit_logger_retain {scope.schema}"):
            raise MaintenanceError("Another session is archiving the trail or shortening it: wait until it is done.")
        run = Run(scope, connection, False, patience)
        run.finish_interrupted()
        wanted = statement(_WANTED, schema=scope.schema)
        found = connection.execute(wanted, {"name": which, "since": since, "until": until}).all()
        if not found:
            raise ConfigurationError(
                f"There is nothing of {which!r} that only the archive has. Give the name of a partition, or a month "
                "such as '2024-05'; audit-log partitions lists what is in the database."
            )
        with opened_archive(scope, engine, catalog) as archive:
            for each in found:
                yield _bring_back(scope, connection, run, archive, each, reason)


def _bring_back(
    scope: Scope, connection: Connection, run: Run, archive: Archive, partition: Any, reason: str | None
) -> Archived:
    """Put a partition into its place, in one transaction."""
    schema, name = scope.schema, partition.name
    with one_transaction(connection):
        if partition.held_count is None:
            connection.execute(statement(_CREATE, schema=schema, name=name))
        loader = Loader(connection, schema, schema, name, "transaction")
        transactions = 0
        numbers: set[int] = set()
        wanted = scanning.Wanted(ids=[(partition.from_id, partition.end_id)])
        for rows in scanning.activities(archive, wanted):
            if partition.held_count is not None:
                _forget_completed(connection, schema, name, rows)
            loader.activities(rows, schema)
            numbers.update(row[1] for row in rows)
        for rows in scanning.transactions(archive, numbers):
            own = [row for row in rows if row[0] in numbers]
            loader.transactions(own, schema)
            transactions += len(own)
        checksum = checksum_of_partition(connection, schema, name)
        if checksum != partition.archive_checksum:
            raise MaintenanceError(
                f"The archive of partition {name!r} is not what was archived (rows:checksum {checksum} and not "
                f"{partition.archive_checksum}). Nothing was brought back."
            )
        rows_ = int(checksum.partition(":")[0])
        if partition.held_count is None:
            run.put_back(name, partition.from_id, partition.end_id)
        values = {"partition": name, "rows": rows_}
        connection.execute(statement(_BACK, schema=schema), values)
        connection.execute(statement(_KNOWN, schema=schema))
        connection.execute(
            statement(_RECORD, schema=schema),
            {
                **values,
                "transactions": transactions,
                "checksum": checksum,
                "place": archive.location,
                "since": partition.first_issued_at,
                "until": partition.last_issued_at,
            },
        )
        if reason is not None:
            between = {"since": partition.first_issued_at, "until": partition.last_issued_at}
            hold(scope, connection, reason, table=None, key=None, actor=None, **between)
    return Archived(
        name, rows_, transactions, partition.first_issued_at, partition.last_issued_at, checksum, is_dropped=False
    )


def _forget_completed(connection: Connection, schema: str, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """Delete what was made whole to be held, and comes back as it was: as a delta."""
    id_, changed, depth = (list(ACTIVITY).index(each) for each in ("id", "changed_data", "delta_depth"))
    if deltas := [row for row in rows if row[depth] is not None]:
        values = {"ids": [row[id_] for row in deltas], "changed": [row[changed] for row in deltas]}
        connection.execute(statement(_FORGET_COMPLETED, schema=schema, name=name), values)


def _month(which: str) -> tuple[dt.datetime | None, dt.datetime | None]:
    match = _MONTH.fullmatch(which)
    if match is None:
        return None, None
    year, month = int(match[1]), int(match[2])
    begin = dt.datetime(year, month, 1, tzinfo=dt.timezone.utc)
    return begin, (begin + dt.timedelta(days=31)).replace(day=1)
