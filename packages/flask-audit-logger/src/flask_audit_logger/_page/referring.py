"""What recorded values refer to by a foreign key of one column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from audit_core.siblings import foreign_keys_of
from sqlalchemy import Table

from .loading import is_digest, is_loaded


@dataclass(frozen=True)
class Target:
    """A table that a column refers to."""

    table: Table
    #: That of the table in the database.
    schema: str


@dataclass(frozen=True)
class Named:
    """What a value refers to, as people call it."""

    #: None if it has no name.
    name: str | None
    row_key: str
    #: The audited table whose page of the record there is.
    table: str | None
    #: Whether it is an actor, who has a page, too.
    is_actor: bool

    @property
    def text(self) -> str:
        """The name and the key."""
        return self.row_key if self.name in (None, self.row_key) else f"{self.name} ({self.row_key})"


def targets_of(table: Table, schema: str) -> dict[str, Target]:
    """Return what the columns of a table refer to, each by itself, by a primary key.

    :param schema: that of the table in the database.
    """
    found = {}
    for constraint in foreign_keys_of(table):
        (element, *others), other = constraint.elements, constraint.referred_table
        if not others and list(other.primary_key.columns) == [element.column]:
            # A table that names no schema is where the other one is that names none.
            own = other.schema or (schema if table.schema is None else "public")
            found[element.parent.name] = Target(other, own)
    return found


def key_of(value: Any) -> str | None:
    """Write what a column refers to by as the trail writes a key; None if it refers to nothing."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or is_digest(str(value)):
        return None
    return str(value)


def recorded_values(activity: Any, columns: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is shown of some columns before an activity and after it; not what only stands for a value."""
    if not is_loaded(activity):
        return {}, {}
    old, new = (each if isinstance(each, dict) else {} for each in (activity.old_data, activity.changed_data))
    hidden = {*(activity.masked or ()), *(activity.erased or ())}
    shown = [name for name in columns if name in (old if activity.verb == "delete" else new) and name not in hidden]
    return {name: old[name] for name in shown if name in old}, {name: new[name] for name in shown if name in new}
