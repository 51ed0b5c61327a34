"""``history`` and ``as-of``: what happened to one row, and how it was."""

from __future__ import annotations

import datetime as dt
import warnings
from contextlib import ExitStack
from typing import Any, cast

import click
from sqlalchemy.orm import Session

from audit_core import AuditLogActivity, HistoryWarning

from . import options, times
from .description import ACTIVITY_COLUMNS, print_found, print_selected
from .errors import NO, CommandError
from .output import Listing, print_json, print_pairs, printable
from .source import Database, with_database

KEY_HELP = """KEY is written as in the trail: the primary key, or a JSON array of a composite one, like '[7, "a"]'."""


@click.command(epilog=KEY_HELP)
@click.argument("table")
@click.argument("key")
@options.limit
@click.option("--related", is_flag=True, help="Include the rows that referenced it by a foreign key.")
@click.option("--diff", is_flag=True, help="Show changes as differences, those of long texts word by word.")
@options.archive
@options.catalog
@options.full
@options.as_json_lines
@with_database
def history(
    database: Database,
    table: str,
    key: str,
    limit: int,
    related: bool,
    diff: bool,
    with_archive: bool,
    catalog: str | None,
    full: bool,
    as_json: bool,
) -> None:
    """Show what happened to one row, newest first."""
    log = database.audit_log
    found, parsed = options.find_row(log, table, key)
    if diff and as_json:
        raise CommandError("--diff and --json exclude each other: JSON has the values before and after.")
    listing = None if as_json else Listing(*ACTIVITY_COLUMNS, full=full, below=diff)
    if with_archive:
        if related:
            raise CommandError("--related and --archive exclude each other: only the record itself is found in there.")
        with log.archived(database.engine, catalog=catalog) as trail:
            count = print_found(trail.session, log, trail.history(found, parsed, limit=limit), listing)
    else:
        with Session(database.engine) as session:
            count = print_selected(session, log, log.history(found, parsed, related=related).limit(limit), listing)
    if not count:
        raise CommandError(f"Nothing is recorded of {found.fullname!r} {key!r}.")


@click.command(epilog=f"{KEY_HELP}\n\n{times.HELP}")
@click.argument("table")
@click.argument("key")
@click.argument("when", type=times.read_end)
@options.archive
@options.catalog
@options.full
@options.as_json
@with_database
def as_of(
    database: Database,
    table: str,
    key: str,
    when: dt.datetime,
    with_archive: bool,
    catalog: str | None,
    full: bool,
    as_json: bool,
) -> None:
    """Show a row as it was at the time WHEN.

    If it was gone, the exit code is 1.
    """
    log = database.audit_log
    found, parsed = options.find_row(log, table, key)
    with ExitStack() as stack:
        warned = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always", HistoryWarning)
        # The trail has the values with all their digits.
        row: Any
        if with_archive:
            trail = stack.enter_context(log.archived(database.engine, catalog=catalog))
            row = trail.get_as_of(found, parsed, when)
            activity = None if row is None else trail.activity(row["audit_activity_id"])
        else:
            session = stack.enter_context(Session(database.engine))
            row = log.get_as_of(session, cast(Any, found), parsed, when)
            activity = None if row is None else session.get(log.activity_cls, row["audit_activity_id"])
        data = None if activity is None else _data_at(activity, when)
        notes = [str(each.message) for each in warned] if row is None else row["audit_notes"]
    if as_json:
        print_json({"table": found.fullname, "row_key": key, "as_of": when, "row": data, "notes": notes})
    elif data is None:
        click.echo(f"{found.fullname!r} {key!r} was gone at {times.shown(when)}.")
    else:
        print_pairs(data, full)
    if not as_json:
        for note in notes:
            click.echo(printable(f"Note: {note}"), err=True)
    if data is None:
        raise click.exceptions.Exit(NO)


def _data_at(activity: AuditLogActivity, when: dt.datetime) -> dict[str, Any]:
    """Return the row of which an activity tells: the one that it left, or the one that it found later."""
    return activity.row_before if activity.issued_at > when and activity.verb != "snapshot" else activity.data
