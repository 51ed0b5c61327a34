"""What a table's ``info["versioned"]`` may say, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Table

from .errors import ConfigurationError

INFO_KEY = "versioned"
_KEYS = ("exclude",)


@dataclass(frozen=True)
class Versioned:
    """How one table is recorded."""

    exclude: tuple[str, ...] = ()

    @classmethod
    def read(cls, table: Table) -> Versioned:
        """Read and check the options of a marked table.

        :raises ConfigurationError: if a key or a column is not what the table can take.
        """
        options = table.info[INFO_KEY]
        if not isinstance(options, Mapping):
            raise ConfigurationError(
                f"Table {table.fullname!r}: info[{INFO_KEY!r}] is {options!r}; "
                f'make it a dict: {{"info": {{"{INFO_KEY}": {{}}}}}}.'
            )
        for key in options:
            if key not in _KEYS:
                raise ConfigurationError(
                    f"Table {table.fullname!r}: {key!r} is not an option of info[{INFO_KEY!r}]; "
                    f"known are {', '.join(map(repr, _KEYS))}."
                )
        return cls(exclude=_excluded_columns(table, options.get("exclude", ())))


def _excluded_columns(table: Table, exclude: object) -> tuple[str, ...]:
    if isinstance(exclude, str) or not isinstance(exclude, (list, tuple, set, frozenset)):
        raise ConfigurationError(f"Table {table.fullname!r}: 'exclude' is {exclude!r}; make it a list of column names.")
    columns = {column.name: column for column in table.columns}
    for name in exclude:
        if name not in columns:
            known = ", ".join(map(repr, columns))
            raise ConfigurationError(
                f"Table {table.fullname!r}: 'exclude' names {name!r}, which is no column of the table; "
                f"its columns are {known}."
            )
        if columns[name].primary_key:
            raise ConfigurationError(
                f"Table {table.fullname!r}: 'exclude' names {name!r}, which is in the primary key; "
                "without it nobody could tell which row changed. Take it out of 'exclude'."
            )
    return tuple(sorted(set(exclude)))
