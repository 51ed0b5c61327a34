"""Rebuild tables from the trail alone, to compare them with what the tables hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

from audit_core import AuditLog
from sqlalchemy import Connection, FromClause, Text, cast, func, select

Row = dict[str, Any]
#: The rows of a table by their ``row_key``.
State = dict[str, Row]


class ContradictionError(Exception):
    """An activity does not fit to those before it."""


def rebuilt(connection: Connection, log: AuditLog, table: FromClause, after: int = 0) -> State:
    """Return what a table holds as its activities tell, oldest first.

    Only the primary key's columns are known of the table. Nothing is taken for granted: each activity must
    begin where those before it ended.

    :param after: the ``id`` of an activity after which the table was empty.
    :raises ContradictionError: if one does not.
    """
    state: State = {}
    for statement in _statements(connection, log, table, after):
        gone: State = {}
        come: State = {}
        for verb, row_key, old, changed in statement:
            if verb == "truncate":
                # With the option "rows", what was lost stands before it; with the default it was all there was.
                lost = len(gone) or len(state)
                if changed["rows"] not in (0, lost):
                    raise ContradictionError(f"{table}: {changed['rows']} rows truncated where there were {lost}")
                if changed["rows"] and not gone:
                    gone.update(state)
            elif verb in ("update", "delete"):
                _put(gone, key_of(old, table), old)
            if verb in ("insert", "update"):
                row = {**old, **changed}
                if key_of(row, table) != row_key:
                    raise ContradictionError(f"{table}: row_key is {row_key!r} for {row}")
                _put(come, row_key, row)
        for key, row in gone.items():
            if (before := state.pop(key, None)) != row:
                raise ContradictionError(f"{table}: {key!r} was {before} and not {row}")
        for key, row in come.items():
            _put(state, key, row)
    return state


def stored(connection: Connection, table: FromClause) -> State:
    """Return what a table holds, as jsonb shows it."""
    query = select(cast(func.to_jsonb(table.table_valued()), Text))
    rows = map(_read, connection.scalars(query))
    return {key_of(row, table): row for row in rows}


def key_of(row: Row, table: FromClause) -> str:
    """Write a row's key as ``row_key`` has it."""
    values = [row[column.name] for column in table.primary_key]
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(values[0] if len(values) == 1 else values, ensure_ascii=False)


def _statements(
    connection: Connection, log: AuditLog, table: FromClause, after: int
) -> Iterator[list[tuple[str, str, Row, Row]]]:
    """Yield the activities one by one, or those of a statement together where keys may change places."""
    activity = log.activity_cls
    query = (
        select(
            activity.native_transaction_id,
            activity.issued_at,
            activity.verb,
            activity.row_key,
            cast(activity.completed_old_data, Text),
            cast(activity.changed_data, Text),
        )
        .where(
            activity.table_name == table.name,  # type: ignore[attr-defined]
            activity.schema == (table.schema or "public"),  # type: ignore[attr-defined]
            activity.verb.in_(("insert", "update", "delete", "truncate")),
            activity.id > after,
        )
        .order_by(activity.id)
    )
    found: Iterable[Any] = connection.execute(query)
    constraint: Any = table.primary_key
    # The trigger of a statement takes the time once.
    for _, group in groupby(found, key=lambda each: each[:2]):
        statement = [(verb, row_key, _read(old), _read(changed)) for *_, verb, row_key, old, changed in group]
        # Only where keys are compared at the end of the statement can rows change places.
        if constraint.deferrable or statement[-1][0] == "truncate":
            yield statement
        else:
            yield from ([each] for each in statement)


def _read(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _put(state: State, key: str, row: Row) -> None:
    if key in state:
        raise ContradictionError(f"{key!r} is there twice: {state[key]} and {row}")
    state[key] = row
