"""``verify``: was anything changed without being recorded, or what was recorded changed?"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Connection

from audit_core import AuditLog, Digests, Finding, SealFinding, read_digests
from audit_core.audit_log import scope_of
from audit_core.audited import audited_tables
from audit_core.reading import find_table
from audit_core.seals.stored import last_number

from . import options, times
from .errors import NO, CommandError
from .report import Report, Section
from .source import Database, with_database

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(epilog=times.HELP)
@click.option("--table", "tables", metavar="NAME", multiple=True, help="Only this table; may be repeated.")
@click.option(
    "--since",
    metavar="TIME",
    type=times.read_time,
    help="Skip contradictions among older activities. The rows of today are compared all the same.",
)
@click.option("--seals", "is_sealed", is_flag=True, help="Verify the seals instead.")
@click.option("--all", "is_all", is_flag=True, help="Check the installation and verify both, as one report.")
@click.option("--digests", type=_FILE, help="The digests that were kept of seals.")
@click.option("--public-key", "public_keys", type=_FILE, multiple=True, help="Digests have to be signed with it.")
@click.option("--authority", "authorities", type=_FILE, multiple=True, help="Digests have to be stamped by it.")
@options.archive
@options.catalog
@click.option("--first-seal", metavar="N", type=click.IntRange(min=1), default=1, help="Go on from this seal.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report into this file, too.")
@options.as_json_lines
@with_database
def verify(
    database: Database,
    tables: tuple[str, ...],
    since: dt.datetime | None,
    is_sealed: bool,
    is_all: bool,
    digests: Path | None,
    public_keys: tuple[Path, ...],
    authorities: tuple[Path, ...],
    first_seal: int,
    with_archive: bool,
    catalog: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Find what was changed without being recorded.

    Every activity of a record begins where the one before ended, and the last one is the row of today. If something
    contradicts this, the exit code is 1. Changes from a time when recording was off, as the trail itself says, are
    shown as "unrecorded" and do not count.

    With --seals, find what was recorded and altered, removed or added later. Give --digests of seals that were kept
    elsewhere: without them, whoever could write all tables of the trail may have made new seals.
    """
    if (digests is None) and (public_keys or authorities):
        raise CommandError("--public-key and --authority are about --digests: give the file.")
    kept = Digests() if digests is None else read_digests(digests, public_keys, authorities)
    report = Report(database.engine.url.render_as_string(), database.audit_log.schema)
    # One snapshot for all.
    with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        if is_all:
            report.add(Section("installation", "Nothing is wrong with the installation."), _problems(database), as_json)
        if is_all or not is_sealed:
            found = _findings(database.audit_log, connection, tables, since, as_json)
            report.add(Section("continuity", "Nothing was changed without being recorded."), found, as_json)
        if is_all or is_sealed:
            sealed = _seal_findings(database, connection, kept, first_seal, as_json, with_archive, catalog)
            report.add(Section("seals", _intact(digests, kept)), sealed, as_json)
    if html is not None:
        html.write_text(report.html(), encoding="utf-8")
    if report.failures:
        raise click.exceptions.Exit(NO)
    if not as_json:
        for section in report.sections:
            click.echo(section.fine, err=True)


def _intact(digests: Path | None, kept: Digests) -> str:
    if digests is None:
        return "Everything that is sealed is as it was sealed. Without --digests, the seals themselves may be forged."
    newest = max(kept.by_seal, default=None)
    return f"Everything that is sealed is as it was sealed; the digests of {digests} vouch for it up to seal {newest}."


@dataclass(frozen=True)
class _Installation:
    """A problem of check(), in the form of a finding."""

    kind: str
    message: str
    is_failure: bool = True


def _problems(database: Database) -> Iterator[_Installation]:
    for each in database.problems():
        yield _Installation("problem", str(each))


def _progress(as_json: bool, label: str) -> Progress:
    """Show how far it is on the standard error, if that is a terminal."""
    console = Console(stderr=True)
    bar = (TextColumn(f"Verifying {label}{{task.description}}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # What is found goes above the bar if both are on a terminal; JSON stands there alone.
    is_shown = sys.stdout.isatty()
    disable = not console.is_terminal or (is_shown and as_json)
    return Progress(*bar, console=console, disable=disable, redirect_stdout=is_shown, transient=True)


def _findings(
    log: AuditLog, connection: Connection, names: tuple[str, ...], since: dt.datetime | None, as_json: bool
) -> Iterator[Finding]:
    tables = [find_table(scope_of(log), name) for name in names] or [each for each, _ in audited_tables(log.metadata)]
    with connection.begin(), _progress(as_json, "") as progress:
        task = progress.add_task("", total=len(tables))
        for table in tables:
            progress.update(task, description=table.fullname)
            yield from log.verify(connection, [table], since)
            progress.advance(task)


def _seal_findings(
    database: Database,
    connection: Connection,
    kept: Digests,
    first: int,
    as_json: bool,
    with_archive: bool,
    catalog: str | None,
) -> Iterator[SealFinding]:
    log = database.audit_log
    yield from kept.findings
    with connection.begin(), _progress(as_json, "seals") as progress:
        task = progress.add_task("", total=last_number(connection, log.schema) - first + 1)
        yield from log.verify_seals(
            connection,
            kept.by_seal,
            first=first,
            progress=lambda _: progress.advance(task),
            archive=database.engine if with_archive else None,
            catalog=catalog,
        )
