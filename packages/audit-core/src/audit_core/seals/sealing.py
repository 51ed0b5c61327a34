"""Sealing what is final: the newest activities and transactions, range by range."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine

from ..errors import MaintenanceError
from ..lifecycle.owner import WhoIsAtWork, one_transaction, owner_connection, statement, try_lock
from .canonical import Seal
from .stored import read_seals

if TYPE_CHECKING:
    from ..scope import Scope

#: A seal has at most so many activities, and as many transactions: its hashes are one value in the database.
SIZE = 50_000

_LAST = (
    "SELECT (SELECT a.id FROM {schema}.activity AS a WHERE a.id >= 0 ORDER BY a.id DESC LIMIT 1) AS activity,"
    " (SELECT t.id FROM {schema}.transaction AS t ORDER BY t.id DESC LIMIT 1) AS transaction"
)
_NUMBER = "SELECT CAST(CAST(pg_catalog.pg_current_xact_id() AS text) AS bigint)"
_OLDEST = "SELECT CAST(CAST(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) AS text) AS bigint)"
_SEALED = (
    "SELECT coalesce(max(s.to_id), -1) AS activity, coalesce(max(s.to_transaction_id), 0) AS transaction"
    " FROM {schema}.activity_seal AS s WHERE s.to_id >= -1"
)
# What was imported lies below 0, each time in a partition of its own.
_IMPORTED = (
    "SELECT p.from_id, p.end_id, p.first_transaction_id, p.last_transaction_id FROM {schema}.activity_partition AS p"
    " WHERE p.end_id <= 0 AND p.removed_at IS NULL AND NOT EXISTS ("
    "SELECT FROM {schema}.activity_seal AS s WHERE s.from_id < p.end_id AND s.to_id >= p.end_id - 1) ORDER BY p.end_id"
)
# The last id of as many as fit, but not beyond the partition in which the first of them lies: partitions go as a whole.
_END_OF_ACTIVITIES = (
    "WITH found AS MATERIALIZED (SELECT a.id FROM {schema}.activity AS a"
    " WHERE a.id BETWEEN CAST(:from_id AS bigint) AND CAST(:last AS bigint) ORDER BY a.id LIMIT :size) "
    "SELECT least(CASE WHEN count(*) < :size THEN CAST(:last AS bigint) ELSE max(f.id) END,"
    " (SELECT min(p.end_id) - 1 FROM {schema}.activity_partition AS p WHERE p.end_id > min(f.id))) FROM found AS f"
)
_END_OF_TRANSACTIONS = (
    "SELECT CASE WHEN count(*) < :size THEN CAST(:last AS bigint) ELSE max(f.id) END FROM ("
    "SELECT t.id FROM {schema}.transaction AS t"
    " WHERE t.id BETWEEN CAST(:from_id AS bigint) AND CAST(:last AS bigint) ORDER BY t.id LIMIT :size) AS f"
)
_SEAL = (
    "SELECT {schema}.audit_logger_seal(CAST(:from_id AS bigint), CAST(:to_id AS bigint),"
    " CAST(:from_transaction AS bigint), CAST(:to_transaction AS bigint))"
)


def seal(
    scope: Scope,
    engine: Engine,
    who: WhoIsAtWork,
    patience: dt.timedelta,
    progress: Callable[[Seal], None] | None,
) -> Iterator[Seal]:
    """Seal what is not sealed yet; see :meth:`audit_core.AuditLog.seal`."""
    with owner_connection(engine, who) as connection:
        if not try_lock(connection, f"audit_logger_seal_run {scope.schema}"):
            raise MaintenanceError("Another session is sealing this trail. What it does not reach, the next one seals.")
        run = _Run(connection, scope.schema)
        run.wait_until_final(patience)
        for number in run.seals():
            (made,) = read_seals(connection, scope.schema, number, number)
            if progress is not None:
                progress(made)
            yield made


class _Run:
    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    def wait_until_final(self, patience: dt.timedelta) -> None:
        """See how far there is something, and wait until nothing of it can still be committed.

        Whoever draws an id has the number of its transaction by then, see :mod:`audit_core.lifecycle.stream`.
        """
        self.last = self._one(_LAST)
        number = self._scalar(_NUMBER)
        deadline = time.monotonic() + patience.total_seconds()
        pause = 0.01
        while self._scalar(_OLDEST) < number:
            if time.monotonic() > deadline:
                raise MaintenanceError(
                    f"A transaction has been in progress for {patience}, and it may have recorded something that comes "
                    "before what is to be sealed. Nothing was sealed; what was sealed before stays."
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.2)

    def seals(self) -> Iterator[int]:
        """Seal range by range, each in a transaction of its own, and yield the numbers."""
        for each in self._connection.execute(statement(_IMPORTED, schema=self._schema)).all():
            transactions = (each.first_transaction_id, each.last_transaction_id)
            if None not in transactions:
                yield from self._ranges(each.from_id, each.end_id - 1, *transactions)
        done = self._one(_SEALED)
        yield from self._ranges(
            done.activity + 1, self.last.activity or -1, max(1, done.transaction + 1), self.last.transaction or 0
        )

    def _ranges(self, from_id: int, last: int, from_transaction: int, last_transaction: int) -> Iterator[int]:
        while from_id <= last or from_transaction <= last_transaction:
            to_id = self._end(_END_OF_ACTIVITIES, from_id, last)
            to_transaction = self._end(_END_OF_TRANSACTIONS, from_transaction, last_transaction)
            with one_transaction(self._connection):
                number: int | None = self._scalar(
                    _SEAL,
                    from_id=from_id,
                    to_id=to_id,
                    from_transaction=from_transaction,
                    to_transaction=to_transaction,
                )
            if number is not None:
                yield number
            from_id, from_transaction = to_id + 1, to_transaction + 1

    def _end(self, query: str, first: int, last: int) -> int:
        if first > last:
            return first - 1
        found: int | None = self._scalar(query, from_id=first, last=last, size=SIZE)
        return last if found is None else found

    def _one(self, query: str) -> Any:
        return self._connection.execute(statement(query, schema=self._schema)).one()

    def _scalar(self, query: str, **values: Any) -> Any:
        return self._connection.execute(statement(query, schema=self._schema), values).scalar_one()


_MARK = (
    "UPDATE {schema}.activity_seal_leaf AS l SET anchored_at = clock_timestamp(), anchored_in = CAST(:places AS text)"
    " WHERE l.number = CAST(:number AS bigint)"
)
_NOT_ANCHORED = (
    "SELECT max(l.number) FROM {schema}.activity_seal_leaf AS l HAVING"
    " max(l.number) > coalesce(max(l.number) FILTER (WHERE l.anchored_at IS NOT NULL), 0)"
)


def newest_to_anchor(scope: Scope, engine: Engine, who: WhoIsAtWork) -> Seal | None:
    """Return the newest seal, if it has not been anchored."""
    with owner_connection(engine, who) as connection:
        number = connection.scalar(statement(_NOT_ANCHORED, schema=scope.schema))
        return None if number is None else read_seals(connection, scope.schema, number, number)[0]


def mark_anchored(scope: Scope, engine: Engine, who: WhoIsAtWork, seal: Seal, places: str) -> None:
    """Note in the database where the digest of a seal went; this proves nothing and is for its readers."""
    with owner_connection(engine, who) as connection, one_transaction(connection):
        connection.execute(statement(_MARK, schema=scope.schema), {"number": seal.number, "places": places})
