"""``subject`` and ``erase``: what the trail has of a person, and how it goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import click
from sqlalchemy.orm import Session

from audit_core import AuditLogActivity, Erasure
from audit_core.audit_log import scope_of
from audit_core.reading import parse_actor

from . import options
from .description import activity_json
from .output import Listing, print_json
from .source import Database, with_database


@click.command()
@click.argument("table")
@click.argument("key")
@click.option("--actor", metavar="ID", help="The person as an actor, if that is another number.")
@options.archive
@options.catalog
@with_database
def subject(
    database: Database, table: str, key: str, actor: str | None, with_archive: bool, catalog: str | None
) -> None:
    """Show all that the trail has of a person, as JSON lines.

    These are the activities of the record KEY of TABLE, those of rows that refer to it, and what the person did.
    Without --actor, the key is that of the actor as well if TABLE is that of the actors.
    """
    log = database.audit_log
    scope = scope_of(log)
    found, row_key = options.find_row(log, table, key)
    actor_id = None if actor is None else parse_actor(scope, actor)
    if with_archive:
        with log.archived(database.engine, catalog=catalog) as trail:
            _print_subject(trail.subject(found, row_key, actor=actor_id))
    else:
        with Session(database.engine) as session:
            _print_subject(log.subject(session, found, row_key, actor=actor_id))


def _print_subject(activities: Iterable[tuple[str, AuditLogActivity]]) -> None:
    for role, activity in activities:
        print_json({"role": role, **activity_json(activity)})


@click.command()
@click.argument("table")
@click.argument("key")
@click.option("--columns", metavar="NAMES", required=True, help="Of which columns, separated by commas.")
@click.option("--reason", required=True, help="Why, such as the number of the request. It stays.")
@click.option("--actor", metavar="ID", help="Also the addresses and meta data of the transactions of this actor.")
@click.option("--dry-run", is_flag=True, help="Only count the values.")
@click.option("--no-archive", is_flag=True, help="Leave what is archived as it is for now.")
@options.catalog
@click.option("--no-rewrite", is_flag=True, help="Leave the files of the database as they are for now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
@with_database
def erase(
    database: Database,
    table: str,
    key: str,
    columns: str,
    reason: str,
    actor: str | None,
    dry_run: bool,
    no_archive: bool,
    catalog: str | None,
    no_rewrite: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase the recorded values of COLUMNS of one record, for good.

    Seals still prove the rest. The rows of the application are not touched: change them first. The tables of the trail
    that had the values are written anew at the end, and are locked for that time. What of the archive has them is
    brought back for it, and goes again.
    """
    log = database.audit_log
    scope = scope_of(log)
    found, row_key = options.find_row(log, table, key)
    given: dict[str, Any] = {
        "columns": [each.strip() for each in columns.split(",") if each.strip()],
        "reason": reason,
        "actor": None if actor is None else parse_actor(scope, actor),
    }
    with Session(database.engine) as session:
        planned = log.erase(session, found, row_key, **given, dry_run=True)
    with_archive = bool(planned.archived) and not no_archive
    if with_archive:
        planned = log.erase_archived(database.engine, found, row_key, **given, dry_run=True, catalog=catalog)
    if not as_json:
        _show(planned)
    if dry_run or not (planned.values or with_archive):
        if as_json:
            _print(planned)
        return
    if planned.values and not yes:
        click.confirm("Erase these values? Nobody can bring them back", abort=True, err=True)
    with Session(database.engine) as session, session.begin():
        done = log.erase(session, found, row_key, **given)
    both = [done]
    if with_archive:
        both.append(log.erase_archived(database.engine, found, row_key, **given, catalog=catalog))
    said = [each.maintenance_id for each in both if each.maintenance_id is not None]
    tables = tuple(dict.fromkeys(name for each in both for name in each.tables))
    total = replace(planned, tables=tables, maintenance_id=max(said, default=None))
    if not no_rewrite:
        log.rewrite(database.engine, total)
    if as_json:
        _print(total)
        return
    for number in said:
        click.echo(f"Erased, as activity {number} says.", err=True)
    if done.archived and no_archive:
        click.echo(f"The archive may have the values still, in {len(done.archived)} partitions.", err=True)


def _show(erasure: Erasure) -> None:
    listing = Listing("table", "column", "values", right=("values",))
    listing.add([table, column, str(count)] for (table, column), count in sorted(erasure.values.items()))
    if not erasure.values:
        click.echo("Nothing of it is recorded.", err=True)


def _print(erasure: Erasure) -> None:
    counted = [{"table": table, "column": column, "values": each} for (table, column), each in erasure.values.items()]
    print_json({**asdict(erasure), "values": counted})
