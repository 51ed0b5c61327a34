"""``log --by-transaction``: a block for each transaction, with its changes under it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import click
from sqlalchemy import ARRAY, BigInteger, Select, column, func, literal, select, true
from sqlalchemy.orm import Session

from audit_core import AuditLog, AuditLogActivity, AuditLogTransaction
from audit_core.audit_log import scope_of
from audit_core.reading.activities import is_of_transaction
from audit_core.reading.exact import pg

from .description import (
    activity_json,
    actor_text,
    change_lines,
    names_of,
    reason_of,
    text_or_dash,
    transaction_json,
    witness,
)
from .output import Listing, print_json, value_text
from .times import shown

#: So many changes stand in a block,
_CHANGES = 10
#: and so many are counted.
_COUNTED = 10_000
#: The number of transactions that are loaded at once, and that of ids in memory.
_BATCH, _IDS = 50, 5_000
#: What says of a transaction, and not of a change, whether it is asked for.
_OF_TRANSACTIONS = ("actor", "meta", "transaction")


def print_blocks(
    session: Session, log: AuditLog, filters: Mapping[str, Any], limit: int, full: bool, as_json: bool
) -> int:
    """Print the transactions of the newest activities of a choice, and return how many there were."""
    numbers = islice(_numbers(session, log, filters), limit)
    of_changes = {name: value for name, value in filters.items() if name not in _OF_TRANSACTIONS}
    count = 0
    while batch := list(islice(numbers, _BATCH)):
        found = {each.id: each for each in session.scalars(_transactions(log, batch))}
        names = names_of(session, log, found.values())
        changes = _last_changes(session, log, of_changes, batch)
        for number in batch:
            activities = changes[number]
            is_cut = len(activities) > _CHANGES
            more = _more(session, log.activities(**of_changes, transaction=number)) if is_cut else 0
            block = _Block(found[number], activities[:_CHANGES], more, names)
            if as_json:
                print_json(block.json())
            else:
                block.print(full, is_first=not count)
            count += 1
        session.expunge_all()
    return count


def _numbers(session: Session, log: AuditLog, filters: Mapping[str, Any]) -> Iterator[int]:
    """Yield transactions in the order of their last activities, newest first."""
    activity = log.activity_cls
    # Of a large transaction nothing but the ids is read.
    query = log.activities(**filters).with_only_columns(activity.transaction_id)
    seen: set[int] = set()
    with session.scalars(query, execution_options={"yield_per": _IDS}) as ids:
        for number in ids:
            if number not in seen:
                seen.add(number)
                yield number


def _transactions(log: AuditLog, ids: list[int]) -> Select[Any]:
    transaction = log.transaction_cls
    return select(transaction).where(transaction.id.in_(ids))


def _last_changes(
    session: Session, log: AuditLog, filters: Mapping[str, Any], transactions: list[int]
) -> dict[int, list[AuditLogActivity]]:
    """Load the last changes of some transactions, newest first, and one more than is shown if there are more."""
    activity = log.activity_cls
    given = pg.unnest(literal(transactions, ARRAY(BigInteger()))).table_valued(column("id", BigInteger()))
    number = given.render_derived().c.id
    last = (
        log.activities(**filters)
        .where(is_of_transaction(scope_of(log), number))
        .limit(_CHANGES + 1)
        .with_only_columns(activity.id)
        .correlate(number.table)
        .lateral()
    )
    ids = session.scalars(select(last.c.id).join_from(number.table, last, true())).all()
    found: dict[int, list[AuditLogActivity]] = {each: [] for each in transactions}
    for each in session.scalars(select(activity).where(activity.id.in_(ids)).order_by(activity.id.desc())):
        found[each.transaction_id].append(each)
    return found


def _more(session: Session, changes: Select[Any]) -> int:
    """Count the changes that are not shown, but not all of very many."""
    counted = changes.order_by(None).limit(_COUNTED + 1).subquery()
    return (session.scalar(select(func.count()).select_from(counted)) or 0) - _CHANGES


class _Block:
    def __init__(
        self,
        transaction: AuditLogTransaction,
        activities: list[AuditLogActivity],
        more: int,
        names: Mapping[Any, str],
    ) -> None:
        self._transaction = transaction
        self._activities = activities
        self._more = more
        self._names = names

    def json(self) -> dict[str, Any]:
        transaction = self._transaction
        return {
            **transaction_json(transaction, self._names),
            "issued_at": transaction.issued_at,
            "activities": [activity_json(each, self._names) for each in self._activities],
            "more": min(self._more, _COUNTED - _CHANGES),
            "more_is_exact": self._more <= _COUNTED - _CHANGES,
        }

    def print(self, full: bool, is_first: bool) -> None:
        transaction = self._transaction
        if not is_first:
            click.echo()
        head = Listing("", "", heading=False, full=full)
        pairs = {
            "transaction": str(transaction.id),
            "who": actor_text(transaction.actor_id, self._names),
            "when": shown(transaction.issued_at),
            "why": reason_of(transaction),
            "from": witness(transaction),
            "meta": self._others(),
        }
        head.add([name, head.fitted(text)] for name, text in pairs.items() if text)
        changes = Listing("", "verb", "table", "key", "changes", heading=False, full=full)
        changes.add(
            ["", each.verb, each.table_name, text_or_dash(each.row_key), _summary(each, changes)]
            for each in self._activities
        )
        if self._more:
            exact = self._more <= _COUNTED - _CHANGES
            said = f"{self._more:,} more" if exact else f"more than {_COUNTED - _CHANGES:,} others"
            click.echo(f"  … and {said}: audit-log show {transaction.id}")

    def _others(self) -> str:
        """Show the rest of meta."""
        meta = self._transaction.meta
        rest = {name: each for name, each in meta.items() if name != "reason"} if isinstance(meta, dict) else meta
        return value_text(rest) if rest else ""


def _summary(activity: AuditLogActivity, listing: Listing) -> str:
    """Show what changed in one line; of a row that came or went, as much as fits."""
    line = "; ".join(change_lines(activity, listing))
    return line if activity.verb == "update" else listing.fitted(line)
