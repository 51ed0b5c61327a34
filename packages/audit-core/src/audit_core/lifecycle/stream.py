"""The activities for a consumer, each once it is certain that none with a smaller id can still be committed.

Ids are drawn before the commit, so that ``id > last`` misses what is committed later with a smaller one. Whoever draws
an id has the number of its transaction by then. So, once an id has been seen, a new transaction gets a larger number
than all that may still hold smaller ids; when the oldest transaction in progress is not older than that one, what is
visible up to this id is all there will ever be. That is in the order of the ids, which is the order in which each
record was changed.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Connection, Engine, func, or_, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, joinedload

from ..connections import Target, connection_of
from ..errors import StreamError
from ..models import AuditLogActivity
from ..quoting import qualified
from ..reading import find_table, schema_of
from ..reading.bounds import first_id_since
from ..reading.instants import past
from .stream_cursor import Cursor
from .stream_wake_up import WakeUp

if TYPE_CHECKING:
    from ..scope import Scope

#: A filter looks at so many ids in one query.
_SPAN = 50_000
#: Ids that no activity passed the filter are acknowledged after so long, or so many of them.
_IDLE_SECONDS, _IDLE_IDS = 30.0, 100_000
#: How long to wait at first for transactions in progress, which most often take milliseconds.
_SHORTLY = 0.01


class StreamBatch(Sequence[AuditLogActivity]):
    """Activities in the order of their ids, each with its ``transaction``; they belong to no session."""

    def __init__(self, stream: Stream, from_id: int, to_id: int, activities: Sequence[AuditLogActivity]) -> None:
        self._stream = stream
        self._from_id = from_id
        self._to_id = to_id
        self._activities = activities

    @overload
    def __getitem__(self, index: int) -> AuditLogActivity: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AuditLogActivity]: ...

    def __getitem__(self, index: int | slice) -> AuditLogActivity | Sequence[AuditLogActivity]:
        return self._activities[index]

    def __len__(self) -> int:
        return len(self._activities)

    def acknowledge(self, target: Target | None = None) -> None:
        """Say that the work is done: these activities never come again.

        With a session or connection it is part of its transaction, so that the work and this are committed together
        or not at all; the commit is left to the caller. Without one it is committed at once.

        :raises StreamError: if another consumer with the same name has acknowledged them, or the stream was removed.
        """
        self._stream.acknowledge(self._from_id, self._to_id, target)


@dataclass(frozen=True)
class _Mark:
    """Up to ``id``, all is there once no transaction is older than ``number``."""

    id: int
    number: int


class Stream:
    """The activities of a trail for one consumer, in batches; see :meth:`AuditLog.stream`."""

    def __init__(
        self,
        scope: Scope,
        engine: Engine,
        name: str,
        *,
        tables: Iterable[Any] | None,
        start: str | dt.datetime,
        batch: int,
        interval: float,
        wake_up: bool,
        go_on: bool,
    ) -> None:
        self._scope = scope
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._cursor = Cursor(scope.schema, name)
        self._condition = None if tables is None else _is_of(scope, tables)
        self._size = batch
        self._interval = interval
        self._wake_up = wake_up
        self._mark: _Mark | None = None
        self._settled = 0
        self._moved_at = time.monotonic()
        self._open(start, go_on)

    def __iter__(self) -> Iterator[StreamBatch]:
        return self.batches()

    def batches(self, *, wait: bool = True) -> Iterator[StreamBatch]:
        """Yield what has not been acknowledged, batch by batch; what was not acknowledged comes again.

        :param wait: for what is yet to come, without end; otherwise it ends when all that is certain has been read.
        :raises StreamError: if the stream was removed, or the database is not the one in which it was made.
        """
        # Of one connection: what was certain before a crash of the server need not be so after it.
        self._mark, self._settled = None, 0
        alarm = WakeUp(self._engine if self._wake_up else None, self._scope.schema)
        with self._engine.connect() as connection, alarm:
            while True:
                found = self._next(connection)
                if found is not None:
                    yield found
                elif not self._settle(connection):
                    if not wait:
                        return
                    if self._mark is None:
                        alarm.wait(self._interval)

    def acknowledge(self, from_id: int, to_id: int, target: Target | None) -> None:
        """Move the stream on; see :meth:`StreamBatch.acknowledge`."""
        if target is not None:
            moved = self._cursor.move(connection_of(target, self._scope.bind_arguments()), from_id, to_id)
        else:
            with self._engine.begin() as connection:
                moved = self._cursor.move(connection, from_id, to_id)
        self._moved_at = time.monotonic()
        if not moved:
            raise StreamError(
                f"Stream {self._cursor.name!r} is not at {from_id} any more: another consumer of that name has "
                "acknowledged this batch, or somebody removed the stream. Let one consumer run at a time."
            )

    def _open(self, start: str | dt.datetime, go_on: bool) -> None:
        with self._engine.begin() as connection:
            if connection.scalar(text("SELECT pg_catalog.pg_is_in_recovery()")):
                raise StreamError("A stream needs the primary server, and this is a standby.")
            _refuse_cached_sequence(connection, self._scope.schema)
            if go_on:
                self._cursor.go_on(connection)
            if self._cursor.find(connection) is None:
                self._cursor.create(connection, self._first_id(connection, start))

    def _first_id(self, connection: Connection, start: str | dt.datetime) -> int:
        """Return the last id that the stream leaves out."""
        if start == "beginning":
            return self._before_first_id(connection)
        if start == "now":
            return self._last_id(connection)
        if not isinstance(start, dt.datetime):
            raise StreamError(f"start is {start!r}; make it 'now', 'beginning' or a datetime with a time zone.")
        activity, since = self._scope.activity_cls, past(start, "start")
        first = connection.scalar(
            select(activity.id)
            .where(activity.id >= first_id_since(self._scope, since), activity.issued_at >= since)
            .order_by(activity.id)
            .limit(1)
        )
        return self._last_id(connection) if first is None else first - 1

    def _before_first_id(self, connection: Connection) -> int:
        first: int | None = connection.scalar(select(func.min(self._scope.activity_cls.id)))
        return 0 if first is None else min(first - 1, 0)

    def _last_id(self, connection: Connection) -> int:
        found = connection.scalar(
            text(f"SELECT a.id FROM {qualified('activity', self._scope.schema)} AS a ORDER BY a.id DESC LIMIT 1")
        )
        return 0 if found is None else int(found)

    def _settle(self, connection: Connection) -> bool:
        """Return whether there is something new that is certain; wait for it, but not longer than between two looks."""
        if self._mark is None:
            with connection.begin():
                last = self._last_id(connection)
                if last > self._settled:
                    # Only now: the number has to be drawn after the id was seen.
                    number = connection.scalar(text("SELECT pg_catalog.pg_current_xact_id()::text::bigint"))
                    self._mark = _Mark(last, int(number or 0))
        if self._mark is None:
            return False
        oldest = text("SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint")
        pause = _SHORTLY
        deadline = time.monotonic() + self._interval
        while True:
            with connection.begin():
                is_over = int(connection.scalar(oldest) or 0) >= self._mark.number
            if is_over:
                self._settled, self._mark = self._mark.id, None
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, 0.2)

    def _next(self, connection: Connection) -> StreamBatch | None:
        """Read the activities that come next and are certain."""
        with connection.begin():
            last = self._cursor.find(connection)
            if last is None:
                raise StreamError(f"There is no stream {self._cursor.name!r} any more: somebody removed it.")
            position = last
            while position < self._settled:
                position, activities = self._read(connection, position)
                if activities:
                    return StreamBatch(self, last, position, activities)
        idle = position - last
        if idle >= _IDLE_IDS or (idle and time.monotonic() - self._moved_at > _IDLE_SECONDS):
            self._move_past(connection, last, position)
        return None

    def _read(self, connection: Connection, position: int) -> tuple[int, Sequence[AuditLogActivity]]:
        """Read a batch, and return up to which id it goes."""
        activity = self._scope.activity_cls
        query = select(activity).options(joinedload(activity.transaction)).order_by(activity.id).limit(self._size)
        end = self._settled
        if self._condition is not None:
            end = min(end, position + _SPAN)
            query = query.where(self._condition)
        with Session(connection, expire_on_commit=False) as session:
            found = session.scalars(query.where(activity.id > position, activity.id <= end)).all()
            if len(found) == self._size:
                return found[-1].id, found
            if not found and end < self._settled:
                # Ids may have been left out by the million.
                following = select(activity.id).where(activity.id > end).order_by(activity.id).limit(1)
                end = min(self._settled, (session.scalar(following) or self._settled + 1) - 1)
            return end, found

    def _move_past(self, connection: Connection, last: int, position: int) -> None:
        """Acknowledge what did not pass the filter, so that retention does not wait for it."""
        self._moved_at = time.monotonic()
        try:
            with connection.begin():
                connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                self._cursor.move(connection, last, position)
        except OperationalError:
            # The consumer is about to acknowledge something in a transaction of its own.
            return


def _is_of(scope: Scope, tables: Iterable[Any]) -> Any:
    activity: Any = scope.activity_cls
    chosen: list[Any] = []
    for each in tables:
        table = find_table(scope, each) if isinstance(each, str) else getattr(each, "__table__", each)
        schema = schema_of(scope, table).scalar_subquery()
        chosen.append((activity.table_name == table.name) & (activity.schema == schema))
    return or_(*chosen)


def _refuse_cached_sequence(connection: Connection, schema: str) -> None:
    """Refuse ids that a session may have kept for later."""
    cached = connection.scalar(
        text(
            "SELECT s.seqcache FROM pg_catalog.pg_sequence AS s"
            " WHERE s.seqrelid = pg_catalog.to_regclass(CAST(:name AS text))::oid AND s.seqcache <> 1"
        ),
        {"name": qualified("activity_id_seq", schema)},
    )
    if cached is not None:
        sequence = qualified("activity_id_seq", schema)
        raise StreamError(
            f"The sequence {sequence} gives each session {cached} ids at once, so that nobody can tell which are still "
            f"to come. Run: ALTER SEQUENCE {sequence} CACHE 1"
        )
