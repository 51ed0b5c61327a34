"""Taking changes back, and rows out of the past."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    ColumnElement,
    Connection,
    DateTime,
    Delete,
    FromClause,
    Insert,
    Join,
    Select,
    Table,
    TableClause,
    Text,
    Update,
    and_,
    any_,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    table,
    text,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, OID, REGCLASS
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, aliased
from sqlalchemy.types import TypeEngine, UserDefinedType

from .claims import UNDOES, undone_by
from .connections import connection_of, unwrapped
from .context import audit_context
from .ddl import execute
from .errors import HistoryError, UndoConflictError
from .quoting import qualified
from .reading.activities import transaction_id
from .reading.as_of import get_as_of, readable
from .reading.changes import table_of
from .reading.coverage import is_off
from .reading.entities import Entity
from .reading.exact import ExactText, equal, exact_text, pg
from .reading.tracked import ROW_VERBS, Tracked, merged, past
from .reading.types import RowType
from .reading.values import as_object
from .refusals import Refusal
from .settings import recorded_settings

if TYPE_CHECKING:
    from .audit_log import AuditLog
    from .models import AuditLogTransaction

#: The verbs of activities that can be taken back.
_TAKEN_BACK = ("insert", "update", "delete")

_pg_attribute = table(
    "pg_attribute",
    column("attrelid", OID),
    column("attname", ExactText),
    column("attnum"),
    column("attisdropped"),
    column("attgenerated", ExactText),
    schema="pg_catalog",
)

# A name is left out where another constraint has it that cannot wait.
_DEFERRABLE = text(
    "SELECT c.conname, n.nspname "
    "FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.connamespace "
    "WHERE c.condeferrable AND NOT c.condeferred AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_constraint AS o "
    "WHERE o.connamespace = c.connamespace AND o.conname = c.conname AND NOT o.condeferrable) "
    "GROUP BY c.conname, n.nspname ORDER BY n.nspname, c.conname"
)


class _TupleId(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **kw: Any) -> str:
        return "TID"


@dataclass(frozen=True)
class Step:
    """What is done to one row to take one activity back."""

    activity_id: int
    action: Literal["insert", "update", "delete"]
    table_name: str
    row_key: str
    #: The columns that get their old values; all that were recorded for an insert, none for a delete.
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """Why one activity cannot be taken back as it is."""

    activity_id: int | None
    #: ``changed``, ``gone``, ``exists``, ``constraint``, ``cascade`` or ``unknown``.
    kind: str
    message: str


@dataclass
class UndoPlan:
    """What would be done, as the tables are when the plan is made."""

    _log: AuditLog = field(repr=False)
    _session: Session | Connection = field(repr=False)
    _changes: list[_Change] = field(repr=False)
    _undoes: int | None = field(repr=False)
    _meta: dict[str, Any] = field(repr=False)
    steps: list[Step] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def apply(self, on_conflict: Literal["abort", "skip"] = "abort") -> AuditLogTransaction | None:
        """Do it, as a transaction of the trail that can be undone itself, and return that.

        What has changed since the plan was made is found. The rows are locked; commit is left to the caller. If
        anything fails, nothing is changed.

        :param on_conflict: ``abort`` to do all or nothing, ``skip`` to leave out what is in conflict.
        :return: the transaction in the trail; None if there was nothing to do.
        :raises UndoConflictError: if there are conflicts and they are not to be skipped.
        """
        if on_conflict not in ("abort", "skip"):
            raise HistoryError(f"on_conflict is {on_conflict!r}; it can be 'abort' or 'skip'.")
        connection = _connection(self._log, self._session)
        with recorded_settings(connection), connection.begin_nested():
            _refuse_what_is_undone(self._log, connection, self._undoes)
            self.steps, self.conflicts = _Run(self._log, connection, self._meta).undo(self._changes)
            # A constraint that is checked at the end names no step that could be left out.
            if self.conflicts and (on_conflict == "abort" or any(each.activity_id is None for each in self.conflicts)):
                raise UndoConflictError(self.conflicts)
        if not isinstance(self._session, Connection):
            self._session.expire_all()
        with recorded_settings(connection):
            return _transaction(self._log, self._session, self._meta) if self.steps else None


def plan_undo(log: AuditLog, session: Any, what: Any) -> UndoPlan:
    """Plan to take changes back; see :meth:`audit_core.AuditLog.plan_undo`."""
    connection = _connection(log, session)
    session = unwrapped(session)
    with recorded_settings(connection):
        activity = log.activity_cls
        undoes: int | None = None
        if isinstance(what, (int, log.transaction_cls)):
            undoes = transaction_id(log, what)
            if connection.scalar(select(log.transaction_cls.id).where(log.transaction_cls.id == undoes)) is None:
                raise HistoryError(f"There is no transaction {undoes} in the trail.")
            _refuse_what_is_undone(log, connection, undoes)
            chosen = activity.transaction_id == undoes
            meta: dict[str, Any] = {UNDOES: undoes}
        else:
            ids = sorted(_activity_ids(log, what))
            chosen = activity.id.in_(ids)
            meta = {UNDOES: {"activities": ids}}
        changes = _load(log, connection, chosen)
        plan = UndoPlan(log, session, changes, undoes, meta)
        plan.steps, plan.conflicts = _rehearse(log, connection, changes, meta)
    return plan


def restore(log: AuditLog, session: Any, model: Any, key: Any, when: dt.datetime) -> AuditLogTransaction | None:
    """Bring a row back to what it was; see :meth:`audit_core.AuditLog.restore`."""
    entity = Entity.find(log, model)
    past(when)
    connection = _connection(log, session)
    session = unwrapped(session)
    with recorded_settings(connection):
        name = entity.tracked.table.fullname
        for tracked in entity.own:
            off = connection.execute(is_off(tracked, literal(when, DateTime(timezone=True)))).first()
            if off is not None:
                until = "" if off.ended_at is None else f" until {off.ended_at.isoformat()}"
                raise HistoryError(
                    f"Table {tracked.table.fullname!r} was not recorded from {off.began_at.isoformat()}{until}, so "
                    f"what it held at {when.isoformat()} is not known. Ask for another time."
                )
        # Also says so if the row was not there, or its history begins later.
        was_there = get_as_of(log, connection, model, key, when) is not None
        activity = log.activity_cls
        wanted: list[_Change] = []
        gone: dict[int, _Change] = {}
        # What is referenced comes first: the row of the class above.
        for tracked in reversed(entity.own):
            of_row = select(activity.id).where(
                tracked.is_of(activity),
                activity.verb.in_(ROW_VERBS),
                activity.row_key == tracked.row_key(entity.key_of(tracked, key)),
            )
            then = connection.scalar(of_row.where(activity.issued_at <= when).order_by(activity.id.desc()).limit(1))
            if not was_there or then is None:
                raise HistoryError(
                    f"{name!r} {key!r} was gone at {when.isoformat()}. Ask for a time at which it was there."
                )
            wanted += _load(log, connection, activity.id == then)
            last = connection.scalar(of_row.order_by(activity.id.desc()).limit(1))
            for change in _load(log, connection, and_(activity.id == last, activity.verb == "delete")):
                gone |= {each.id: each for each in [change, *_deleted_with(log, connection, change)]}
        meta = {"restores": {"table": name, "row_key": wanted[-1].row_key, "as_of": when.isoformat()}}
        with connection.begin_nested():
            run = _Run(log, connection, meta)
            steps, conflicts = run.undo(list(gone.values()), finish=False)
            for change in wanted:
                run.bring_back(change)
            conflicts += run.finish()
            if conflicts:
                raise UndoConflictError(conflicts)
        if not isinstance(session, Connection):
            session.expire_all()
        return _transaction(log, session, meta) if steps else None


@dataclass(frozen=True)
class _Change:
    """An activity to take back, with its rows as JSON."""

    id: int
    schema: str
    table_name: str
    verb: str
    row_key: str | None
    old_row_key: str | None
    native_transaction_id: int
    issued_at: dt.datetime
    #: The columns of which no values were recorded.
    masked: frozenset[str]
    old: dict[str, Any]
    changed: dict[str, Any]

    @property
    def after(self) -> dict[str, Any]:
        return {**self.old, **self.changed}

    @property
    def key_before(self) -> str | None:
        return self.row_key if self.old_row_key is None else self.old_row_key

    @property
    def name(self) -> str:
        return f"{self.table_name} {self.row_key}"


def _place() -> list[ColumnClause[Any]]:
    """Where a row is stored."""
    return [column("tableoid", OID), column("ctid", _TupleId)]


@dataclass(frozen=True)
class _Target:
    """A table of the application as it is in the database now."""

    tracked: Tracked
    relation: TableClause
    #: The columns that can be written; the database computes the others.
    columns: frozenset[str]

    @property
    def key(self) -> list[str]:
        return [each.name for each in self.tracked.key_columns]

    def key_in(self, data: dict[str, Any]) -> tuple[Any, ...]:
        """Tell rows apart: the table, and the key in recorded data."""
        return (self.relation.schema, self.relation.name, *(str(data.get(name)) for name in self.key))

    def known(self, change: _Change, data: dict[str, Any]) -> dict[str, Any]:
        """Return what a change recorded of the columns that can be written."""
        return {name: value for name, value in data.items() if name in self.columns and name not in change.masked}

    def rows(self, activity_ids: list[int], before: bool) -> tuple[FromClause, FromClause, Join]:
        """Turn what activities recorded into rows of the table, with the types that it has now.

        :return: the activities, the rows, and both joined.
        """
        activity = self.tracked.all_activities
        recorded = type_coerce(activity.c.old_data, JSONB()) if before else merged(activity.c)
        empty = cast(null(), RowType(self.relation.name, self.relation.schema))
        names = [each.name for each in self.relation.columns if each.name not in ("tableoid", "ctid")]
        row = pg.jsonb_populate_record(empty, readable(self.tracked, recorded, activity.c.masked)).table_valued(*names)
        chosen = activity.join(row, activity.c.id == any_(literal(activity_ids, ARRAY(BigInteger()))))
        return activity, row, chosen

    def key_is(self, relation: FromClause, row: FromClause) -> ColumnElement[bool]:
        """Tell whether a row of the table has the key of another one."""
        return and_(*(equal(relation.c[each.name], row.c[each.name], each.type) for each in self.tracked.key_columns))


@dataclass(frozen=True)
class _Found:
    """A row of the application that is locked, and where it is stored."""

    place: tuple[int, str]
    data: dict[str, Any]


class _Overriding(Select[Any]):
    """The rows of an INSERT that brings the values of identity columns along."""

    inherit_cache = False


@compiles(_Overriding)
def _compile_overriding(element: _Overriding, compiler: Any, **kw: Any) -> str:
    return "OVERRIDING SYSTEM VALUE " + str(compiler.visit_select(element, **kw))


class _Run:
    """Takes activities back, newest first, and finds out what stands against it."""

    def __init__(self, log: AuditLog, connection: Connection, meta: dict[str, Any]) -> None:
        self.log = log
        self.connection = connection
        self.meta = meta
        self.steps: list[Step] = []
        self.conflicts: list[Conflict] = []
        self._targets: dict[tuple[str, str], _Target | None] = {}
        self._deferrable: list[str] | None = None
        self._referring: dict[tuple[str, str], frozenset[str]] = {}
        #: Where the activities of this undo begin.
        self._before = self._last_activity()
        #: Those of one table, until more come.
        self._own: tuple[tuple[str, str], dict[Any, list[_Change]]] | None = None

    def undo(self, changes: list[_Change], finish: bool = True) -> tuple[list[Step], list[Conflict]]:
        """Take activities back; what is in conflict is left out."""
        with audit_context(**self.meta):
            self.log.send_context(self.connection)
            self._defer("DEFERRED")
            self._undo_all(changes)
        return self.steps, [*self.conflicts, *(self.finish() if finish else [])]

    def _undo_all(self, changes: list[_Change]) -> None:
        """Take activities back, and those last that a constraint does not let through before others.

        A cascade is recorded with the row that was deleted first, which has to be there again before those that
        reference it.
        """
        expected = {(each.table_name, each.row_key) for each in changes}
        pending = self._statements(changes)
        while pending:
            postponed: list[list[_Change]] = []
            waiting: set[Any] = set()
            refused = len(self.conflicts)
            rest: list[list[_Change]] = []
            for position, statement in enumerate(pending, 1):
                if waiting.isdisjoint(key for change in statement for key in self._keys(change)):
                    stopped = self._undo(statement, expected)
                else:
                    # What is older of a row that waits has to wait, too.
                    stopped = statement
                if stopped:
                    postponed.append(stopped)
                    waiting.update(key for change in stopped for key in self._keys(change))
                elif any(self._is_referenced(statement[0], each[0]) for each in postponed):
                    # What waits may have waited for this, and what is older may take it away again.
                    rest = pending[position:]
                    break
            if sum(map(len, postponed)) + sum(map(len, rest)) == sum(map(len, pending)):
                self._refuse_waiting(postponed)
                return
            ids = {change.id for statement in postponed for change in statement}
            self.conflicts[refused:] = [each for each in self.conflicts[refused:] if each.activity_id not in ids]
            expected |= {(change.table_name, change.row_key) for statement in postponed for change in statement}
            pending = [*postponed, *rest]

    def _is_referenced(self, change: _Change, other: _Change) -> bool:
        """Tell whether the table of a change is one that the table of another one references."""
        return bool(self._references(other.table_name, change.table_name))

    def _refuse_waiting(self, statements: list[list[_Change]]) -> None:
        refused = {conflict.activity_id for conflict in self.conflicts}
        for change in (change for statement in statements for change in statement):
            if change.id not in refused:
                self._refuse(change, "constraint", f"{change.name}: a later change of it cannot be taken back")

    def _statements(self, changes: list[_Change]) -> list[list[_Change]]:
        """Put together what one statement did."""

        def statement(change: _Change) -> Any:
            return change.native_transaction_id, change.issued_at, change.schema, change.table_name, change.verb

        return [list(group) for _, group in groupby(changes, statement)]

    def _changes_keys(self, change: _Change) -> bool:
        return change.verb == "update" and len(set(self._keys(change))) > 1

    def _keys(self, change: _Change) -> list[tuple[Any, ...]]:
        target = self._target(change)
        return [] if target is None else [target.key_in(data) for data in (change.old, change.after) if data]

    def _defer(self, mode: Literal["DEFERRED", "IMMEDIATE"]) -> None:
        """Let the constraints wait that can and usually do not, or check them and go back to what is usual."""
        if self._deferrable is None:
            self._deferrable = [qualified(*row) for row in self.connection.execute(_DEFERRABLE)]
        if self._deferrable:
            execute(self.connection, [f"SET CONSTRAINTS {', '.join(self._deferrable)} {mode}"])

    def finish(self) -> list[Conflict]:
        """Check what was deferred."""
        refusal = None
        check = self.connection.begin_nested()
        try:
            execute(self.connection, ["SET CONSTRAINTS ALL IMMEDIATE"])
        except IntegrityError as error:
            refusal = Refusal.read(error)
        finally:
            # What waits for the commit goes on to do so.
            check.rollback()
        if refusal is not None:
            return [Conflict(None, "constraint", self._described(refusal))]
        self._defer("IMMEDIATE")
        return []

    def _described(self, refusal: Refusal) -> str:
        return refusal.message(refusal.columns(self.connection))

    def bring_back(self, change: _Change) -> None:
        """Make a row what an activity left, whether it is there or not."""
        target = self._target(change)
        if target is None:
            raise HistoryError(f"The table of {change.name} is not there any more, or is not recorded.")
        found = self._find(target, [change]).get(change.id)
        known = target.known(change, change.after)
        columns = tuple(known) if found is None else _differing(found.data, known)
        if not columns:
            return
        step = Step(change.id, "update" if found else "insert", change.table_name, str(change.row_key), columns)
        with audit_context(**self.meta):
            self.log.send_context(self.connection)
            self._execute(target, [(step, found)], before=False)
        self.steps.append(step)

    def _undo(self, statement: list[_Change], expected: set[tuple[str, str | None]]) -> list[_Change]:
        """Take back what one statement did; return what a constraint does not let through yet."""
        done, refused = len(self.steps), len(self.conflicts)
        nested = self.connection.begin_nested()
        try:
            reason = self._try(statement, expected)
        except DBAPIError as error:
            refusal = Refusal.read(error)
            nested.rollback()
            if not refusal.is_of_row:
                raise
            reason = ("constraint", self._described(refusal))
        except BaseException:
            nested.rollback()
            raise
        if reason is None:
            nested.commit()
        else:
            if nested.is_active:
                nested.rollback()
            del self.steps[done:], self.conflicts[refused:]
            if len(statement) > 1 and not self._changes_keys(statement[0]):
                # One by one, what stands against one row leaves the others alone.
                return [change for each in statement for change in self._undo([each], expected)]
            kind, message = reason
            self._refuse(statement[0], kind, f"{statement[0].name}: {message}")
        for conflict in self.conflicts[refused:]:
            # A cascade must not take with it what has been left out.
            expected.difference_update(
                (each.table_name, each.row_key) for each in statement if each.id == conflict.activity_id
            )
        return statement if reason is not None and reason[0] == "constraint" else []

    def _try(self, statement: list[_Change], expected: set[tuple[str, str | None]]) -> tuple[str, str] | None:
        """Take back what one statement did; return what happened instead, if that has to be rolled back."""
        before = self._last_activity()
        self._own = None
        target = self._target(statement[0])
        # All are looked up before one is changed: their keys may have changed places.
        has_rows = statement[0].verb in _TAKEN_BACK
        found = self._find(target, statement) if has_rows and target is not None else {}
        steps = [step for each in statement if (step := self._plan(target, each, found.get(each.id))) is not None]
        alike: dict[Any, list[tuple[Step, _Found | None]]] = {}
        for step in steps:
            alike.setdefault((step.action, step.columns), []).append((step, found.get(step.activity_id)))
        for group in alike.values():
            assert target is not None
            if self._execute(target, group) != len(group):
                return "constraint", "a trigger keeps it as it is"
        if lost := self._lost(before, steps, expected):
            return "cascade", f"it cannot go without {', '.join(lost)}"
        self.steps += steps
        return None

    def _plan(self, target: _Target | None, change: _Change, found: _Found | None) -> Step | None:
        """Compare a row with what the activity left; None if there is nothing to do, or a conflict."""
        if change.verb not in _TAKEN_BACK:
            if change.verb not in ("snapshot", "read") and change.changed.get("rows") != 0:
                self._refuse(change, "unknown", f"{change.verb} of {change.table_name}: the rows were not recorded")
            return None
        if target is None:
            self._refuse(change, "gone", f"the table of {change.name} is not there any more, or is not recorded")
            return None
        return self._step(target, change, found)

    def _step(self, target: _Target, change: _Change, found: _Found | None) -> Step | None:
        row_key = str(change.row_key)
        if change.verb == "delete":
            if found is None:
                return Step(change.id, "insert", change.table_name, row_key, tuple(target.known(change, change.old)))
            if _differing(found.data, target.known(change, change.old)):
                self._refuse(change, "exists", f"{change.name} is there again, and is another one")
            return None
        if change.verb == "insert":
            if found is None:
                self._refuse(change, "gone", f"{change.name} is gone")
                return None
            if changed := _differing(found.data, target.known(change, change.changed)):
                self._refuse(change, "changed", f"{change.name} was changed since: {', '.join(changed)}")
                return None
            return Step(change.id, "delete", change.table_name, row_key)
        known = target.known(change, change.changed)
        if masked := [name for name in change.changed if name in target.columns and name not in known]:
            self._refuse(change, "unknown", f"{change.name}: the value of {', '.join(masked)} is masked")
            return None
        old = {name: change.old.get(name) for name in known}
        columns = () if found is None else _differing(found.data, old)
        changed = () if found is None else _differing(found.data, {name: known[name] for name in columns})
        if (found is None or changed) and self._was_carried_back(change, known, old):
            return None
        if found is None:
            self._refuse(change, "gone", f"{change.name} is gone")
            return None
        if changed:
            self._refuse(change, "changed", f"{change.name} was changed since: {', '.join(changed)}")
            return None
        return Step(change.id, "update", change.table_name, row_key, columns) if columns else None

    def _find(self, target: _Target, changes: list[_Change]) -> dict[int, _Found]:
        """Lock the rows that activities are about, and read them, by the ids of the activities."""
        row = target.relation.alias()
        activity, key, chosen = target.rows([change.id for change in changes], before=False)
        query = (
            select(activity.c.id, row.c.tableoid, cast(row.c.ctid, Text), cast(pg.to_jsonb(row.table_valued()), Text))
            .select_from(chosen.join(row, target.key_is(row, key)))
            .with_for_update(of=row)
        )
        found = self.connection.execute(query)
        return {id_: _Found((number, place), _read(data)) for id_, number, place, data in found}

    def _execute(self, target: _Target, steps: list[tuple[Step, _Found | None]], before: bool = True) -> int:
        """Give rows what they were before the activities of their steps, or after; return for how many it was done.

        All steps do the same to the same columns.
        """
        relation = target.relation
        first, _ = steps[0]
        activity, wanted, chosen = target.rows([step.activity_id for step, _ in steps], before)
        statement: Insert | Update | Delete
        if first.action == "insert":
            rows = _Overriding(*(wanted.c[name] for name in first.columns)).select_from(chosen)
            statement = insert(relation).from_select(list(first.columns), rows, include_defaults=False)
        else:
            places = self._places(steps)
            source = (
                select(places, *(wanted.c[name].label(f"new_{n}") for n, name in enumerate(first.columns)))
                .select_from(chosen.join(places, places.c.activity_id == activity.c.id))
                .subquery()
            )
            # By its place: on the way, two rows may have the same key where the constraint is deferred.
            is_row = and_(
                relation.c.tableoid == source.c.number, relation.c.ctid == cast(source.c.place, relation.c.ctid.type)
            )
            if first.action == "delete":
                statement = delete(relation).where(is_row)
            else:
                values = {name: source.c[f"new_{n}"] for n, name in enumerate(first.columns)}
                statement = update(relation).values(values).where(is_row)
        return self.connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount

    def _places(self, steps: list[tuple[Step, _Found | None]]) -> FromClause:
        """Say where the row of each step is stored."""
        places = [(step.activity_id, *found.place) for step, found in steps if found is not None]
        types: tuple[TypeEngine[Any], ...] = (BigInteger(), OID(), Text())
        arrays: list[Any] = [
            literal(list(values), ARRAY(type_)) for values, type_ in zip(zip(*places, strict=True), types, strict=True)
        ]
        # Of several arrays it is syntax, if it is not qualified.
        return func.unnest(*arrays).table_valued("activity_id", "number", "place").render_derived()

    def _lost(self, before: int, steps: list[Step], expected: set[tuple[str, str | None]]) -> list[str]:
        """Name other rows that a step deleted, or took a reference from, as the trail tells it."""
        deleted = {(step.table_name, step.row_key) for step in steps if step.action == "delete"}
        if not deleted:
            return []
        activity = self.log.activity_cls
        query = select(activity.verb, activity.table_name, activity.row_key, activity.changed_data).where(
            *self._is_own(before)
        )
        found = []
        for verb, table_name, row_key, changed in self.connection.execute(query):
            if (table_name, row_key) in deleted or (table_name, row_key) in expected:
                continue
            if verb == "delete" or self._references(table_name, steps[0].table_name).intersection(changed):
                found.append(f"{table_name} {row_key}")
        return found

    def _references(self, table_name: str, referred: str) -> frozenset[str]:
        """Name the columns of a table that reference another one."""
        if (table_name, referred) not in self._referring:
            self._referring[table_name, referred] = self._find_references(table_name, referred)
        return self._referring[table_name, referred]

    def _find_references(self, table_name: str, referred: str) -> frozenset[str]:
        return frozenset(
            element.parent.name
            for each in self.log.metadata.tables.values()
            if each.name == table_name
            for constraint in each.foreign_key_constraints
            if constraint.referred_table.name == referred
            for element in constraint.elements
        )

    def _was_carried_back(self, change: _Change, known: dict[str, Any], old: dict[str, Any]) -> bool:
        """Tell whether a cascade of this undo has taken an update of a row back, as the trail tells it."""
        activity = self.log.activity_cls
        table = (change.schema, change.table_name)
        if self._own is None or self._own[0] != table:
            of_table = and_(activity.schema == change.schema, activity.table_name == change.table_name)
            found: dict[Any, list[_Change]] = {}
            for each in _load(self.log, self.connection, and_(*self._is_own(self._before), of_table)):
                found.setdefault((each.verb, each.key_before, each.row_key), []).append(each)
            self._own = (table, found)
        candidates = self._own[1].get(("update", change.row_key, change.key_before), [])
        return any(not _differing(each.old, known) and not _differing(each.after, old) for each in candidates)

    def _is_own(self, before: int) -> tuple[ColumnElement[bool], ...]:
        """Choose the activities of this database transaction that came after another one."""
        activity = self.log.activity_cls
        xid = cast(cast(func.pg_current_xact_id(), Text), activity.id.type)
        return activity.id > before, activity.native_transaction_id == xid

    def _last_activity(self) -> int:
        return self.connection.scalar(select(func.max(self.log.activity_cls.id))) or 0

    def _refuse(self, change: _Change, kind: str, message: str) -> None:
        self.conflicts.append(Conflict(change.id, kind, message))

    def _target(self, change: _Change) -> _Target | None:
        name = (change.schema, change.table_name)
        if name not in self._targets:
            found = table_of(self.log, *name)
            self._targets[name] = None if found is None else self._look_up(found)
        return self._targets[name]

    def _look_up(self, found: Table) -> _Target | None:
        relid = cast(pg.to_regclass(exact_text(qualified(found.name, found.schema)), type_=REGCLASS), OID)
        query = select(_pg_attribute.c.attname, cast(_pg_attribute.c.attgenerated, Text)).where(
            _pg_attribute.c.attrelid == relid, _pg_attribute.c.attnum > 0, ~_pg_attribute.c.attisdropped
        )
        columns = {row.attname: row[1] for row in self.connection.execute(query)}
        if not columns or not found.primary_key.columns:
            return None
        return _Target(
            Tracked(self.log, found, None),
            table(found.name, *map(column, columns), *_place(), schema=found.schema),
            frozenset(name for name, kind in columns.items() if not kind),
        )


def _rehearse(
    log: AuditLog, connection: Connection, changes: list[_Change], meta: dict[str, Any]
) -> tuple[list[Step], list[Conflict]]:
    """Try it, and take it back: so the database itself says which constraints stand against it."""
    rehearsal = connection.begin_nested()
    try:
        return _Run(log, connection, meta).undo(changes)
    finally:
        if rehearsal.is_active:
            rehearsal.rollback()


def _differing(data: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in wanted if data.get(name) != wanted[name])


def _load(log: AuditLog, connection: Connection, chosen: Any) -> list[_Change]:
    activity = log.activity_cls
    columns: list[Any] = [
        activity.id,
        activity.schema,
        activity.table_name,
        activity.verb,
        activity.row_key,
        activity.old_row_key,
        activity.native_transaction_id,
        activity.issued_at,
        activity.masked,
        cast(type_coerce(activity.old_data, JSONB()), Text),
        cast(type_coerce(activity.changed_data, JSONB()), Text),
    ]
    query = select(*columns).where(chosen).order_by(activity.id.desc())
    rows: Iterable[Any] = connection.execute(query)
    return [_Change(*[*row[:-3], frozenset(row.masked or ()), *_data(row.id, row.verb, row[-2:])]) for row in rows]


def _deleted_with(log: AuditLog, connection: Connection, gone: _Change) -> list[_Change]:
    """Find the rows that referenced a deleted row and were deleted in the same transaction, and theirs."""
    activity, transaction = log.activity_cls, log.transaction_cls
    own = aliased(transaction)
    # By number and time: in another cluster a number means another transaction.
    same = and_(transaction.native_transaction_id == own.native_transaction_id, transaction.issued_at == own.issued_at)
    own_id = select(activity.transaction_id).where(activity.id == gone.id).scalar_subquery()
    ids = select(transaction.id).join(own, same).where(own.id == own_id)
    together = _load(log, connection, and_(activity.transaction_id.in_(ids), activity.verb == "delete"))
    found = [gone]
    for parent in found:
        for child in together:
            if child not in found and _referenced(log, child, parent):
                found.append(child)
    # Those that reference come after what they reference.
    return found[1:]


def _referenced(log: AuditLog, child: _Change, parent: _Change) -> bool:
    table_ = table_of(log, child.schema, child.table_name)
    if table_ is None:
        return False
    return any(
        constraint.referred_table is table_of(log, parent.schema, parent.table_name)
        and all(
            child.old.get(element.parent.name) == parent.old.get(element.column.name) is not None
            for element in constraint.elements
        )
        for constraint in table_.foreign_key_constraints
    )


def _refuse_what_is_undone(log: AuditLog, connection: Connection, undoes: int | None) -> None:
    if undoes is not None and (by := undone_by(log, connection, undoes)) is not None:
        raise HistoryError(
            f"Transaction {undoes} was undone by transaction {by} already. Undo {by} to have its changes again."
        )


def _transaction(log: AuditLog, session: Any, meta: dict[str, Any]) -> Any:
    """Load the transaction of the trail that this database transaction has just written."""
    transaction = log.transaction_cls
    query = (
        select(transaction)
        .where(
            transaction.native_transaction_id
            == cast(cast(pg.pg_current_xact_id(), Text), transaction.native_transaction_id.type),
            type_coerce(transaction.meta, JSONB()).contains(meta),
        )
        .order_by(transaction.id.desc())
        .limit(1)
    )
    if isinstance(session, Connection):
        return session.execute(query).first()
    return session.scalars(query, bind_arguments=log.bind_arguments()).first()


def _activity_ids(log: AuditLog, what: Any) -> set[int]:
    if isinstance(what, log.activity_cls):
        return {what.id}
    if isinstance(what, Iterable) and not isinstance(what, (str, bytes)):
        activities = list(what)
        if all(isinstance(each, log.activity_cls) for each in activities):
            return {each.id for each in activities}
    raise HistoryError(
        f"{what!r} cannot be undone; give an AuditLogTransaction or its id, or activities such as "
        "session.scalars(audit_log.history(obj).limit(1))."
    )


def _connection(log: AuditLog, session: Any) -> Connection:
    """Return the connection of a session, with what is pending sent."""
    connection = connection_of(session, log.bind_arguments(), HistoryError)
    if not isinstance(session, Connection):
        session.flush()
    return connection


def _data(id_: int, verb: str, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Read what an activity recorded of a row, or of how many there were."""
    if verb not in (*ROW_VERBS, "truncate"):
        return [{}, {}]
    try:
        return [_read(each) for each in texts]
    except RecursionError:
        raise HistoryError(f"Activity {id_} holds a value that is nested more deeply than Python can read.") from None


def _read(data: str) -> dict[str, Any]:
    # Python refuses to read integers of more digits than a decimal can have.
    return as_object(json.loads(data, parse_float=Decimal, parse_int=_integer))


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < 4000 else Decimal(text)
