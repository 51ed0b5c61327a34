"""Which columns an undo leaves as they are: those that tables declare as volatile, and those that the caller names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Column, Table
from sqlalchemy.orm import ColumnProperty

from ..audited import is_audited
from ..errors import HistoryError
from ..options import TableOptions, declared

if TYPE_CHECKING:
    from ..scope import Scope

#: The columns of each audited table that are left as they are.
Ignored: TypeAlias = Mapping[Table, frozenset[str]]


def ignored_columns(scope: Scope, given: Collection[Any]) -> Ignored:
    """Find the columns that an undo leaves as they are.

    :raises HistoryError: if something is no column of an audited table, or is in a primary key.
    """
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise HistoryError(f"ignore is {given!r}; make it a list of columns.")
    tables = [table for table in scope.metadata.tables.values() if is_audited(table)]
    found = {table: set(_volatile(table)) for table in tables}
    for each in given:
        for column in _columns(each, tables):
            found[column.table].add(column.name)
    return {table: frozenset(names) for table, names in found.items()}


def _volatile(table: Table) -> tuple[str, ...]:
    options = declared(table)
    # Most tables have none, and to read all options of all of them takes time.
    return TableOptions.read(table).volatile if isinstance(options, Mapping) and "volatile" in options else ()


def _columns(given: Any, tables: list[Table]) -> list[Column[Any]]:
    """Return the columns that something means, of all tables if it is a name alone."""
    if isinstance(given, str):
        found = [column for column in _all_columns(tables) if given in _names(column)]
        shown = given
    else:
        meant = _meant(given)
        found = [column for column in _all_columns(tables) if any(column is each for each in meant)]
        shown = str(given)
    if not found:
        raise HistoryError(f"{shown!r} cannot be ignored: it is not a column of an audited table.")
    # A name may be that of a key in one table, and not in another.
    ignored = [column for column in found if not column.primary_key]
    if not ignored:
        raise HistoryError(
            f"{shown!r} cannot be ignored: it is in a primary key, without which nobody could tell which row changed."
        )
    return ignored


def _meant(given: Any) -> list[Any]:
    if isinstance(given, Column):
        return [given]
    mapped = getattr(given, "property", None)
    # Of a class that inherits, an attribute may stand for a column in each table.
    return list(mapped.columns) if isinstance(mapped, ColumnProperty) else []


def _all_columns(tables: list[Table]) -> Iterator[Column[Any]]:
    return (column for table in tables for column in table.columns)


def _names(column: Column[Any]) -> tuple[str, ...]:
    table = column.table
    return column.name, f"{table.name}.{column.name}", f"{table.fullname}.{column.name}"
