"""The trail and its archive as one.

Of what is asked for, the archive's part is loaded into temporary tables, and temporary views put it together with what
is in the database. So all queries of :mod:`audit_core.reading` answer from both, word for word, from another schema.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, ScalarResult, Select, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, joinedload, undefer

from .. import reading, seals
from ..connections import sqlstate
from ..errors import ConfigurationError, HistoryError
from ..installation.ddl import require_postgresql
from ..lifecycle.owner import statement
from ..models import AuditLogActivity, AuditLogTransaction, map_models
from ..reading.activities import actor_id_text, transaction_id
from ..reading.audited_table import AuditedTable
from ..reading.entities import Entity
from ..reading.instants import past
from ..scope import Scope
from ..settings import fixed_search_path
from .extra import imported
from .loading import Loader

if TYPE_CHECKING:
    from .catalog import Archive
    from .scanning import Wanted

# The schema of what belongs to the session.
_TEMPORARY = "pg_temp"
_ACTIVITY, _TRANSACTION = "audit_logger_archived_activity", "audit_logger_archived_transaction"
#: The number of activities in memory at once.
BATCH = 500
# Verbs of activities that are of a table as a whole, and that say something of its rows.
_OF_TABLES = ("truncate", "bypass")
_READ_ONLY = "25006"
_INSUFFICIENT_PRIVILEGE = "42501"

# What went to the archive is known. Of a partition that was shortened otherwise, the time up to which it was.
_LOST = "SELECT max(p.{0}) FROM {{schema}}.activity_partition AS p WHERE p.archived_at IS NULL AND {1}"
_IS_GONE = "(p.removed_at IS NOT NULL OR p.held_count IS NOT NULL)"
_KNOWN_SINCE = _LOST.format("last_issued_at", _IS_GONE)
_REMOVED_AT = _LOST.format("removed_at", _IS_GONE)
_ACTIVITY_COLUMNS = (
    "id, transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, row_key, old_row_key,"
    " old_data, changed_data, masked, delta_depth, erased"
)
_TRANSACTION_COLUMNS = (
    "id, native_transaction_id, issued_at, actor_id, client_addr, meta, db_user, application_name, erased"
)
_OVERLAY = (
    # What is estimated for a view of so many parts makes it compile a query that takes milliseconds.
    "SET LOCAL jit = off",
    f"CREATE TEMPORARY TABLE {_ACTIVITY} (LIKE {{schema}}.activity INCLUDING INDEXES) ON COMMIT DROP",
    f"CREATE TEMPORARY TABLE {_TRANSACTION} (LIKE {{schema}}.transaction INCLUDING INDEXES) ON COMMIT DROP",
    f"CREATE TEMPORARY VIEW activity AS SELECT {_ACTIVITY_COLUMNS} FROM {{schema}}.activity"
    f" UNION ALL SELECT {_ACTIVITY_COLUMNS} FROM pg_temp.{_ACTIVITY}",
    f"CREATE TEMPORARY VIEW transaction AS SELECT {_TRANSACTION_COLUMNS} FROM {{schema}}.transaction"
    f" UNION ALL SELECT {_TRANSACTION_COLUMNS} FROM pg_temp.{_TRANSACTION}",
    "CREATE TEMPORARY VIEW activity_open AS SELECT * FROM {schema}.activity_open",
    "CREATE TEMPORARY VIEW activity_coverage AS SELECT * FROM {schema}.activity_coverage",
    "CREATE TEMPORARY VIEW activity_partition AS SELECT name, from_id, end_id, first_issued_at, last_issued_at,"
    " row_count, table_names, first_transaction_id, last_transaction_id, archived_at,"
    " CASE WHEN archived_at IS NULL THEN removed_at END AS removed_at FROM {schema}.activity_partition",
    "CREATE TEMPORARY VIEW activity_retention AS SELECT r.schema, r.table_name, r.snapshot_at,"
    f" CASE WHEN r.table_name = '' THEN ({_KNOWN_SINCE}) ELSE r.known_since END AS known_since,"
    f" CASE WHEN r.table_name = '' THEN ({_REMOVED_AT}) ELSE r.removed_at END AS removed_at"
    " FROM {schema}.activity_retention AS r",
)
_ARCHIVED = (
    "SELECT p.name, p.from_id, p.end_id, p.first_issued_at, p.last_issued_at, p.first_transaction_id,"
    " p.last_transaction_id FROM {schema}.activity_partition AS p WHERE p.archived_at IS NOT NULL"
    " AND (p.removed_at IS NOT NULL OR p.held_count IS NOT NULL OR NOT EXISTS ("
    "SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
    " JOIN pg_class AS parent ON parent.oid = i.inhparent JOIN pg_namespace AS n ON n.oid = parent.relnamespace "
    "WHERE parent.relname = 'activity' AND n.nspname = :of_schema AND NOT i.inhdetachpending"
    " AND CAST(c.relname AS text) = p.name)) ORDER BY p.end_id DESC"
)
_FORGET = f"TRUNCATE pg_temp.{_ACTIVITY}, pg_temp.{_TRANSACTION}"
_ANALYZE = f"ANALYZE pg_temp.{_ACTIVITY}, pg_temp.{_TRANSACTION}"
_LACKED = (
    f"SELECT DISTINCT a.transaction_id FROM pg_temp.{_ACTIVITY} AS a "
    "WHERE NOT EXISTS (SELECT FROM pg_temp.transaction AS t WHERE t.id = a.transaction_id)"
)

_INCOMPLETE = (
    f"SELECT DISTINCT a.table_name, a.row_key FROM pg_temp.{_ACTIVITY} AS a WHERE a.delta_depth >"
    " (SELECT count(*) FROM pg_temp.activity AS e WHERE e.table_name = a.table_name AND e.row_key = a.row_key"
    " AND e.schema = a.schema AND e.id < a.id"
    " AND e.verb IN ('insert', 'update', 'delete', 'snapshot')) ORDER BY a.table_name, a.row_key"
)


class _Part(NamedTuple):
    """Ids of the timeline, without the last one, which are in the database or in the archive."""

    from_id: int | None
    end_id: int | None
    archived: Any | None


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    """Undo all at the end of the block, such as what was created."""
    transaction = connection.begin()
    try:
        yield
    finally:
        transaction.rollback()


class Timeline:
    """The trail and its archive as one, within a ``with`` block; :meth:`audit_core.AuditLog.archived` makes it.

    What it returns can be used after the block, but for what is loaded by need, such as ``activity.transaction.actor``.
    """

    def __init__(self, scope: Scope, engine: Engine, catalog: Any) -> None:
        if not isinstance(engine, Engine):
            raise ConfigurationError(
                f"{engine!r} is not an Engine. The archive is read over a connection of its own: give the engine, and "
                "of an AsyncEngine its sync_engine, within run_sync()."
            )
        self._live = scope
        self._engine = engine
        self._catalog = catalog
        self._closing = ExitStack()
        self._is_open = False
        self._result: ScalarResult[Any] | None = None
        activity_cls, transaction_cls = map_models(schema=_TEMPORARY, info=dict(scope.metadata.info), actor=scope.actor)
        self._scope = Scope(scope.metadata, _TEMPORARY, scope.models, scope.actor, activity_cls, transaction_cls)
        activity_cls.reader = reading.ModelReader(self._scope)

    def __enter__(self) -> Timeline:
        self._scanning = imported("scanning")
        require_postgresql(self._engine.dialect)
        with ExitStack() as stack:
            self._archive: Archive = stack.enter_context(
                imported("catalog").opened_archive(self._live, self._engine, self._catalog)
            )
            opened = stack.enter_context(self._engine.connect())
            connection = opened.execution_options(isolation_level="REPEATABLE READ")
            stack.enter_context(_rolled_back(connection))
            self._connection: Connection = connection
            self._make_overlay()
            self._session = stack.enter_context(Session(connection, autoflush=False))
            self._closing = stack.pop_all()
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        self._closing.close()

    @property
    def session(self) -> Session:
        """The session to which what is returned belongs, for what is loaded by need."""
        return self._session

    @property
    def activity_cls(self) -> type[AuditLogActivity]:
        """The ORM model of the activities of both."""
        return self._scope.activity_cls

    @property
    def transaction_cls(self) -> type[AuditLogTransaction]:
        """The ORM model of the transactions of both."""
        return self._scope.transaction_cls

    def history(self, target: Any, *key: Any, limit: int | None = None) -> list[AuditLogActivity]:
        """Return the activities of one record, newest first; see :meth:`audit_core.AuditLog.history`.

        :param limit: at most so many.
        :raises HistoryError: if the model is not audited, or the key cannot be one of its keys.
        """
        query = reading.history(self._scope, target, *key).limit(limit)
        given = key[0] if key else target
        entity = Entity.find(self._scope, target if key else type(target))
        self._load_record(entity, given if key else entity.audited.key_of(target), with_table=False)
        return list(self._session.scalars(self._with_transaction(query)))

    def activities(
        self, *, limit: int | None = None, oldest_first: bool = False, **filters: Any
    ) -> Iterator[AuditLogActivity]:
        """Yield activities, newest first, chosen as by :meth:`audit_core.AuditLog.activities`.

        The archive is read when it is their turn, a partition at a time.

        :param limit: at most so many.
        :param oldest_first: the other way round.
        :raises HistoryError: if something asked for cannot be in the trail.
        """
        count = 0
        for query in self.queries(oldest_first=oldest_first, **filters):
            chosen = query if limit is None else query.limit(limit - count)
            chosen = self._with_transaction(chosen).execution_options(yield_per=BATCH)
            with self._session.scalars(chosen) as self._result:
                for activity in self._result:
                    count += 1
                    yield activity
            if count == limit:
                return

    def queries(self, *, oldest_first: bool = False, **filters: Any) -> Iterator[Select[Any]]:
        """Yield queries for activities, one after the other, each to be run before the next one is asked for.

        Their ids descend, or ascend, from query to query and within each.
        """
        if (transaction := filters.get("transaction")) is not None:
            found = transaction.id if isinstance(transaction, AuditLogTransaction) else transaction
            filters["transaction"] = transaction_id(self._scope, found)
        activity = self._scope.activity_cls
        base = reading.activities(self._scope, **filters)
        if oldest_first:
            base = base.order_by(None).order_by(activity.id)
        parts = self._parts()
        for part in reversed(parts) if oldest_first else parts:
            if part.archived is not None and not self._concerns(part.archived, filters):
                continue
            self._forget()
            query = self._within(base, part)
            if part.archived is not None:
                self._load_choice(part, filters)
            yield query

    def get_as_of(self, model: Any, key: Any, when: dt.datetime) -> Any:
        """Load one row as it was at an instant; see :meth:`audit_core.AuditLog.get_as_of`.

        :raises HistoryError: as there.
        """
        self._load_record(Entity.find(self._scope, model), key, with_table=True, until=past(when))
        return reading.get_as_of(self._scope, self._session, model, key, when)

    def diff(self, model: Any, key: Any, a: dt.datetime, b: dt.datetime) -> reading.Diff:
        """Compare a row at two instants; see :meth:`audit_core.AuditLog.diff`.

        :raises HistoryError: as there.
        """
        self._load_record(Entity.find(self._scope, model), key, with_table=True)
        return reading.diff(self._scope, self._session, model, key, a, b)

    def subject(
        self, model: Any, key: Any, *, actor: Any = None
    ) -> Iterator[tuple[Literal["record", "related", "actor"], AuditLogActivity]]:
        """Yield all that both have of a person, a partition after the other; see :meth:`audit_core.AuditLog.subject`.

        :raises HistoryError: as there.
        """
        entity = Entity.find(self._scope, model)
        person = seals.Subject.find(self._scope, model, key, actor)
        self._load_record(entity, key, with_table=False)
        tables = {each for part in entity.parts for each in reading.referencing_tables(part)}
        names = {name for each in tables for name in self._names_of(each)}
        numbers = set() if person.actor is None else self._transactions_of(person.actor)
        # Which it joins, so that what is loaded for one partition alone can be taken back.
        self._session.connection()
        seen: set[int] = set()
        for part in reversed(self._parts()):
            with self._connection.begin_nested() as loaded:
                if part.archived is not None:
                    assert part.end_id is not None
                    ids = [(part.from_id, part.end_id)]
                    for wanted in ({"tables": names}, {"transactions": numbers}):
                        self._load(self._scanning.Wanted(ids=ids, **wanted))
                    self._load_what_deltas_rest_on(ids)
                for role, query in person.queries():
                    found = self._with_transaction(self._within(query, part)).execution_options(yield_per=BATCH)
                    with self._session.scalars(found) as self._result:
                        for each in self._result:
                            if each.id not in seen:
                                seen.add(each.id)
                                yield role, each
                loaded.rollback()

    def transactions_of(self, actor: Any) -> Sequence[AuditLogTransaction]:
        """Return all transactions of an actor, oldest first."""
        self._require_open()
        self._forget()
        self._load_transactions(self._transactions_of(actor))
        return self._session.scalars(seals.transactions_of_actor(self._scope, actor)).all()

    def transaction(self, number: int) -> AuditLogTransaction | None:
        """Return a transaction; None if neither has it."""
        self._require_open()
        self._forget()
        found = self._session.get(self._scope.transaction_cls, number)
        if found is None:
            self._load_transactions({number})
            found = self._session.get(self._scope.transaction_cls, number)
        return found

    def activity(self, number: int) -> AuditLogActivity | None:
        """Return an activity; None if neither has it."""
        self._require_open()
        self._forget()
        for each in self._archived():
            if (each.from_id is None or each.from_id <= number) and number < each.end_id:
                self._load(self._scanning.Wanted(ids=[(number, number + 1)]))
                self._load_what_deltas_rest_on([(each.from_id, each.end_id)])
        return self._session.get(self._scope.activity_cls, number, options=self._with_row_before())

    # What is loaded.

    def _make_overlay(self) -> None:
        try:
            with fixed_search_path(self._connection):
                for each in _OVERLAY:
                    self._connection.execute(statement(each, schema=self._live.schema))
        except DBAPIError as error:
            if sqlstate(error.orig) not in (_READ_ONLY, _INSUFFICIENT_PRIVILEGE):
                raise
            raise ConfigurationError(
                "To read the archive together with the trail, temporary tables are needed, which a standby, a "
                "read-only session or this role cannot make. Connect to the primary server, with the right TEMPORARY "
                "on the database."
            ) from error
        self._loader = Loader(self._connection, self._live.schema, _TEMPORARY, _ACTIVITY, _TRANSACTION)

    def _archived(self) -> Sequence[Any]:
        """Return the partitions of which the archive has what the database has no more, newest first."""
        query = statement(_ARCHIVED, schema=self._live.schema)
        with fixed_search_path(self._connection):
            return self._connection.execute(query, {"of_schema": self._live.schema}).all()

    def _parts(self) -> list[_Part]:
        """Cut the timeline, newest first, where it goes from the database to the archive and back."""
        self._require_open()
        parts: list[_Part] = []
        end: int | None = None
        is_first = True
        for each in self._archived():
            if is_first or each.end_id != end:
                parts.append(_Part(each.end_id, end, None))
            parts.append(_Part(each.from_id, each.end_id, each))
            end, is_first = each.from_id, False
        if is_first or end is not None:
            parts.append(_Part(None, end, None))
        return parts

    def _within(self, query: Select[Any], part: _Part) -> Select[Any]:
        activity = self._scope.activity_cls
        if part.from_id is not None:
            query = query.where(activity.id >= part.from_id)
        return query if part.end_id is None else query.where(activity.id < part.end_id)

    def _concerns(self, archived: Any, filters: Mapping[str, Any]) -> bool:
        since, until, number = (filters.get(name) for name in ("since", "until", "transaction"))
        return not (
            (since is not None and archived.last_issued_at < since)
            or (until is not None and archived.first_issued_at > until)
            or (number is not None and not archived.first_transaction_id <= number <= archived.last_transaction_id)
        )

    def _load_choice(self, part: _Part, filters: Mapping[str, Any]) -> None:
        assert part.end_id is not None
        verb, table, column = filters.get("verb"), filters.get("table"), filters.get("column")
        numbers: Collection[int] | None = None
        if (number := filters.get("transaction")) is not None:
            numbers = [number]
        elif (actor := filters.get("actor", reading.ANY)) is not reading.ANY and actor is not None:
            numbers = self._transactions_of(actor)
        if table is None and column is not None and not isinstance(column, str):
            table = getattr(column, "class_", None) or getattr(column, "table", None)
        tables = None if table is None else self._names_of(table)
        end_id = part.end_id
        if (after := filters.get("after")) is not None:
            end_id = min(end_id, after if isinstance(after, int) else after.id)
        self._load(
            self._scanning.Wanted(
                ids=[(part.from_id, end_id)],
                tables=tables,
                verbs=None if verb is None else [verb] if isinstance(verb, str) else list(verb),
                since=filters.get("since"),
                until=filters.get("until"),
                transactions=numbers,
            )
        )
        self._load_what_deltas_rest_on([(part.from_id, part.end_id)])

    def _load_what_deltas_rest_on(self, ids: Sequence[tuple[int | None, int]]) -> None:
        """Load of a partition what completes the deltas that are loaded; it is all there."""
        with fixed_search_path(self._connection):
            lacking = self._connection.execute(statement(_INCOMPLETE)).all()
        for table, of_table in groupby(lacking, key=lambda row: row.table_name):
            keys = [row.row_key for row in of_table]
            for start in range(0, len(keys), BATCH):
                wanted = self._scanning.Wanted(ids=ids, tables=[table], keys=keys[start : start + BATCH])
                self._load(wanted, with_transactions=False)

    def _load_record(self, entity: Entity, key: Any, *, with_table: bool, until: dt.datetime | None = None) -> None:
        """Load all that the archive has of a record, under whatever key, and what became of its table as a whole."""
        self._require_open()
        self._forget()
        ids = [(each.from_id, each.end_id) for each in self._archived()]
        for part in entity.parts:
            row_key = self._connection.scalar(select(part.row_key(entity.key_of(part, key))))
            names = self._names(part)
            known: set[str] = set()
            following = {str(row_key)}
            while following:
                known |= following
                if ids:
                    self._load(self._scanning.Wanted(ids=ids, tables=names, keys=following), with_transactions=False)
                activity = part.activities
                moved = select(activity.c.row_key, activity.c.old_row_key).where(
                    activity.c.old_row_key.is_not(None),
                    activity.c.row_key.in_(following) | activity.c.old_row_key.in_(following),
                )
                following = {each for row in self._connection.execute(moved) for each in row if each} - known
            if with_table and ids:
                wanted = self._scanning.Wanted(ids=ids, tables=names, without_key=True, verbs=_OF_TABLES, until=until)
                self._load(wanted, with_transactions=False)
        self._load_lacking_transactions()

    def _load(self, wanted: Wanted, *, with_transactions: bool = True) -> None:
        with fixed_search_path(self._connection):
            for rows in self._scanning.activities(self._archive, wanted):
                # What is loaded already is in the view, as is what is held.
                self._loader.activities(rows, _TEMPORARY)
        if with_transactions:
            self._load_lacking_transactions()

    def _load_lacking_transactions(self) -> None:
        with fixed_search_path(self._connection):
            lacking = set(self._connection.execute(statement(_LACKED)).scalars())
        if lacking:
            self._load_transactions(lacking)
        with fixed_search_path(self._connection):
            self._connection.execute(statement(_ANALYZE))

    def _load_transactions(self, numbers: Collection[int]) -> None:
        with fixed_search_path(self._connection):
            for rows in self._scanning.transactions(self._archive, numbers):
                self._loader.transactions([row for row in rows if row[0] in numbers], _TEMPORARY)

    def _transactions_of(self, actor: Any) -> set[int]:
        written = self._connection.scalar(select(actor_id_text(self._scope, actor)))
        return set(self._scanning.transactions_of(self._archive, str(written)))

    def _names_of(self, table: Any) -> set[str]:
        """Return the names under which activities of a model, Table or name may be recorded."""
        if isinstance(table, str):
            found = self._scope.metadata.tables.get(table)
            if found is None:
                return {table.rpartition(".")[2]}
            table = found
        return {name for part in Entity.find(self._scope, table).parts for name in self._names(part)}

    def _names(self, audited: AuditedTable) -> list[str]:
        return list(self._connection.scalars(audited.possible_names))

    def _forget(self) -> None:
        """Empty the temporary tables, and end what is still being read from them."""
        if self._result is not None:
            self._result.close()
            self._result = None
        with fixed_search_path(self._connection):
            self._connection.execute(statement(_FORGET))

    def _with_transaction(self, query: Select[Any]) -> Select[Any]:
        # What deltas rest on may be forgotten when somebody asks for the row before.
        return query.options(joinedload(self._scope.activity_cls.transaction), *self._with_row_before())

    def _with_row_before(self) -> list[Any]:
        return [undefer(self._scope.activity_cls.completed_old_data)]

    def _require_open(self) -> None:
        if not self._is_open:
            raise HistoryError("The archive is read within a block: with audit_log.archived(engine) as trail: ...")
