"""What recorded values refer to by a foreign key of one column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit_core.siblings import foreign_keys_of
from sqlalchemy import Table

from .loading import is_digest, is_loaded


@dataclass(frozen=True)
class Reference:
    """A row that a recorded value refers to, called as an activity of it is."""

    table: Table
    schema: str
    row_key: str


@dataclass(frozen=True)
class Named:
    """What a value refers to, as people call it."""

    #: None if it has no name.
    name: str | None
    row_key: str
    #: The audited table whose page of the record there is.
    table: str | None

    @property
    def text(self) -> str:
        """The name and the key."""
        return self.row_key if self.name in (None, self.row_key) else f"{self.name} ({self.row_key})"


def references(table: Table, schema: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Reference]]:
    """Yield the columns of a recorded row by which it refers to the primary key of another one.

    :param schema: that of the table in the database.
    """
    for constraint in foreign_keys_of(table):
        (element, *others), other = constraint.elements, constraint.referred_table
        if others or list(other.primary_key.columns) != [element.column]:
            continue
        column, value = element.parent.name, values.get(element.parent.name)
        if isinstance(value, bool) or not isinstance(value, (int, str)) or is_digest(str(value)):
            continue
        # A table that names no schema is where the other one is that names none.
        own = other.schema or (schema if table.schema is None else "public")
        yield column, Reference(other, own, str(value))


def recorded_values(activity: Any) -> list[dict[str, Any]]:
    """Return what is shown of an activity, before and after it, without what only stands for a value."""
    if not is_loaded(activity):
        return [{}, {}]
    found = [each if isinstance(each, dict) else {} for each in (activity.old_data, activity.changed_data)]
    shown = found[0] if activity.verb == "delete" else found[1]
    hidden = {*(activity.masked or ()), *(activity.erased or ())}
    return [{name: value for name, value in each.items() if name in shown and name not in hidden} for each in found]
