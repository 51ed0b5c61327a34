"""``archive`` and ``unarchive``: old partitions leave the database, and come back."""

from __future__ import annotations

from dataclasses import asdict

import click

from audit_core import Archived

from . import options
from .output import Listing, print_json
from .source import Database, with_database
from .times import shown

_COLUMNS = ("partition", "rows", "transactions", "since", "until", "dropped")


@click.command()
@click.option("--older-than", metavar="PERIOD", required=True, help="Partitions older as a whole: 1y, 18mo, 90d.")
@click.option("--to", metavar="URI", help="A folder or an object store; not needed once the archive is there.")
@click.option("--drop", is_flag=True, help="Drop what is archived and verified, but for what is held.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@options.catalog
@options.as_json
@with_database
def archive(
    database: Database, older_than: str, to: str | None, drop: bool, dry_run: bool, catalog: str | None, as_json: bool
) -> None:
    """Copy closed partitions to tables of Apache Iceberg.

    Number and checksum are compared with the partition. It may be run every night; what was interrupted is done again.
    """
    how = {"older_than": older_than, "drop": drop, "dry_run": dry_run, "catalog": catalog}
    done = database.audit_log.archive(database.engine, to, **how)  # type: ignore[arg-type]
    _print(done, as_json)
    if not done and not as_json:
        click.echo("Nothing is old enough to be archived, or all of it is.", err=True)
    elif dry_run and not as_json:
        click.echo("Nothing was archived: this is what would be.", err=True)


@click.command()
@click.argument("which", metavar="MONTH|PARTITION")
@click.option("--hold", "reason", metavar="REASON", help="Hold what came back; without it, retention removes it again.")
@options.catalog
@options.as_json
@with_database
def unarchive(database: Database, which: str, reason: str | None, catalog: str | None, as_json: bool) -> None:
    """Bring archived partitions back into the database, by their name or a month such as 2024-05."""
    _print(database.audit_log.unarchive(database.engine, which, reason=reason, catalog=catalog), as_json)


def _print(done: list[Archived], as_json: bool) -> None:
    if as_json:
        print_json({"partitions": list(map(asdict, done))})
        return
    listing = Listing(*_COLUMNS, right=("rows", "transactions"))
    listing.add(
        [
            each.partition,
            str(each.rows),
            str(each.transactions),
            "" if each.since is None else shown(each.since),
            shown(each.until),
            "dropped" if each.is_dropped else "",
        ]
        for each in done
    )
