"""What the trail recorded of the changes to take back, as values of Python."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Text, cast, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from ..errors import HistoryError
from ..reading.merging import ROW_VERBS, whole_before
from ..reading.values import as_object

if TYPE_CHECKING:
    from ..scope import Scope


@dataclass(frozen=True)
class RecordedChange:
    """An activity to take back, with its rows as JSON."""

    id: int
    schema: str
    table_name: str
    verb: str
    row_key: str | None
    old_row_key: str | None
    native_transaction_id: int
    issued_at: dt.datetime
    #: The columns of which no values were recorded.
    masked: frozenset[str]
    old: dict[str, Any]
    changed: dict[str, Any]

    @property
    def after(self) -> dict[str, Any]:
        return {**self.old, **self.changed}

    @property
    def key_before(self) -> str | None:
        return self.row_key if self.old_row_key is None else self.old_row_key

    def key_at(self, when: dt.datetime) -> str | None:
        """Return the key that the row had at an instant, of which this activity tells."""
        return self.key_before if self.issued_at > when else self.row_key

    @property
    def name(self) -> str:
        return f"{self.table_name} {self.row_key}"


def load(scope: Scope, connection: Connection, chosen: Any) -> list[RecordedChange]:
    """Load the activities for which a condition holds, newest first."""
    activity = scope.activity_cls
    columns: list[Any] = [
        activity.id,
        activity.schema,
        activity.table_name,
        activity.verb,
        activity.row_key,
        activity.old_row_key,
        activity.native_transaction_id,
        activity.issued_at,
        activity.masked,
        cast(whole_before(activity, activity), Text),
        cast(type_coerce(activity.changed_data, JSONB()), Text),
    ]
    query = select(*columns).where(chosen).order_by(activity.id.desc())
    rows: Iterable[Any] = connection.execute(query)
    return [
        RecordedChange(*[*row[:-3], frozenset(row.masked or ()), *_rows_of(row.id, row.verb, row[-2:])]) for row in rows
    ]


def differing(data: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns that have other values than these."""
    return tuple(name for name in wanted if data.get(name) != wanted[name])


def read_row(data: str) -> dict[str, Any]:
    """Read a row of JSON, each number with all its digits."""
    # Python refuses to read integers of more digits than a decimal can have.
    return as_object(json.loads(data, parse_float=Decimal, parse_int=_integer))


def _rows_of(id_: int, verb: str, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Read what an activity recorded of a row, or of how many there were."""
    if verb not in (*ROW_VERBS, "truncate"):
        return [{}, {}]
    try:
        return [read_row(each) for each in texts]
    except RecursionError:
        raise HistoryError(f"Activity {id_} holds a value that is nested more deeply than Python can read.") from None


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < 4000 else Decimal(text)
