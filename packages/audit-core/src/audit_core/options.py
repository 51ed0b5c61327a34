"""What a table's ``info["versioned"]`` may say, checked when it is read."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import Table

from .errors import ConfigurationError
from .period import period

INFO_KEY = "versioned"
#: The key of flask-audit-logger 2.x, which is read where there is no other.
KEY_OF_2X = "audit_logged"

OPERATIONS = ("insert", "update", "delete", "truncate")


def _columns(parameter: str) -> Any:
    """Declare an option that names columns; ``parameter`` is what the operation of a migration calls it."""
    return field(default=(), metadata={"parameter": parameter, "names_columns": True})


def _choice(*words: str) -> Any:
    """Declare an option that is one of some words; the first is the default."""
    return field(default=words[0], metadata={"choices": words})


@dataclass(frozen=True)
class TableOptions:
    """How one table is audited. Each option is defined here, and nowhere else."""

    #: Columns that are not recorded.
    exclude: tuple[str, ...] = _columns("excluded_columns")
    #: The only columns that are recorded, beside the primary key; all if empty.
    include: tuple[str, ...] = _columns("included_columns")
    #: Columns of which only is recorded that they changed.
    mask: tuple[str, ...] = _columns("masked_columns")
    #: Which kinds of statements are recorded.
    operations: tuple[str, ...] = field(default=OPERATIONS, metadata={"parameter": "recorded_operations"})
    #: What a TRUNCATE leaves: the number of rows, or the rows, too.
    truncate: str = _choice("count", "rows")
    #: Whether a write without an actor fails.
    require_actor: str = _choice("allow", "reject")
    #: Whether a write in a block of disable() fails.
    bypass: str = _choice("allow", "reject")
    #: What an update leaves of the row: all of it, or only the columns that change, for tables with many columns.
    store: str = _choice("rows", "changes")
    #: How long activities are kept; as long as those of the other tables if empty. Triggers need not know.
    keep: str = field(default="", compare=False, metadata={"is_recorded": False})
    #: Columns that the application sets by itself, such as a time of the last change: an undo leaves them as they are.
    #: Triggers need not know.
    volatile: tuple[str, ...] = field(default=(), compare=False, metadata={"is_recorded": False, "names_columns": True})

    def __post_init__(self) -> None:
        for name in _COLUMN_OPTIONS:
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        object.__setattr__(
            self, "operations", tuple(operation for operation in OPERATIONS if operation in self.operations)
        )

    @classmethod
    def read(cls, table: Table) -> TableOptions:
        """Read and check the options of an audited table.

        :raises ConfigurationError: if a key or a value is not what the table can take.
        """
        options = declared(table)
        if INFO_KEY not in table.info:
            warnings.warn(deprecation(table), DeprecationWarning, stacklevel=3)
        if not isinstance(options, Mapping):
            raise ConfigurationError(
                f"Table {table.fullname!r}: info[{INFO_KEY!r}] is {options!r}; "
                f'make it a dict: {{"info": {{"{INFO_KEY}": {{}}}}}}.'
            )
        known = [field.name for field in fields(cls)]
        for key in options:
            if key not in known:
                raise ConfigurationError(
                    f"Table {table.fullname!r}: {key!r} is not an option of info[{INFO_KEY!r}]; "
                    f"known are {', '.join(map(repr, known))}."
                )
        values: dict[str, Any] = {name: _read_columns(table, name, options.get(name, ())) for name in _COLUMN_OPTIONS}
        if values["exclude"] and values["include"]:
            raise ConfigurationError(
                f"Table {table.fullname!r}: 'exclude' and 'include' exclude each other. Keep one of them."
            )
        of_key = {name: option for option in _NOT_OF_KEY for name in values[option] if name in _key_columns(table)}
        for name, option in sorted(of_key.items()):
            raise ConfigurationError(
                f"Table {table.fullname!r}: {option!r} names {name!r}, which is in the primary key; "
                f"without it nobody could tell which row changed. Take it out of {option!r}."
            )
        for name, choices in _CHOICES.items():
            values[name] = options.get(name, choices[0])
            if values[name] not in choices:
                raise ConfigurationError(
                    f"Table {table.fullname!r}: {name!r} is {values[name]!r}; it can be "
                    f"{' or '.join(map(repr, choices))}."
                )
        if values["store"] != _CHOICES["store"][0] and not table.primary_key.columns:
            raise ConfigurationError(
                f"Table {table.fullname!r}: 'store' is {values['store']!r}, and the table has no primary key; without "
                "one nobody could tell which earlier change has the rest of a row. Take 'store' out."
            )
        values["keep"] = _read_keep(table, options.get("keep", ""))
        values["operations"] = _read_operations(table, options.get("operations", OPERATIONS))
        return cls(**values)

    @property
    def is_complete(self) -> bool:
        """Whether every kind of statement is recorded."""
        return self.operations == OPERATIONS

    def without(self, columns: Collection[str]) -> TableOptions:
        """Record the same without some columns."""
        if not columns:
            return self
        if self.include:
            return replace(self, include=tuple(name for name in self.include if name not in columns))
        return replace(self, exclude=(*self.exclude, *columns))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the triggers: what differs from the defaults, ``option=value`` each."""
        said = [(name, column) for name in _RECORDED_COLUMNS for column in getattr(self, name)]
        if self.operations != OPERATIONS:
            # The triggers that are there do not tell: one may have been dropped by hand.
            said += [("operation", operation) for operation in self.operations]
        said += [(name, getattr(self, name)) for name in _CHOICES if getattr(self, name) != _CHOICES[name][0]]
        return tuple(f"{name}={value}" for name, value in said)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the operation in a migration: what differs from the defaults."""
        return {
            each.metadata.get("parameter", each.name): list(value) if isinstance(value, tuple) else value
            for each in fields(self)
            if each.metadata.get("is_recorded", True) and (value := getattr(self, each.name)) != each.default
        }

    @classmethod
    def from_arguments(cls, arguments: Iterable[str]) -> TableOptions | None:
        """Read the arguments of triggers; None if they are not ours."""
        values: dict[str, Any] = {name: [] for name in (*_RECORDED_COLUMNS, "operation")}
        for argument in arguments:
            name, _, value = argument.partition("=")
            if name in values and isinstance(values[name], list):
                values[name].append(value)
            elif value in _CHOICES.get(name, ()):
                values[name] = value
            else:
                return None
        operations = values.pop("operation") or OPERATIONS
        return cls(operations=tuple(operations), **values)


_COLUMN_OPTIONS = tuple(each.name for each in fields(TableOptions) if "names_columns" in each.metadata)
#: Those that are said to the triggers.
_RECORDED_COLUMNS = tuple(
    each.name
    for each in fields(TableOptions)
    if "names_columns" in each.metadata and each.metadata.get("is_recorded", True)
)
#: Those that cannot name a column of the primary key.
_NOT_OF_KEY = ("volatile", "mask", "exclude")
_CHOICES = {each.name: each.metadata["choices"] for each in fields(TableOptions) if "choices" in each.metadata}


def declared(table: Table) -> Any:
    """Return what a table says of its auditing, in the way of today; None and False say that it is not audited."""
    if INFO_KEY in table.info or KEY_OF_2X not in table.info:
        return table.info.get(INFO_KEY)
    options = table.info[KEY_OF_2X]
    if options in (None, False):
        return options
    return options if isinstance(options, Mapping) else {}


def deprecation(table: Table) -> str:
    """Say what to write where the key of 2.x is used."""
    return (
        f"Table {table.fullname!r} is declared with {KEY_OF_2X!r}, the key of flask-audit-logger 2.x. Write "
        f"{INFO_KEY!r} instead, and {{}} instead of True."
    )


def _read_columns(table: Table, option: str, names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (list, tuple, set, frozenset)):
        raise ConfigurationError(f"Table {table.fullname!r}: {option!r} is {names!r}; make it a list of column names.")
    known = [column.name for column in table.columns] if names else []
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"Table {table.fullname!r}: {option!r} names {name!r}, which is not a column of the table; "
                f"its columns are {', '.join(map(repr, known))}."
            )
    return tuple(names)


def _read_keep(table: Table, value: object) -> str:
    if value == "":
        return ""
    try:
        return period(value, "'keep'")
    except ConfigurationError as error:
        raise ConfigurationError(f"Table {table.fullname!r}: {error}") from None


def _key_columns(table: Table) -> set[str]:
    return {column.name for column in table.primary_key.columns}


def _read_operations(table: Table, names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (list, tuple, set, frozenset)) or not names:
        raise ConfigurationError(
            f"Table {table.fullname!r}: 'operations' is {names!r}; make it a list of some of "
            f"{', '.join(map(repr, OPERATIONS))}."
        )
    for name in names:
        if name not in OPERATIONS:
            raise ConfigurationError(
                f"Table {table.fullname!r}: 'operations' names {name!r}; known are {', '.join(map(repr, OPERATIONS))}."
            )
    return tuple(names)
