"""``hold``: what has to be kept however old it is."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from audit_core import Hold
from audit_core.audit_log import scope_of
from audit_core.reading import parse_actor

from . import options, times
from .errors import CommandError
from .output import Listing, print_json, value_text
from .source import Database, with_database
from .times import shown

_COLUMNS = ("hold", "since", "table", "record", "actor", "from", "until", "by", "released", "reason")


@click.group()
def hold() -> None:
    """Keep activities however old they get: legal holds."""


@hold.command(epilog=times.HELP)
@click.option("--table", metavar="NAME", help="Activities of this table.")
@click.option("--key", metavar="KEY", help="With --table: those of the record with this primary key.")
@click.option("--actor", metavar="ID", help="Those of this actor.")
@options.since
@options.until
@click.option("--reason", required=True, help="Why, such as the number of the case.")
@options.as_json
@with_database
def add(
    database: Database,
    table: str | None,
    key: str | None,
    actor: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Place a hold. What all options together describe stays in the trail until the hold is released."""
    log = database.audit_log
    if key is not None and table is None:
        raise CommandError("--key needs --table.")
    found, row_key = (table, None) if table is None or key is None else options.find_row(log, table, key)
    actor_id = None if actor is None else parse_actor(scope_of(log), actor)
    with Session(database.engine) as session, session.begin():
        placed = log.hold(session, reason, table=found, key=row_key, actor=actor_id, since=since, until=until)
    _print([placed], as_json)


@hold.command("list")
@click.option("--released", is_flag=True, help="With those that are over.")
@options.as_json
@with_database
def list_(database: Database, released: bool, as_json: bool) -> None:
    """List the holds."""
    with Session(database.engine) as session:
        found = database.audit_log.holds(session, released=released)
    _print(found, as_json)
    if not found and not as_json:
        click.echo("Nothing is held.", err=True)


@hold.command()
@click.argument("number", metavar="HOLD", type=options.ID)
@options.as_json
@with_database
def release(database: Database, number: int, as_json: bool) -> None:
    """End a hold. Retention removes then what it kept."""
    with Session(database.engine) as session, session.begin():
        released = database.audit_log.release(session, number)
    _print([released], as_json)


def _print(found: list[Hold], as_json: bool) -> None:
    if as_json:
        print_json({"holds": list(map(asdict, found))})
        return
    listing = Listing(*_COLUMNS)
    listing.add(_cells(each) for each in found)


def _cells(placed: Hold) -> list[str]:
    begin, end, released = (
        "" if when is None else shown(when) for when in (placed.since, placed.until, placed.released_at)
    )
    return [
        str(placed.id),
        shown(placed.issued_at),
        "" if placed.table_name is None else f"{placed.schema}.{placed.table_name}",
        value_text(placed.row_key) if placed.row_key is not None else "",
        placed.actor_id or "",
        begin,
        end,
        " ".join(filter(None, (placed.placed_by, placed.db_user))),
        released,
        value_text(placed.reason),
    ]
