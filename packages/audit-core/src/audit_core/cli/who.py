"""``who``: who gave a row the values that it has now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import click
from sqlalchemy import RowMapping
from sqlalchemy.orm import Session, joinedload

from audit_core import AuditLogActivity
from audit_core.audit_log import scope_of
from audit_core.reading import row_as_of
from audit_core.reading.audited_table import AuditedTable
from audit_core.reading.values import as_object

from . import options
from .description import actor_text, names_of, reason_of, transaction_json, witness
from .errors import NO, CommandError
from .output import Listing, print_json, printable, value_text
from .row import KEY_HELP
from .source import Database, with_database
from .times import shown

_COLUMNS = ("column", "value", "by", "when", "transaction", "why")
#: So much of a value fits into a column of the table.
_VALUE = 40
_Origins = dict[str, AuditLogActivity | None]


@click.command(epilog=KEY_HELP)
@click.argument("table")
@click.argument("key")
@click.argument("column", required=False)
@options.full
@options.as_json
@with_database
def who(database: Database, table: str, key: str, column: str | None, full: bool, as_json: bool) -> None:
    """Show who gave a row, or one of its columns, its present value, when and why.

    What was not set since the trail knows the row, or is not recorded, is "not known". If the row is gone, the exit
    code is 1.
    """
    log = database.audit_log
    found, parsed = options.find_row(log, table, key)
    engine = database.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    # What the trail says of the columns and of the row is of one state of the database.
    with Session(engine) as session:
        activity = log.activity_cls
        query = log.origins(found, parsed).options(joinedload(activity.transaction))
        origins: _Origins = dict(map(tuple, session.execute(query)))
        known = [each for each in origins.values() if each is not None]
        if not known:
            raise CommandError(f"Nothing is recorded of {found.fullname!r} {key!r}.")
        # The clock of the server may be ahead of ours.
        now = max(dt.datetime.now(dt.timezone.utc), *(each.issued_at for each in known))
        row, notes = row_as_of(scope_of(log), session, found, parsed, now)
        names = names_of(session, log, (each.transaction for each in known))
    if column is not None:
        origins = _only(origins, options.column_name(log, found, column), found.fullname)
        # What is said of other columns begins with their names.
        own = tuple(map(_quoted, origins))
        notes = tuple(each for each in notes if not each.startswith('"') or each.startswith(own))
    if as_json:
        columns = [_json(name, origin, row, names) for name, origin in origins.items()]
        said = {"table": found.fullname, "row_key": key, "is_gone": row is None}
        print_json({**said, "columns": columns, "notes": notes})
    elif row is None:
        click.echo(printable(_said_of_gone(f"{found.fullname!r} {key!r}", known, names)))
    else:
        listing = Listing(*_COLUMNS, full=full)
        audited = AuditedTable.find(scope_of(log), found)
        # Of a masked one the trail knows that it was set, and by whom.
        unrecorded = {name for name in origins if not audited.records(name) and name not in audited.options.mask}
        listing.add([_cells(name, origin, row, names, unrecorded, listing) for name, origin in origins.items()])
    if not as_json:
        for note in notes:
            click.echo(printable(f"Note: {note}"), err=True)
    if row is None:
        raise click.exceptions.Exit(NO)


def _quoted(column: str) -> str:
    return f'"{column}"'


def _only(origins: _Origins, column: str, table: str) -> _Origins:
    if column not in origins:
        known = ", ".join(map(repr, origins))
        raise CommandError(f"{column!r} is not a column of {table!r}; its columns are {known}.")
    return {column: origins[column]}


def _said_of_gone(name: str, known: list[AuditLogActivity], names: Mapping[Any, str]) -> str:
    last = max(known, key=lambda each: each.id)
    if last.verb != "delete":
        return f"{name} is gone, and no delete of it is recorded."
    said = f"{name} is gone: {_by(last, names)} deleted it at {shown(last.issued_at)}, in transaction "
    why = reason_of(last.transaction)
    return f"{said}{last.transaction_id}{f', {why}' if why else ''}."


def _by(activity: AuditLogActivity, names: Mapping[Any, str]) -> str:
    actor_id = activity.transaction.actor_id
    return f"- ({witness(activity.transaction)})" if actor_id is None else actor_text(actor_id, names)


def _is_known(activity: AuditLogActivity | None) -> bool:
    # A snapshot found the value.
    return activity is not None and activity.verb != "snapshot"


def _value(column: str, activity: AuditLogActivity | None, row: RowMapping | None) -> Any:
    if row is None:
        return None
    # With all its digits, and as it is recorded if it is masked.
    recorded = {} if activity is None else as_object(activity.changed_data)
    return recorded.get(column, row.get(column))


def _cells(
    column: str,
    activity: AuditLogActivity | None,
    row: RowMapping,
    names: Mapping[Any, str],
    unrecorded: set[str],
    listing: Listing,
) -> list[Any]:
    value = listing.fitted(value_text(_value(column, activity, row)), _VALUE)
    if activity is None and column in unrecorded:
        return [column, "-", "not known", "-", "-", "not recorded"]
    if activity is None:
        return [column, value, "not known", "-", "-", "not set since the trail knows the row"]
    if not _is_known(activity):
        return [column, value, "not known", "-", "-", f"found by a snapshot at {shown(activity.issued_at)}"]
    why = listing.fitted(reason_of(activity.transaction))
    return [column, value, _by(activity, names), shown(activity.issued_at), str(activity.transaction_id), why]


def _json(
    column: str, activity: AuditLogActivity | None, row: RowMapping | None, names: Mapping[Any, str]
) -> dict[str, Any]:
    said = {"column": column, "value": _value(column, activity, row), "is_known": _is_known(activity)}
    if activity is None:
        return said
    about = {"activity_id": activity.id, "verb": activity.verb, "issued_at": activity.issued_at}
    return {**said, **about, **transaction_json(activity.transaction, names)}
