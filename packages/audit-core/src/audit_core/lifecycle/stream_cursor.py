"""How far the consumers of a trail have read: the table ``activity_stream``."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from ..errors import StreamError
from ..installation.objects import wake_up_trigger
from ..quoting import qualified

# What tells this database from a copy of it, and from itself before it was restored: the cluster, its timeline, the
# database and the table.
_EPOCH = (
    "(SELECT pg_catalog.concat_ws('/', c.system_identifier::text,"
    " pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8),"
    " (SELECT d.oid::text FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()),"
    " pg_catalog.to_regclass(CAST(:activity AS text))::oid::text) FROM pg_catalog.pg_control_system() AS c)"
)
#: By default a lag of so long is a problem: nobody reads, and retention waits.
LATE = dt.timedelta(days=1)


@dataclass(frozen=True)
class StreamState:
    """How far a consumer has read."""

    #: That of the consumer.
    name: str
    #: All activities up to this id are acknowledged, or were there before the stream began.
    last_id: int
    #: About how many activities come after it: ids that were rolled back count, too.
    behind: int
    #: When the first of them was recorded; None if there is none.
    waiting_since: dt.datetime | None
    #: When it began.
    created_at: dt.datetime
    #: When its consumer acknowledged something last; None if it never did.
    acknowledged_at: dt.datetime | None
    #: Whether it was made in another database, or before this one was restored.
    is_foreign: bool

    @property
    def problem(self) -> str | None:
        """What is wrong with it, and what to do."""
        if self.is_foreign:
            return (
                f"Stream {self.name!r} was read in another database, or before this one was restored. Let it go on "
                "with go_on=True (--go-on), or remove it."
            )
        now = dt.datetime.now(dt.timezone.utc)
        if self.waiting_since is None or now - max(self.waiting_since, self.acknowledged_at or self.created_at) < LATE:
            return None
        return (
            f"Stream {self.name!r} has not acknowledged what was recorded at {self.waiting_since.isoformat()} and "
            "later, and retention waits for it. Start its consumer, or remove the stream."
        )


class Cursor:
    """The row of one consumer."""

    def __init__(self, schema: str, name: str) -> None:
        self.schema = schema
        self.name = name
        self._names = {"activity": qualified("activity", schema)}

    def find(self, connection: Connection) -> int | None:
        """Return the last id that is acknowledged; None if there is no such stream.

        :raises StreamError: if it is one of another database.
        """
        row = connection.execute(
            text(f"SELECT s.last_id, s.epoch = {_EPOCH} AS is_own FROM {self._table} AS s WHERE {_IS_NAMED}"),
            {"name": self.name, **self._names},
        ).one_or_none()
        if row is None:
            return None
        if not row.is_own:
            raise StreamError(
                f"Stream {self.name!r} was read in another database, or before this one was restored: what it has "
                "acknowledged may not be what is recorded here. Let it go on with go_on=True (--go-on), or remove it "
                "and let it start anew."
            )
        return int(row.last_id)

    def create(self, connection: Connection, last_id: int) -> None:
        """Write the row, unless somebody else did meanwhile."""
        connection.execute(
            text(
                f"INSERT INTO {self._table} (name, last_id, epoch, created_at) "
                f"VALUES (CAST(:name AS text), CAST(:last_id AS bigint), {_EPOCH}, pg_catalog.clock_timestamp()) "
                "ON CONFLICT (name) DO NOTHING"
            ),
            {"name": self.name, "last_id": last_id, **self._names},
        )

    def go_on(self, connection: Connection) -> None:
        """Say that what it has acknowledged holds for this database, too."""
        self._maintain(connection, f"UPDATE {self._table} AS s SET epoch = {_EPOCH} WHERE {_IS_NAMED}")

    def remove(self, connection: Connection) -> None:
        """Forget it.

        :raises StreamError: if there is no such stream.
        """
        if not self._maintain(connection, f"DELETE FROM {self._table} AS s WHERE {_IS_NAMED}"):
            raise StreamError(f"There is no stream {self.name!r}.")

    def move(self, connection: Connection, from_id: int, to_id: int) -> bool:
        """Acknowledge; return False if the stream is elsewhere."""
        function = _in_text(qualified("audit_logger_acknowledge", self.schema))
        moved: bool = connection.execute(
            text(f"SELECT {function}(CAST(:name AS text), CAST(:from_id AS bigint), CAST(:to_id AS bigint))"),
            {"name": self.name, "from_id": from_id, "to_id": to_id},
        ).scalar_one()
        return moved

    def _maintain(self, connection: Connection, statement: str) -> int:
        switch = text("SELECT pg_catalog.set_config('audit_logger.maintenance', CAST(:value AS text), true)")
        connection.execute(switch, {"value": "on"})
        done = connection.execute(text(statement), {"name": self.name, **self._names})
        connection.execute(switch, {"value": ""})
        return done.rowcount

    @property
    def _table(self) -> str:
        return _in_text(qualified("activity_stream", self.schema))


def _in_text(name: str) -> str:
    """Write a quoted name into a text in which a colon begins a parameter."""
    return name.replace(":", "\\:")


_IS_NAMED = "s.name = CAST(:name AS text)"


def states(connection: Connection, schema: str) -> list[StreamState]:
    """Return how far each consumer has read, by name."""
    activity, stream = (_in_text(qualified(name, schema)) for name in ("activity", "activity_stream"))
    rows: Any = connection.execute(
        text(
            f"SELECT s.name, s.last_id, s.created_at, s.acknowledged_at, s.epoch <> {_EPOCH} AS is_foreign,"
            " greatest(last.id - s.last_id, CAST(0 AS bigint)) AS behind,"
            f" (SELECT a.issued_at FROM {activity} AS a WHERE a.id > s.last_id ORDER BY a.id LIMIT 1) AS waiting_since "
            f"FROM {stream} AS s CROSS JOIN"
            f" (SELECT coalesce((SELECT a.id FROM {activity} AS a ORDER BY a.id DESC LIMIT 1), 0) AS id) AS last "
            "ORDER BY s.name"
        ),
        {"activity": qualified("activity", schema)},
    )
    return [StreamState(**row._mapping) for row in rows]


def oldest_needed(connection: Connection, schema: str) -> int | None:
    """Return the smallest id of an activity that a consumer still has to read; None if there is no stream.

    What has a smaller one may be removed: whatever has not been committed yet, and will be read, has a larger one.
    """
    stream = _in_text(qualified("activity_stream", schema))
    last: int | None = connection.scalar(text(f"SELECT min(last_id) FROM {stream}"))
    return None if last is None else last + 1


def set_wake_up(connection: Connection, schema: str, *, on: bool) -> None:
    """Let each commit that recorded something wake the consumers that wait for it, or stop that."""
    connection.exec_driver_sql(wake_up_trigger(schema, on=on), execution_options={"no_parameters": True})
