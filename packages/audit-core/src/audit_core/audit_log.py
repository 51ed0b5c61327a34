"""AuditLog ties the rest together."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from sqlalchemy import Connection, Dialect, Engine, MetaData, Select, Table
from sqlalchemy.orm import DeclarativeBase, registry

from . import importing, lifecycle, proof, reading, seals, undo
from .actor import ActorClass
from .archive import Archived, Timeline
from .archive.extra import imported
from .audited import refuse_name_clash
from .capture import forgotten, listeners
from .capture.disabling import Disabled
from .capture.resolving import Resolvers, SettingsSource
from .connections import AsyncTarget, Target, connection_of
from .errors import ConfigurationError, ProtectionWarning
from .events import declared_events, record_event
from .importing import Imported
from .importing.rows import Rows
from .installation import catalog, checking, ddl
from .installation.checking import Problem
from .installation.compare import InitTriggers, RemoveTriggers
from .installation.objects import TABLE_NAMES
from .installation.wanted import actor_id_type_problem, differences
from .lifecycle import Hold, Partition, Removal, stream_cursor
from .lifecycle.stream import Stream
from .lifecycle.stream_cursor import StreamState
from .models import AuditLogActivity, AuditLogTransaction, map_models
from .proof import Finding
from .reading import AsOf, Diff, Dimension
from .scope import Scope
from .seals import Digest, Erasure, SealFinding
from .seals.canonical import Seal
from .selecting import selects_activities
from .settings import fixed_search_path
from .undo import UndoPlan

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_T = TypeVar("_T")

# Where a MetaData keeps the AuditLog that records its tables.
_METADATA_KEY = "audit_logger"


class AuditLog:
    """Record every change of the audited tables of a declarative base.

    A table is audited if it has ``{"info": {"versioned": {}}}`` in its ``__table_args__``, even if it is
    declared later. Call :meth:`attach` with each engine whose writes should name an actor.

    :param base: the declarative base, or a registry or MetaData.
    :param metadata: the MetaData of the tables, where it is not that of ``base``.
    :param schema: where the tables ``activity`` and ``transaction`` live; ``public`` if None.
    :param actor_cls: the model of those who make changes, by class or name; None for no relationship, which
        makes ``actor_id`` a text.
    :param get_actor_id: returns the actor's primary key, or None.
    :param get_client_addr: returns the client's IP address as text, or None.
    :param get_meta: returns what else to store in ``transaction.meta``, as a dict that JSON can hold, or None.
    :param events: the names of the events that :meth:`record_event` may record; any if None.
    :raises ConfigurationError: if the MetaData has an AuditLog already, or a table with a name of the trail.
    """

    # Whether nobody has to call attach().
    _attaches_by_itself = False

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
        events: Collection[str] | None = None,
    ) -> None:
        if metadata is None:
            metadata = base if isinstance(base, MetaData) else base.metadata
        #: The MetaData of the application's tables.
        self.metadata: MetaData = metadata
        #: The schema of ``activity`` and ``transaction``.
        self.schema: str = schema or "public"
        if _METADATA_KEY in metadata.info:
            raise ConfigurationError(
                f"{metadata!r} has an AuditLog already. Use that one, or give the tables a MetaData of their own."
            )
        refuse_name_clash(metadata, self.schema, TABLE_NAMES)
        models: registry | None = base if isinstance(base, registry) else _registry_of(base)
        actor = ActorClass(actor_cls, models)
        activity_cls, transaction_cls = map_models(schema=self.schema, info=dict(metadata.info), actor=actor)
        #: The ORM model of the table ``activity``.
        self.activity_cls: type[AuditLogActivity] = activity_cls
        #: The ORM model of the table ``transaction``.
        self.transaction_cls: type[AuditLogTransaction] = transaction_cls
        self._scope = Scope(metadata, self.schema, models, actor, activity_cls, transaction_cls)
        activity_cls.reader = reading.ModelReader(self._scope)
        self._given_resolvers = Resolvers(get_actor_id, get_client_addr, get_meta)
        self._settings = SettingsSource(self._resolvers, actor)
        self._events = declared_events(events)
        metadata.info[_METADATA_KEY] = self
        forgotten.listen()

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
        Warns with a :class:`ProtectionWarning` if others may create functions in the schema of the trail.

        :param connection: a Connection or a Session.
        :raises ConfigurationError: if a setting or an audited table cannot be used.
        :raises UnsupportedDatabaseError: if the database is not PostgreSQL 14 or later.
        """
        connection = self._connection(connection)
        with fixed_search_path(connection):
            installed = catalog.read(connection, self.schema)
        wanted = differences(self._scope, installed)
        if message := installed.version_problem or actor_id_type_problem(self._scope, connection):
            raise ConfigurationError(message)
        for_tables: list[str] = []
        for difference in wanted:
            if isinstance(difference, (InitTriggers, RemoveTriggers)):
                for_tables += difference.statements()
            else:
                ddl.execute(connection, difference.statements())
        ddl.execute_together(connection, for_tables)
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
        found = [each.definition for each in installed.triggers.values() if each.audit_schema == self.schema]
        ddl.execute_together(connection, [sql for triggers in found for sql in triggers.drop()])
        trail = installed.trail.definition
        if installed.trail.tables and drop_trail:
            ddl.execute(connection, trail.drop())
        else:
            # What was recorded stays protected.
            stream_cursor.set_wake_up(connection, self.schema, on=False)
            ddl.execute(connection, trail.drop_functions(keep=["audit_logger_protect"]))

    def disable(self, target: Target | AsyncTarget, reason: str | None = None) -> Disabled:
        """Do not record the changes within the block: ``with audit_log.disable(session): ...``.

        The bypass itself is recorded: each statement leaves one activity ``bypass``, with operation, number of
        rows and reason.

        The block covers the transaction in progress on that session or connection, and no other: a commit
        inside ends it. Pending changes of a session are flushed at both ends of the block. With one
        that is asynchronous, use ``async with``.

        :param target: a session, a ``scoped_session`` or a connection, asynchronous or not.
        :param reason: why, kept in the trail.
        :raises ConfigurationError: if the engine is not attached.
        """
        return Disabled(target, self._scope.bind_arguments(), reason)

    def check(self, connection: Target) -> list[Problem]:
        """List every table that is not audited, and everything that is not protected, as it should be.

        It also says where :meth:`attach` seems to be forgotten, as far as this process can tell: on an engine on which
        something was lost, or beside one with the same database and role that is attached; and if there are resolvers
        and no engine of this process is attached.

        :param connection: a Connection or a Session.
        :raises ConfigurationError: if a setting or an audited table cannot be used.
        """
        connection = self._connection(connection)
        problems = checking.check(self._scope, connection)
        is_asking = any(self._given_resolvers) and not self._attaches_by_itself
        if forgot := forgotten.find_problem(connection.engine, self._settings, is_asking):
            problems.append(Problem(None, forgot))
        return problems

    def send_context(self, connection: Target) -> None:
        """Send the context now, for writes that SQLAlchemy does not see, such as COPY on the driver's cursor.

        :param connection: a Connection or a Session.
        :raises ConfigurationError: if the engine is not attached.
        """
        listeners.send_context(connection_of(connection, self._scope.bind_arguments()))

    @overload
    @selects_activities
    def history(self, target: Table | type[Any], *key: Any, related: bool = False) -> Any: ...

    @overload
    @selects_activities
    def history(self, target: object, *, related: bool = False) -> Any: ...

    @selects_activities
    def history(self, target: Any, *key: Any, related: bool = False) -> Any:
        """Select the activities of one record, newest first: ``history(obj)`` or ``history(Model, key)``.

        It includes what happened under an earlier primary key of the record and under an earlier name of its
        table. An earlier record with the same key is part of it.

        :param key: the primary key; a tuple for a composite one.
        :param related: with the activities of the rows that referenced it, by a foreign key of the MetaData.
        :raises HistoryError: if the model is not audited, or the key cannot be one of its keys.
        """
        return reading.history(self._scope, target, *key, related=related)

    def origins(self, target: Any, *key: Any) -> Select[Any]:
        """Select who gave a record its present values, as rows of the name of a column and an activity.

        ``origins(obj)`` or ``origins(Model, key)``. The activity is the last one that set the column, None where the
        trail does not know it: the row is older than the trail, or the column is not recorded. One that is a
        ``snapshot`` found the value and did not give it. If the record is gone, it is the ``delete`` for all columns.

        :param key: the primary key; a tuple for a composite one.
        :raises HistoryError: if the model is not audited, or the key cannot be one of its keys.
        """
        return reading.origins(self._scope, target, *key)

    @selects_activities
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
    ) -> Any:
        """Select activities, newest first.

        :param actor: of this actor, an object or its primary key; None for those of nobody.
        :param table: of this model, Table, or name of a table.
        :param verb: of this kind, or of one of these.
        :param since: at this instant or later.
        :param until: at this instant or earlier.
        :param column: that set this column: ``Model.name``, a Column, or a name.
        :param transaction: of this transaction, an object or its id.
        :param meta: whose ``transaction.meta`` contains this.
        :param after: that come after this one, the last one of the page before.
        :raises HistoryError: if something asked for cannot be in the trail.
        """
        return reading.activities(
            self._scope,
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

    def as_of(self, model: Any, when: dt.datetime, *, key: Any = reading.ANY, live: bool = False) -> AsOf:
        """Select the rows of a model, or of a Table, as they were at an instant.

        Filter it and join it with others as a table: ``rows.c.name``. ``select(rows.objects)`` gives objects
        of the model that belong to no session. Where the trail does not know everything, ``rows.c.audit_notes`` and
        :func:`audit_core.notes` say so. The database refuses a time before the history of the table begins.

        Changes count from when they were made, even if they were committed later.

        :param key: only the row with this primary key, which an index finds. It also finds rows by a condition such as
            ``rows.c.id == 7``, or ``in_()``, on a key of one column; other conditions are applied to rows that were put
            together.
        :param live: begin from the rows that the table has now, and take back what was recorded since. Of a recent
            instant that takes little longer than to read the table, and rows that were never recorded are there, too:
            they have not changed. It needs SELECT on the table, trusts that all changes since were recorded, and gives
            columns that DDL has changed since as they are now, and the rows of the partitions that the table has now.
            The database refuses it where recording was changed meanwhile or does not tell all, and where a column has
            a type whose values are read otherwise than those of its type in the model. ``audit_activity_id`` is that
            of the next change, None where there was none.
        :raises HistoryError: if the model is not audited, or the time has no time zone or is in the future; with
            ``live`` also if not all changes of the table are recorded.
        """
        return reading.as_of(self._scope, model, when, key, live=live)

    def get_as_of(self, session: Target, model: type[_T], key: Any, when: dt.datetime) -> _T | None:
        """Load one row as it was at an instant, as an object that belongs to no session; None if it was gone.

        :param model: a model; of a Table you get a mapping.
        :param key: the primary key that the row had then; a tuple for a composite one.
        :raises HistoryError: if the history of the row begins later, and as in :meth:`as_of`.
        """
        found: _T | None = reading.get_as_of(self._scope, session, model, key, when)
        return found

    def diff(self, session: Target, model: Any, key: Any, a: dt.datetime, b: dt.datetime) -> Diff:
        """Compare a row at two instants: ``{column: (then, later)}`` of the columns that differ.

        :raises HistoryError: as in :meth:`get_as_of`.
        """
        return reading.diff(self._scope, session, model, key, a, b)

    def coverage(self, table: Any = None) -> Select[Any]:
        """Select when recording of the tables began, changed and ended, newest first.

        ``event`` is ``begin``, ``change``, ``end``, or ``gap`` where the triggers were found altered or missing:
        something may be missing from ``since`` on. ``arguments`` are the options, and ``row_count`` says how many rows
        there were.

        :param table: of this model, Table or name of a table.
        :raises HistoryError: if the table is not audited.
        """
        return reading.coverage(self._scope, table)

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
        return reading.stats(self._scope, by, since, until)

    def verify(
        self, connection: Target, tables: Iterable[Any] | None = None, since: dt.datetime | None = None
    ) -> Iterator[Finding]:
        """Yield where the trail contradicts itself, or the tables: what was changed without being recorded.

        Every activity of a record begins where the one before ended, and the last one is the row of today. If one of
        the findings ``is_failure``, something happened that the trail did not record.

        It reads one snapshot, and the connection is in use until the last finding. Outside of a transaction it begins
        one that is REPEATABLE READ and READ ONLY, and rolls it back at the end.

        :param connection: a Connection or a Session.
        :param tables: models, Tables or names; all that are audited if None.
        :param since: leave out what activities before this instant contradict; today's rows are compared all the same.
        :raises HistoryError: if the connection is in a transaction that sees what is written meanwhile, or a table
            cannot be read as a whole.
        """
        return proof.verify(self._scope, connection, tables, since)

    def seal(
        self,
        engine: Engine,
        *,
        patience: dt.timedelta = dt.timedelta(minutes=1),
        progress: Callable[[Seal], None] | None = None,
    ) -> list[Seal]:
        """Seal what is recorded and not sealed yet, and return the seals that were made; see docs/proof.md.

        Writers do nothing for it, and wait for nothing. It waits for the transactions in progress, so that nothing can
        be recorded any more that comes before what is sealed. It commits, on a connection of its own, which needs the
        rights of the trail's owner.

        :param patience: how long to wait for transactions in progress.
        :param progress: called with each seal.
        :raises MaintenanceError: if that was not long enough, or somebody else is sealing; then nothing was sealed.
        """
        return list(seals.seal(self._scope, engine, self._settings, patience, progress))

    def newest_to_anchor(self, engine: Engine) -> Seal | None:
        """Return the newest seal, if its digest has not been kept elsewhere: keep ``Digest.of(seal).line()``.

        :param engine: the engine of the trail; it needs the rights of its owner.
        """
        return seals.newest_to_anchor(self._scope, engine, self._settings)

    def mark_anchored(self, engine: Engine, seal: Seal, place: str) -> None:
        """Note where the digest of a seal is kept, for those who read the page; it proves nothing.

        :param engine: the engine of the trail; it needs the rights of its owner.
        :param place: such as the name of a file or of a repository.
        """
        seals.mark_anchored(self._scope, engine, self._settings, seal, place)

    def verify_seals(
        self,
        connection: Target,
        digests: Mapping[int, Digest] | None = None,
        *,
        first: int = 1,
        progress: Callable[[Seal], None] | None = None,
        archive: Engine | None = None,
        catalog: Any = None,
    ) -> Iterator[SealFinding]:
        """Yield what is not as it was sealed: activities and transactions that were altered, removed or added.

        Without digests that were kept elsewhere, whoever could write all tables of the trail may have made new seals.
        It reads one snapshot, and the connection is in use until the last finding. Outside of a transaction it begins
        one that is REPEATABLE READ and READ ONLY, and rolls it back at the end.

        :param connection: a Connection or a Session.
        :param digests: those that were kept, by the numbers of their seals; see :func:`audit_core.read_digests`.
        :param first: begin with this seal, such as to go on where it was interrupted.
        :param progress: called with each seal that was verified.
        :param archive: verify what is in the archive only as well, which is found with this engine.
        :param catalog: as in :meth:`archive`.
        """
        given = (self._scope, connection, digests or {}, first, progress)
        if archive is None:
            yield from seals.verify_seals(*given, None)
            return
        opened, sealed = imported("catalog").opened_archive, imported("sealed")
        with opened(self._scope, archive, catalog) as found:
            yield from seals.verify_seals(*given, partial(sealed.rows, found))

    def prove(self, connection: Target, activity: AuditLogActivity | int) -> dict[str, Any]:
        """Return the proof that an activity and its transaction are sealed, to be written as JSON.

        :func:`audit_core.verify_proof` verifies it without the database.

        :param connection: a Connection or a Session.
        :param activity: the activity, or its id.
        :raises HistoryError: if it is not sealed, or not as it was sealed.
        """
        return seals.prove(self._scope, connection, activity if isinstance(activity, int) else activity.id)

    def erase(
        self,
        session: Target,
        model: Any = None,
        key: Any = None,
        *,
        columns: Sequence[Any] = (),
        reason: str,
        where: Any = None,
        actor: Any = None,
        dry_run: bool = False,
    ) -> Erasure:
        """Erase values of a person from the trail, and leave an activity that says what was erased, by whom and why.

        The rows of the application are not touched: change these first. What was erased is null and masked, and the
        history keeps its shape. Seals prove the rest as before, and nobody can test a guess of what is gone. The files
        of the database hold it until :meth:`rewrite`. Commit is left to the caller.

        An archive keeps what it has until :meth:`erase_archived`; ``archived`` of the answer names its partitions.

        :param session: a Session or a Connection, with the rights of the trail's owner.
        :param model: the model or Table whose rows have the values.
        :param key: the primary key of the record; if None, ``where`` chooses among all activities of the table.
        :param columns: attributes of the model, or names of columns; not of the primary key.
        :param reason: why, such as the number of the request.
        :param where: a condition of ``audit_log.activity_cls``, for rows that mention somebody.
        :param actor: also ``client_addr``, ``application_name`` and ``meta`` of the transactions of this actor, given
            as an object or the id.
        :param dry_run: only count.
        :raises HistoryError: if there is no such column, or something of it is held; then nothing is erased.
        """
        return seals.erase(self._scope, session, model, key, columns, reason, where=where, actor=actor, dry_run=dry_run)

    def erase_archived(
        self,
        engine: Engine,
        model: Any = None,
        key: Any = None,
        *,
        columns: Sequence[Any] = (),
        reason: str,
        where: Any = None,
        actor: Any = None,
        dry_run: bool = False,
        catalog: Any = None,
        patience: dt.timedelta = dt.timedelta(minutes=1),
    ) -> Erasure:
        """Erase the same in the archive, once :meth:`erase` is committed.

        Partition by partition, what has something of it comes back, is erased, replaces what the archive had, and goes
        again. Earlier states of the archive, and their files, are deleted. With ``where``, all partitions come back
        that have the table. It commits as it goes. If it is interrupted, call it again; what had come back stays in the
        database until the next :meth:`archive` with ``drop``. Its answer is for :meth:`rewrite`, too.

        :param engine: the engine of the trail; it needs the rights of its owner.
        :param dry_run: only count what the database and the archive have together; not with ``where``.
        :param catalog: as in :meth:`archive`.
        :param patience: how long to try while transactions that are writing hold locks.
        :raises HistoryError: as by :meth:`erase`.
        :raises MaintenanceError: if the archive is not as it was written, or somebody else is at it.
        :raises ConfigurationError: if nothing was archived yet, or the catalog cannot be used.
        """
        chosen = {"where": where, "actor": actor, "dry_run": dry_run, "catalog": catalog, "patience": patience}
        erasing = imported("erasing")
        done: Erasure = erasing.erase_archived(
            self._scope, engine, self._settings, model, key, columns, reason, **chosen
        )
        return done

    def subject(
        self, session: Target, model: Any, key: Any, *, actor: Any = None
    ) -> Iterator[tuple[Literal["record", "related", "actor"], AuditLogActivity]]:
        """Yield all that the trail has of a person, oldest first within each part, and in which part it is.

        ``record`` are the activities of the row with this key, ``related`` those of rows that refer to it, and
        ``actor`` what the person changed; an activity comes once. It answers a request of access, and previews an
        erasure.

        :param session: a Session or a Connection.
        :param model: the model or Table that has the person.
        :param key: its primary key there.
        :param actor: the person as an actor, an object or the id; if None, the key, where the model is ``actor_cls``.
        """
        return seals.subject(self._scope, session, model, key, actor)

    def record_event(
        self, session: Target, name: str, *, target: Any = None, data: Mapping[str, Any] | None = None
    ) -> int:
        """Record what happened and is no change of a row, such as a login or an export, and return the activity's id.

        It is part of the transaction of the session, with its actor. The activity has verb ``event`` and no table of
        the application; ``row_key`` is the name, and ``changed_data`` has ``event``, ``target`` and ``data``. Roles
        other than the owner need EXECUTE of ``audit_logger_record_event(text, jsonb, jsonb)``, and nothing else.

        :param session: a Session or a Connection.
        :param name: what happened, of at most 200 characters; one of ``events`` if these are given.
        :param target: the object that it is about.
        :param data: what else there is to say, as JSON.
        :raises ConfigurationError: if the name is not declared.
        :raises HistoryError: if the target has no primary key.
        """
        return record_event(self._scope, self._events, session, name, target, data)

    def rewrite(self, engine: Engine, erasure: Erasure, *, patience: dt.timedelta = dt.timedelta(minutes=1)) -> None:
        """Rewrite the files that hold what an erasure removed, once it is committed.

        Each partition concerned is locked while it is written anew; :meth:`split` before an erasure keeps writers free
        of it. Backups, WAL and replicas are the administrator's.

        :param patience: how long to wait for the locks.
        :raises MaintenanceError: if that was not long enough.
        """
        seals.rewrite(self._scope, engine, self._settings, erasure, patience.total_seconds())

    def stream(
        self,
        engine: Engine,
        name: str,
        *,
        tables: Iterable[Any] | None = None,
        start: str | dt.datetime = "now",
        batch: int = 1000,
        interval: float = 1.0,
        wake_up: bool = False,
        go_on: bool = False,
    ) -> Stream:
        """Read each committed activity once, in the order of the ids, from where its consumer acknowledged last.

        ``for batch in audit_log.stream(engine, "search"): ...; batch.acknowledge()``. None is missed, also of
        transactions that take long: those that come later wait for them. What was not acknowledged comes again.

        :param name: of the consumer; several read independently of each other.
        :param tables: of these models, Tables or names only.
        :param start: where a consumer begins that is new: ``"now"``, ``"beginning"`` or an instant. What is recorded
            already by transactions still in progress comes before ``"now"``.
        :param batch: at most so many at a time.
        :param interval: seconds between two looks.
        :param wake_up: look as soon as something was committed, where :meth:`wake_streams` is on. On psycopg 3 only.
        :param go_on: go on in a database that was restored from another, where its ids are known to be the same.
        :raises StreamError: if the database is a standby, or was restored since the stream was read.
        :raises HistoryError: if a table is not audited.
        """
        return Stream(
            self._scope,
            engine,
            name,
            tables=tables,
            start=start,
            batch=batch,
            interval=interval,
            wake_up=wake_up,
            go_on=go_on,
        )

    def streams(self, connection: Target) -> list[StreamState]:
        """Return how far the consumers of streams have read, by name.

        :param connection: a Connection or a Session.
        """
        return stream_cursor.states(self._connection(connection), self.schema)

    def remove_stream(self, connection: Target, name: str) -> None:
        """Forget how far a consumer has read; commit it.

        :param connection: a Connection or a Session.
        :raises StreamError: if there is no such stream.
        """
        stream_cursor.Cursor(self.schema, name).remove(self._connection(connection))

    def wake_streams(self, connection: Target, *, on: bool = True) -> None:
        """Let each commit that recorded something wake the streams with ``wake_up=True``, or stop it; commit it.

        Commits that notify wait for each other, which costs writers more than looking costs.

        :param connection: a Connection or a Session, of the owner of the trail.
        """
        stream_cursor.set_wake_up(self._connection(connection), self.schema, on=on)

    def plan_undo(
        self, session: Target, what: Any, *, limit: int | None = None, ignore: Collection[Any] = ()
    ) -> UndoPlan:
        """Plan how to take changes back, row by row, and find what prevents it.

        The undo is tried and rolled back, so the rows are locked for a moment. ``plan.apply()`` performs it.

        :param what: a transaction of the trail, its id, an activity, or several.
        :param limit: the most changes that are taken back; more are refused before a row is loaded or locked.
        :param ignore: columns that are left as they are, and whose later changes prevent nothing, beside those that are
            ``volatile``: as attributes of models, as Columns, or by name, ``"articles.updated_at"`` for one table or
            ``"updated_at"`` for all. Rows that come back have them, too.
        :raises HistoryError: if there is no such transaction, it has been undone, has more changes than the limit, or
            what is to be ignored cannot be.
        :raises ConfigurationError: if the engine is not attached.
        """
        return undo.plan_undo(self._scope, session, what, limit, ignore)

    def restore(self, session: Target, model: Any, key: Any, when: dt.datetime) -> AuditLogTransaction | None:
        """Make a row what it was at an instant, and return the transaction of the trail that did it.

        A row that was deleted comes back, with the rows that referenced it and were deleted in the same transaction.
        Columns that the trail does not know stay as they are. The caller commits.

        :raises HistoryError: if the row was not there at that time, and as in :meth:`get_as_of`.
        :raises UndoConflictError: if something prevents it; nothing is changed then.
        """
        return undo.restore(self._scope, session, model, key, when)

    def partitions(self, connection: Target) -> list[Partition]:
        """List the partitions of ``activity``, oldest first.

        :param connection: a Connection or a Session.
        """
        return lifecycle.partitions(self._scope, self._connection(connection))

    def split(self, engine: Engine, *, at_once: bool = False, patience: dt.timedelta = dt.timedelta(minutes=1)) -> None:
        """Close the partition into which activities are written, and begin another one, without blocking writers.

        It does nothing if the partition holds nothing of an earlier month, or if somebody else is at it. So it can be
        called every night. It commits, on a connection of its own, which needs the rights of the trail's owner.

        :param at_once: close it also if it was begun this month.
        :param patience: how long to try while transactions that are writing hold locks.
        :raises MaintenanceError: if that was not long enough; then everything is as before.
        """
        lifecycle.split(self._scope, engine, self._settings, at_once, patience)

    def retain(
        self,
        engine: Engine,
        keep: str | dt.timedelta | None = None,
        *,
        dry_run: bool = False,
        snapshot: bool = False,
        patience: dt.timedelta = dt.timedelta(minutes=1),
    ) -> list[Removal]:
        """Remove activities that are older than ``keep``, with whole partitions, and return what was removed.

        Only closed partitions that are older as a whole go, see :meth:`split`. Of tables with ``"keep"`` in their
        options, what is older than that goes too, in batches. What is held stays, see :meth:`hold`. Each step leaves an
        activity ``maintenance``. It commits, on a connection of its own, which needs the rights of the trail's owner.

        :param keep: such as ``2y``, ``18mo`` or ``90d``, or a timedelta; ``forever`` ends what was said before. If
            None, only what tables say themselves is done.
        :param dry_run: only find out what would be removed.
        :param snapshot: record the rows of today of which nothing is left, so that :meth:`as_of` knows them. It reads
            each audited table.
        :param patience: how long to try while transactions that are writing hold locks.
        :raises MaintenanceError: if somebody else is at it, or that was not long enough.
        :raises ConfigurationError: if a period cannot be read.
        """
        how = {"dry_run": dry_run, "snapshot": snapshot}
        return list(lifecycle.retain(self._scope, engine, self._settings, keep, **how, patience=patience))

    def archive(
        self,
        engine: Engine,
        to: str | None = None,
        *,
        older_than: str | dt.timedelta,
        drop: bool = False,
        dry_run: bool = False,
        catalog: Any = None,
        patience: dt.timedelta = dt.timedelta(minutes=1),
        progress: Callable[[str, str], None] | None = None,
    ) -> list[Archived]:
        """Copy closed partitions that are older, with their transactions, to tables of Apache Iceberg.

        Only those that are older as a whole go, see :meth:`split`. What was written is read back: number and checksum
        have to be those of the partition before it is marked as archived, and dropped. Whenever it is interrupted, the
        next call puts things right, and no activity is lost or there twice. Each step leaves an activity
        ``maintenance``. It commits, on a connection of its own, which needs the rights of the trail's owner. It needs
        ``pip install "audit-core[archive]"``.

        :param to: a folder or a URI such as ``s3://bucket/audit``; not needed once the archive is there.
        :param older_than: such as ``1y`` or ``18mo``, or a timedelta.
        :param drop: drop what is archived, but for what is held, see :meth:`hold`.
        :param dry_run: only find out what would be done.
        :param catalog: the name of a catalog in ``.pyiceberg.yaml``, or a ``pyiceberg.catalog.Catalog``. If None, the
            one that is called ``audit_log`` there, or else a catalog in the schema ``audit_archive`` of the database.
        :param patience: how long to try while transactions that are writing hold locks.
        :param progress: called after each step with its name and that of the partition.
        :raises MaintenanceError: if the archive differs from what was written, or somebody else is at it.
        :raises ConfigurationError: if the catalog, the place or the period cannot be used.
        """
        writing = imported("writing")
        what = {"older_than": older_than, "catalog": catalog, "drop": drop, "dry_run": dry_run}
        done = writing.archive(self._scope, engine, self._settings, to, **what, patience=patience, progress=progress)
        return list(done)

    def unarchive(
        self,
        engine: Engine,
        which: str,
        *,
        reason: str | None = None,
        catalog: Any = None,
        patience: dt.timedelta = dt.timedelta(minutes=1),
    ) -> list[Archived]:
        """Bring archived partitions back into the trail, such as for a dispute; the archive keeps them.

        :param which: the name of a partition, or a month such as ``2024-05``.
        :param reason: place a hold on what came back, for this reason; without one, retention removes it again.
        :param catalog: as in :meth:`archive`.
        :param patience: how long to try while transactions that are writing hold locks.
        :raises MaintenanceError: if the archive is not as it was written, or somebody else is at it.
        :raises ConfigurationError: if nothing of this name or month is in the archive only.
        """
        unarchiving = imported("unarchiving")
        done = unarchiving.unarchive(
            self._scope, engine, self._settings, which, reason=reason, catalog=catalog, patience=patience
        )
        return list(done)

    def archived(self, engine: Engine, *, catalog: Any = None) -> Timeline:
        """Read the trail and its archive as one: ``with audit_log.archived(engine) as trail: ...``.

        What is read is one state of the database. It takes a connection for as long as the block lasts, and makes
        temporary tables, which go with it: a standby cannot answer. It needs ``pip install "audit-core[archive]"``.

        :param catalog: as in :meth:`archive`.
        """
        return Timeline(self._scope, engine, catalog)

    def import_trail(
        self,
        engine: Engine,
        source: str,
        *,
        schema: str = "public",
        names: Mapping[str, str] | None = None,
        keys: Mapping[str, Sequence[str]] | None = None,
        patience: dt.timedelta = dt.timedelta(minutes=1),
        progress: Callable[[int, int], None] | None = None,
    ) -> Imported:
        """Take over the history that another audit trail recorded in this database.

        Its changes keep their times, actors and order, and come before the first own one: their ids are negative. Their
        transactions have ``imported_from`` in ``meta``. Nothing of the other trail is changed. It reads in batches, and
        goes on where it stopped if it is interrupted; readers see the history when all of it is there. It commits, on a
        connection of its own, which needs the rights of the trail's owner.

        :param source: ``flask-audit-logger-2``, ``flask-audit-logger-1``, ``postgresql-audit`` or
            ``sqlalchemy-continuum``.
        :param schema: the schema of its tables.
        :param names: new names of tables that were renamed since, by their old ones.
        :param keys: the columns of the primary keys of tables that are gone, by their names.
        :param patience: how long to try while transactions that are writing hold locks.
        :param progress: called after each batch with how many changes were read and how many there are.
        :raises ConfigurationError: if there is no such trail, if it was imported already, or if its actors do not fit.
        :raises MaintenanceError: if somebody else is at it, or another import is not finished.
        """
        found = importing.find_source(source, schema)
        return self._import(engine, found, names, keys, patience, progress)

    def import_rows(
        self,
        engine: Engine,
        rows: Iterable[Mapping[str, Any]],
        *,
        source: str = "jsonl",
        names: Mapping[str, str] | None = None,
        keys: Mapping[str, Sequence[str]] | None = None,
        patience: dt.timedelta = dt.timedelta(minutes=1),
        progress: Callable[[int, int], None] | None = None,
    ) -> Imported:
        """Take over a history that is not in this database, as :meth:`import_trail` does.

        :param rows: changes, sorted by their times, as dicts: ``issued_at`` (a datetime or a text, with an offset),
            ``table``, ``verb`` (``insert``, ``update``, ``delete`` or ``snapshot``), ``old_data`` (the row before, of
            updates and deletes), and ``changed_data`` (what is new) or ``new_data`` (the whole row after); and, if they
            are known, ``schema``, ``actor_id``, ``client_addr``, ``transaction_id`` (what it is called there; equal
            ones are one transaction) and ``meta``.
        :param source: what made them, for ``meta``.
        :raises ConfigurationError: if a row cannot be read; it says which, and nothing is imported then.
        """
        found = Rows("public", rows, source)
        return self._import(engine, found, names, keys, patience, progress)

    def _import(
        self,
        engine: Engine,
        source: importing.Source,
        names: Mapping[str, str] | None,
        keys: Mapping[str, Sequence[str]] | None,
        patience: dt.timedelta,
        progress: Callable[[int, int], None] | None,
    ) -> Imported:
        renamed = importing.Renamed(dict(names or {}), {name: list(each) for name, each in (keys or {}).items()})
        return importing.import_trail(self.schema, engine, self._settings, source, renamed, progress, patience)

    def hold(
        self,
        connection: Target,
        reason: str,
        *,
        table: Any = None,
        key: Any = None,
        actor: Any = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Hold:
        """Keep activities however old they get, until :meth:`release`. Commit is left to the caller.

        :param connection: a Connection or a Session, with the rights of the trail's owner.
        :param reason: why, such as the number of a case.
        :param table: those of this model, Table or name of a table.
        :param key: those of the record with this primary key.
        :param actor: those of this actor, an object or its primary key.
        :raises ConfigurationError: if it would hold everything.
        :raises HistoryError: if the table is not audited, or the key cannot be one of its keys.
        """
        return lifecycle.hold(
            self._scope,
            self._connection(connection),
            reason,
            table=table,
            key=key,
            actor=actor,
            since=since,
            until=until,
        )

    def holds(self, connection: Target, *, released: bool = False) -> list[Hold]:
        """List what is held.

        :param connection: a Connection or a Session.
        :param released: with the holds that are over.
        """
        return lifecycle.holds(self._scope, self._connection(connection), released)

    def release(self, connection: Target, hold: Hold | int) -> Hold:
        """End a hold: retention removes then what it kept. Commit is left to the caller.

        :param connection: a Connection or a Session, with the rights of the trail's owner.
        :param hold: the hold, or its id.
        :raises HistoryError: if there is no such hold in force.
        """
        number = hold if isinstance(hold, int) else hold.id
        return lifecycle.release(self._scope, self._connection(connection), number)

    def _connection(self, target: Target) -> Connection:
        """Return the connection that installs or checks the trail."""
        connection = connection_of(target, self._scope.bind_arguments())
        ddl.require_postgresql(connection.dialect)
        return connection

    def _resolvers(self, dialect: Dialect) -> Resolvers:
        """Return whom to ask for the actor, the client address and meta data, on the engine of a dialect."""
        return self._given_resolvers


def _registry_of(base: Any) -> registry | None:
    """Return the registry of a declarative base, which SQLModel keeps under SQLAlchemy's own name alone."""
    found: registry | None = getattr(base, "registry", None) or getattr(base, "_sa_registry", None)
    return found


def find_audit_log(metadata: MetaData) -> AuditLog | None:
    """Return the AuditLog that records the tables of a MetaData, if one has been made."""
    found: AuditLog | None = metadata.info.get(_METADATA_KEY)
    return found


def scope_of(audit_log: AuditLog) -> Scope:
    """Return what the trail of an AuditLog is about, for what works on it."""
    return audit_log._scope


def resolvers_of(audit_log: AuditLog) -> Resolvers:
    """Return whom an AuditLog asks for what no context says, on whatever engine."""
    return audit_log._given_resolvers
