"""What is known of one table while its records are followed."""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    select,
)

from ..reading.audited_table import AuditedTable
from ..reading.relations import pg_class
from .coverage import Coverage
from .events import Truncate
from .live import LiveTable

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class TableFacts:
    """A table of today, and what the trail says of it as a whole."""

    audited: AuditedTable
    live: LiveTable
    coverage: Coverage
    truncates: tuple[Truncate, ...]
    json_columns: frozenset[str]
    since: dt.datetime | None

    @classmethod
    def read(cls, connection: Connection, live: LiveTable, since: dt.datetime | None) -> TableFacts:
        """Read what does not depend on a record.

        :param since: leave out what activities before this instant contradict.
        """
        audited = live.audited
        return cls(
            audited,
            live,
            Coverage.read(connection, audited),
            tuple(_truncates(connection, audited, live)),
            frozenset(each.name for each in live.columns if each.is_json),
            since,
        )

    def truncates_between(self, after: int, until: int | None) -> tuple[Truncate, ...]:
        """Return the TRUNCATEs after an activity, up to another one."""
        place = bisect_right(self.truncate_ids, after)
        end = len(self.truncates) if until is None else bisect_right(self.truncate_ids, until)
        return self.truncates[place:end]

    @cached_property
    def truncate_ids(self) -> list[int]:
        return [each.id for each in self.truncates]

    def differing(self, one: str, other: str) -> tuple[str, ...]:
        """Return the columns in which two states of a row differ, of those that both have."""
        left, right = _parsed(one), _parsed(other)
        if not (isinstance(left, dict) and isinstance(right, dict)):
            # Nested deeper than Python can read.
            return () if one == other else ("?",)
        return tuple(
            name
            for name in sorted(left.keys() & right.keys())
            if not _is_same(left[name], right[name], name in self.json_columns)
        )


def _truncates(connection: Connection, audited: AuditedTable, live: LiveTable) -> Iterator[Truncate]:
    activity = audited.activities
    query = (
        select(activity.c.id, activity.c.relid, pg_class.c.relispartition)
        .select_from(activity.outerjoin(pg_class, pg_class.c.oid == activity.c.relid))
        .where(activity.c.row_key.is_(None), activity.c.verb == "truncate")
        .order_by(activity.c.id)
    )
    for id_, relid, is_partition in connection.execute(query):
        yield Truncate(id_, relid, is_partition is not None, not live.is_partitioned and is_partition is False)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except RecursionError:
        return text


def _is_same(one: Any, other: Any, is_json: bool) -> bool:
    """Compare two values of a column: true is not 1. A column that had another type since has the same text."""
    if type(one) is type(other):
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(_is_same(value, other[name], True) for name, value in one.items())
        if isinstance(one, list):
            return len(one) == len(other) and all(_is_same(*pair, True) for pair in zip(one, other, strict=True))
        return bool(one == other)
    if is_json or None in (one, other) or isinstance(one, (dict, list)) or isinstance(other, (dict, list)):
        return False
    return str(one).lower() == str(other).lower()
