"""Taking activities back in an order that the constraints of the tables let through."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import sort_tables_and_constraints

from ..audited import is_declared
from ..capture.context import audit_context
from ..capture.listeners import send_context
from ..errors import HistoryError
from .batches import AT_ONCE, Pace, Waiting, in_turns
from .claims import TAKEN_BACK
from .constraints import Constraints
from .decision import decide
from .effects import Effects, RowName
from .ignoring import Ignored
from .live import LiveRow, LiveTable, no_table
from .recorded import RecordedChange, differing
from .refusals import Refusal
from .steps import Conflict, ConflictKind, UndoStep

if TYPE_CHECKING:
    from ..scope import Scope


class _Hindrance(NamedTuple):
    """Why something cannot be taken back."""

    kind: ConflictKind
    message: str
    #: Whether it may go when other changes have been taken back.
    may_wait: bool


class Reversal:
    """Takes activities back, newest first, and finds out what prevents it."""

    def __init__(
        self, scope: Scope, connection: Connection, meta: dict[str, Any], ignored: Ignored | None = None
    ) -> None:
        self.steps: list[UndoStep] = []
        self.conflicts: list[Conflict] = []
        self._scope = scope
        self._connection = connection
        self._meta = meta
        self._ignored = ignored or {}
        self._tables: dict[tuple[str, str], LiveTable | None] = {}
        self._places: dict[Table, int] = {}
        self._constraints = Constraints(connection)
        self._effects = Effects(scope, connection)

    def take_back(self, changes: list[RecordedChange]) -> None:
        """Take activities back; what is in conflict is left out."""
        with audit_context(**self._meta):
            send_context(self._connection)
            self._constraints.defer()
            self._take_back_all(changes)

    def bring_back(self, change: RecordedChange, *, before: bool = False) -> None:
        """Make a row what an activity left, or what it was before, whether it is there or not."""
        table = self._table_of(change)
        if table is None:
            raise HistoryError(f"Nothing was restored: {no_table(change)}.")
        row = table.lock(self._connection, [change], before=before).get(change.id)
        known = table.known(change, change.old if before else change.after)
        columns = tuple(known) if row is None else differing(row.data, known)
        if not columns:
            return
        key = change.key_before if before else change.row_key
        step = UndoStep(change.id, "update" if row else "insert", change.table_name, str(key), columns)
        with audit_context(**self._meta):
            send_context(self._connection)
            table.write(self._connection, [(step, row)], before=before)
        self.steps.append(step)

    def finish(self) -> None:
        """Check the constraints that were deferred."""
        if (message := self._constraints.check()) is not None:
            self.conflicts.append(Conflict(None, "constraint", message))

    def _take_back_all(self, changes: list[RecordedChange]) -> None:
        """Take activities back, and those last that a constraint does not let through before others.

        A cascade is recorded with the row that was deleted first, which has to be there again before those that
        reference it.
        """
        expected = set(map(_row_of, changes))
        self._sort_tables(changes)
        pending = _by_statement(changes)
        # What has waited is not tried together with the others: it may be refused each time.
        waited, pace, pace_of_waited = 0, Pace(), Pace()
        while pending:
            postponed: list[list[RecordedChange]] = []
            waiting = Waiting(self._keys, self._effects.references)
            refused = len(self.conflicts)
            rest: list[list[RecordedChange]] = []
            position = 0
            while position < len(pending):
                statement = pending[position]
                stopped: list[RecordedChange] = []
                if position < waited:
                    its_pace, end = pace_of_waited, min(waited, position + pace_of_waited.size)
                else:
                    its_pace, end = pace, position + pace.size
                taken = self._take_back_some(self._joinable(waiting, pending[position:end]), its_pace, expected)
                if not taken:
                    taken = [statement]
                    # What is older of a row that waits has to wait, too.
                    stopped = statement if waiting.has_row_of(statement) else self._alone(statement, its_pace, expected)
                position += len(taken)
                if stopped:
                    postponed.append(stopped)
                    waiting.add(stopped)
                elif any(map(waiting.references, taken)):
                    # What waits may have waited for this, and what is older may take it away again.
                    rest = pending[position:]
                    break
            if sum(map(len, postponed)) + sum(map(len, rest)) == sum(map(len, pending)):
                self._refuse_waiting(postponed)
                return
            ids = {change.id for statement in postponed for change in statement}
            self.conflicts[refused:] = [each for each in self.conflicts[refused:] if each.activity_id not in ids]
            waited, pending = len(postponed), [*postponed, *rest]

    def _refuse_waiting(self, statements: list[list[RecordedChange]]) -> None:
        refused = {conflict.activity_id for conflict in self.conflicts}
        for change in (change for statement in statements for change in statement):
            if change.id not in refused:
                message = f"{change.name}: a later change of it cannot be taken back"
                self.conflicts.append(Conflict(change.id, "constraint", message))

    def _joinable(self, waiting: Waiting, statements: list[list[RecordedChange]]) -> list[list[RecordedChange]]:
        """Return the first statements that can be tried at once."""
        found: list[list[RecordedChange]] = []
        rows = 0
        is_needed = False
        for statement in statements:
            rows += len(statement)
            if rows > AT_ONCE or waiting.has_row_of(statement):
                break
            # It may take away what something waits for, unless it only brings rows back.
            if is_needed and statement[0].verb != "delete":
                break
            found.append(statement)
            is_needed = is_needed or waiting.references(statement)
        return found

    def _take_back_some(
        self, statements: list[list[RecordedChange]], pace: Pace, expected: set[RowName]
    ) -> list[list[RecordedChange]]:
        """Take back what several statements did, or half of it and so on; return what was taken back."""
        while len(statements) > 1:
            if self._take_back_at_once(statements, expected):
                pace.passed(len(statements))
                return statements
            pace.refused(len(statements))
            statements = statements[: pace.size]
        return []

    def _take_back_at_once(self, statements: list[list[RecordedChange]], expected: set[RowName]) -> bool:
        """Take back what several statements did, if it does neither more nor less than one after the other."""
        done, refused = len(self.steps), len(self.conflicts)
        last_id = self._effects.last_id()
        nested = self._connection.begin_nested()
        try:
            groups = in_turns(statements, self._keys, self._place)
            passed = all(self._write(group) is None for group in groups)
            changes = list(chain.from_iterable(statements))
            if len(self.conflicts) > refused and any(map(self._changes_key, changes)):
                # A cascade may have carried on, too early, what is said to have been changed since.
                passed = False
            passed = passed and not self._effects.has_others(last_id, changes, self.steps[done:])
        except DBAPIError as error:
            nested.rollback()
            if Refusal.read(error).is_of_server:
                raise
            passed = False
        except BaseException:
            nested.rollback()
            raise
        if not passed:
            if nested.is_active:
                nested.rollback()
            del self.steps[done:], self.conflicts[refused:]
            return False
        nested.commit()
        places = {change.id: place for place, change in enumerate(changes)}
        self.steps[done:] = sorted(self.steps[done:], key=lambda each: places[each.activity_id])
        self.conflicts[refused:] = sorted(self.conflicts[refused:], key=lambda each: places[each.activity_id or 0])
        expected -= _rows_in(self.conflicts[refused:], changes)
        return True

    def _alone(self, statement: list[RecordedChange], pace: Pace, expected: set[RowName]) -> list[RecordedChange]:
        """Take back what one statement did; return what a constraint does not let through yet."""
        refused = len(self.conflicts)
        stopped = self._take_back_or_postpone(statement, expected)
        if len(self.conflicts) > refused:
            pace.refused(1)
        else:
            pace.passed(1)
        return stopped

    def _take_back_or_postpone(self, statement: list[RecordedChange], expected: set[RowName]) -> list[RecordedChange]:
        """Take back what one statement did; return what a constraint does not let through yet."""
        done, refused = len(self.steps), len(self.conflicts)
        nested = self._connection.begin_nested()
        try:
            hindrance = self._take_back_statement(statement, expected)
        except DBAPIError as error:
            refusal = Refusal.read(error)
            nested.rollback()
            if not refusal.is_of_row:
                raise
            hindrance = _Hindrance("constraint", self._constraints.described(refusal), may_wait=True)
        except BaseException:
            nested.rollback()
            raise
        if hindrance is None:
            nested.commit()
        else:
            if nested.is_active:
                nested.rollback()
            del self.steps[done:], self.conflicts[refused:]
            if len(statement) > 1 and not self._changes_key(statement[0]):
                return self._take_back_each(statement, expected)
            message = f"{statement[0].name}: {hindrance.message}"
            self.conflicts.append(Conflict(statement[0].id, hindrance.kind, message))
            if hindrance.may_wait:
                return statement
        # Nothing waits for a row that has been left out.
        expected -= _rows_in(self.conflicts[refused:], statement)
        return []

    def _take_back_each(self, statement: list[RecordedChange], expected: set[RowName]) -> list[RecordedChange]:
        """Take back what one statement did, so that what prevents one row leaves the others alone."""
        rows = [[each] for each in statement]
        stopped: list[RecordedChange] = []
        pace, position = Pace(), 0
        pace.refused(len(rows))
        while position < len(rows):
            taken = self._take_back_some(rows[position : position + pace.size], pace, expected)
            if not taken:
                taken = [rows[position]]
                stopped += self._alone(rows[position], pace, expected)
            position += len(taken)
        return stopped

    def _take_back_statement(self, statement: list[RecordedChange], expected: set[RowName]) -> _Hindrance | None:
        """Take back what one statement did; return what happened instead, if that has to be rolled back."""
        last_id, done, refused = self._effects.last_id(), len(self.steps), len(self.conflicts)
        if (hindrance := self._write(statement)) is not None:
            return hindrance
        if len(self.conflicts) > refused:
            expected = expected - _rows_in(self.conflicts[refused:], statement)
        if not (lost := self._effects.lost(last_id, statement, self.steps[done:])):
            return None
        prevented = "cannot go without" if statement[0].verb == "insert" else "cannot be set back without a change of"
        message = f"it {prevented} {', '.join(f'{name} {key}' for _, name, key in lost)}"
        # What is older of these rows may take the reference away.
        return _Hindrance("cascade", message, may_wait=expected.issuperset(lost))

    def _write(self, changes: list[RecordedChange]) -> _Hindrance | None:
        """Take back changes of one kind to one table; return what prevents it."""
        self._effects.forget()
        table = self._table_of(changes[0])
        # All are looked up before one is changed: their keys may have changed places.
        rows = {}
        if changes[0].verb in TAKEN_BACK and table is not None:
            rows = table.lock(self._connection, changes)
        ignored = frozenset() if table is None else self._ignored.get(table.audited.table, frozenset())
        steps: list[UndoStep] = []
        for change in changes:
            decision = decide(table, change, rows.get(change.id), self._effects.was_carried_back, ignored)
            if isinstance(decision, UndoStep):
                steps.append(decision)
            elif decision is not None:
                self.conflicts.append(decision)
        alike: dict[Any, list[tuple[UndoStep, LiveRow | None]]] = {}
        for step in steps:
            alike.setdefault((step.action, step.columns), []).append((step, rows.get(step.activity_id)))
        for group in alike.values():
            assert table is not None
            if table.write(self._connection, group) != len(group):
                return _Hindrance("constraint", "a trigger keeps it as it is", may_wait=True)
        self.steps += steps
        return None

    def _sort_tables(self, changes: list[RecordedChange]) -> None:
        """Put tables after those that they reference."""
        found = [table.audited.table for change in changes if (table := self._table_of(change)) is not None]
        # MetaData.sorted_tables warns of tables that reference each other.
        ordered = sort_tables_and_constraints(  # type: ignore[no-untyped-call]
            dict.fromkeys(found), lambda constraint: None if is_declared(constraint) else True
        )
        self._places = {table: place for place, (table, _) in enumerate(ordered) if table is not None}

    def _place(self, change: RecordedChange) -> int:
        table = self._table_of(change)
        return 0 if table is None else self._places[table.audited.table]

    def _changes_key(self, change: RecordedChange) -> bool:
        return change.verb == "update" and len(set(self._keys(change))) > 1

    def _keys(self, change: RecordedChange) -> list[tuple[Any, ...]]:
        table = self._table_of(change)
        return [] if table is None else [table.key_in(data) for data in (change.old, change.after) if data]

    def _table_of(self, change: RecordedChange) -> LiveTable | None:
        name = (change.schema, change.table_name)
        if name not in self._tables:
            self._tables[name] = LiveTable.find(self._scope, self._connection, *name)
        return self._tables[name]


def _row_of(change: RecordedChange) -> RowName:
    return change.schema, change.table_name, change.row_key


def _rows_in(conflicts: list[Conflict], changes: Iterable[RecordedChange]) -> set[RowName]:
    ids = {conflict.activity_id for conflict in conflicts}
    return {_row_of(each) for each in changes if each.id in ids}


def _by_statement(changes: list[RecordedChange]) -> list[list[RecordedChange]]:
    """Put together what one statement did."""

    def statement(change: RecordedChange) -> Any:
        return change.native_transaction_id, change.issued_at, change.schema, change.table_name, change.verb

    return [list(group) for _, group in groupby(changes, statement)]
