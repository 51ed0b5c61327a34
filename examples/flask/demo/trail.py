"""The trail: read, compared with what was done, and printed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from flask_audit_logger import AuditLogActivity, AuditLogTransaction
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from ..country_register.models import audit_logger

#: A transaction with more changes than this is summed up.
BULK = 20

SINGULAR = {"users": "user", "countries": "country", "subdivisions": "subdivision"}
VERBS = {
    "insert": ("added", "green"),
    "update": ("changed", "yellow"),
    "delete": ("deleted", "red"),
    "truncate": ("emptied", "red"),
}
LONGEST_VALUE = 60
#: Old and new value stand on one line if they are shorter than this together.
ONE_LINE = 34
#: Keys and names stand in the first line of a change.
SHOWN_ALREADY = {"id", "code", "alpha_2", "name"}


@dataclass(frozen=True)
class Change:
    """What happened to one record: the columns that changed, with the old value and the new one."""

    verb: str
    table_name: str
    row_key: str
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Expected:
    """One transaction that the trail must show."""

    who: str | None
    client_addr: str | None
    application_name: str
    reason: str | None
    changes: list[Change] = field(default_factory=list)
    #: Instead of the changes of a bulk load: how many there are of which verb and table.
    counts: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One transaction of the trail with its activities, or with their counts if they are many."""

    transaction: AuditLogTransaction
    activities: list[AuditLogActivity]
    counts: dict[tuple[str, str], int]

    def as_expected(self) -> Expected:
        """Return the same in the terms in which it was expected."""
        transaction = self.transaction
        return Expected(
            who=transaction.actor.name if transaction.actor else None,
            client_addr=str(transaction.client_addr) if transaction.client_addr else None,
            application_name=transaction.application_name,
            reason=(transaction.meta or {}).get("reason"),
            changes=[_change(activity) for activity in self.activities],
            counts=self.counts,
        )


def read_trail(session: Session) -> list[Entry]:
    """Read the whole trail, oldest first."""
    activity_cls, transaction_cls = audit_logger.activity_cls, audit_logger.transaction_cls
    large = (
        select(activity_cls.transaction_id)
        .group_by(activity_cls.transaction_id)
        .having(func.count() > BULK)
        .scalar_subquery()
    )
    activities = session.scalars(
        select(activity_cls)
        .where(activity_cls.transaction_id.not_in(large))
        .options(joinedload(activity_cls.transaction).joinedload(transaction_cls.actor))
        .order_by(activity_cls.id)
    ).all()
    counted = session.execute(
        select(activity_cls.transaction_id, activity_cls.verb, activity_cls.table_name, func.count())
        .where(activity_cls.transaction_id.in_(large))
        .group_by(activity_cls.transaction_id, activity_cls.verb, activity_cls.table_name)
        .order_by(func.min(activity_cls.id))
    ).all()
    entries = []
    # Every transaction, so that one without activity would be seen.
    for transaction in session.scalars(
        select(transaction_cls).options(joinedload(transaction_cls.actor)).order_by(transaction_cls.id)
    ):
        entries.append(
            Entry(
                transaction,
                [activity for activity in activities if activity.transaction_id == transaction.id],
                {
                    (verb, table_name): count
                    for transaction_id, verb, table_name, count in counted
                    if transaction_id == transaction.id
                },
            )
        )
    return entries


def compare(entries: list[Entry], expected: list[Expected]) -> list[str]:
    """Return where the trail differs from what was done; nothing if it does not."""
    differences = []
    if len(entries) != len(expected):
        differences.append(f"{len(entries)} transactions, expected {len(expected)}")
    for number, (entry, wanted) in enumerate(zip(entries, expected, strict=False), start=1):
        found, wanted = _sorted(entry.as_expected()), _sorted(wanted)
        differences.extend(
            f"transaction {number}: {name} is {getattr(found, name)!r}, expected {getattr(wanted, name)!r}"
            for name in Expected.__dataclass_fields__
            if getattr(found, name) != getattr(wanted, name)
        )
    return differences


def _sorted(transaction: Expected) -> Expected:
    """Sort the changes: the order of the rows of one statement is the planner's."""
    return replace(transaction, changes=sorted(transaction.changes, key=lambda one: (one.table_name, one.row_key)))


def render(entries: list[Entry]) -> Table:
    """Lay the trail out for a person."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), leading=1)
    table.add_column("When", no_wrap=True)
    table.add_column("Who", no_wrap=True)
    table.add_column("From where", no_wrap=True)
    table.add_column("What changed", ratio=1)
    for entry in entries:
        transaction = entry.transaction
        what = [_summary(entry.counts)] if entry.counts else [_describe(one) for one in entry.activities]
        reason = (transaction.meta or {}).get("reason")
        if reason:
            what.append(Text(f"“{reason}”", style="italic"))
        table.add_row(
            f"{transaction.issued_at.astimezone():%H:%M:%S}",
            _who(transaction),
            str(transaction.client_addr or f"{transaction.application_name}\nas {transaction.db_user}"),
            Group(*what),
        )
    return table


def _who(transaction: AuditLogTransaction) -> Text:
    if transaction.actor is None:
        return Text("not logged in", style="yellow")
    return Text(transaction.actor.name, style="bold")


def _summary(counts: dict[tuple[str, str], int]) -> Text:
    parts: dict[str, list[str]] = {}
    for (verb, table_name), count in counts.items():
        parts.setdefault(verb, []).append(f"{count:,} {table_name}")
    text = Text()
    for verb, tables in parts.items():
        word, color = VERBS[verb]
        text.append(word, style=color).append(" ").append(" and ".join(tables)).append(", in one transaction")
    return text


def _describe(activity: AuditLogActivity) -> RenderableType:
    change = _change(activity)
    word, color = VERBS[change.verb]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(word, style=color).append(f" {SINGULAR[change.table_name]} {change.row_key} ")
    line.append(_name(activity), style="bold")
    if change.verb == "update":
        columns = Table.grid(padding=(0, 1))
        for column, (old, new) in change.columns.items():
            columns.add_row(f"  {column}", _from_to(_short(old), _short(new)))
        return Group(line, columns)
    rest = ", ".join(
        f"{column} {_short(new if change.verb == 'insert' else old)}"
        for column, (old, new) in change.columns.items()
        if column not in SHOWN_ALREADY
    )
    return Group(line, Text(f"  {rest}"))


def _name(activity: AuditLogActivity) -> str:
    """Return the name that the record had before the change."""
    return str((activity.old_data or activity.changed_data)["name"])


def _from_to(old: str, new: str) -> Text:
    between = " → " if len(old) + len(new) < ONE_LINE else "\n→ "
    return Text.assemble((old, "red"), between, (new, "green"))


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _change(activity: AuditLogActivity) -> Change:
    old, new = activity.old_data, activity.changed_data
    return Change(
        activity.verb,
        activity.table_name,
        str(activity.row_key),
        {column: (old.get(column), new.get(column)) for column in new or old},
    )
