"""Closed partitions become files of the archive, are compared with it, and may go then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
    NotEqualTo,
)
from pyiceberg.table import Table, Transaction
from sqlalchemy import Connection, Engine

from ..errors import ConfigurationError, MaintenanceError
from ..lifecycle import checksum
from ..lifecycle.checksum import Checksum
from ..lifecycle.owner import WhoIsAtWork, one_transaction, owner_connection, statement, try_lock
from ..lifecycle.partitions import Partition
from ..lifecycle.retention import Removal, Run
from ..period import FOREVER, period
from . import model
from .catalog import Archive, opened_archive
from .outcome import Archived
from .purging import has_superseded, purge

if TYPE_CHECKING:
    from ..scope import Scope

#: So many rows are fetched at once.
BATCH = 5_000
#: A file begins when the rows in memory have so many bytes.
FILE_BYTES = 64 * 2**20
_FOR_EVER = dt.datetime.max.replace(tzinfo=dt.timezone.utc)

_STATE = (
    "SELECT p.held_count, p.archived_at, p.archive_checksum, p.first_transaction_id, p.last_transaction_id "
    "FROM {schema}.activity_partition AS p WHERE p.name = :partition"
)
_SELECT_ACTIVITIES = "SELECT {columns} FROM {{schema}}.{{name}} AS a ORDER BY a.table_name, a.row_key, a.id"
_OF_PARTITION = (
    " FROM {schema}.transaction AS t WHERE t.id >= :first AND t.id <= :last"
    " AND NOT t.id = ANY (CAST(:among AS bigint[]))"
    " AND EXISTS (SELECT FROM {schema}.{name} AS a WHERE a.transaction_id = t.id)"
)
_SELECT_TRANSACTIONS = (
    "SELECT {columns}, CAST({end_id} AS bigint)"
    + _OF_PARTITION.replace("{", "{{").replace("}", "}}")
    + " ORDER BY t.id"
)
_CHECKSUM_OF_TRANSACTIONS = "SELECT " + checksum.checksum_sql(checksum.TRANSACTION) + _OF_PARTITION
_ARCHIVED = (
    "UPDATE {schema}.activity_partition AS p SET archived_at = pg_catalog.clock_timestamp(),"
    " archive_checksum = :checksum WHERE p.name = :partition"
)
_RECORD = (
    "SELECT {schema}.audit_logger_record_maintenance(pg_catalog.jsonb_build_object("
    "'operation', 'archive', 'partition', CAST(:partition AS text), 'rows', CAST(:rows AS bigint),"
    " 'transactions', CAST(:transactions AS bigint), 'checksum', CAST(:checksum AS text), 'to', CAST(:to AS text),"
    " 'since', CAST(:since AS timestamptz), 'until', CAST(:until AS timestamptz)))"
)

#: Called with the step that is done and the name of its partition.
Progress = Callable[[str, str], None]


def archive(
    scope: Scope,
    engine: Engine,
    who: WhoIsAtWork,
    to: str | None,
    *,
    older_than: str | dt.timedelta,
    catalog: Any,
    drop: bool,
    dry_run: bool,
    patience: dt.timedelta,
    progress: Progress | None,
) -> Iterator[Archived]:
    """Archive closed partitions; see :meth:`audit_core.AuditLog.archive`."""
    wanted = period(older_than, "older_than")
    if wanted == FOREVER:
        raise ConfigurationError("older_than is 'forever', and nothing is older. Give a period such as '1y'.")
    with owner_connection(engine, who) as connection:
        if not try_lock(connection, f"audit_logger_retain {scope.schema}"):
            raise MaintenanceError("Another session is archiving the trail or shortening it: two cannot do so at once.")
        run = Run(scope, connection, dry_run, patience, operation="drop", progress=progress)
        if dry_run:
            yield from _planned(scope, connection, run, wanted, drop)
            return
        run.finish_interrupted()
        with opened_archive(scope, engine, catalog, to) as opened:
            yield from _Archiving(scope, connection, run, opened).run(wanted, drop)
        if drop:
            run.delete_transactions()


def archive_again(
    scope: Scope,
    engine: Engine,
    who: WhoIsAtWork,
    names: Collection[str],
    *,
    whole: Collection[str],
    drop: bool = False,
    is_last: bool = False,
    catalog: Any,
    patience: dt.timedelta,
) -> None:
    """Archive partitions again.

    :param whole: those that are written also if the archive has their activities: it may not have their transactions.
    :param drop: drop them, but for what is held.
    :param is_last: delete the files that hold what the archive has no more.
    """
    with owner_connection(engine, who) as connection:
        if not try_lock(connection, f"audit_logger_retain {scope.schema}"):
            raise MaintenanceError("Another session is archiving the trail or shortening it: two cannot do so at once.")
        run = Run(scope, connection, False, patience, operation="drop")
        run.finish_interrupted()
        with opened_archive(scope, engine, catalog) as opened:
            archiving = _Archiving(scope, connection, run, opened)
            archiving.again([each for each in run.removable(_FOR_EVER) if each.name in names], drop, whole)
            for table in (opened.activity, opened.transaction) if is_last else ():
                purge(table)
        if drop:
            run.delete_transactions()


def _planned(scope: Scope, connection: Connection, run: Run, older_than: str, drop: bool) -> Iterator[Archived]:
    for each in run.removable(run.until(older_than)):
        state = connection.execute(statement(_STATE, schema=scope.schema), {"partition": each.name}).one()
        if state.held_count is None and (state.archived_at is None or drop):
            yield _archived(each, 0, state.archive_checksum, is_dropped=drop and run.removal_of(each) is not None)


def _archived(partition: Partition, transactions: int, checksum: str | None, is_dropped: bool) -> Archived:
    assert partition.rows is not None
    assert partition.last_issued_at is not None
    return Archived(
        partition.name,
        partition.rows,
        transactions,
        partition.first_issued_at,
        partition.last_issued_at,
        checksum,
        is_dropped,
    )


class _Archiving:
    """One run, on one connection."""

    def __init__(self, scope: Scope, connection: Connection, run: Run, archive: Archive) -> None:
        self._schema = scope.schema
        self._connection = connection
        self._run = run
        self._archive = archive

    def run(self, older_than: str, drop: bool) -> Iterator[Archived]:
        """Archive, and drop, what is older as a whole. Of what was shortened already, the rest stays where it is."""
        for each in self._run.removable(self._run.until(older_than)):
            state = self._execute(_STATE, partition=each.name).one()
            removal = self._run.removal_of(each) if drop else None
            if state.held_count is None and (state.archive_checksum is None or removal is not None):
                yield self._archive_one(each, removal, whole=False)
        self._archive.refresh()
        for table in (self._archive.activity, self._archive.transaction):
            # Of another run as well, if it was interrupted.
            if has_superseded(table):
                purge(table)

    def again(self, partitions: Iterable[Partition], drop: bool, whole: Collection[str]) -> None:
        """Archive these, whatever was archived of them."""
        for each in partitions:
            self._archive_one(each, self._run.removal_of(each) if drop else None, each.name in whole)
        self._archive.refresh()

    def _archive_one(self, partition: Partition, removal: Removal | None, whole: bool) -> Archived:
        state = self._execute(_STATE, partition=partition.name).one()
        found = state.archive_checksum
        transactions = 0
        if whole or found is None or found != self._checksum_now(partition):
            transactions, found = self._write(partition, state.first_transaction_id, state.last_transaction_id)
        if removal is not None:
            self._run.remove(partition, removal, None)
        return _archived(partition, transactions, found, is_dropped=removal is not None)

    def _write(self, partition: Partition, first: int | None, last: int | None) -> tuple[int, str]:
        """Write a partition over what the archive has of it, compare the two, and say that it is archived."""
        name, end_id = partition.name, partition.end_id
        assert end_id is not None
        activities: BooleanExpression = LessThan("id", end_id)
        if partition.from_id is not None:
            activities = And(GreaterThanOrEqual("id", partition.from_id), activities)
        transactions = EqualTo("partition_end_id", end_id)
        # Those at its ends may have come with another one.
        others = self._others(first, last, end_id)
        which = {"first": first, "last": last, "among": others}
        self._archive.refresh()
        with _snapshot(self._connection):
            self._run.done("begun", name)
            template = _SELECT_TRANSACTIONS.format(columns=checksum.selected(checksum.TRANSACTION), end_id=end_id)
            rows = self._batches(template, name, **which)
            self._overwrite(self._archive.transaction, model.TRANSACTION, transactions, rows, name)
            self._run.done("transactions committed", name)
            rows = self._batches(_SELECT_ACTIVITIES.format(columns=checksum.selected(checksum.ACTIVITY)), name)
            self._overwrite(self._archive.activity, model.ACTIVITY, activities, rows, name)
            self._run.done("activities committed", name)
            wanted = [
                self._checksum_now(partition),
                str(self._execute(_CHECKSUM_OF_TRANSACTIONS, name=name, **which).scalar_one()),
            ]
        self._archive.refresh()
        read = [
            checksum_of(self._archive.activity, model.ACTIVITY, activities, checksum.ACTIVITY),
            checksum_of(self._archive.transaction, model.TRANSACTION, transactions, checksum.TRANSACTION),
        ]
        if list(map(str, read)) != wanted:
            raise MaintenanceError(
                f"The archive of partition {name!r} differs from it: {wanted} was written, and {list(map(str, read))} "
                "is what the archive has (rows:checksum of activities and transactions). The partition is left as it "
                "was; archive it again, and see that nobody else writes the tables of the archive."
            )
        self._run.done("verified", name)
        with one_transaction(self._connection):
            self._execute(_ARCHIVED, partition=name, checksum=wanted[0])
            self._execute(
                _RECORD,
                partition=name,
                rows=read[0].rows,
                transactions=read[1].rows,
                checksum=wanted[0],
                to=self._archive.location,
                since=partition.first_issued_at,
                until=partition.last_issued_at,
            )
        self._run.done("marked", name)
        return read[1].rows, wanted[0]

    def _others(self, first: int | None, last: int | None, end_id: int) -> list[int]:
        """Return which transactions came with another partition."""
        if first is None or last is None:
            return []
        within = And(GreaterThanOrEqual("id", first), LessThanOrEqual("id", last))
        scan = self._archive.transaction.scan(And(within, NotEqualTo("partition_end_id", end_id)), ("id",))
        return [each for batch in scan.to_arrow_batch_reader() for each in batch.column(0).to_pylist()]

    def _batches(self, template: str, name: str, **values: Any) -> Iterator[Sequence[Any]]:
        query = statement(template, schema=self._schema, name=name)
        with self._connection.execute(query, values, execution_options={"yield_per": BATCH}) as result:
            yield from result.partitions(BATCH)

    def _overwrite(
        self,
        table: Table,
        described: model.Described,
        which: BooleanExpression,
        batches: Iterator[Sequence[Any]],
        name: str,
    ) -> None:
        """Put rows in the place of those that are there, at once."""
        with table.transaction() as transaction:
            if any(True for _ in table.scan(which).plan_files()):
                transaction.delete(which)
            waiting: list[pa.RecordBatch] = []
            for rows in batches:
                waiting.append(described.batch(rows))
                if sum(each.nbytes for each in waiting) >= FILE_BYTES:
                    self._append(transaction, waiting, name)
            self._append(transaction, waiting, name)

    def _append(self, transaction: Transaction, waiting: list[pa.RecordBatch], name: str) -> None:
        if waiting:
            transaction.append(pa.Table.from_batches(waiting))
            waiting.clear()
            self._run.done("file written", name)

    def _checksum_now(self, partition: Partition) -> str:
        return checksum.checksum_of_partition(self._connection, self._schema, partition.name)

    def _execute(self, template: str, *, name: str | None = None, **values: Any) -> Any:
        names = {"schema": self._schema} if name is None else {"schema": self._schema, "name": name}
        return self._connection.execute(statement(template, **names), values)


def checksum_of(
    table: Table, described: model.Described, which: BooleanExpression, columns: Mapping[str, str]
) -> Checksum:
    """Return the checksum of rows of the archive, read back."""
    found = Checksum()
    for batch in table.scan(which, tuple(columns)).to_arrow_batch_reader():
        found.add(described.written(batch, columns))
    return found


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    """Read one state of the database within the block."""
    connection.commit()
    connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        yield
    connection.execution_options(isolation_level="AUTOCOMMIT")
