"""``verify``: was anything changed without being recorded?"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Connection

from audit_core import AuditLog, Finding
from audit_core.audit_log import scope_of
from audit_core.audited import audited_tables
from audit_core.reading import find_table

from . import options, times
from .errors import NO
from .output import print_json, printable
from .source import Database, with_database


@click.command(epilog=times.HELP)
@click.option("--table", "tables", metavar="NAME", multiple=True, help="Only this table; may be repeated.")
@click.option(
    "--since",
    metavar="TIME",
    type=times.read_time,
    help="Skip contradictions among older activities. The rows of today are compared all the same.",
)
@options.as_json_lines
@with_database
def verify(database: Database, tables: tuple[str, ...], since: dt.datetime | None, as_json: bool) -> None:
    """Find what was changed without being recorded.

    Every activity of a record begins where the one before ended, and the last one is the row of today. If something
    contradicts this, the exit code is 1. Changes from a time when recording was off, as the trail itself says, are
    shown as "unrecorded" and do not count.
    """
    log = database.audit_log
    failures = 0
    # One snapshot for all tables.
    with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        for finding in _findings(log, connection, tables, since, as_json):
            failures += finding.is_failure
            if as_json:
                print_json({**asdict(finding), "is_failure": finding.is_failure})
            else:
                click.echo(printable(f"{finding.kind}: {finding.message}"))
    if failures:
        raise click.exceptions.Exit(NO)
    if not as_json:
        click.echo("Nothing was changed without being recorded.", err=True)


def _findings(
    log: AuditLog, connection: Connection, names: tuple[str, ...], since: dt.datetime | None, as_json: bool
) -> Iterator[Finding]:
    """Yield what is found, and show how far it is on the standard error, if that is a terminal."""
    tables = [find_table(scope_of(log), name) for name in names] or [each for each, _ in audited_tables(log.metadata)]
    console = Console(stderr=True)
    bar = (TextColumn("Verifying {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # What is found goes above the bar if both are on a terminal; JSON stands there alone.
    is_shown = sys.stdout.isatty()
    disable = not console.is_terminal or (is_shown and as_json)
    progress = Progress(*bar, console=console, disable=disable, redirect_stdout=is_shown, transient=True)
    with connection.begin(), progress:
        task = progress.add_task("", total=len(tables))
        for table in tables:
            progress.update(task, description=table.fullname)
            yield from log.verify(connection, [table], since)
            progress.advance(task)
