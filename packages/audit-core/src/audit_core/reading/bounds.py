"""Where times and transactions lie among the ids, so that no more of the trail is read than is asked for.

There is no index on ``issued_at``, which every write would pay for. Ids grow with time, give or take what a trigger
takes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Interval,
    ScalarSelect,
    TableClause,
    any_,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from .exact import ExactText, exact_text, operate

if TYPE_CHECKING:
    from ..scope import Scope

#: The smallest and the greatest id that a bigint can be. Those of what was imported from another trail are negative.
FIRST_ID, LAST_ID = -(2**63), 2**63 - 1
# An id is drawn when a row is written, and its time was taken when the trigger began.
_OUT_OF_STEP = dt.timedelta(days=1)


@dataclass(frozen=True)
class ClosedPartitions:
    """What is known of the closed partitions, read once for several queries.

    A query that has these bounds as values is planned for the partitions between them, not for all.
    """

    rows: Sequence[Any]
    #: When the first activity of the open partition was made; None if there is none.
    opened_at: dt.datetime | None = None

    def of_transactions(self, ids: Collection[int]) -> tuple[int, int]:
        """Return an id below which no activity is of some transactions, and one from which on none is."""
        first, last = min(ids, default=FIRST_ID), max(ids, default=LAST_ID)
        known = [row for row in self.rows if row.first_transaction_id is not None]
        before = (row.end_id for row in known if row.last_transaction_id < first)
        after = (row.from_id for row in known if row.first_transaction_id > last and row.from_id is not None)
        return max(before, default=FIRST_ID), min(after, default=LAST_ID)

    def around(self, when: dt.datetime) -> tuple[int, int]:
        """Return an id below which all activities are older, and one from which on all are younger."""
        first, end, parts = FIRST_ID, LAST_ID, self._in_order
        for row in parts:
            if row.row_count is None or row.last_issued_at >= when:
                break
            first = row.end_id
        if self.opened_at is not None:
            if self.opened_at - _OUT_OF_STEP <= when:
                return first, end
            end = max((row.end_id for row in self.rows), default=FIRST_ID)
        for row in reversed(parts):
            if row.row_count is None or row.from_id is None or row.first_issued_at <= when:
                break
            end = row.from_id
        return first, end

    def are_in_order(self, first: int, end: int) -> bool:
        """Return whether times grow with ids between two of them: what was imported is in no order with the rest."""
        parts = self._in_order
        following = [row.first_issued_at for row in parts[1:]] + [self.opened_at for _ in parts[-1:]]
        return all(
            row.end_id > 0 or row.end_id <= first or row.end_id >= end or then is None or row.last_issued_at <= then
            for row, then in zip(parts, following, strict=True)
        )

    @property
    def _in_order(self) -> list[Any]:
        """Those that are not empty, by their ids."""
        return sorted((row for row in self.rows if row.row_count != 0), key=attrgetter("end_id"))

    @property
    def ends(self) -> list[int]:
        """Return where those end that are still there, in order."""
        return sorted(row.end_id for row in self.rows if row.removed_at is None)


def read_closed(scope: Scope, session: Any) -> ClosedPartitions:
    """Read what is known of the closed partitions."""
    opened = _open(scope)
    opened_at = select(opened.c.issued_at).order_by(opened.c.id).limit(1).scalar_subquery()
    rows = session.execute(select(_closed(scope), opened_at.label("opened_at"))).all()
    return ClosedPartitions(rows, rows[0].opened_at if rows else None)


def first_id_since(scope: Scope, when: dt.datetime) -> ColumnElement[int]:
    """Return an id below which all activities are older."""
    closed = _closed(scope)
    first = func.coalesce(closed.c.from_id, literal(FIRST_ID, BigInteger()))
    # What was imported has smaller ids than what was there already, be it older or not.
    younger = select(func.min(first)).where(or_(closed.c.row_count.is_(None), closed.c.last_issued_at >= when))
    found = func.least(younger.scalar_subquery(), _first_in_open(scope, when, "-"))
    return func.coalesce(found, literal(LAST_ID, BigInteger()), type_=BigInteger())


def end_id_until(scope: Scope, when: dt.datetime) -> ColumnElement[int]:
    """Return an id from which on all activities are younger."""
    closed = _closed(scope)
    older = select(func.max(closed.c.end_id)).where(or_(closed.c.row_count.is_(None), closed.c.first_issued_at <= when))
    # Where all of the open one is younger, its first id is found.
    found = func.greatest(older.scalar_subquery(), func.nullif(_first_in_open(scope, when, "+"), _open_begins(scope)))
    return func.coalesce(found, literal(FIRST_ID, BigInteger()), type_=BigInteger())


def first_id_of(scope: Scope, transaction_id: int | ColumnElement[int]) -> ColumnElement[int]:
    """Return an id below which no activity is of a transaction."""
    closed = _closed(scope)
    before = select(func.max(closed.c.end_id)).where(closed.c.last_transaction_id < transaction_id)
    before = before.correlate_except(closed)
    return func.coalesce(before.scalar_subquery(), literal(FIRST_ID, BigInteger()), type_=BigInteger())


def end_id_of(scope: Scope, transaction_id: int | ColumnElement[int]) -> ColumnElement[int]:
    """Return an id from which on no activity is of a transaction."""
    closed = _closed(scope)
    after = select(func.min(closed.c.from_id)).where(closed.c.first_transaction_id > transaction_id)
    after = after.correlate_except(closed)
    return func.coalesce(after.scalar_subquery(), literal(LAST_ID, BigInteger()), type_=BigInteger())


def recorded_before(scope: Scope, name: str) -> ColumnElement[bool]:
    """Return whether something was recorded under the name of a table in a closed partition, be it there or not."""
    closed = table("activity_partition", column("table_names", ARRAY(ExactText())), schema=scope.schema)
    return exists(select(literal(1)).where(exact_text(name) == any_(closed.c.table_names)))


def _closed(scope: Scope) -> TableClause:
    return table(
        "activity_partition",
        column("from_id", BigInteger),
        column("end_id", BigInteger),
        column("first_issued_at", DateTime(timezone=True)),
        column("last_issued_at", DateTime(timezone=True)),
        column("first_transaction_id", BigInteger),
        column("last_transaction_id", BigInteger),
        column("row_count", BigInteger),
        column("removed_at", DateTime(timezone=True)),
        schema=scope.schema,
    )


def _open(scope: Scope) -> TableClause:
    issued_at = column("issued_at", DateTime(timezone=True))
    return table("activity_open", column("id", BigInteger), issued_at, schema=scope.schema)


def _open_begins(scope: Scope) -> ScalarSelect[Any]:
    return select(func.min(_open(scope).c.id)).scalar_subquery()


def _first_in_open(scope: Scope, when: dt.datetime, sign: str) -> ScalarSelect[Any]:
    """Select the first id of an instant in the open partition, by a binary search, or of one that surely is past it.

    It is the first id of all if all are younger, and the one after the last if all are older.
    """
    opened = _open(scope)
    low = _open_begins(scope)
    high = select(func.max(opened.c.id) + 1).scalar_subquery()
    search = select(cast(low, BigInteger).label("low"), cast(high, BigInteger).label("high")).cte(recursive=True)
    found = (
        select(opened.c.id, opened.c.issued_at)
        .where(opened.c.id >= _half(search))
        .order_by(opened.c.id)
        .limit(1)
        .lateral()
    )
    # The database does the sum: there is no later day in Python than 9999-12-31.
    step = cast(exact_text(f"{_OUT_OF_STEP.days} days"), Interval)
    instant = operate(literal(when, DateTime(timezone=True)), sign, step)
    is_older = found.c.issued_at < instant
    search = search.union_all(
        select(
            case((is_older, found.c.id + 1), else_=search.c.low),
            case((is_older, search.c.high), else_=_half(search)),
        )
        .select_from(search)
        .join(found, true())
        .where(search.c.low < search.c.high)
    )
    return select(search.c.low).where(search.c.low >= search.c.high).scalar_subquery()


def _half(search: Any) -> ColumnElement[int]:
    half: ColumnElement[int] = search.c.low + (search.c.high - search.c.low) // 2
    return half
