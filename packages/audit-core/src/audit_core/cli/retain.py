"""``retain``: how long the trail is kept."""

from __future__ import annotations

from dataclasses import asdict

import click

from . import options
from .output import Listing, print_json
from .source import Database, with_database
from .times import shown

_COLUMNS = ("removed", "rows", "held", "bytes", "since", "until")


@click.command()
@click.option(
    "--keep",
    metavar="PERIOD",
    help="Remove closed partitions that are older as a whole: 2y, 18mo, 90d. 'forever' ends what was said before.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--snapshot", is_flag=True, help="Record rows of today of which nothing is left, for as-of.")
@options.as_json
@with_database
def retain(database: Database, keep: str | None, dry_run: bool, snapshot: bool, as_json: bool) -> None:
    """Remove what is older than is to be kept.

    Of tables with "keep" in their options, older activities go too. What is held stays; see "hold".
    """
    removed = database.audit_log.retain(database.engine, keep, dry_run=dry_run, snapshot=snapshot)
    if as_json:
        print_json({"dry_run": dry_run, "removed": list(map(asdict, removed))})
        return
    listing = Listing(*_COLUMNS, right=("rows", "held", "bytes"))
    listing.add(
        [
            each.partition or str(each.table),
            str(each.rows),
            str(each.held),
            str(each.bytes) if each.partition else "",
            "" if each.since is None else shown(each.since),
            shown(each.until),
        ]
        for each in removed
    )
    if not removed:
        click.echo("Nothing is old enough to be removed.", err=True)
    elif dry_run:
        click.echo("Nothing was removed: this is what would be.", err=True)
