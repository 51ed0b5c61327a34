"""What is asked of the archive, so that few of its files are read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Or,
)

from ..lifecycle import checksum
from . import model
from .catalog import Archive

# By more values than this no file is left out, so all within their bounds are read.
_VALUES = 150


@dataclass(frozen=True)
class Wanted:
    """Activities of the archive; what is None does not narrow it."""

    #: Of these ranges of ids, each without its end; the first may have no beginning.
    ids: Collection[tuple[int | None, int]] | None = None
    tables: Collection[str] | None = None
    #: With one of these keys, before the change or after it.
    keys: Collection[str] | None = None
    #: That are of no row.
    without_key: bool = False
    verbs: Collection[str] | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    transactions: Collection[int] | None = None

    def expression(self) -> BooleanExpression:
        """Write it as PyIceberg reads it."""
        found: list[BooleanExpression] = []
        if self.ids is not None:
            found.append(_any([_within(first, end) for first, end in self.ids]))
        if self.tables is not None:
            found.append(_in("table_name", self.tables))
        if self.keys is not None:
            found.append(Or(_in("row_key", self.keys), _in("old_row_key", self.keys)))
        if self.without_key:
            found.append(IsNull("row_key"))
        if self.verbs is not None:
            found.append(_in("verb", self.verbs))
        if self.since is not None:
            found.append(GreaterThanOrEqual("issued_at", _time(self.since)))
        if self.until is not None:
            found.append(LessThanOrEqual("issued_at", _time(self.until)))
        if self.transactions is not None:
            found.append(_numbers("transaction_id", self.transactions))
        return _all(found)


def activities(archive: Archive, wanted: Wanted) -> Iterator[list[tuple[Any, ...]]]:
    """Yield batches of activities, in no order."""
    yield from _batches(archive.activity, model.ACTIVITY, wanted.expression(), tuple(checksum.ACTIVITY))


def transactions(archive: Archive, ids: Collection[int]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield batches of transactions, others among them if there are many."""
    yield from _batches(archive.transaction, model.TRANSACTION, _numbers("id", ids), tuple(checksum.TRANSACTION))


def transactions_of(archive: Archive, actor_id: str) -> set[int]:
    """Return the ids of the transactions of an actor."""
    scan = archive.transaction.scan(EqualTo("actor_id", actor_id), ("id",))
    return {each for batch in scan.to_arrow_batch_reader() for each in batch.column(0).to_pylist()}


def transactions_of_partition(archive: Archive, end_id: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield batches of the transactions that came with a partition."""
    which = EqualTo("partition_end_id", end_id)
    yield from _batches(archive.transaction, model.TRANSACTION, which, tuple(checksum.TRANSACTION))


def _batches(
    table: Any, described: model.Described, which: BooleanExpression, names: tuple[str, ...]
) -> Iterator[list[tuple[Any, ...]]]:
    for batch in table.scan(which, names).to_arrow_batch_reader():
        for start in range(0, batch.num_rows, 5_000):
            yield list(described.rows(batch.slice(start, 5_000), names))


def _within(first: int | None, end: int) -> BooleanExpression:
    return LessThan("id", end) if first is None else And(GreaterThanOrEqual("id", first), LessThan("id", end))


def _in(name: str, values: Collection[str]) -> BooleanExpression:
    return In(name, set(values)) if values else _nothing()


def _numbers(name: str, values: Collection[int]) -> BooleanExpression:
    if not values:
        return _nothing()
    within = And(GreaterThanOrEqual(name, min(values)), LessThanOrEqual(name, max(values)))
    return And(within, In(name, set(values))) if len(values) <= _VALUES else within


def _nothing() -> BooleanExpression:
    return LessThan("id", -(2**62))


def _any(found: list[BooleanExpression]) -> BooleanExpression:
    either = found[0] if found else _nothing()
    for each in found[1:]:
        either = Or(either, each)
    return either


def _all(found: list[BooleanExpression]) -> BooleanExpression:
    both: BooleanExpression = AlwaysTrue()
    for each in found:
        both = And(both, each)
    return both


def _time(when: dt.datetime) -> str:
    return when.astimezone(dt.timezone.utc).isoformat(timespec="microseconds")
