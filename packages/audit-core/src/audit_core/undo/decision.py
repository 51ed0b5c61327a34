"""What to do with one row to take one activity back. It compares, and asks the database nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .claims import TAKEN_BACK
from .live import LiveRow, LiveTable, no_table
from .recorded import RecordedChange, differing
from .steps import Conflict, ConflictKind, UndoStep

#: Tells whether a cascade of this undo has taken a change back: what it made of the row, and what that was before.
WasCarriedBack: TypeAlias = Callable[[RecordedChange, dict[str, Any], dict[str, Any]], bool]


def decide(
    table: LiveTable | None,
    change: RecordedChange,
    row: LiveRow | None,
    was_carried_back: WasCarriedBack,
    ignored: frozenset[str] = frozenset(),
) -> UndoStep | Conflict | None:
    """Compare a row with what its activity left; None if there is nothing to do.

    :param ignored: columns that are left as they are, unless the row comes back.
    """
    if change.verb not in TAKEN_BACK:
        if change.verb not in ("snapshot", "read") and change.changed.get("rows") != 0:
            return _conflict(change, "unknown", f"{change.verb} of {change.table_name}: the rows were not recorded")
        return None
    if table is None:
        return _conflict(change, "gone", no_table(change))
    if change.verb == "insert":
        return _of_insert(table, change, row, ignored)
    if change.verb == "delete":
        return _of_delete(table, change, row, ignored)
    return _of_update(table, change, row, was_carried_back, ignored)


def _of_insert(
    table: LiveTable, change: RecordedChange, row: LiveRow | None, ignored: frozenset[str]
) -> UndoStep | Conflict:
    if row is None:
        return _gone(change)
    if changed := differing(row.data, _without(ignored, table.known(change, change.changed))):
        return _changed(change, changed)
    return UndoStep(change.id, "delete", change.table_name, str(change.row_key))


def _of_delete(
    table: LiveTable, change: RecordedChange, row: LiveRow | None, ignored: frozenset[str]
) -> UndoStep | Conflict | None:
    known = table.known(change, change.old)
    if row is None:
        return UndoStep(change.id, "insert", change.table_name, str(change.row_key), tuple(known))
    if differing(row.data, _without(ignored, known)):
        return _conflict(change, "exists", f"{change.name} exists again, with other values")
    return None


def _of_update(
    table: LiveTable,
    change: RecordedChange,
    row: LiveRow | None,
    was_carried_back: WasCarriedBack,
    ignored: frozenset[str],
) -> UndoStep | Conflict | None:
    if not (done := _without(ignored, change.changed)):
        return None
    known = table.known(change, done)
    if masked := [name for name in done if name in table.columns and name not in known]:
        return _conflict(change, "unknown", f"{change.name}: the value of {', '.join(masked)} is masked")
    old = {name: change.old.get(name) for name in known}
    columns = () if row is None else differing(row.data, old)
    changed = () if row is None else differing(row.data, {name: known[name] for name in columns})
    if (row is None or changed) and was_carried_back(change, known, old):
        return None
    if row is None:
        return _gone(change)
    if changed:
        return _changed(change, changed)
    return UndoStep(change.id, "update", change.table_name, str(change.row_key), columns) if columns else None


def _without(ignored: frozenset[str], data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in ignored}


def _gone(change: RecordedChange) -> Conflict:
    return _conflict(change, "gone", f"{change.name} is gone")


def _changed(change: RecordedChange, columns: tuple[str, ...]) -> Conflict:
    return _conflict(change, "changed", f"{change.name} was changed since: {', '.join(columns)}")


def _conflict(change: RecordedChange, kind: ConflictKind, message: str) -> Conflict:
    return Conflict(change.id, kind, message)
