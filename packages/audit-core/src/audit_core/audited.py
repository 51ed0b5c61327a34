"""Which tables of a MetaData are audited, read when it is needed and never kept."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ForeignKeyConstraint, MetaData, Table
from sqlalchemy.exc import NoReferenceError

from .errors import ConfigurationError
from .options import TableOptions, declared


def is_audited(table: Table) -> bool:
    """Return whether a table is audited; ``False`` and ``None`` are ways to say that it is not."""
    return declared(table) not in (None, False)


def is_partitioned(table: Table) -> bool:
    """Return whether a table is declared with partitions."""
    return table.dialect_options["postgresql"]["partition_by"] is not None


def is_declared(constraint: ForeignKeyConstraint) -> bool:
    """Return whether what a foreign key refers to is declared: a table, or a column of it, may be nobody's."""
    try:
        # Each of them is looked up.
        return all(element.column is not None for element in constraint.elements)
    except NoReferenceError:
        return False


def foreign_keys_of(table: Table) -> list[ForeignKeyConstraint]:
    """Return the foreign keys of a table to what is declared, always in the same order."""
    declared_keys = filter(is_declared, table.foreign_key_constraints)
    return sorted(declared_keys, key=lambda each: tuple(each.column_keys))


def audited_tables(metadata: MetaData) -> Iterator[tuple[Table, TableOptions]]:
    """Yield the audited tables with their options, by name.

    :raises ConfigurationError: if the options of a table cannot be used.
    """
    for _, table in sorted(metadata.tables.items()):
        if is_audited(table):
            yield table, TableOptions.read(table)


def refuse_name_clash(metadata: MetaData, schema: str, names: tuple[str, ...]) -> None:
    """Refuse a table of the application that stands where an audit table has to stand.

    :raises ConfigurationError: naming the table and ``schema=``.
    """
    for table in metadata.tables.values():
        if table.name in names and (table.schema or "public") == schema:
            raise ConfigurationError(
                f"The application has a table {table.fullname!r}, and the audit trail needs that name in "
                f"schema {schema!r}. Put the trail into another schema with schema='audit'."
            )
