"""``export``: the trail as a file, of any size."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Integer, Select, func, select
from sqlalchemy.orm import Session

from audit_core.audit_log import scope_of
from audit_core.exporting.columns import select_columns
from audit_core.reading import actor_names

from . import formats, options, times
from .errors import CommandError
from .source import Database, with_database

#: The number of activities in memory at once, and in a row group of Parquet.
BATCH = 5000


@click.command(epilog=times.HELP)
@click.option("--format", "format_", type=click.Choice(formats.FORMATS), required=True, help="Parquet needs pyarrow.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    show_default=True,
    help="Where to write; the file gets its name when it is complete, and - is the standard output.",
)
@options.since
@options.until
@click.option("--table", metavar="NAME", help="Only this table.")
@options.archive
@options.catalog
@with_database
def export(
    database: Database,
    format_: str,
    output: str,
    since: dt.datetime | None,
    until: dt.datetime | None,
    table: str | None,
    with_archive: bool,
    catalog: str | None,
) -> None:
    """Write activities to a file, oldest first.

    Each comes with its transaction, and every value is as the trail has it: JSON keeps all digits of a number. Times
    are those of UTC.
    """
    log = database.audit_log
    with ExitStack() as stack:
        session = stack.enter_context(Session(database.engine))
        chosen = None if table is None else options.find_recorded_table(session, log, table, with_archive)
        filters: dict[str, Any] = {"table": chosen, "since": since, "until": until}
        queries: Iterable[Select[Any]]
        if with_archive:
            trail = stack.enter_context(log.archived(database.engine, catalog=catalog))
            session, counted = trail.session, None
            queries = (select_columns(trail, each) for each in trail.queries(oldest_first=True, **filters))
        else:
            counted = select_columns(log, log.activities(**filters))
            queries = [counted]
        file = stack.enter_context(_opened(output))
        progress = stack.enter_context(_progress(session, counted))
        has_integer_actors = isinstance(scope_of(log).actor.key_type(), Integer)
        writer = stack.enter_context(formats.make_writer(format_, file, has_integer_actors))
        for query in queries:
            with session.execute(query, execution_options={"yield_per": BATCH}) as result:
                for rows in result.mappings().partitions():
                    names = actor_names(scope_of(log), session, {row["actor_id"] for row in rows})
                    writer.write([{**row, "actor": names.get(row["actor_id"])} for row in rows])
                    progress.advance(progress.task_ids[0], len(rows))


@contextmanager
def _progress(session: Session, query: Select[Any] | None) -> Iterator[Progress]:
    """Show how far it is on the standard error, if that is a terminal."""
    console = Console(stderr=True)
    # The number costs a look at every row.
    total = None
    if console.is_terminal and query is not None:
        total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery()))
    bar = (TextColumn("Exporting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, disable=not console.is_terminal) as progress:
        progress.add_task("", total=total)
        yield progress


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    """Open what to write to; a file appears under its name when all of it is there."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output).resolve()
    try:
        if path.exists() and not path.is_file():  # such as a pipe
            with path.open("wb") as file:
                yield file
            return
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
        try:
            # Who may not read the old file may not read the new one either, from its first byte on.
            with open(unfinished, "xb", opener=None if mode is None else _private) as file:
                if mode is not None:
                    unfinished.chmod(mode)
                yield file
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"{output!r} cannot be written: {error.strerror}.") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
