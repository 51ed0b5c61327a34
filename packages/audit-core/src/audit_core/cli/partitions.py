"""``partitions``: the parts of the trail, and closing the one into which is written."""

from __future__ import annotations

from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from audit_core import Partition

from . import options
from .output import Listing, print_json
from .source import Database, with_database
from .times import shown

_COLUMNS = ("partition", "first", "last", "rows", "bytes", "held", "archived")


@click.command()
@click.option("--split", is_flag=True, help="Close the open one first, if it holds something of an earlier month.")
@click.option("--at-once", is_flag=True, help="With --split: close it in any case.")
@options.as_json
@with_database
def partitions(database: Database, split: bool, at_once: bool, as_json: bool) -> None:
    """List the partitions of the trail.

    With --split, to be run every night, there is a partition for each month. Writers are not blocked.
    """
    if at_once and not split:
        raise click.UsageError("--at-once needs --split.")
    log = database.audit_log
    if split:
        log.split(database.engine, at_once=at_once)
    with Session(database.engine) as session:
        found = log.partitions(session)
    if as_json:
        print_json({"partitions": [{**asdict(each), "is_open": each.is_open} for each in found]})
        return
    listing = Listing(*_COLUMNS, right=("rows", "bytes"))
    listing.add(_cells(each) for each in found)


def _cells(partition: Partition) -> list[str]:
    first, last, archived = (
        "" if when is None else shown(when)
        for when in (partition.first_issued_at, partition.last_issued_at, partition.archived_at)
    )
    rows = "unknown" if partition.rows is None else str(partition.rows)
    if partition.is_open and partition.rows:
        rows = f"about {rows}"
    name = f"{partition.name} (open)" if partition.is_open else partition.name
    return [name, first, last, rows, str(partition.bytes), "held" if partition.is_held else "", archived]
