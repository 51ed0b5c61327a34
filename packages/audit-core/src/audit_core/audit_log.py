"""AuditLog ties the rest together."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Dialect, Engine, MetaData, Select, Table, Text, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapper, registry
from sqlalchemy.types import TypeEngine

from . import catalog, checking, ddl, listeners, proof, reading, tracking, undo
from .checking import Problem
from .compare import Step, compare
from .connections import AsyncTarget, Target, connection_of
from .context import (
    NOTHING_SAID,
    UNSET,
    Context,
    Settings,
    actor_id_text,
    client_addr_text,
    current_context,
    meta_text,
)
from .disabling import Disabled
from .errors import ConfigurationError, ProtectionWarning
from .models import AuditLogActivity, AuditLogTransaction, map_models
from .objects import TABLE_NAMES, TableTriggers, Trail
from .proof import Finding
from .quoting import qualified
from .reading import AsOf, Diff, Dimension
from .settings import fixed_search_path
from .undo import UndoPlan

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

#: Whom to ask for the actor, the client address and meta data.
Resolvers: TypeAlias = tuple[
    "Callable[[], Any] | None",
    "Callable[[], str | None] | None",
    "Callable[[], Mapping[str, Any] | None] | None",
]

_T = TypeVar("_T")

# Where a MetaData keeps the AuditLog that records its tables.
_METADATA_KEY = "audit_logger"


class AuditLog:
    """Record every change of the marked tables of a declarative base.

    Mark a table with ``{"info": {"versioned": {}}}`` in its ``__table_args__``; tables declared later count
    too. Call :meth:`attach` with each engine whose writes should name an actor.

    :param base: the declarative base; a registry or a MetaData will do.
    :param metadata: the MetaData of the tables, where it is not that of ``base``.
    :param schema: where the tables ``activity`` and ``transaction`` live; ``public`` if None.
    :param actor_cls: the model of those who make changes, by class or name; None for no relationship, which
        makes ``actor_id`` a text.
    :param get_actor_id: returns the actor's primary key, or None.
    :param get_client_addr: returns the client's IP address as text, or None.
    :param get_meta: returns what else to store in ``transaction.meta``, as a dict that JSON can hold, or None.
    :raises ConfigurationError: if the MetaData has an AuditLog already, or a table with a name of the trail.
    """

    def __init__(
        self,
        base: type[DeclarativeBase] | registry | MetaData | Any,
        *,
        metadata: MetaData | None = None,
        schema: str | None = None,
        actor_cls: type[Any] | str | None = None,
        get_actor_id: Callable[[], Any] | None = None,
        get_client_addr: Callable[[], str | None] | None = None,
        get_meta: Callable[[], Mapping[str, Any] | None] | None = None,
    ) -> None:
        if metadata is None:
            metadata = base if isinstance(base, MetaData) else base.metadata
        self.metadata: MetaData = metadata
        self.schema = schema or "public"
        self._registry: registry | None = base if isinstance(base, registry) else getattr(base, "registry", None)
        self._actor_cls = actor_cls
        self._get_actor_id = get_actor_id
        self._get_client_addr = get_client_addr
        self._get_meta = get_meta
        if _METADATA_KEY in self.metadata.info:
            raise ConfigurationError(
                f"{self.metadata!r} has an AuditLog already. Use that one, or give the tables a MetaData of their own."
            )
        self._check_names()
        activity_cls, transaction_cls = map_models(
            schema=self.schema,
            info=dict(self.metadata.info),
            find_actor_id_type=self.actor_id_type,
            find_actor_cls=None if actor_cls is None else lambda: self._found_actor_cls,
        )
        #: The ORM model of the table ``activity``.
        self.activity_cls: type[AuditLogActivity] = activity_cls
        activity_cls.audit_log = self
        #: The ORM model of the table ``transaction``.
        self.transaction_cls: type[AuditLogTransaction] = transaction_cls
        self.metadata.info[_METADATA_KEY] = self

    def attach(self, engine: Engine | AsyncEngine) -> None:
        """Send actor, client address and meta data with the writes of an engine and its copies.

        Without it every change is recorded all the same, with no actor.

        :raises ConfigurationError: if another AuditLog is attached to the engine.
        :raises UnsupportedDatabaseError: if its database is not PostgreSQL 14 or later.
        """
        ddl.require_postgresql(engine.dialect)
        listeners.attach(engine, self._settings)

    def detach(self, engine: Engine | AsyncEngine) -> None:
        """Undo :meth:`attach`."""
        listeners.detach(engine, self._settings)

    def install(self, connection: Target) -> None:
        """Create what is missing and change what differs: tables, functions and triggers.

        For applications without Alembic; call it after ``create_all()`` and commit. Doing it again does nothing.
        A :class:`ProtectionWarning` says so if others may create functions in the schema of the trail.

        :param connection: a Connection or a Session.
        :raises ConfigurationError: if a setting or a marked table cannot be used.
        :raises UnsupportedDatabaseError: if the database is not PostgreSQL 14 or later.
        """
        connection = self._connection(connection)
        with fixed_search_path(connection):
            installed = catalog.read(connection, self.schema)
        steps = self.steps(installed)
        if message := installed.version_problem or self.actor_id_type_problem(connection):
            raise ConfigurationError(message)
        for step in steps:
            ddl.execute(connection, step.statements())
        for message in checking.creators(connection, self.schema):
            warnings.warn(ProtectionWarning(message), stacklevel=2)

    def uninstall(self, connection: Target, *, drop_trail: bool = False) -> None:
        """Stop recording: drop the triggers and the functions.

        :param connection: a Connection or a Session.
        :param drop_trail: drop the tables too, with all that was recorded.
        """
        connection = self._connection(connection)
        with fixed_search_path(connection):
            installed = catalog.read(connection, self.schema)
        for found in installed.triggers.values():
            if found.audit_schema == self.schema:
                ddl.execute(connection, found.triggers.drop())
        trail = installed.trail.trail
        if installed.trail.tables and drop_trail:
            ddl.execute(connection, trail.drop())
        else:
            # What was recorded stays protected.
            ddl.execute(connection, trail.drop_functions(keep=["audit_logger_protect"]))

    def disable(self, target: Target | AsyncTarget, reason: str | None = None) -> Disabled:
        """Do not record the changes within the block: ``with audit_log.disable(session): ...``.

        That there were some is recorded: each statement leaves one activity ``bypass``, with operation, number of
        rows and reason.

        It holds for the transaction in progress on that session or connection, and for no other: a commit
        inside ends it. Pending changes of a session are flushed at both ends of the block. With one
        that is asynchronous, use ``async with``.

        :param target: a session, a ``scoped_session`` or a connection, asynchronous or not.
        :param reason: why, kept in the trail.
        :raises ConfigurationError: if the engine is not attached.
        """
        return Disabled(target, self.bind_arguments(), reason)

    def check(self, connection: Target) -> list[Problem]:
        """List every table that is not recorded, and everything that is not protected, as it should be.

        :param connection: a Connection or a Session.
        :raises ConfigurationError: if a setting or a marked table cannot be used.
        """
        return checking.check(self, self._connection(connection))

    def send_context(self, connection: Target) -> None:
        """Send the context now, for writes that SQLAlchemy does not see, such as COPY on the driver's cursor.

        :param connection: a Connection or a Session.
        :raises ConfigurationError: if the engine is not attached.
        """
        listeners.send_context(connection_of(connection, self.bind_arguments()))

    def history(self, target: Any, *key: Any, related: bool = False) -> Select[Any]:
        """Select the activities of one record, newest first: ``history(obj)`` or ``history(Model, key)``.

        It goes on under the primary key that the record had before, and under the name that its table had
        before. An earlier record with the same key is part of it.

        :param key: the primary key; a tuple for a composite one.
        :param related: with the activities of the rows that referenced it, by a foreign key of the MetaData.
        :raises HistoryError: if the model is not recorded, or the key is none of its keys.
        """
        return reading.history(self, target, *key, related=related)

    def activities(
        self,
        *,
        actor: Any = reading.ANY,
        table: Any = None,
        verb: str | Sequence[str] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        column: Any = None,
        transaction: Any = None,
        meta: Mapping[str, Any] | None = None,
        after: AuditLogActivity | int | None = None,
    ) -> Select[Any]:
        """Select activities, newest first.

        :param actor: of this actor, an object or its primary key; None for those of nobody.
        :param table: of this model, Table, or name of a table.
        :param verb: of this kind, or of one of these.
        :param since: at this instant or later.
        :param until: at this instant or earlier.
        :param column: that gave this column a value: ``Model.name``, a Column, or a name.
        :param transaction: of this transaction, an object or its id.
        :param meta: whose ``transaction.meta`` contains this.
        :param after: that come after this one, the last one of the page before.
        :raises HistoryError: if something asked for cannot be in the trail.
        """
        return reading.activities(
            self,
            actor=actor,
            table=table,
            verb=verb,
            since=since,
            until=until,
            column=column,
            transaction=transaction,
            meta=meta,
            after=after,
        )

    def as_of(self, model: Any, when: dt.datetime) -> AsOf:
        """Select the rows of a model, or of a Table, as they were at an instant.

        Filter it and join it with others as a table: ``rows.c.name``. ``select(rows.objects)`` gives objects
        of the model that belong to no session. Where the trail cannot tell all, ``rows.c.audit_notes`` and
        :func:`audit_core.notes` say so. The database refuses a time before the history of the table begins.

        Changes count from when they were made, also those that were committed later.

        :raises HistoryError: if the model is not recorded, or the time has no time zone or is in the future.
        """
        return reading.as_of(self, model, when)

    def get_as_of(self, session: Target, model: type[_T], key: Any, when: dt.datetime) -> _T | None:
        """Load one row as it was at an instant, as an object that belongs to no session; None if it was gone.

        :param model: a model; of a Table you get a mapping.
        :param key: the primary key that the row had then; a tuple for a composite one.
        :raises HistoryError: if the history of the row begins later, and as in :meth:`as_of`.
        """
        found: _T | None = reading.get_as_of(self, session, model, key, when)
        return found

    def diff(self, session: Target, model: Any, key: Any, a: dt.datetime, b: dt.datetime) -> Diff:
        """Compare a row at two instants: ``{column: (then, later)}`` of the columns that differ.

        :raises HistoryError: as in :meth:`get_as_of`.
        """
        return reading.diff(self, session, model, key, a, b)

    def coverage(self, table: Any = None) -> Select[Any]:
        """Select when recording of the tables began, changed and ended, newest first.

        ``event`` is ``begin``, ``change``, ``end``, or ``gap`` where the triggers were found altered or missing:
        something may be missing from ``since`` on. ``arguments`` are the options, and ``row_count`` says how many rows
        there were.

        :param table: of this model, Table or name of a table.
        :raises HistoryError: if the table is not recorded.
        """
        return reading.coverage(self, table)

    def stats(
        self,
        by: Dimension | Sequence[Dimension] = "table",
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Select[Any]:
        """Select how many ``rows`` and ``bytes`` of activities there are, by table, actor or day, or several of these.

        Days are those of UTC. Bytes are those of the values as they are stored, without row headers and indexes.

        :raises HistoryError: if something asked for cannot be in the trail.
        """
        return reading.stats(self, by, since, until)

    def verify(
        self, connection: Target, tables: Iterable[Any] | None = None, since: dt.datetime | None = None
    ) -> Iterator[Finding]:
        """Yield where the trail contradicts itself, or the tables: what was changed without being recorded.

        Every activity of a record begins where the one before ended, and the last one is the row of today. If one of
        the findings ``is_failure``, something happened that the trail does not tell.

        It reads one snapshot, and the connection is in use until the last finding. Outside of a transaction it begins
        one that is REPEATABLE READ and READ ONLY, and rolls it back at the end.

        :param connection: a Connection or a Session.
        :param tables: models, Tables or names; all that are recorded if None.
        :param since: leave out what activities before this instant contradict; today's rows are compared all the same.
        :raises HistoryError: if the connection is in a transaction that sees what is written meanwhile, or a table
            cannot be read as a whole.
        """
        return proof.verify(self, connection, tables, since)

    def plan_undo(self, session: Target, what: Any) -> UndoPlan:
        """Find out what it takes to take changes back, row by row, and what stands against it.

        It is tried and rolled back, so the rows are locked for a moment. ``plan.apply()`` does it.

        :param what: a transaction of the trail, its id, an activity, or several.
        :raises HistoryError: if there is no such transaction, or it has been undone.
        :raises ConfigurationError: if the engine is not attached.
        """
        return undo.plan_undo(self, session, what)

    def restore(self, session: Target, model: Any, key: Any, when: dt.datetime) -> AuditLogTransaction | None:
        """Make a row what it was at an instant, and return the transaction of the trail that did it.

        A row that was deleted comes back, with the rows that referenced it and went in the same transaction.
        Columns that the trail does not know stay as they are. Commit is left to the caller.

        :raises HistoryError: if the row was not there at that time, and as in :meth:`get_as_of`.
        :raises UndoConflictError: if something stands against it; nothing is changed then.
        """
        return undo.restore(self, session, model, key, when)

    def steps(
        self, installed: catalog.Installed, dropped: frozenset[tuple[str | None, str]] = frozenset()
    ) -> list[Step]:
        """List what has to be done to a database, in order.

        :param dropped: schema and name of tables that are about to be dropped.
        :raises ConfigurationError: if a setting or a marked table cannot be used.
        """
        self._check_names()
        known = {(table.schema, table.name) for table in self.metadata.tables.values()} | dropped
        return compare(self.trail(), self.triggers(), sorted(known, key=str), installed)

    def trail(self) -> Trail:
        """Describe the tables and functions that this AuditLog wants."""
        return Trail(self.schema, self._actor_id_sql_type())

    def triggers(self) -> list[TableTriggers]:
        """Describe the triggers that the marked tables want.

        :raises ConfigurationError: if the options of a table cannot be used.
        """
        return [
            TableTriggers(
                table.name,
                table.schema,
                self.schema,
                versioned,
                tracking.is_partitioned(table),
                tuple(column.name for column in table.primary_key.columns),
            )
            for table, versioned in tracking.tracked_tables(self.metadata)
        ]

    def actor_id_type(self) -> TypeEngine[Any]:
        """Return the type of ``actor_id``: that of the actor's primary key, or text.

        :raises ConfigurationError: if the actor's class is not there or has a composite key.
        """
        return Text() if self._actor_cls is None else self._actor_key.type

    def actor_id_type_problem(self, connection: Connection) -> str | None:
        """Say what is wrong if ``actor_id`` has another type than the actor's primary key."""
        wanted = self.trail()
        found = catalog.other_actor_id_type(connection, wanted)
        if found is None:
            return None
        return (
            f"transaction.actor_id in schema {self.schema!r} is {found}, and the actor's primary key is "
            f"{wanted.actor_id_type}. Change the type of the column with a migration of your own: "
            f"ALTER TABLE {qualified('transaction', self.schema)} ALTER COLUMN actor_id TYPE {wanted.actor_id_type}."
        )

    def bind_arguments(self) -> dict[str, Any]:
        """Tell a session with several engines which of them the tables of this trail are on."""
        for mapper in self.mappers():
            if isinstance(mapper.local_table, Table) and mapper.local_table.metadata is self.metadata:
                return {"mapper": mapper}
        for table in self.metadata.tables.values():
            if tracking.is_tracked(table):
                return {"clause": table}
        return {}

    def _connection(self, target: Target) -> Connection:
        """Return the connection that installs or checks the trail."""
        connection = connection_of(target, self.bind_arguments())
        ddl.require_postgresql(connection.dialect)
        return connection

    def mappers(self) -> frozenset[Mapper[Any]]:
        """Return the mappers of the application's models, if it has any."""
        return self._registry.mappers if self._registry is not None else frozenset()

    def _actor_id_sql_type(self) -> str:
        dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        return self.actor_id_type().compile(dialect=dialect).lower()

    @cached_property
    def _actor_key(self) -> Any:
        mapper = inspect(self._found_actor_cls)
        if len(mapper.primary_key) != 1:
            columns = ", ".join(repr(column.name) for column in mapper.primary_key)
            raise ConfigurationError(
                f"actor_cls {mapper.class_.__name__!r} has a composite primary key ({columns}), and actor_id is one "
                "column. Use a model with a single key column, or actor_cls=None."
            )
        return mapper.primary_key[0]

    @cached_property
    def _found_actor_cls(self) -> type[Any]:
        if not isinstance(self._actor_cls, str):
            if self._actor_cls is None or inspect(self._actor_cls, raiseerr=False) is None:
                raise ConfigurationError(f"actor_cls is {self._actor_cls!r}, which is not a mapped class.")
            return self._actor_cls
        classes = [mapper.class_ for mapper in self.mappers() if mapper.class_.__name__ == self._actor_cls]
        if len(classes) != 1:
            found = "no model of that name" if not classes else "several models of that name"
            raise ConfigurationError(
                f"actor_cls is {self._actor_cls!r} and there is {found}. Give the model that makes changes, as "
                "actor_cls=MyUser, or actor_cls=None to keep actor ids as text."
            )
        (actor_cls,) = classes
        return actor_cls

    def _check_names(self) -> None:
        tracking.refuse_name_clash(self.metadata, self.schema, TABLE_NAMES)

    def _resolvers(self, dialect: Dialect) -> Resolvers:
        """Return whom to ask for the actor, the client address and meta data, on the engine of a dialect."""
        return self._get_actor_id, self._get_client_addr, self._get_meta

    def _settings(self, dialect: Dialect) -> Settings:
        """Ask the context and then the resolvers for who, from where and why."""
        resolvers = self._resolvers(dialect)
        context = current_context()
        if any(resolvers):
            return self._written(resolvers, context, dialect)
        if context is NOTHING_SAID:
            return Settings()
        settings = context.settings.get(dialect)
        if settings is None:
            settings = context.settings[dialect] = self._written(resolvers, context, dialect)
        return settings

    def _written(self, resolvers: Resolvers, context: Context, dialect: Dialect) -> Settings:
        get_actor_id, get_client_addr, get_meta = resolvers
        actor_id = context.actor_id
        if actor_id is UNSET:
            actor_id = get_actor_id and get_actor_id()
        client_addr = context.client_addr
        if client_addr is UNSET:
            client_addr = get_client_addr and get_client_addr()
        meta = {**((get_meta and get_meta()) or {}), **context.meta}
        return Settings(
            "" if actor_id is None else actor_id_text(actor_id, self.actor_id_type(), dialect),
            "" if client_addr is None else client_addr_text(client_addr),
            meta_text(meta) if meta else "",
        )


def find_audit_log(metadata: MetaData) -> AuditLog | None:
    """Return the AuditLog that records the tables of a MetaData, if one has been made."""
    found: AuditLog | None = metadata.info.get(_METADATA_KEY)
    return found
