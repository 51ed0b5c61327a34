"""``show`` and ``undo``: one transaction of the trail."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Literal

import click
from sqlalchemy.orm import Session, joinedload

from audit_core import AuditLog, AuditLogActivity, UndoConflictError, UndoPlan, audit_context
from audit_core.audit_log import scope_of
from audit_core.reading import parse_actor

from . import options
from .description import (
    ACTIVITY_COLUMNS,
    BATCH,
    activity_json,
    actor_text,
    names_of,
    print_found,
    transaction_json,
)
from .errors import NO
from .output import Listing, print_json, print_pairs, printable
from .source import Database, with_database
from .times import shown


@click.command(context_settings=options.NEGATIVE_NUMBERS)
@options.transaction_argument
@options.archive
@options.catalog
@options.full
@options.as_json
@with_database
def show(
    database: Database, transaction: int, with_archive: bool, catalog: str | None, full: bool, as_json: bool
) -> None:
    """Show who made a transaction and why, and all its changes."""
    log = database.audit_log
    with ExitStack() as stack:
        activities: Iterable[AuditLogActivity]
        if with_archive:
            trail = stack.enter_context(log.archived(database.engine, catalog=catalog))
            session = trail.session
            found = options.require_transaction(trail.transaction(transaction), transaction)
            activities = trail.activities(transaction=transaction, oldest_first=True)
        else:
            session = stack.enter_context(Session(database.engine))
            found = options.find_transaction(session, log, transaction)
            activity = log.activity_cls
            query = log.activities(transaction=found).order_by(None).order_by(activity.id)
            query = query.options(joinedload(activity.transaction)).execution_options(yield_per=BATCH)
            activities = stack.enter_context(session.scalars(query))
        names = names_of(session, log, [found])
        if as_json:
            described = transaction_json(found, names)
            shown_activities = [activity_json(each, names) for each in activities]
            print_json({**described, "issued_at": found.issued_at, "activities": shown_activities})
            return
        described = transaction_json(found)
        del described["transaction_id"], described["actor_id"]
        who = None if found.actor_id is None else actor_text(found.actor_id, names)
        pairs = {"transaction": transaction, "time": shown(found.issued_at), "actor": who, **described}
        print_pairs(pairs, full)
        click.echo()
        print_found(session, log, activities, Listing(*ACTIVITY_COLUMNS, full=full))


@click.command(context_settings=options.NEGATIVE_NUMBERS)
@options.transaction_argument
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--on-conflict",
    type=click.Choice(["abort", "skip"]),
    default="abort",
    show_default=True,
    help="If some of it cannot be taken back: do nothing, or skip it.",
)
@click.option(
    "--ignore",
    metavar="COLUMN",
    multiple=True,
    help="Leave this column as it is, also if it was changed since: of all tables, or TABLE.COLUMN. Can be repeated.",
)
@click.option("--actor", metavar="ID", help="The actor who takes it back.")
@click.option("--reason", metavar="TEXT", help="Why, for the trail.")
@options.as_json
@with_database
def undo(
    database: Database,
    transaction: int,
    dry_run: bool,
    yes: bool,
    on_conflict: Literal["abort", "skip"],
    ignore: tuple[str, ...],
    actor: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Take back the changes of a transaction.

    If something prevents it, nothing is changed and the exit code is 1. The undo is a transaction of
    the trail, and can be undone as well.
    """
    log = database.audit_log
    with Session(database.engine) as session, audit_context(**_context(log, actor, reason)):
        plan = log.plan_undo(session, transaction, ignore=ignore)
        # Nobody should wait for locks, or for a vacuum, while somebody thinks about the answer.
        session.rollback()
        if not as_json:
            _print_plan(plan)
        refused = bool(plan.conflicts) and on_conflict == "abort"
        done = None
        if plan.steps and not dry_run and not refused:
            if not yes:
                click.confirm("Take these changes back?", abort=True, err=True)
            done, refused = _apply(session, plan, on_conflict)
    if as_json:
        print_json(
            {
                "transaction_id": transaction,
                "steps": list(map(asdict, plan.steps)),
                "conflicts": list(map(asdict, plan.conflicts)),
                "undone_by": done,
            }
        )
    elif done is not None:
        click.echo(f"Transaction {transaction} is undone by transaction {done}.")
    elif not dry_run:
        click.echo("Nothing was changed.")
    if refused or (dry_run and plan.conflicts):
        raise click.exceptions.Exit(NO)


def _context(log: AuditLog, actor: str | None, reason: str | None) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if actor is not None:
        context["actor_id"] = parse_actor(scope_of(log), actor)
    if reason is not None:
        context["reason"] = reason
    return context


def _apply(session: Session, plan: UndoPlan, on_conflict: Literal["abort", "skip"]) -> tuple[int | None, bool]:
    """Do it, and return the new transaction, and whether it was refused."""
    try:
        undone = plan.apply(on_conflict)
        done = None if undone is None else undone.id
        session.commit()
    except UndoConflictError as error:
        # Something changed since the plan was shown.
        click.echo(printable(str(error)), err=True)
        return None, True
    return done, False


def _print_plan(plan: UndoPlan) -> None:
    steps = Listing("activity", "step", "table", "key", "columns")
    steps.add(
        [str(each.activity_id), each.action, each.table_name, each.row_key, ", ".join(each.columns)]
        for each in plan.steps
    )
    conflicts = Listing("activity", "conflict", "why")
    conflicts.add([str(each.activity_id or "-"), each.kind, each.message] for each in plan.conflicts)
    if not plan.steps and not plan.conflicts:
        click.echo("There is nothing to take back.")
