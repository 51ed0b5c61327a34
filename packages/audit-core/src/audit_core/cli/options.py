"""Options and arguments that several commands have."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import Column, Table, select
from sqlalchemy.orm import Session

from audit_core import AuditLog, AuditLogTransaction
from audit_core.audit_log import scope_of
from audit_core.audited import audited_tables
from audit_core.reading import find_table, parse_key
from audit_core.reading.bounds import FIRST_ID, LAST_ID, recorded_before
from audit_core.reading.changes import mapper_of
from audit_core.scope import Scope

from .errors import CommandError
from .times import read_end, read_time

#: An id of the trail.
ID = click.IntRange(1, LAST_ID)
#: One of something that may have been imported, whose ids are negative; a number is no option then.
ANY_ID = click.IntRange(FIRST_ID, LAST_ID)
NEGATIVE_NUMBERS = {"ignore_unknown_options": True}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
as_json_lines = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
since = click.option("--since", metavar="TIME", type=read_time, help="At this time or later.")
until = click.option("--until", metavar="TIME", type=read_end, help="At this time or earlier.")
limit = click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most N."
)
catalog = click.option(
    "--catalog", metavar="NAME", help="The catalog of the archive in .pyiceberg.yaml; else that of the database."
)
archive = click.option("--archive", "with_archive", is_flag=True, help="Read the archive, too.")
full = click.option("--full", is_flag=True, help="Cut no long value, as in a pipe.")
transaction_argument = click.argument("transaction", type=ANY_ID)


def find_row(log: AuditLog, table: str, key: str) -> tuple[Table, tuple[Any, ...]]:
    """Return an audited table and the key of one of its rows."""
    found = find_table(scope_of(log), table)
    return found, parse_key(found, key)


def find_transaction(session: Session, log: AuditLog, number: int) -> AuditLogTransaction:
    """Load a transaction of the trail."""
    return require_transaction(session.get(log.transaction_cls, number), number)


def require_transaction(found: AuditLogTransaction | None, number: int) -> AuditLogTransaction:
    """Refuse a transaction that was not found."""
    if found is None:
        raise CommandError(f"There is no transaction {number} in the trail.")
    return found


def find_recorded_table(session: Session, log: AuditLog, name: str, with_archive: bool = False) -> Table | str:
    """Return a table to choose activities by, also one that is recorded under this name and is gone."""
    known = {each for table in log.metadata.tables.values() for each in (table.name, table.fullname)}
    if name not in known and with_archive and session.scalar(select(recorded_before(scope_of(log), name))):
        return name
    if name not in known and session.scalar(select(log.activities(table=name).order_by(None).exists())):
        return name
    return find_table(scope_of(log), name)


def column_name(log: AuditLog, table: Table | str | None, name: str) -> str:
    """Return what the trail calls a column, which may be given by the name that it has in the model.

    :raises CommandError: if no table is given, and models have several columns by that name.
    """
    scope = scope_of(log)
    if isinstance(table, str):
        return name
    tables = [each for each, _ in audited_tables(scope.metadata)] if table is None else [table]
    if any(each.name == name for table in tables for each in table.columns):
        return name
    found = {str(each.name): table for table in tables if (each := _mapped(scope, table, name)) is not None}
    if len(found) > 1:
        columns = ", ".join(f"{column!r} of {table.name!r}" for column, table in sorted(found.items()))
        raise CommandError(f"{name!r} is {columns}; say with --table which one.")
    return next(iter(found), name)


def _mapped(scope: Scope, table: Table, name: str) -> Column[Any] | None:
    """Return the column that has a name in the model."""
    mapper = mapper_of(scope, table)
    if mapper is not None and name in mapper.column_attrs:
        column = mapper.column_attrs[name].columns[0]
        return column if isinstance(column, Column) else None
    return table.columns.get(name)
