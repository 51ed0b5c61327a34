"""What an undo has done, as the trail tells it: cascades and triggers of the application do more than was asked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, select

from ..audited import foreign_keys_of
from .recorded import RecordedChange, differing, load
from .steps import UndoStep

if TYPE_CHECKING:
    from ..scope import Scope


class Effects:
    """The activities of the database transaction since the undo began."""

    def __init__(self, scope: Scope, connection: Connection) -> None:
        self._scope = scope
        self._connection = connection
        self._began_after = self.last_id()
        self._references: dict[tuple[str, str], frozenset[str]] = {}
        #: Those of one table, until more come.
        self._of_table: tuple[tuple[str, str], dict[Any, list[RecordedChange]]] | None = None

    def last_id(self) -> int:
        """Return the id of the last activity of the trail."""
        return self._connection.scalar(select(func.max(self._scope.activity_cls.id))) or 0

    def forget(self) -> None:
        """Note that there may be more of them now."""
        self._of_table = None

    def lost(self, after: int, steps: list[UndoStep], expected: set[tuple[str, str | None]]) -> list[str]:
        """Return other rows that steps deleted, or took a reference from, since the activity with an id."""
        deleted = {(step.table_name, step.row_key) for step in steps if step.action == "delete"}
        if not deleted:
            return []
        activity = self._scope.activity_cls
        query = select(activity.verb, activity.table_name, activity.row_key, activity.changed_data).where(
            *self._is_own(after)
        )
        found = []
        for verb, table_name, row_key, changed in self._connection.execute(query):
            if (table_name, row_key) in deleted or (table_name, row_key) in expected:
                continue
            if verb == "delete" or self.references(table_name, steps[0].table_name).intersection(changed):
                found.append(f"{table_name} {row_key}")
        return found

    def has_others(self, after: int, steps: list[UndoStep]) -> bool:
        """Return whether other rows were deleted, or lost a reference, since the activity with an id."""
        tables = {step.table_name for step in steps if step.action == "delete"}
        if not tables:
            return False
        activity = self._scope.activity_cls
        query = select(activity.verb, activity.table_name, activity.row_key, activity.changed_data)
        asked = Counter((step.action, step.table_name, step.row_key) for step in steps)
        for verb, table_name, row_key, changed in self._connection.execute(query.where(*self._is_own(after))):
            asked[verb, table_name, row_key] -= 1
            if asked[verb, table_name, row_key] >= 0:
                continue
            if verb == "delete" or any(self.references(table_name, each).intersection(changed) for each in tables):
                return True
        return False

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

    def references(self, table_name: str, referred: str) -> frozenset[str]:
        """Return the columns of a table that reference another one."""
        if (table_name, referred) not in self._references:
            self._references[table_name, referred] = frozenset(
                element.parent.name
                for each in self._scope.metadata.tables.values()
                if each.name == table_name
                for constraint in foreign_keys_of(each)
                if constraint.referred_table.name == referred
                for element in constraint.elements
            )
        return self._references[table_name, referred]

    def _is_own(self, after: int) -> tuple[ColumnElement[bool], ...]:
        activity = self._scope.activity_cls
        xid = cast(cast(func.pg_current_xact_id(), Text), activity.id.type)
        return activity.id > after, activity.native_transaction_id == xid
