"""``log``: a choice of activities, and those to come."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import click
from sqlalchemy.orm import Session

from audit_core import AuditLog
from audit_core.audit_log import scope_of
from audit_core.reading import parse_actor
from audit_core.reading.activities import VERBS

from . import options, times
from .blocks import print_blocks
from .description import ACTIVITY_COLUMNS, print_found, print_selected
from .errors import CommandError
from .following import follow
from .output import Listing
from .source import Database, with_database


@click.command(epilog=times.HELP)
@click.option("--actor", metavar="ID", help="Only changes by this actor.")
@click.option("--no-actor", is_flag=True, help="Only changes without an actor.")
@click.option("--table", metavar="NAME", help="Only this table.")
@click.option("--verb", multiple=True, type=click.Choice(VERBS), help="Only this verb; may be repeated.")
@options.since
@options.until
@click.option("--column", metavar="NAME", help="Only changes that set this column.")
@click.option("--transaction", metavar="ID", type=options.ID, help="Only this transaction.")
@click.option(
    "--meta",
    metavar="NAME=VALUE",
    multiple=True,
    help="Only transactions whose meta has this pair; VALUE is JSON, or else text. May be repeated.",
)
@options.limit
@click.option("--after", metavar="ID", type=options.ID, help="The page that follows this activity, the last one shown.")
@click.option("-f", "--follow", "following", is_flag=True, help="Oldest first, then each new one until Ctrl-C.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="Time between two looks of --follow.",
)
@click.option(
    "--by-transaction", is_flag=True, help="A block for each transaction, with some of its changes; N counts blocks."
)
@options.archive
@options.catalog
@options.full
@options.as_json_lines
@with_database
def log(
    database: Database,
    limit: int,
    following: bool,
    interval: float,
    by_transaction: bool,
    with_archive: bool,
    catalog: str | None,
    full: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Show activities, newest first."""
    audit_log = database.audit_log
    if following and with_archive:
        raise CommandError("--follow shows what comes, which is not in the archive: leave --archive out.")
    if following and (filters["until"] or filters["after"]):
        raise CommandError("--follow has no end and no pages: leave --until and --after out.")
    if by_transaction and (following or with_archive or filters["after"]):
        raise CommandError("--by-transaction takes neither --follow nor --archive nor --after: leave them out.")
    with Session(database.engine) as session:
        chosen = _chosen(session, audit_log, with_archive, **filters)
    listing = None if as_json else Listing(*ACTIVITY_COLUMNS, full=full)
    if following:
        follow(database, audit_log.activities(**chosen), limit, interval, listing)
    if by_transaction:
        with Session(database.engine) as session:
            count = print_blocks(session, audit_log, chosen, limit, full, as_json)
    elif with_archive:
        with audit_log.archived(database.engine, catalog=catalog) as trail:
            found = trail.activities(limit=limit, **chosen)
            count = print_found(trail.session, audit_log, found, listing)
    else:
        with Session(database.engine) as session:
            count = print_selected(session, audit_log, audit_log.activities(**chosen).limit(limit), listing)
    if not count and not as_json:
        click.echo("Nothing is recorded of this kind.", err=True)


def _chosen(
    session: Session,
    audit_log: AuditLog,
    with_archive: bool,
    *,
    actor: str | None,
    no_actor: bool,
    table: str | None,
    verb: tuple[str, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
    column: str | None,
    transaction: int | None,
    meta: tuple[str, ...],
    after: int | None,
) -> dict[str, Any]:
    if actor is not None and no_actor:
        raise CommandError("--actor and --no-actor exclude each other.")
    whose: dict[str, Any] = {}
    if actor is not None or no_actor:
        whose["actor"] = None if actor is None else parse_actor(scope_of(audit_log), actor)
    if transaction is not None and not with_archive:
        options.find_transaction(session, audit_log, transaction)
    of = None if table is None else options.find_recorded_table(session, audit_log, table, with_archive)
    return {
        **whose,
        "table": of,
        "verb": verb or None,
        "since": since,
        "until": until,
        "column": None if column is None else options.column_name(audit_log, of, column),
        "transaction": transaction,
        "meta": dict(map(_meta, meta)) or None,
        "after": after,
    }


def _meta(text: str) -> tuple[str, Any]:
    name, is_given, value = text.partition("=")
    if not is_given:
        raise CommandError(f"--meta is {text!r}; write NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
