"""The partitions of ``activity``: which there are, and how the open one is closed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..connections import sqlstate
from ..errors import MaintenanceError
from ..installation import ddl
from ..quoting import literal, qualified
from ..settings import fixed_search_path
from .holds import are_held, has_holds
from .owner import WhoIsAtWork, owner_connection, statement

if TYPE_CHECKING:
    from ..scope import Scope

#: The SQLSTATE of audit_logger_split() where it gives up.
_GIVEN_UP = "AU012"

_BOUND = "pg_catalog.pg_get_expr(c.relpartbound, c.oid)"
# By their bounds: what a partition is called says nothing.
_LIST = (
    "SELECT c.relname AS name,"
    f" CAST(pg_catalog.substring({_BOUND}, ' FROM .''(-?[0-9]+)''.') AS bigint) AS from_id,"
    f" CAST(pg_catalog.substring({_BOUND}, ' TO .''(-?[0-9]+)''.') AS bigint) AS end_id,"
    " CAST(c.reltuples AS bigint) AS estimate, pg_catalog.pg_total_relation_size(c.oid) AS bytes,"
    " p.row_count, p.first_issued_at, p.last_issued_at, p.archived_at "
    "FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid"
    " JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = parent.relnamespace"
    " LEFT JOIN {schema}.activity_partition AS p ON p.name = CAST(c.relname AS text) AND p.removed_at IS NULL "
    "WHERE parent.relname = 'activity' AND n.nspname = :schema AND NOT i.inhdetachpending ORDER BY 2 NULLS FIRST"
)
_ENDS = (
    "SELECT (SELECT a.issued_at FROM {schema}.{name} AS a ORDER BY a.id LIMIT 1) AS first,"
    " (SELECT a.issued_at FROM {schema}.{name} AS a ORDER BY a.id DESC LIMIT 1) AS last"
)


@dataclass(frozen=True)
class Partition:
    """A part of ``activity``, by a range of its ids."""

    #: The name of its table, in the schema of the trail.
    name: str
    #: Its ids begin here; None where they have no lower end.
    from_id: int | None
    #: Its ids end before this one; None of the open partition, into which is written.
    end_id: int | None
    #: The time of its first activity; None if it is empty.
    first_issued_at: dt.datetime | None
    #: None of its activities is later; of a closed one, when it was closed.
    last_issued_at: dt.datetime | None
    #: How many activities it holds; of the open one PostgreSQL's estimate, None if there is none.
    rows: int | None
    #: Its size on disk, with indexes.
    bytes: int
    #: Whether a legal hold concerns something in it.
    is_held: bool
    #: When it was copied to the archive.
    archived_at: dt.datetime | None

    @property
    def is_open(self) -> bool:
        """Whether new activities go into it."""
        return self.end_id is None


def partitions(scope: Scope, connection: Connection) -> list[Partition]:
    """List the partitions, oldest first; see :meth:`audit_core.AuditLog.partitions`."""
    with fixed_search_path(connection):
        rows = connection.execute(statement(_LIST, schema=scope.schema), {"schema": scope.schema}).all()
        is_asked = has_holds(connection, scope.schema)
        return [_partition(connection, scope.schema, row, is_asked) for row in rows]


def _partition(connection: Connection, schema: str, row: Any, is_asked: bool) -> Partition:
    first, last, count = row.first_issued_at, row.last_issued_at, row.row_count
    if count is None:
        first, last = connection.execute(statement(_ENDS, schema=schema, name=row.name)).one()
        count = 0 if first is None else row.estimate if row.estimate >= 0 else None
    is_held = is_asked and are_held(connection, schema, row.name)
    return Partition(row.name, row.from_id, row.end_id, first, last, count, row.bytes, is_held, row.archived_at)


def split(scope: Scope, engine: Engine, who: WhoIsAtWork, at_once: bool, patience: dt.timedelta) -> None:
    """Close the open partition; see :meth:`audit_core.AuditLog.split`."""
    call = (
        f"CALL {qualified('audit_logger_split', scope.schema)}({str(bool(at_once)).lower()}, "
        f"CAST({literal(f'{patience.total_seconds()} seconds')} AS pg_catalog.interval))"
    )
    with owner_connection(engine, who) as connection:
        try:
            ddl.execute(connection, [call])
        except DBAPIError as error:
            if sqlstate(error.orig) == _GIVEN_UP:
                raise MaintenanceError(
                    f"Some transaction held a lock on {scope.schema}.activity for {patience}, so it was not split. "
                    "Nothing was changed; try again when no long transaction is writing."
                ) from error
            raise
