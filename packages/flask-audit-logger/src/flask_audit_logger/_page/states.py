"""Two states of a record, side by side: which columns differ, which are the same, and of which nobody knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import Budget, parse_key, row_as_of, rows_after, scope_of
from sqlalchemy import Table
from sqlalchemy.orm import Session

from .differences import Difference, binary_columns, cut, describe_bytes, differences, is_same, text_of
from .loading import LOADED, is_digest, is_loaded, load_activities

#: What the trail has of a value that jsonb cannot hold.
_UNSTORABLE, _BYTES = "$unstorable", "$bytes"


@dataclass(frozen=True)
class State:
    """A record at a moment, as it is recorded."""

    #: The change that left the record so; the last one, if it is asked for now.
    activity: Any
    #: None for now.
    when: dt.datetime | None
    #: None if it was not there.
    row: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    masked: frozenset[str] = frozenset()
    erased: frozenset[str] = frozenset()
    is_too_long: bool = False

    def lacks(self, name: str) -> str:
        """Say why the trail has no value of a column, or not all of it; empty if it has."""
        if self.row is None:
            return ""
        if name not in self.row:
            return "not recorded"
        if name in self.erased:
            return "erased"
        if name in self.masked:
            return "masked"
        value = self.row[name]
        # Of a longer one the trail has the beginning.
        is_part = _is_unstorable(value) and (_BYTES in value or value[_UNSTORABLE] is None)
        return "could not be stored" if is_part else ""


@dataclass(frozen=True)
class Cell:
    """A value of a column in one of both states, or what is said instead of it."""

    text: str = ""
    said: str = ""


@dataclass
class Comparison:
    """The columns of two states."""

    differing: list[Difference] = field(default_factory=list)
    #: Columns that one of both states says nothing of, with what there is.
    unknown: list[tuple[str, Cell, Cell]] = field(default_factory=list)
    same: list[tuple[str, Cell]] = field(default_factory=list)
    #: The names of the columns that differ; one of JSON may do so at several places.
    columns: list[str] = field(default_factory=list)

    def notes(self, state: State) -> list[str]:
        """Return what is to be said of a state beside what stands in the place of its values."""
        shown = tuple(f'"{name}" ' for name, *_ in self.unknown)
        return [note for note in state.notes if not note.startswith(shown)]


def read_states(
    log: AuditLog,
    session: Session,
    table: Table,
    record: tuple[tuple[Any, ...], str],
    picked: Sequence[tuple[int | None, Any]],
) -> list[State]:
    """Read how a record was after some activities, the earliest first.

    :param record: its primary key, and the same as it was written in the address.
    :param picked: the ids that are asked for, None for now, with the activities; for now, the last one.
    :raises HistoryError: if that is not known.
    """
    now = dt.datetime.now(dt.timezone.utc)
    key, row_key = record
    by_time = sorted(picked, key=lambda pair: (pair[0] is None, pair[1].issued_at, pair[1].id))
    asked = [(activity, None if id_ is None else activity.issued_at) for id_, activity in by_time]
    found = []
    for (activity, when), known in zip(asked, _left(log, session, table, asked, now), strict=True):
        if not is_loaded(activity):
            found.append(State(activity, when, is_too_long=True))
        elif known is not None:
            found.append(_recorded(activity, when, activity, *known))
        else:
            # The key that the record had then.
            is_same = activity.row_key == row_key or is_digest(activity.row_key)
            own = key if is_same else parse_key(table, activity.row_key)
            found.append(_state_at(log, session, table, own, activity, when, now))
    return found


def _left(
    log: AuditLog, session: Session, table: Table, asked: Sequence[tuple[Any, dt.datetime | None]], now: dt.datetime
) -> Sequence[Any]:
    """Return what activities left, None where another one has to be looked for that says how the record was."""
    # Of several with the same time the last one says it.
    is_clear = len({when for _, when in asked}) == len(asked) and all(is_loaded(activity) for activity, _ in asked)
    if not is_clear:
        return [None] * len(asked)
    return rows_after(scope_of(log), session.connection(), table, [(activity, when or now) for activity, when in asked])


def _state_at(
    log: AuditLog, session: Session, table: Table, key: Any, activity: Any, when: dt.datetime | None, now: dt.datetime
) -> State:
    """Look for the activity that tells how a record was at a time, which is not the one that was picked."""
    at = when or now
    found, notes = row_as_of(scope_of(log), session.connection(), table, key, at)
    if found is None:
        return State(activity, when, notes=notes)
    left, row = recorded_row(log, session, found, at)
    if row is None:
        return State(activity, when, notes=notes, is_too_long=True)
    return _recorded(activity, when, left, row, notes)


def _recorded(
    activity: Any, when: dt.datetime | None, left: Any, row: dict[str, Any] | None, notes: tuple[str, ...]
) -> State:
    if row is None:
        return State(activity, when, notes=notes)
    return State(activity, when, row, notes, frozenset(left.masked or ()), frozenset(left.erased or ()))


def recorded_row(log: AuditLog, session: Session, found: Any, at: dt.datetime) -> tuple[Any, dict[str, Any] | None]:
    """Return the activity that a state comes from, and the row as it is recorded; None if that is too long.

    Python's values have fewer digits than those of the trail.
    """
    (left,) = load_activities(log, session, [found["audit_activity_id"]], LOADED)
    if not is_loaded(left):
        return left, None
    # Where retention removed what was before, a later change says how it was.
    is_before = left.issued_at > at and left.verb in ("update", "delete")
    return left, dict(left.row_before if is_before else left.data)


def compare_states(table: Table, before: State, after: State) -> Comparison:
    """Compare two states column by column, in the order of the model."""
    found, budget = Comparison(), Budget()
    if before.is_too_long or after.is_too_long:
        return found
    binary = binary_columns(table)
    for name in _columns(table, before, after):
        lacking = [each.lacks(name) for each in (before, after)]
        if any(lacking):
            old_cell, new_cell = _cell(before, name, lacking[0], binary), _cell(after, name, lacking[1], binary)
            found.unknown.append((name, old_cell, new_cell))
            continue
        old, new = ({} if each.row is None else {name: each.row[name]} for each in (before, after))
        if old and new and is_same(old[name], new[name]):
            found.same.append((name, _cell(after, name, "", binary)))
            continue
        found.columns.append(name)
        verb = "update" if new else "delete"
        plain = [{name: _plain(each[name])} if each else each for each in (old, new)]
        notes = [*filter(None, (_note(each.get(name)) for each in (old, new)))]
        for each in differences(plain[0], plain[1], verb, binary, budget):
            found.differing.append(replace(each, note="; ".join(filter(None, (each.note, *notes[:1])))))
    return found


def _columns(table: Table, before: State, after: State) -> Sequence[str]:
    """Return the columns of the model, and those that it had."""
    rows = [each.row for each in (before, after) if each.row is not None]
    if not rows:
        return []
    recorded = (name for row in rows for name in sorted(row))
    return list(dict.fromkeys([*(each.name for each in table.columns), *recorded]))


def _cell(state: State, name: str, said: str, binary: set[str]) -> Cell:
    if state.row is None or (said and said != "could not be stored"):
        return Cell(said=said or "not there")
    value = state.row[name]
    text, note = cut(describe_bytes(value) if name in binary else text_of(_plain(value)))
    return Cell(text, "; ".join(filter(None, (said or _note(value), note))))


def _is_unstorable(value: Any) -> bool:
    return isinstance(value, dict) and _UNSTORABLE in value and value.keys() <= {_UNSTORABLE, _BYTES}


def _plain(value: Any) -> Any:
    """Return a value, or the text of one that could not be stored."""
    return (value[_UNSTORABLE] or "") if _is_unstorable(value) else value


def _note(value: Any) -> str:
    return "could not be stored; this is its text" if _is_unstorable(value) else ""
