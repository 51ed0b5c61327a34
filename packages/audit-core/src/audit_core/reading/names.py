"""Tables and keys as a person writes them, on a command line or in an address."""

from __future__ import annotations

import json
from decimal import InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table

from ..audited import audited_tables
from ..errors import HistoryError
from .values import convert

if TYPE_CHECKING:
    from ..scope import Scope

#: What a conversion makes of a text that is not a value of the type.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, InvalidOperation)


def find_table(scope: Scope, name: str) -> Table:
    """Find an audited table by its name, with its schema where that is needed to tell it from others.

    :raises HistoryError: if there is none of this name, or several.
    """
    tables = [table for table, _ in audited_tables(scope.metadata)]
    exact = [table for table in tables if table.fullname == name]
    found = exact or [table for table in tables if table.name == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(repr(table.fullname) for table in found or tables) or "none"
    if found:
        raise HistoryError(f"There are several tables {name!r}: {known}. Give the schema, too.")
    raise HistoryError(f"No table {name!r} is audited; the audited tables are {known}.")


def parse_key(table: Table, text: str) -> tuple[Any, ...]:
    """Read a primary key that is written as in ``row_key``: its text, or a JSON array of the values of several columns.

    :raises HistoryError: if it is not a key of this table.
    """
    columns = list(table.primary_key.columns)
    names = ", ".join(column.name for column in columns)
    values: Any = [text]
    if len(columns) != 1:
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, list) or len(values) != len(columns):
            raise HistoryError(
                f"{text!r} is not a primary key of table {table.fullname!r}: write a JSON array of its columns, "
                f"[{names}]."
            )
    try:
        return tuple(convert(value, column.type) for value, column in zip(values, columns, strict=True))
    except _UNREADABLE:
        raise HistoryError(f"{text!r} is not a primary key of table {table.fullname!r}, which is {names}.") from None


def parse_actor(scope: Scope, text: str) -> Any:
    """Read the primary key of an actor.

    :raises HistoryError: if it is none.
    """
    type_ = scope.actor.key_type()
    try:
        return convert(text, type_)
    except _UNREADABLE:
        raise HistoryError(f"{text!r} is not a primary key of an actor, which is of the type {type_!r}.") from None
