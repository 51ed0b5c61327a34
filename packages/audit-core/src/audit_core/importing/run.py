"""An import: in batches into a table of its own, which becomes a partition of the trail when all of it is there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError

from ..errors import ConfigurationError, MaintenanceError
from ..lifecycle.attaching import alter, attachment
from ..lifecycle.owner import WhoIsAtWork, actor_id_type, one_transaction, owner_connection, statement, try_lock
from ..quoting import literal, qualified
from ..settings import fixed_search_path, recorded_settings
from .disorder import refuse_disorder
from .outcome import Imported, Skipped
from .rows import Rows
from .source import COLUMNS, Source, in_text

#: Called after each batch with how many changes were read and how many there are.
Progress = Callable[[int, int], None]

#: So many changes are read in one transaction.
_BATCH = 50_000
# Under names that Alembic does not see, like those of partitions.
_ROWS, _TRANSACTIONS = "activity_pending", "activity_pending_transaction"
_COMMENT = "audit trail: an import that is not finished "

_PROBLEM = (
    "CASE WHEN r.table_name IS NULL THEN 'no table is named' WHEN r.issued_at IS NULL THEN 'there is no time'"
    " WHEN r.verb IS NULL OR r.verb NOT IN ('insert', 'update', 'delete', 'snapshot')"
    " THEN concat('the verb is ', coalesce(quote_literal(r.verb), 'missing'))"
    " WHEN jsonb_typeof(r.old_data) <> 'object' OR jsonb_typeof(r.changed_data) <> 'object'"
    " THEN 'what is recorded is not a row'"
    " WHEN r.verb = 'update' AND r.changed_data = jsonb '{{}}' THEN 'nothing was changed' END"
)
_SURVEY = (
    "SELECT s.schema, s.table_name, s.relid, s.problem, count(*) AS rows, min(s.position) AS first,"
    " max(s.position) AS last, count(*) - count(s.actor_id) AS without_actor "
    f"FROM (SELECT r.*, {_PROBLEM} AS problem FROM ({{rows}}) AS r) AS s"
    " GROUP BY s.schema, s.table_name, s.relid, s.problem ORDER BY s.schema, s.table_name, s.problem"
)
_TABLES = (
    "SELECT n.nspname AS schema, c.relname AS table_name, CAST(c.oid AS bigint) AS relid,"
    " {schema}.audit_logger_key_columns(c.oid) AS key_columns,"
    " ARRAY(SELECT CAST(a.attname AS text) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0"
    " AND NOT a.attisdropped AND a.atttypid = CAST('pg_catalog.timestamptz' AS regtype)) AS zoned "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
)
_BEGINS = (
    "SELECT least(0, (SELECT min(p.from_id) FROM {schema}.activity_partition AS p)) AS activity,"
    " least(0, (SELECT min(t.id) FROM {schema}.transaction AS t)) AS transaction"
)
_NAMES = (
    "SELECT p.name FROM {schema}.activity_partition AS p UNION SELECT CAST(c.relname AS text) FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = :of_schema"
)
_IS_IMPORTED = (
    "SELECT a.issued_at FROM {schema}.activity AS a WHERE a.table_name = 'activity' AND a.verb = 'maintenance'"
    " AND a.changed_data ->> 'operation' = 'import' AND a.changed_data ->> 'source' = :source"
    " AND a.changed_data ->> 'schema' = :of_schema LIMIT 1"
)
_PENDING = "SELECT obj_description(to_regclass(CAST(:pending AS text)), 'pg_class')"
_CREATE_ROWS = "CREATE TABLE {{schema}}.{{name}} ({})".format(
    ", ".join(f"{name} {type_}{' PRIMARY KEY' if name == 'position' else ''}" for name, type_ in COLUMNS.items())
)
_CREATE_TRANSACTIONS = (
    "CREATE TABLE {schema}.{name} AS SELECT row_number() OVER (ORDER BY min(r.position)) - count(*) OVER () - 1"
    " + CAST(:begins AS bigint) AS id, r.transaction_key AS key, min(r.begun_at) AS begun_at,"
    " coalesce(min(r.native_transaction_id), 0) AS native_transaction_id, min(r.actor_id) AS actor_id,"
    " min(r.client_addr) AS client_addr, CAST(min(CAST(r.meta AS text)) AS jsonb) AS meta "
    f"FROM ({{rows}}) AS r WHERE {_PROBLEM} IS NULL GROUP BY r.transaction_key"
)
# It gets its indexes when it becomes a partition, which is faster than row by row.
_CREATE_PARTITION = "CREATE TABLE {schema}.{name} (LIKE {schema}.activity INCLUDING DEFAULTS)"
_LAST = "SELECT max(a.id) + CAST(:shift AS bigint) FROM {schema}.{name} AS a"
_NEXT = (
    "SELECT max(b.position) FROM (SELECT r.position FROM ({rows}) AS r WHERE r.position > CAST(:after AS bigint)"
    " ORDER BY r.position LIMIT :batch) AS b"
)
# Other trails write a time in the zone of whoever wrote it; ours in UTC, so that equal times are equal texts.
_IN_UTC = (
    "{0} || coalesce((SELECT jsonb_object_agg(z.name, to_jsonb(CAST({0} ->> z.name AS timestamptz)))"
    " FROM unnest(t.zoned) AS z (name) WHERE {0} ->> z.name NOT LIKE '%+00\\:00'"
    " AND {0} ->> z.name ~ '^\\d{{{{4,6}}}}-\\d\\d-\\d\\dT\\d\\d\\:\\d\\d\\:\\d\\d(\\.\\d+)?[+-]\\d\\d(\\:\\d\\d)*$'),"
    " jsonb '{{{{}}}}')"
)
# As the triggers write it, without a call for a short key of one column.
_KEY = (
    "CASE WHEN cardinality(k.key_columns) = 1 AND octet_length({0} ->> k.key_columns[1]) <= 1000"
    " THEN {0} ->> k.key_columns[1]"
    " WHEN {0} ?& k.key_columns THEN {{schema}}.audit_logger_row_key({0}, k.key_columns) END"
)
_INSERT = (
    "INSERT INTO {schema}.{name} (id, transaction_id, issued_at, native_transaction_id, relid, schema, table_name,"
    " verb, row_key, old_row_key, old_data, changed_data) "
    "SELECT w.position - CAST(:shift AS bigint), w.transaction_id, w.issued_at, coalesce(w.native_transaction_id, 0),"
    " CAST(w.to_relid AS oid), w.to_schema, w.to_table, w.verb, w.row_key,"
    " CASE WHEN w.verb = 'update' THEN nullif(w.key_before, w.row_key) END, w.old_data, w.changed_data "
    f"FROM (SELECT k.*, s.id AS transaction_id, {_KEY.format('k.data')} AS row_key,"
    f" {_KEY.format('k.old_data')} AS key_before "
    "FROM (SELECT c.*, c.old_data || c.changed_data AS data FROM ("
    "SELECT r.position, r.transaction_key, r.issued_at, r.native_transaction_id, r.verb, t.to_schema, t.to_table,"
    f" t.to_relid, t.key_columns, {_IN_UTC.format('r.old_data')} AS old_data,"
    f" {_IN_UTC.format('r.changed_data')} AS changed_data"
    " FROM ({rows}) AS r JOIN jsonb_to_recordset(CAST(:tables AS jsonb)) AS t (of_schema text, of_table text,"
    " of_relid bigint, to_schema text, to_table text, to_relid bigint, key_columns text[],"
    " zoned text[])"
    " ON t.of_table = r.table_name AND t.of_schema IS NOT DISTINCT FROM r.schema"
    " AND t.of_relid IS NOT DISTINCT FROM r.relid"
    f" WHERE r.position > CAST(:after AS bigint) AND r.position <= CAST(:until AS bigint) AND {_PROBLEM} IS NULL"
    ") AS c) AS k"
    " JOIN {schema}.{pending} AS s ON s.key = k.transaction_key) AS w"
)
_INSERT_TRANSACTIONS = (
    "INSERT INTO {{schema}}.transaction (id, native_transaction_id, issued_at, actor_id, client_addr, meta, db_user,"
    " application_name) OVERRIDING SYSTEM VALUE "
    "SELECT s.id, s.native_transaction_id, s.begun_at, CAST(s.actor_id AS {actor_id_type}),"
    " CAST(s.client_addr AS inet), CASE WHEN jsonb_typeof(s.meta) = 'object' THEN s.meta"
    " WHEN s.meta IS NULL THEN jsonb '{{{{}}}}' ELSE jsonb_build_object('meta', s.meta) END"
    " || jsonb_build_object('imported_from', CAST(:source AS text)), '', '' FROM {{schema}}.{{name}} AS s ORDER BY s.id"
)
_WHOLE = (
    "SELECT count(*) AS activities, min(a.issued_at) AS since, max(a.issued_at) AS until,"
    " min(a.transaction_id) AS first_transaction, max(a.transaction_id) AS last_transaction,"
    " array_agg(DISTINCT a.table_name) AS names FROM {schema}.{name} AS a"
)
_WITHOUT_KEY = (
    "SELECT a.schema, a.table_name, count(*) AS rows FROM {schema}.{name} AS a WHERE a.row_key IS NULL"
    " GROUP BY a.schema, a.table_name ORDER BY a.schema, a.table_name"
)
_REGISTER = (
    "INSERT INTO {schema}.activity_partition (name, from_id, end_id, first_issued_at, last_issued_at, row_count,"
    " table_names, first_transaction_id, last_transaction_id) VALUES (:partition, :from_id, :end_id, :since, :until,"
    " :activities, CAST(:names AS text[]), :first_transaction, :last_transaction)"
)
_RECORD = (
    "SELECT {schema}.audit_logger_record_maintenance(pg_catalog.jsonb_build_object("
    "'operation', 'import', 'source', CAST(:source AS text), 'schema', CAST(:of_schema AS text),"
    " 'partition', CAST(:partition AS text), 'rows', CAST(:activities AS bigint),"
    " 'transactions', CAST(:transactions AS bigint), 'skipped', CAST(:skipped AS bigint),"
    " 'since', CAST(:since AS timestamptz), 'until', CAST(:until AS timestamptz)))"
)


@dataclass(frozen=True)
class Renamed:
    """What the database does not tell of the tables of the other trail."""

    #: New names by old ones.
    names: Mapping[str, str]
    #: The columns of the primary keys, by the names of tables.
    keys: Mapping[str, list[str]]


def import_trail(
    schema: str,
    engine: Engine,
    who: WhoIsAtWork,
    source: Source,
    renamed: Renamed,
    progress: Progress | None,
    patience: dt.timedelta,
) -> Imported:
    """Import another trail in batches that commit; see :meth:`audit_core.AuditLog.import_trail`."""
    with owner_connection(engine, who) as connection:
        if not try_lock(connection, f"audit_logger_import {schema}"):
            raise MaintenanceError("Another session is importing: two cannot do that at once.")
        transaction = partial(one_transaction, connection)
        with _unusable_data(source):
            return _Run(schema, connection, source, renamed, transaction, progress, patience).run()


def import_within(schema: str, connection: Connection, source: Source, renamed: Renamed) -> Imported:
    """Import another trail in the transaction of the caller, all or nothing."""
    with fixed_search_path(connection):
        before = connection.exec_driver_sql("SELECT current_setting('audit_logger.maintenance', true)").scalar()
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        run = _Run(schema, connection, source, renamed, nullcontext, None, dt.timedelta(minutes=1))
        done = run.run()
        connection.execute(
            statement("SELECT set_config('audit_logger.maintenance', :before, true)"), {"before": before or ""}
        )
        return done


@contextmanager
def _unusable_data(source: Source) -> Iterator[None]:
    """Say which trail it is that has a value that PostgreSQL does not take for the type of its column."""
    try:
        yield
    except DataError as error:
        message = str(error.orig).splitlines()[0]
        raise ConfigurationError(
            f"{source.name} holds a value that PostgreSQL does not accept: {message}. Nothing was imported."
        ) from error


@dataclass(frozen=True)
class _Target:
    """Where the changes go: a partition that is not part of the trail yet."""

    source: str
    partition: str
    from_id: int
    #: Ids end before this one.
    end_id: int
    #: What an id is less than the position of the change in the other trail.
    shift: int


class _Run:
    """One import, or what is left to do of it."""

    def __init__(
        self,
        schema: str,
        connection: Connection,
        source: Source,
        renamed: Renamed,
        transaction: Callable[[], AbstractContextManager[None]],
        progress: Progress | None,
        patience: dt.timedelta,
    ) -> None:
        self._schema = schema
        self._connection = connection
        self._source = source
        self._renamed = renamed
        self._transaction = transaction
        self._progress = progress or (lambda done, total: None)
        self._patience = patience
        self._rows = source.rows(in_text(qualified(_ROWS, schema)))

    def run(self) -> Imported:
        """Import what is not imported yet."""
        with self._transaction():
            target = self._pending()
            self._source.require(self._connection)
            if target is None:
                self._refuse_twice()
                self._read()
            found = self._execute(_SURVEY).all()
            if target is None:
                target = self._begin(found)
        if target is not None:
            self._fill(target, found)
        with self._transaction():
            return self._finish(target, found)

    def _pending(self) -> _Target | None:
        """Return what an import that was interrupted has begun."""
        pending = qualified(_TRANSACTIONS, self._schema)
        comment: str | None = self._connection.scalar(statement(_PENDING), {"pending": pending})
        if comment is None:
            return None
        target = _Target(**json.loads(comment.removeprefix(_COMMENT)))
        if target.source != self._identity:
            raise MaintenanceError(
                f"The import of {target.source} is not finished. Run it again, or give it up: {self._end_of(target)}"
            )
        return target

    def _end_of(self, target: _Target) -> str:
        """Return the statement that removes what an import has begun."""
        left = ", ".join(qualified(name, self._schema) for name in (_ROWS, _TRANSACTIONS, target.partition))
        return f"DROP TABLE IF EXISTS {left}"

    @property
    def _identity(self) -> str:
        return f"{self._source.name} in schema {self._source.schema}"

    def _refuse_twice(self) -> None:
        done = self._execute(_IS_IMPORTED, source=self._source.name, of_schema=self._source.schema).scalar()
        if done is not None:
            others = " If these are others, give them another source." if isinstance(self._source, Rows) else ""
            raise ConfigurationError(
                f"{self._identity} was imported already, at {done.isoformat()}: its changes would be there twice."
                f"{others}"
            )

    def _read(self) -> None:
        """Bring the rows into the database, or into their order."""
        self._execute(_CREATE_ROWS, name=_ROWS)
        self._run_sql(f"REVOKE ALL ON {qualified(_ROWS, self._schema)} FROM PUBLIC")
        self._run_sql(f"COMMENT ON TABLE {qualified(_ROWS, self._schema)} IS '{_COMMENT}'")
        self._source.prepare(self._connection, in_text(qualified(_ROWS, self._schema)))
        self._run_sql(f"ANALYZE {qualified(_ROWS, self._schema)}")

    def _begin(self, found: list[Any]) -> _Target | None:
        """Create what the import needs; None if there is nothing to import."""
        usable = [each for each in found if each.problem is None]
        if not usable:
            return None
        first, last = min(each.first for each in usable), max(each.last for each in usable)
        begins = self._execute(_BEGINS).one()
        shift = last + 1 - begins.activity
        taken = set(self._execute(_NAMES, of_schema=self._schema).scalars())
        partition = next(name for number in count(1) if (name := f"activity_p{number:04}") not in taken)
        target = _Target(self._identity, partition, first - shift, begins.activity, shift)
        self._execute(_CREATE_PARTITION, name=partition)
        self._execute(_CREATE_TRANSACTIONS, begins=begins.transaction)
        for name in (partition, _TRANSACTIONS):
            comment = literal(_COMMENT + json.dumps(target.__dict__))
            self._run_sql(f"COMMENT ON TABLE {qualified(name, self._schema)} IS {comment}")
            self._run_sql(f"REVOKE ALL ON {qualified(name, self._schema)} FROM PUBLIC")
        self._run_sql(f"CREATE INDEX ON {qualified(_TRANSACTIONS, self._schema)} (key)")
        self._run_sql(f"ANALYZE {qualified(_TRANSACTIONS, self._schema)}")
        return target

    def _fill(self, target: _Target, found: list[Any]) -> None:
        """Insert batch by batch what the partition does not have yet."""
        first = min(each.first for each in found if each.problem is None)
        last = max(each.last for each in found if each.problem is None)
        tables = json.dumps(self._tables(found))
        after = self._execute(_LAST, name=target.partition, shift=target.shift).scalar() or first - 1
        total = sum(each.rows for each in found)
        while after < last:
            with self._transaction(), recorded_settings(self._connection):
                until = self._execute(_NEXT, after=after, batch=_BATCH).scalar_one()
                values = {"after": after, "until": until, "shift": target.shift, "tables": tables}
                self._execute(_INSERT, name=target.partition, **values)
            after = until
            self._progress(min(total, after - first + 1), total)

    def _tables(self, found: list[Any]) -> list[dict[str, Any]]:
        """Say which table of today each one is that the other trail names."""
        present = {(row.schema, row.table_name): row for row in self._execute(_TABLES)}
        by_number = {row.relid: row for row in present.values()}
        said = []
        for schema, name, relid in {(row.schema, row.table_name, row.relid) for row in found if row.problem is None}:
            to_schema, to_name = schema, self._renamed.names.get(name, name)
            # An oid that a column of integers holds may be negative. A table that was renamed is known by it.
            now = present.get((to_schema, to_name)) or by_number.get((relid or 0) % 2**32)
            keys = self._renamed.keys.get(to_name) or (list(now.key_columns) if now is not None else [])
            said.append(
                {
                    "of_schema": schema,
                    "of_table": name,
                    "of_relid": relid,
                    "to_schema": to_schema,
                    "to_table": to_name,
                    "to_relid": 0 if now is None else now.relid,
                    "key_columns": keys or None,
                    "zoned": [] if now is None else list(now.zoned),
                }
            )
        return said

    def _finish(self, target: _Target | None, found: list[Any]) -> Imported:
        """Make what was read a part of the trail, all at once."""
        skipped = tuple(
            Skipped(_table_name(row), row.problem, row.rows, row.first) for row in found if row.problem is not None
        )
        if target is None:
            self._run_sql(f"DROP TABLE {qualified(_ROWS, self._schema)}")
            return Imported(self._source.name, None, 0, 0, None, None, skipped, (), 0)
        own = qualified(target.partition, self._schema)
        transactions = self._insert_transactions()
        self._run_sql(f"ANALYZE {own}")
        whole = self._execute(_WHOLE, name=target.partition).one()._mapping
        of_import = (target.partition, whole["names"], self._identity, self._end_of(target))
        refuse_disorder(self._connection, self._schema, *of_import)
        without_key = self._execute(_WITHOUT_KEY, name=target.partition).all()
        attaching = attachment(self._schema, target.partition, target.from_id, target.end_id)
        alter(self._connection, self._schema, self._patience.total_seconds(), *attaching)
        what: dict[str, Any] = {"partition": target.partition, "from_id": target.from_id, "end_id": target.end_id}
        self._execute(_REGISTER, **what, **whole)
        self._execute(
            _RECORD,
            source=self._source.name,
            of_schema=self._source.schema,
            partition=target.partition,
            transactions=transactions,
            skipped=sum(each.rows for each in skipped),
            **{name: whole[name] for name in ("activities", "since", "until")},
        )
        for name in (_ROWS, _TRANSACTIONS):
            self._run_sql(f"DROP TABLE {qualified(name, self._schema)}")
        return Imported(
            source=self._source.name,
            partition=target.partition,
            activities=whole["activities"],
            transactions=transactions,
            since=whole["since"],
            until=whole["until"],
            skipped=skipped,
            without_key=tuple((f"{row.schema}.{row.table_name}", row.rows) for row in without_key),
            without_actor=sum(row.without_actor for row in found if row.problem is None),
        )

    def _insert_transactions(self) -> int:
        """Insert who made the changes."""
        type_ = actor_id_type(self._connection, self._schema)
        template = _INSERT_TRANSACTIONS.format(actor_id_type=in_text(type_))
        try:
            inserted = self._execute(template, source=self._source.name)
        except DataError as error:
            raise ConfigurationError(
                f"An actor or a client address of {self._identity} does not fit into {self._schema}.transaction, whose "
                f"actor_id is {type_}: {str(error.orig).splitlines()[0]}. Nothing was imported."
            ) from error
        return int(inserted.rowcount)

    def _run_sql(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def _execute(self, template: str, *, name: str = _TRANSACTIONS, **values: Any) -> Any:
        """Run a statement of this module with the name of a table and the query of the other trail."""
        sql = template.replace("{rows}", self._rows.replace("{", "{{").replace("}", "}}"))
        return self._connection.execute(statement(sql, schema=self._schema, name=name, pending=_TRANSACTIONS), values)


def _table_name(row: Any) -> str | None:
    return None if row.table_name is None else f"{row.schema}.{row.table_name}"
