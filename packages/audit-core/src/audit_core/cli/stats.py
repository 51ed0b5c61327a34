"""``stats``: what the trail holds, as a table and as a picture."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from audit_core.audit_log import scope_of
from audit_core.reading import actor_names
from audit_core.reading.stats import DIMENSIONS, Dimension

from . import options, times
from .description import actor_text
from .errors import CommandError
from .output import Listing, print_json, value_text
from .source import Database, with_database


@click.command(epilog=times.HELP)
@click.option("--by", type=click.Choice(DIMENSIONS), multiple=True, help="Count by this; repeatable. All by default.")
@options.since
@options.until
@click.option(
    "--plot", metavar="FILE.png", type=click.Path(dir_okay=False, path_type=Path), help="Draw the changes of each day."
)
@options.as_json
@with_database
def stats(
    database: Database,
    by: tuple[Dimension, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Count rows and bytes of the trail by table, actor and day.

    Days are those of UTC. Bytes are those of the values as they are stored, without row headers and indexes.
    """
    log = database.audit_log
    with Session(database.engine) as session:
        found = {
            each: session.execute(log.stats(by=each, since=since, until=until)).mappings().all()
            for each in by or DIMENSIONS
        }
        actors = [row["actor_id"] for row in found.get("actor", ())]
        # In JSON there are ids only.
        called = {} if as_json else actor_names(scope_of(log), session, actors)
        if plot is not None:
            per_day = session.execute(log.stats(by=["day", "table"], since=since, until=until)).mappings().all()
            _draw(plot, [(row["day"], row["table"], row["rows"]) for row in per_day])
    if as_json:
        print_json({f"by_{each}": list(map(dict, rows)) for each, rows in found.items()})
        return
    for number, (each, rows) in enumerate(found.items()):
        if number:
            click.echo()
        names = [*rows[0].keys()] if rows else [each, "rows", "bytes"]
        listing = Listing(*names, right=("rows", "bytes"))
        listing.add([_cell(name, row[name], called) for name in names] for row in rows)
    if not any(found.values()):
        click.echo("Nothing is recorded.", err=True)


def _cell(column: str, value: Any, names: Mapping[Any, str]) -> str:
    if column == "actor_id":
        return actor_text(value, names)
    return value.isoformat() if isinstance(value, dt.date) else value_text(value)


def _draw(file: Path, counts: list[tuple[dt.date, str, int]]) -> None:
    try:
        from .plot import draw
    except ModuleNotFoundError as error:
        raise CommandError(f'--plot needs {error.name!r}. Run: pip install "audit-core[plot]"') from None
    if not counts:
        raise CommandError("--plot has nothing to draw: nothing is recorded of this time.")
    try:
        draw(file, counts)
    except OSError as error:
        raise CommandError(f"{str(file)!r} cannot be written: {error.strerror}.") from None
