"""How long activities are kept: what is older goes, with whole partitions where that is possible."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from ..audited import audited_tables
from ..connections import sqlstate
from ..errors import MaintenanceError
from ..installation import ddl
from ..period import FOREVER, period
from ..quoting import literal, qualified
from ..reading.audited_table import schema_of
from ..reading.bounds import LAST_ID
from .attaching import LOCK_NOT_AVAILABLE, alter, attachment
from .checksum import ACTIVITY, checksum_of_partition
from .holds import HELD, has_holds
from .owner import WhoIsAtWork, one_transaction, owner_connection, statement, try_lock
from .partitions import Partition, partitions
from .stream_cursor import oldest_needed

if TYPE_CHECKING:
    from ..scope import Scope

#: So many rows are deleted in one transaction.
BATCH = 10_000
#: So many pages of a table are recorded in one transaction.
_PAGES = 1000

_UNTIL = "SELECT pg_catalog.clock_timestamp() - CAST(CAST(:keep AS text) AS interval)"
_REMEMBER = (
    "INSERT INTO {schema}.activity_retention AS r (schema, table_name, keep, run_at) "
    "VALUES (:of_schema, :of_table, CAST(CAST(:keep AS text) AS interval), pg_catalog.clock_timestamp()) "
    "ON CONFLICT (schema, table_name) DO UPDATE SET keep = EXCLUDED.keep, run_at = EXCLUDED.run_at"
)
_KNOWN_SINCE = (
    "INSERT INTO {schema}.activity_retention AS r (schema, table_name, known_since, removed_at) "
    "VALUES (:of_schema, :of_table, :known_since, pg_catalog.clock_timestamp()) "
    "ON CONFLICT (schema, table_name) DO UPDATE"
    " SET known_since = greatest(r.known_since, EXCLUDED.known_since), removed_at = EXCLUDED.removed_at"
)
# Since when all is known must stay known.
_FORGET = (
    "UPDATE {schema}.activity_retention AS r SET keep = NULL, run_at = pg_catalog.clock_timestamp()"
    " WHERE r.schema = :of_schema AND r.table_name = :of_table"
)
# Of this table or of all of them.
_WANTS_SNAPSHOT = (
    "SELECT pg_catalog.max(r.removed_at) > coalesce(pg_catalog.max(r.snapshot_at), '-infinity') "
    "FROM {schema}.activity_retention AS r "
    "WHERE r.table_name = '' OR r.table_name = :of_table AND r.schema = :of_schema"
)
_PENDING = (
    "SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid"
    " JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = parent.relnamespace "
    "WHERE parent.relname = 'activity' AND n.nspname = :of_schema AND i.inhdetachpending"
)
# Detached by a run that was interrupted before it dropped them.
_DETACHED = (
    "SELECT p.name, p.row_count, p.first_issued_at, p.last_issued_at,"
    " pg_catalog.pg_total_relation_size(c.oid) AS bytes "
    "FROM {schema}.activity_partition AS p JOIN pg_catalog.pg_class AS c ON CAST(c.relname AS text) = p.name"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = :of_schema "
    "WHERE p.removed_at IS NULL AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid) ORDER BY p.end_id"
)
_IS_NEEDED = "SELECT EXISTS (SELECT FROM {schema}.{name} AS a WHERE a.id >= CAST(:needed AS bigint))"
_COUNT_HELD = "SELECT pg_catalog.count(*) FROM {schema}.{name} AS a WHERE " + HELD
# The whole row before a change: what a delta leaves out stands in activities that go.
_WHOLE = (
    "CASE WHEN {0}.delta_depth IS NULL THEN {0}.old_data ELSE {{schema}}.audit_logger_complete_delta("
    "{0}.schema, {0}.table_name, {0}.row_key, {0}.id, {0}.delta_depth, {0}.old_data) END"
)
_HELD_COLUMNS = {**{name: f"a.{name}" for name in ACTIVITY}, "old_data": _WHOLE.format("a"), "delta_depth": "NULL"}
_COPY_HELD = (
    f"INSERT INTO {{schema}}.{{target}} ({', '.join(_HELD_COLUMNS)}) SELECT {', '.join(_HELD_COLUMNS.values())}"
    " FROM {schema}.{name} AS a WHERE " + HELD
)
_RECORD = (
    "SELECT {schema}.audit_logger_record_maintenance(pg_catalog.jsonb_build_object("
    "'operation', CAST(:operation AS text), 'keep', CAST(:keep AS text), 'table', CAST(:table AS text),"
    " 'partition', CAST(:partition AS text), 'rows', CAST(:rows AS bigint), 'held', CAST(:held AS bigint),"
    " 'from_id', (SELECT p.from_id FROM {schema}.activity_partition AS p WHERE p.name = CAST(:partition AS text)),"
    " 'end_id', (SELECT p.end_id FROM {schema}.activity_partition AS p WHERE p.name = CAST(:partition AS text)),"
    " 'sealed', CAST(:sealed AS bigint),"
    " 'since', CAST(:since AS timestamptz), 'until', CAST(:until AS timestamptz)))"
)
_REMOVED = (
    "UPDATE {schema}.activity_partition AS p SET removed_at = pg_catalog.clock_timestamp() WHERE p.name = :partition"
)
_SHRUNK = "UPDATE {schema}.activity_partition AS p SET row_count = :rows, held_count = :rows WHERE p.name = :partition"
_LOSE_ROWS = (
    # What is archived of it is not what it has any more.
    "UPDATE {schema}.activity_partition AS p SET row_count = p.row_count - CAST(:rows AS bigint), archived_at = NULL,"
    " archive_checksum = NULL WHERE p.name = :partition"
)
# What is held of a partition is not all that the archive has.
_CHECKSUM = (
    "SELECT p.archive_checksum FROM {schema}.activity_partition AS p WHERE p.name = :partition AND p.held_count IS NULL"
)
_BOUNDS = "SELECT p.from_id, p.end_id FROM {schema}.activity_partition AS p WHERE p.name = :partition"
_NOT_ARCHIVED = (
    "UPDATE {schema}.activity_partition AS p SET archived_at = NULL, archive_checksum = NULL WHERE p.name = :partition"
)
_HELD_PARTITIONS = "SELECT p.name FROM {schema}.activity_partition AS p WHERE p.held_count IS NOT NULL"
_TRANSACTION_BOUNDS = (
    "SELECT (SELECT pg_catalog.min(t.id) FROM {schema}.transaction AS t) AS first,"
    " (SELECT pg_catalog.min(a.transaction_id) FROM {schema}.activity AS a WHERE a.id >= :whole_from) AS until"
)
_DELETE_TRANSACTIONS = (
    "DELETE FROM {schema}.transaction AS t WHERE t.id >= :first AND t.id < :until AND NOT EXISTS ("
    "SELECT FROM {schema}.activity AS a WHERE a.transaction_id = t.id AND a.id < :whole_from)"
)
_OF_TABLE = (
    " FROM {schema}.{name} AS a WHERE a.table_name = :of_table AND a.schema = :of_schema AND a.issued_at < :until"
    " AND a.id < CAST(:needed AS bigint) AND a.verb <> 'maintenance' AND NOT " + HELD
)
_COUNT_OF_TABLE = "SELECT pg_catalog.count(*) AS rows, pg_catalog.min(a.issued_at) AS since" + _OF_TABLE
_DELETE_OF_TABLE = (
    "WITH gone AS (DELETE FROM {schema}.{name} AS g WHERE g.id = ANY (ARRAY(SELECT a.id" + _OF_TABLE + " LIMIT :batch))"
    " RETURNING g.id, g.transaction_id) "
    "SELECT pg_catalog.count(*) AS rows, pg_catalog.array_agg(DISTINCT transaction_id) AS transactions,"
    " pg_catalog.array_agg(id) AS ids FROM gone"
)
# The seals keep which they were: what is missing besides was not removed by retention.
_NOTE_SEALED = (
    "WITH noted AS (UPDATE {schema}.activity_seal_leaf AS l SET removed_ids = l.removed_ids || g.ids FROM ("
    "SELECT s.number, pg_catalog.array_agg(i.id ORDER BY i.id) AS ids"
    " FROM pg_catalog.unnest(CAST(:ids AS bigint[])) AS i(id)"
    " JOIN {schema}.activity_seal AS s ON i.id BETWEEN s.from_id AND s.to_id GROUP BY s.number) AS g"
    " WHERE l.number = g.number RETURNING pg_catalog.cardinality(g.ids) AS count) "
    "SELECT coalesce(pg_catalog.sum(count), 0) FROM noted"
)
# Of what stays, the deltas that rest on what goes; others rest on these.
_COMPLETE_OF_TABLE = (
    f"UPDATE {{schema}}.{{name}} AS k SET old_data = {_WHOLE.format('k')}, delta_depth = NULL"
    " WHERE k.delta_depth IS NOT NULL AND k.table_name = :of_table AND k.schema = :of_schema"
    " AND NOT EXISTS (SELECT" + _OF_TABLE + " AND a.id = k.id)"
    " AND EXISTS (SELECT" + _OF_TABLE + " AND a.id = (SELECT max(p.id) FROM {schema}.{name} AS p"
    " WHERE p.table_name = k.table_name AND p.row_key = k.row_key AND p.schema = k.schema AND p.id < k.id"
    " AND p.verb IN ('insert', 'update', 'delete', 'snapshot')))"
)
_SET_PATIENCE = "SELECT set_config('lock_timeout', :patience, false)"
_LOCK_DELTAS = "SELECT pg_advisory_lock(hashtextextended(CAST(:lock AS text), 0))"
_UNLOCK_DELTAS = "SELECT pg_advisory_unlock(hashtextextended(CAST(:lock AS text), 0))"
_DELETE_LEFT_OVER = (
    "DELETE FROM {schema}.transaction AS t WHERE t.id = ANY (CAST(:ids AS bigint[])) AND NOT EXISTS ("
    "SELECT FROM {schema}.activity AS a WHERE a.transaction_id = t.id)"
)


@dataclass(frozen=True)
class Removal:
    """What retention removed, or would remove: a partition, or activities of one table."""

    #: The partition; None of activities of one table.
    partition: str | None
    #: The table with its schema; None of a partition.
    table: str | None
    #: How many activities went.
    rows: int
    #: How many stay, because they are held.
    held: int
    #: The disk that becomes free; 0 of activities of one table, whose room is used again.
    bytes: int
    #: The time of the first activity that went.
    since: dt.datetime | None
    #: No activity that went is later.
    until: dt.datetime


def retain(
    scope: Scope,
    engine: Engine,
    who: WhoIsAtWork,
    keep: str | dt.timedelta | None,
    *,
    dry_run: bool,
    snapshot: bool,
    patience: dt.timedelta,
) -> Iterator[Removal]:
    """Remove what is older; see :meth:`audit_core.AuditLog.retain`."""
    wanted = None if keep is None else period(keep)
    of_tables = [(table, options.keep) for table, options in audited_tables(scope.metadata) if options.keep]
    with engine.connect() as connection:
        # With the search path of the application, which finds its tables by it.
        schemas = {table: connection.scalar(schema_of(scope, table)) for table, _ in audited_tables(scope.metadata)}
    with owner_connection(engine, who) as connection:
        if not try_lock(connection, f"audit_logger_retain {scope.schema}"):
            raise MaintenanceError("Another session is at it: two cannot shorten the trail at once.")
        run = Run(scope, connection, dry_run, patience)
        if not dry_run:
            run.finish_interrupted()
        if wanted == FOREVER:
            run.forget("", "")
        elif wanted is not None:
            yield from run.partitions_until(wanted)
        for table, keep_of_table in of_tables:
            yield from run.table_until(schemas[table], table.name, period(keep_of_table))
        if not dry_run:
            run.delete_transactions()
            if snapshot:
                run.snapshot(schemas)


def _changed(name: str | None) -> MaintenanceError:
    return MaintenanceError(
        f"Partition {name!r} is not as it was archived: somebody changed what it holds. It was not removed; archive it "
        "again with audit-log archive."
    )


class Run:
    """One run of what removes activities, on one connection; ``operation`` is what the trail says of it."""

    def __init__(
        self,
        scope: Scope,
        connection: Connection,
        dry_run: bool,
        patience: dt.timedelta,
        operation: str = "retain",
        progress: Callable[[str, str], None] | None = None,
    ) -> None:
        self._scope = scope
        self._schema = scope.schema
        self._connection = connection
        self._dry_run = dry_run
        self._patience = patience.total_seconds()
        self._operation = operation
        self._progress = progress

    def finish_interrupted(self) -> None:
        """Complete what a run that was interrupted left half done."""
        for row in self._execute(_PENDING, of_schema=self._schema):
            self._run(f"ALTER TABLE {self._named('activity')} DETACH PARTITION {self._named(row.relname)} FINALIZE")
        for row in self._execute(_DETACHED, of_schema=self._schema):
            self._drop(
                Removal(row.name, None, row.row_count or 0, 0, row.bytes, row.first_issued_at, row.last_issued_at), None
            )

    def forget(self, of_schema: str, of_table: str) -> None:
        """Keep from now on what there is."""
        if not self._dry_run:
            with one_transaction(self._connection):
                self._execute(_FORGET, of_schema=of_schema, of_table=of_table)

    def partitions_until(self, keep: str) -> Iterator[Removal]:
        """Remove the closed partitions that are older as a whole, but for what is held."""
        until = self.until(keep)
        self._remember("", "", keep)
        for each in self.removable(until):
            removal = self.removal_of(each)
            if removal is None:
                continue
            if not self._dry_run:
                self.remove(each, removal, keep)
            yield removal

    def removable(self, until: dt.datetime) -> Iterator[Partition]:
        """Yield the closed partitions that are older as a whole and that no consumer of a stream still has to read."""
        needed = self._needed()
        for each in partitions(self._scope, self._connection):
            if each.is_open or each.last_issued_at is None or each.last_issued_at >= until or each.rows is None:
                continue
            if not self._execute(_IS_NEEDED, name=each.name, needed=needed).scalar_one():
                yield each

    def removal_of(self, partition: Partition) -> Removal | None:
        """Return what would go with a partition; None if all that it has is held."""
        assert partition.rows is not None
        assert partition.last_issued_at is not None
        is_held = has_holds(self._connection, self._schema)
        held = self._execute(_COUNT_HELD, name=partition.name).scalar_one() if is_held else 0
        if held and held == partition.rows:
            return None
        return Removal(
            partition.name,
            None,
            partition.rows - held,
            held,
            partition.bytes,
            partition.first_issued_at,
            partition.last_issued_at,
        )

    def remove(self, partition: Partition, removal: Removal, keep: str | None) -> None:
        """Remove a partition, but for what is held in it.

        :raises MaintenanceError: if it is not as it was archived.
        """
        if removal.held:
            self._keep_held(partition, removal, keep)
        else:
            self._detach(partition)
            self.done("detached", partition.name)
            self._drop(removal, keep)
        self.done("dropped", partition.name)

    def done(self, step: str, partition: str) -> None:
        """Tell whoever asked for it that a step is done."""
        if self._progress is not None:
            self._progress(step, partition)

    def table_until(self, schema: str, table: str, keep: str) -> Iterator[Removal]:
        """Remove the activities of one table that are older, but for those that are held."""
        until = self.until(keep)
        of_table = {"of_schema": schema, "of_table": table}
        needed = self._needed()
        rows, since = 0, None
        for each in partitions(self._scope, self._connection):
            if each.first_issued_at is None or each.first_issued_at >= until:
                continue
            found = self._execute(_COUNT_OF_TABLE, name=each.name, until=until, needed=needed, **of_table).one()
            since = min(filter(None, (since, found.since)), default=None)
            if found.rows and not self._dry_run:
                # Before the first batch: readers must not take what is left for all.
                with one_transaction(self._connection):
                    self._execute(_KNOWN_SINCE, known_since=until, **of_table)
                with self._without_new_deltas(schema, table):
                    which = {"until": until, "needed": needed, **of_table}
                    rows += self._delete(each, which, Removal(None, f"{schema}.{table}", 0, 0, 0, since, until), keep)
            else:
                rows += found.rows
        self._remember(**of_table, keep=keep)
        if rows:
            yield Removal(None, f"{schema}.{table}", rows, 0, 0, since, until)

    def delete_transactions(self) -> None:
        """Delete the transactions of which no activity is left, a batch at a time."""
        held = set(self._execute(_HELD_PARTITIONS).scalars())
        # Of the partitions whose activities are all there, the index tells where their transactions begin.
        whole = [each for each in partitions(self._scope, self._connection) if each.name not in held]
        whole_from = next((each.from_id for each in whole), None)
        if whole_from is None:
            return  # nothing was ever removed
        bounds = self._execute(_TRANSACTION_BOUNDS, whole_from=whole_from).one()
        if bounds.first is None or bounds.until is None:
            return
        for first in range(bounds.first, bounds.until, BATCH):
            with one_transaction(self._connection):
                values = {"first": first, "until": min(first + BATCH, bounds.until), "whole_from": whole_from}
                self._execute(_DELETE_TRANSACTIONS, **values)

    def snapshot(self, schemas: Mapping[Table, str]) -> None:
        """Record the rows that have no activity any more, where some were removed since that was done last."""
        for table, schema in schemas.items():
            wants = self._execute(_WANTS_SNAPSHOT, of_schema=schema, of_table=table.name).scalar()
            if wants and table.primary_key.columns:
                relation = literal(qualified(table.name, schema))
                self._run(f"CALL {self._named('audit_logger_snapshot')}({relation}, {_PAGES})")

    def _delete(self, partition: Partition, which: dict[str, Any], of_table: Removal, keep: str) -> int:
        total: int = 0
        is_first = True
        while True:
            with one_transaction(self._connection):
                # A batch finds its rows by the index of the table's name.
                self._run("SET LOCAL enable_seqscan = off")
                if is_first:
                    self._execute(_COMPLETE_OF_TABLE, name=partition.name, **which)
                    is_first = False
                gone = self._execute(_DELETE_OF_TABLE, name=partition.name, batch=BATCH, **which).one()
                if gone.rows:
                    self._execute(_DELETE_LEFT_OVER, ids=list(gone.transactions))
                    self._execute(_LOSE_ROWS, rows=gone.rows, partition=partition.name)
                    sealed = self._execute(_NOTE_SEALED, ids=list(gone.ids)).scalar_one()
                    # With each batch: what is missing without a word was removed by somebody else.
                    self._record(replace(of_table, rows=gone.rows), keep, int(sealed))
            total += int(gone.rows)
            if gone.rows < BATCH:
                return total

    @contextmanager
    def _without_new_deltas(self, schema: str, table: str) -> Iterator[None]:
        """Have updates of a table recorded whole for the length of a block: what a delta would rest on may go.

        Deltas of transactions in progress cannot be seen, so the block begins when they are over. Nobody waits for it.
        """
        lock = {"lock": f"audit_logger_delta {schema}.{table}"}
        try:
            self._execute(_SET_PATIENCE, patience=f"{self._patience:.3f}s")
            self._execute(_LOCK_DELTAS, **lock)
        except DBAPIError as error:
            if sqlstate(error.orig) != LOCK_NOT_AVAILABLE:
                raise
            raise MaintenanceError(
                f"Some transaction that changed {schema}.{table} was in progress for {self._patience:g} seconds. Of "
                "this table nothing was removed; try again when no long transaction is writing."
            ) from error
        finally:
            self._execute(_SET_PATIENCE, patience="0")
        try:
            yield
        finally:
            self._execute(_UNLOCK_DELTAS, **lock)

    def _detach(self, partition: Partition) -> None:
        """Take a partition out of the trail. Nobody waits for it; it waits for transactions that may be reading."""
        # Before it goes: readers must not take what is left for all.
        with one_transaction(self._connection):
            self._execute(_KNOWN_SINCE, of_schema="", of_table="", known_since=partition.last_issued_at)
        self._run(f"ALTER TABLE {self._named('activity')} DETACH PARTITION {self._named(partition.name)} CONCURRENTLY")

    def _drop(self, removal: Removal, keep: str | None) -> None:
        with one_transaction(self._connection):
            self._run(f"LOCK TABLE {self._named(removal.partition)} IN ACCESS EXCLUSIVE MODE")
            is_as_archived = self._is_as_archived(removal.partition)
            if is_as_archived:
                self._run(f"DROP TABLE {self._named(removal.partition)}")
                self._execute(_REMOVED, partition=removal.partition)
                self._execute(_KNOWN_SINCE, of_schema="", of_table="", known_since=removal.until)
                self._record(removal, keep)
            else:
                bounds = self._execute(_BOUNDS, partition=removal.partition).one()
                self.put_back(removal.partition, bounds.from_id, bounds.end_id)
                self._execute(_NOT_ARCHIVED, partition=removal.partition)
        if not is_as_archived:
            raise _changed(removal.partition)

    def _is_as_archived(self, name: str | None) -> bool:
        """Return whether a partition is what the archive has of it; also if it is not archived."""
        wanted = self._execute(_CHECKSUM, partition=name).scalar()
        if wanted is None:
            return True
        assert name is not None
        return bool(wanted == checksum_of_partition(self._connection, self._schema, name))

    def put_back(self, name: str | None, from_id: int | None, end_id: int | None) -> None:
        """Make a table a partition of the trail, within a transaction."""
        assert name is not None
        self._alter(*attachment(self._schema, name, from_id, end_id))

    def _keep_held(self, partition: Partition, removal: Removal, keep: str | None) -> None:
        """Put what is held in the place of the partition."""
        old, new = self._named(partition.name), self._named(f"{partition.name}_held")
        activity = self._named("activity")
        with one_transaction(self._connection):
            # Nobody may rewrite what is being copied.
            self._run(f"LOCK TABLE {old} IN SHARE ROW EXCLUSIVE MODE")
            if not self._is_as_archived(partition.name):
                raise _changed(partition.name)
            self._run(f"CREATE TABLE {new} (LIKE {activity} INCLUDING DEFAULTS)")
            self._execute(_COPY_HELD, name=partition.name, target=f"{partition.name}_held")
            self._alter(
                f"ALTER TABLE {activity} DETACH PARTITION {old}",
                f"DROP TABLE {old}",
                f"ALTER TABLE {new} RENAME TO {qualified(partition.name, None)}",
                *attachment(self._schema, partition.name, partition.from_id, partition.end_id),
            )
            self._execute(_SHRUNK, rows=removal.held, partition=partition.name)
            self._execute(_KNOWN_SINCE, of_schema="", of_table="", known_since=removal.until)
            self._record(removal, keep)

    def _alter(self, *statements: str) -> None:
        alter(self._connection, self._schema, self._patience, *statements)

    def _record(self, removal: Removal, keep: str | None, sealed: int | None = None) -> None:
        self._execute(
            _RECORD,
            operation=self._operation,
            keep=keep,
            table=removal.table,
            partition=removal.partition,
            rows=removal.rows,
            held=removal.held,
            since=removal.since,
            until=removal.until,
            sealed=sealed,
        )

    def _remember(self, of_schema: str, of_table: str, keep: str) -> None:
        if not self._dry_run:
            with one_transaction(self._connection):
                self._execute(_REMEMBER, of_schema=of_schema, of_table=of_table, keep=keep)

    def _needed(self) -> int:
        """Return the id from which on a consumer of a stream still has to read."""
        oldest = oldest_needed(self._connection, self._schema)
        return LAST_ID if oldest is None else oldest

    def until(self, keep: str) -> dt.datetime:
        """Return the time before which things are older than a period."""
        until: dt.datetime = self._execute(_UNTIL, keep=keep).scalar_one()
        return until

    def _named(self, name: str | None) -> str:
        assert name is not None
        return qualified(name, self._schema)

    def _run(self, sql: str) -> None:
        ddl.execute(self._connection, [sql])

    def _execute(self, template: str, *, name: str | None = None, target: str | None = None, **values: Any) -> Any:
        names = {"schema": self._schema}
        if name is not None:
            names["name"] = name
        if target is not None:
            names["target"] = target
        return self._connection.execute(statement(template, **names), values)
