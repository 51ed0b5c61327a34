"""Legal holds: what has to be kept however old it is."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, select

from ..errors import ConfigurationError, HistoryError
from ..reading.audited_table import AuditedTable, schema_of
from ..reading.entities import Entity
from ..reading.instants import instant
from ..reading.names import find_table
from ..settings import fixed_search_path
from .owner import statement

if TYPE_CHECKING:
    from ..scope import Scope

#: Whether an activity "a" is held.
HELD = (
    "EXISTS (SELECT FROM {schema}.activity_hold AS h WHERE h.released_at IS NULL"
    " AND (h.table_name IS NULL OR h.table_name = a.table_name AND h.schema = a.schema)"
    " AND (h.row_key IS NULL OR h.row_key = a.row_key OR h.row_key = a.old_row_key)"
    " AND (h.since IS NULL OR a.issued_at >= h.since) AND (h.until IS NULL OR a.issued_at <= h.until)"
    " AND (h.actor_id IS NULL OR h.actor_id ="
    " (SELECT CAST(t.actor_id AS text) FROM {schema}.transaction AS t WHERE t.id = a.transaction_id)))"
)
_COLUMNS = "id, issued_at, reason, schema, table_name, row_key, actor_id, since, until, placed_by, db_user, released_at"
_HAS_HOLDS = "SELECT EXISTS (SELECT FROM {schema}.activity_hold AS h WHERE h.released_at IS NULL)"
_ARE_HELD = "SELECT EXISTS (SELECT FROM {schema}.{name} AS a WHERE " + HELD + ")"
_LIST = "SELECT " + _COLUMNS + " FROM {schema}.activity_hold WHERE released_at IS NULL OR :all ORDER BY id"
_ADD = (
    "INSERT INTO {schema}.activity_hold (reason, schema, table_name, row_key, actor_id, since, until, placed_by) "
    "VALUES (:reason, :schema, :table_name, :row_key, :actor_id, :since, :until,"
    " nullif(pg_catalog.current_setting('audit_logger.actor_id', true), '')) RETURNING " + _COLUMNS
)
_RELEASE = (
    "UPDATE {schema}.activity_hold SET released_at = pg_catalog.clock_timestamp(), released_by = coalesce("
    "nullif(pg_catalog.current_setting('audit_logger.actor_id', true), ''), session_user) "
    "WHERE id = :id AND released_at IS NULL RETURNING " + _COLUMNS
)
_RECORD = (
    "SELECT {schema}.audit_logger_record_maintenance(pg_catalog.jsonb_build_object("
    "'operation', CAST(:operation AS text), 'hold', CAST(:id AS bigint), 'reason', CAST(:reason AS text)))"
)
_MAINTENANCE = "SELECT pg_catalog.set_config('audit_logger.maintenance', :value, true)"


@dataclass(frozen=True)
class Hold:
    """Activities that retention leaves alone until the hold is released. What is None does not narrow it."""

    #: The number of the hold.
    id: int
    #: When it was placed.
    issued_at: dt.datetime
    #: Why, in the words of whoever placed it.
    reason: str
    #: Of tables in this schema, with ``table_name``.
    schema: str | None
    #: Activities of this table.
    table_name: str | None
    #: Activities of the record with this key, as the trail writes it.
    row_key: str | None
    #: Activities of this actor.
    actor_id: str | None
    #: Activities from this time on.
    since: dt.datetime | None
    #: Activities until this time.
    until: dt.datetime | None
    #: The actor who placed it, if known.
    placed_by: str | None
    #: The role of the database that placed it.
    db_user: str
    #: When it was released; None while it is in force.
    released_at: dt.datetime | None


def has_holds(connection: Connection, schema: str) -> bool:
    """Return whether anything at all is held."""
    return bool(connection.scalar(statement(_HAS_HOLDS, schema=schema)))


def are_held(connection: Connection, schema: str, name: str) -> bool:
    """Return whether a table with activities has some that are held."""
    return bool(connection.scalar(statement(_ARE_HELD, schema=schema, name=name)))


def hold(
    scope: Scope,
    connection: Connection,
    reason: str,
    *,
    table: Any,
    key: Any,
    actor: Any,
    since: dt.datetime | None,
    until: dt.datetime | None,
) -> Hold:
    """Place a hold; see :meth:`audit_core.AuditLog.hold`."""
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(f"reason is {reason!r}; say why it is held, such as the number of the case.")
    values: dict[str, Any] = {
        "reason": reason,
        "schema": None,
        "table_name": None,
        "row_key": None,
        "actor_id": None if actor is None else str(_actor_id(actor)),
        "since": since and instant(since, "since"),
        "until": until and instant(until, "until"),
    }
    if table is None and key is not None:
        raise ConfigurationError(f"key is {key!r} without a table. Give the table too.")
    if table is not None:
        audited = _audited(scope, table)
        values["table_name"] = audited.table.name
        values["schema"] = connection.scalar(schema_of(scope, audited.table))
        if key is not None:
            values["row_key"] = connection.scalar(select(audited.row_key(key)))
    if all(values[name] is None for name in ("table_name", "actor_id", "since", "until")):
        raise ConfigurationError("A hold needs at least one of table, actor, since and until.")
    with fixed_search_path(connection):
        placed = Hold(**connection.execute(statement(_ADD, schema=scope.schema), values).mappings().one())
        _record(scope, connection, "hold", placed)
    return placed


def holds(scope: Scope, connection: Connection, released: bool) -> list[Hold]:
    """List the holds; see :meth:`audit_core.AuditLog.holds`."""
    with fixed_search_path(connection):
        rows = connection.execute(statement(_LIST, schema=scope.schema), {"all": released}).mappings()
        return [Hold(**row) for row in rows]


def release(scope: Scope, connection: Connection, number: int) -> Hold:
    """Release a hold; see :meth:`audit_core.AuditLog.release`."""
    with fixed_search_path(connection):
        connection.execute(statement(_MAINTENANCE), {"value": "on"})
        row = connection.execute(statement(_RELEASE, schema=scope.schema), {"id": number}).mappings().first()
        connection.execute(statement(_MAINTENANCE), {"value": ""})
        if row is None:
            raise HistoryError(f"There is no hold {number} that is in force.")
        released = Hold(**row)
        _record(scope, connection, "release", released)
    return released


def _record(scope: Scope, connection: Connection, operation: str, placed: Hold) -> None:
    values = {"operation": operation, "id": placed.id, "reason": placed.reason}
    connection.execute(statement(_RECORD, schema=scope.schema), values)


def _audited(scope: Scope, table: Any) -> AuditedTable:
    return Entity.find(scope, find_table(scope, table) if isinstance(table, str) else table).audited


def _actor_id(actor: Any) -> Any:
    state = inspect(actor, raiseerr=False)
    identity = getattr(state, "identity", None)
    return actor if identity is None else identity[0]
