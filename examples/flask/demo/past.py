"""What the trail answers: a record's history, how things were, and an undo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from audit_core import UndoPlan
from flask_audit_logger import AuditLogTransaction, audit_context
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from examples.errors import DemoError

from ..country_register.models import Country, Subdivision, audit_logger
from .edits import USERS
from .trail import Entry

RENAMED = "TR"
MERGED, NEW = ["IN-DD", "IN-DN"], "IN-DH"
MISTAKE = "merged by mistake"


def history(session: Session) -> list[Entry]:
    """Read what happened to one country, newest first."""
    activity, transaction = audit_logger.activity_cls, audit_logger.transaction_cls
    query = audit_logger.history(Country, RENAMED)
    found = session.scalars(query.options(joinedload(activity.transaction).joinedload(transaction.actor))).all()
    return [Entry(each.transaction, [each], {}) for each in found]


def earlier(session: Session, entries: list[Entry]) -> tuple[datetime, Country]:
    """Load the country as it was right after its first change."""
    when = entries[-1].activities[0].issued_at
    country = audit_logger.get_as_of(session, Country, RENAMED, when)
    if country is None:
        raise DemoError(f"{RENAMED} was not there at {when}.")
    return when, country


def plan_undo(session: Session) -> UndoPlan:
    """Plan to take the transaction back that merged two subdivisions."""
    merge = session.scalars(audit_logger.history(Subdivision, NEW).limit(1)).one()
    return audit_logger.plan_undo(session, merge.transaction_id)


def render_plan(plan: UndoPlan) -> Table:
    """Lay out what an undo would do."""
    table = Table.grid(padding=(0, 2), pad_edge=True)
    for step in plan.steps:
        table.add_row(Text(step.action, "yellow"), f"{step.table_name} {step.row_key}", ", ".join(step.columns))
    for conflict in plan.conflicts:
        table.add_row(Text(conflict.kind, "red"), conflict.message)
    return table


def undo(session: Session, plan: UndoPlan) -> AuditLogTransaction:
    """Take it back, and see that it is.

    :raises DemoError: if it is not.
    """
    with audit_context(actor_id=1, reason=MISTAKE):
        undone = plan.apply()
        session.commit()
    there = set(session.scalars(select(Subdivision.code).where(Subdivision.code.in_([*MERGED, NEW]))))
    if there != set(MERGED) or undone is None:
        raise DemoError(f"After the undo there are {sorted(there)}, expected {MERGED}.")
    return undone


def describe(undone: AuditLogTransaction) -> Iterator[str]:
    """Print what the trail knows of an undo."""
    yield f"Transaction {undone.id} by {USERS[0][1]}, “{MISTAKE}”, undoes {(undone.meta or {})['undoes']}:"
    yield from (f"  {each.verb} {each.table_name} {each.row_key}" for each in undone.activities)
