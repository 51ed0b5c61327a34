"""What an undo has done, as the trail tells it: cascades and triggers of the application do more than was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, ForeignKeyConstraint, Text, and_, cast, func, select

from ..audited import foreign_keys_of
from .recorded import RecordedChange, differing, load
from .steps import UndoStep

if TYPE_CHECKING:
    from ..scope import Scope

#: The schema and the name of a table, and the key of a row.
RowName: TypeAlias = tuple[str, str, "str | None"]

#: A table whose rows went, or the columns of it that were set.
_Referenced: TypeAlias = tuple[str, "tuple[str, ...] | None"]


class Effects:
    """The activities of the database transaction since the undo began."""

    def __init__(self, scope: Scope, connection: Connection) -> None:
        self._scope = scope
        self._connection = connection
        self._began_after = self.last_id()
        self._references: dict[tuple[str, str, tuple[str, ...] | None], frozenset[str]] = {}
        #: Those of one table, until more come.
        self._of_table: tuple[tuple[str, str], dict[Any, list[RecordedChange]]] | None = None

    def last_id(self) -> int:
        """Return the id of the last activity of the trail."""
        return self._connection.scalar(select(func.max(self._scope.activity_cls.id))) or 0

    def forget(self) -> None:
        """Note that there may be more of them now."""
        self._of_table = None

    def lost(self, after: int, changes: Iterable[RecordedChange], steps: list[UndoStep]) -> list[RowName]:
        """Return other rows that were deleted, or lost a reference, since the activity with an id.

        :param changes: those that the steps take back, at least.
        """
        if not (referenced := self._referenced(steps)):
            return []
        ids = {step.activity_id for step in steps}
        own = {(each.schema, each.table_name, each.key_before) for each in changes if each.id in ids}
        return [
            row
            for verb, row, changed in self._activities(after)
            if row not in own and self._is_loss(verb, row, changed, referenced)
        ]

    def has_others(self, after: int, changes: Iterable[RecordedChange], steps: list[UndoStep]) -> bool:
        """Return whether other rows were deleted, or lost a reference, since the activity with an id.

        :param changes: those that the steps take back, at least.
        """
        if not (referenced := self._referenced(steps)):
            return False
        keys = {change.id: change.key_before for change in changes}
        asked = Counter((step.action, step.table_name, keys[step.activity_id]) for step in steps)
        done: dict[Any, list[tuple[str, RowName, dict[str, Any]]]] = {}
        for verb, row, changed in self._activities(after):
            done.setdefault((verb, row[1], row[2]), []).append((verb, row, changed))
        # Of a row that has more of them than were asked for, each may be the other one.
        others = (each for key, activities in done.items() if len(activities) > asked[key] for each in activities)
        return any(self._is_loss(*each, referenced) for each in others)

    def was_carried_back(self, change: RecordedChange, known: dict[str, Any], old: dict[str, Any]) -> bool:
        """Return whether a cascade has taken an update of a row back."""
        activity = self._scope.activity_cls
        table = (change.schema, change.table_name)
        if self._of_table is None or self._of_table[0] != table:
            of_table = and_(activity.schema == change.schema, activity.table_name == change.table_name)
            found: dict[Any, list[RecordedChange]] = {}
            for each in load(self._scope, self._connection, and_(*self._is_own(self._began_after), of_table)):
                found.setdefault((each.verb, each.key_before, each.row_key), []).append(each)
            self._of_table = (table, found)
        candidates = self._of_table[1].get(("update", change.row_key, change.key_before), [])
        return any(not differing(each.old, known) and not differing(each.after, old) for each in candidates)

    def references(self, table_name: str, referred: str, columns: tuple[str, ...] | None = None) -> frozenset[str]:
        """Return the columns of a table that reference another one, or some columns of it."""
        if (table_name, referred, columns) not in self._references:
            self._references[table_name, referred, columns] = frozenset(
                element.parent.name
                for constraint in self._foreign_keys
                if constraint.table.name == table_name and constraint.referred_table.name == referred
                for element in constraint.elements
                if columns is None or element.column.name in columns
            )
        return self._references[table_name, referred, columns]

    @cached_property
    def _foreign_keys(self) -> list[ForeignKeyConstraint]:
        return [each for table in self._scope.metadata.tables.values() for each in foreign_keys_of(table)]

    @cached_property
    def _referenced_columns(self) -> frozenset[tuple[str, str]]:
        elements = (element for constraint in self._foreign_keys for element in constraint.elements)
        return frozenset((element.column.table.name, element.column.name) for element in elements)

    def _referenced(self, steps: list[UndoStep]) -> set[_Referenced]:
        """Return what others may have referenced of what steps deleted or set."""
        found: set[_Referenced] = {(step.table_name, None) for step in steps if step.action == "delete"}
        for name, columns in {(step.table_name, step.columns) for step in steps if step.action == "update"}:
            if any((name, column) in self._referenced_columns for column in columns):
                found.add((name, columns))
        return found

    def _is_loss(self, verb: str, row: RowName, changed: dict[str, Any], referenced: set[_Referenced]) -> bool:
        if verb == "delete":
            return any(columns is None for _, columns in referenced)
        if verb != "update":
            return False
        for name, columns in referenced:
            names = self.references(row[1], name, columns).intersection(changed)
            # Where the row that it references is there, a cascade may have carried the reference on.
            if names and (columns is None or any(changed[each] is None for each in names)):
                return True
        return False

    def _activities(self, after: int) -> Iterator[tuple[str, RowName, dict[str, Any]]]:
        activity = self._scope.activity_cls
        query = select(
            activity.verb, activity.schema, activity.table_name, activity.row_key, activity.changed_data
        ).where(*self._is_own(after))
        for verb, schema, table_name, row_key, changed in self._connection.execute(query):
            yield verb, (schema, table_name, row_key), changed

    def _is_own(self, after: int) -> tuple[ColumnElement[bool], ...]:
        activity = self._scope.activity_cls
        xid = cast(cast(func.pg_current_xact_id(), Text), activity.id.type)
        return activity.id > after, activity.native_transaction_id == xid
