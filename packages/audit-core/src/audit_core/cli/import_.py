"""``import``: the history that another audit trail recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit_core import Imported
from audit_core.importing import SOURCES
from audit_core.reading.values import load_json

from . import options
from .errors import CommandError
from .output import print_json, printable
from .source import Database, with_database
from .times import shown


@click.command("import")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--source", metavar="NAME", help=f"Which trail: {', '.join(SOURCES)}; of a file, what made it.")
@click.option("--schema", metavar="SCHEMA", default="public", show_default=True, help="Where its tables are.")
@click.option("--format", "format_", type=click.Choice(["jsonl"]), help="Read rows from FILE, or from standard input.")
@click.option("--renamed", metavar="OLD=NEW", multiple=True, help="A table that has another name now.")
@click.option("--key", "keys", metavar="TABLE=COLUMN,...", multiple=True, help="The key of a table that is gone.")
@options.as_json
@with_database
def import_(
    database: Database,
    file: str | None,
    source: str | None,
    schema: str,
    format_: str | None,
    renamed: tuple[str, ...],
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Take over the history that another audit trail recorded.

    Its changes come before the first own one, with their times and actors; their ids are negative. An import that was
    interrupted goes on where it stopped, if it is run again. The other trail is left as it is.
    """
    log = database.audit_log
    how: dict[str, Any] = {
        "names": dict(_pairs(renamed, "--renamed")),
        "keys": {table: columns.split(",") for table, columns in _pairs(keys, "--key")},
    }
    with ExitStack() as stack:
        how["progress"] = stack.enter_context(_progress())
        if format_ is not None:
            rows = stack.enter_context(_read(file))
            done = log.import_rows(database.engine, rows, source=source or format_, **how)
        elif file is not None or source is None:
            raise CommandError("Say which trail with --source, or read a file with --format jsonl FILE.")
        else:
            done = log.import_trail(database.engine, source, schema=schema, **how)
    if as_json:
        print_json(asdict(done))
    else:
        _print(done)


def _print(done: Imported) -> None:
    if done.since is None or done.until is None:
        click.echo("There was nothing to import.")
    else:
        click.echo(
            f"Imported {done.activities} changes in {done.transactions} transactions, from {shown(done.since)} to "
            f"{shown(done.until)}, as partition {done.partition}."
        )
    if done.without_actor:
        click.echo(f"Without an actor: {done.without_actor} changes.", err=True)
    for table, count in done.without_key:
        _note(
            f"Without a key, so in no record's history: {count} changes of {table}, which is gone or whose key was not "
            "recorded. --key and --renamed could have told."
        )
    for each in done.skipped:
        of = f" of {each.table}" if each.table else ""
        _note(f"Not imported: {each.rows} changes{of}: {each.reason} (the first is {each.first}).")


def _note(text: str) -> None:
    click.echo(printable(text), err=True)


def _pairs(given: tuple[str, ...], option: str) -> Iterator[tuple[str, str]]:
    for each in given:
        name, sign, value = each.partition("=")
        if not (name and sign and value):
            raise CommandError(f"{option} {each!r} is not NAME=VALUE.")
        yield name, value


@contextmanager
def _read(file: str | None) -> Iterator[Iterator[Any]]:
    """Open a file of JSON lines."""
    if file in (None, "-"):
        yield _parsed(sys.stdin.buffer)
        return
    assert file is not None
    try:
        with Path(file).open("rb") as opened:
            yield _parsed(opened)
    except OSError as error:
        raise CommandError(f"{file!r} cannot be read: {error.strerror}.") from None


def _parsed(lines: Any) -> Iterator[Any]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield load_json(line.decode())
        except ValueError as error:
            raise CommandError(f"Line {number} is not JSON: {error}. Nothing was imported.") from None


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show how far it is on the standard error, if that is a terminal."""
    console = Console(stderr=True)
    bar = (TextColumn("Importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
