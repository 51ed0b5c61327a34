"""The rows that belong to a record: those that it refers to by a foreign key, and those that refer to it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import audited_tables, dump_json, equal, foreign_keys_of, is_audited, pg, qualified, scope_of
from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    column,
    func,
    inspect,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from .differences import text_of
from .loading import STATES, is_loaded

#: Foreign keys that are followed; a table of users may have hundreds.
FOLLOWED = 30
#: Rows, and changes of a row, are counted up to here.
COUNTED = 100
#: Rows of a table that are shown.
_SHOWN = 10


@dataclass(frozen=True)
class Row:
    """A row that belongs to a record, called as an activity of it is."""

    schema: str
    table_name: str
    row_key: str
    #: How many changes are recorded of it, up to one more than are counted.
    changes: int = 0


@dataclass(frozen=True)
class Belonging:
    """The rows of a table that belong to a record by one foreign key."""

    table: Table
    #: The columns of the foreign key.
    columns: tuple[str, ...]
    #: Whether the record refers to them; otherwise they refer to it.
    is_referred: bool
    #: Some of them.
    rows: tuple[Row, ...] = ()
    #: How many there are now, up to one more than are counted; None if no index finds them.
    count: int | None = 0

    @property
    def schema(self) -> str:
        return self.table.schema or "public"

    @property
    def is_counted(self) -> bool:
        return self.count is not None and self.count <= COUNTED


@dataclass(frozen=True)
class _Index:
    """The columns that an index begins with; None for an expression."""

    columns: tuple[str | None, ...]
    is_ordered: bool

    def finds(self, wanted: Collection[str]) -> bool:
        """Return whether it finds what has certain values in these columns, without looking at others."""
        first = self.columns[: len(wanted)] if self.is_ordered else self.columns
        return len(first) == len(wanted) and set(first) == set(wanted)


def foreign_keys(metadata: MetaData, table: Table) -> Iterator[tuple[ForeignKeyConstraint, bool]]:
    """Yield the foreign keys between a table and audited ones, and whether they are those of the table."""
    for constraint in foreign_keys_of(table):
        other = constraint.referred_table
        if other.metadata is metadata and is_audited(other) and other.primary_key.columns:
            yield constraint, True
    for child, _ in audited_tables(metadata):
        if child.primary_key.columns:
            yield from ((each, False) for each in foreign_keys_of(child) if each.referred_table is table)


def belonging_to(log: AuditLog, session: Session, table: Table, key: Sequence[Any], last: Any) -> list[Belonging]:
    """Find the rows that belong to a record, by the first of its foreign keys, along indexes only.

    :param last: the last activity of the record, or None.
    """
    followed = list(islice(foreign_keys(scope_of(log).metadata, table), FOLLOWED))
    others = [constraint.referred_table if is_own else constraint.table for constraint, is_own in followed]
    indexes = _indexes(session, others)
    found = []
    for constraint, is_own in followed:
        other = constraint.referred_table if is_own else constraint.table
        columns = tuple(element.parent.name for element in constraint.elements)
        belonging = Belonging(other, columns, is_own)
        if other not in indexes:
            # A migration is missing, or the role may not read it.
            continue
        if is_own:
            keys = _referred(session, constraint, key, last)
        elif any(each.finds(columns) for each in indexes[other]):
            keys = _referring(session, constraint, key)
        else:
            found.append(replace(belonging, count=None))
            continue
        rows = tuple(Row(belonging.schema, other.name, each) for each in keys[:_SHOWN])
        found.append(replace(belonging, rows=rows, count=len(keys)))
    changes = _changes(log, session, [row for each in found for row in each.rows])
    return [replace(each, rows=tuple(replace(row, changes=changes.get(row, 0)) for row in each.rows)) for each in found]


def key_text(values: Sequence[Any]) -> str:
    """Write a primary key as the trail does."""
    written = [_written(each) for each in values]
    return text_of(written[0]) if len(written) == 1 else dump_json(written)


def _written(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.timezone.utc) if value.tzinfo else value).isoformat()
    return str(value)


def _is_row(columns: Sequence[Column[Any]], key: Sequence[Any]) -> ColumnElement[bool]:
    pairs = zip(columns, key, strict=True)
    return and_(*(equal(each, literal(value, each.type), each.type) for each, value in pairs))


def _referring(session: Session, constraint: ForeignKeyConstraint, key: Sequence[Any]) -> list[str]:
    """Return the keys of rows that refer to a record, up to one more than are counted."""
    child, table = constraint.table, constraint.referred_table
    # Other columns than the primary key may be referred to, and a row of the table may refer to another one of it.
    record = table.alias()
    values = dict(zip(table.primary_key.columns, key, strict=True))
    conditions = []
    for element in constraint.elements:
        own, referred = element.parent, element.column
        if referred in values:
            value: Any = literal(values[referred], own.type)
        else:
            is_record = _is_row([record.c[each.key] for each in values], key)
            value = select(record.c[referred.key]).where(is_record).scalar_subquery()
        conditions.append(equal(own, value, own.type))
    query = select(*child.primary_key.columns).where(*conditions).limit(COUNTED + 1)
    return [key_text(row) for row in session.execute(query)]


def _referred(session: Session, constraint: ForeignKeyConstraint, key: Sequence[Any], last: Any) -> list[str]:
    """Return the key of the row that a record refers to, or did when it was deleted."""
    table, other = constraint.table, constraint.referred_table.alias()
    if last is not None and last.verb == "delete":
        return _referred_before(constraint, last)
    is_referred = and_(
        *(equal(each.parent, other.c[each.column.key], each.parent.type) for each in constraint.elements),
    )
    query = select(*(other.c[each.key] for each in constraint.referred_table.primary_key.columns))
    query = query.select_from(table.join(other, is_referred)).where(_is_row(list(table.primary_key.columns), key))
    return [key_text(row) for row in session.execute(query.limit(1))]


def _referred_before(constraint: ForeignKeyConstraint, last: Any) -> list[str]:
    pairs = {element.column: element.parent.name for element in constraint.elements}
    primary_key = list(constraint.referred_table.primary_key.columns)
    if set(pairs) != set(primary_key) or not is_loaded(last):
        return []
    row, names = last.row_before, [pairs[each] for each in primary_key]
    if any(row.get(name) is None or name in (last.masked or ()) for name in names):
        return []
    values = [row[name] for name in names]
    return [text_of(values[0]) if len(values) == 1 else dump_json(values)]


#: The indexes of tables that are there and may be read.
_OF_TABLES = text("""
SELECT asked.place, am.amname OPERATOR(pg_catalog.=) 'btree' AS is_ordered, ARRAY(
           SELECT a.attname::pg_catalog.text
           FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, place)
           LEFT JOIN pg_catalog.pg_attribute AS a
               ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) k.attnum
           WHERE k.place OPERATOR(pg_catalog.<=) i.indnkeyatts::pg_catalog.int8
           ORDER BY k.place
       ) AS columns
FROM pg_catalog.jsonb_array_elements_text(CAST(:names AS pg_catalog.jsonb)) WITH ORDINALITY AS asked (name, place)
CROSS JOIN LATERAL pg_catalog.to_regclass(asked.name) AS found (relation)
LEFT JOIN (
    pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_am AS am
        ON am.oid OPERATOR(pg_catalog.=) c.relam
        AND (am.amname OPERATOR(pg_catalog.=) 'btree' OR am.amname OPERATOR(pg_catalog.=) 'hash')
) ON i.indrelid OPERATOR(pg_catalog.=) found.relation::pg_catalog.oid AND i.indisvalid AND i.indpred IS NULL
WHERE pg_catalog.has_table_privilege(found.relation::pg_catalog.oid, 'SELECT')
""")


def _indexes(session: Session, tables: Sequence[Table]) -> dict[Table, list[_Index]]:
    """Return the indexes of those tables that are there and may be read."""
    names = [qualified(each.name, each.schema) for each in tables]
    found: dict[Table, list[_Index]] = {}
    if not names:
        return found
    for place, is_ordered, columns in session.execute(_OF_TABLES, {"names": json.dumps(names)}):
        own = found.setdefault(tables[place - 1], [])
        if is_ordered is not None:
            own.append(_Index(tuple(columns), is_ordered))
    return found


def _changes(log: AuditLog, session: Session, rows: Sequence[Row]) -> dict[Row, int]:
    """Count the changes of some rows, each up to one more than are counted."""
    if not rows:
        return {}
    activity = inspect(log.activity_cls).local_table
    wanted = [{"place": place, "name": each.table_name, "key": each.row_key} for place, each in enumerate(rows)]
    columns = (column("place", Integer), column("name", Text), column("key", Text))
    asked = pg.jsonb_to_recordset(literal(wanted, JSONB())).table_valued(*columns, name="asked")
    asked = asked.render_derived(with_types=True)
    own = (
        select(literal(1))
        .where(activity.c.table_name == asked.c.name, activity.c.row_key == asked.c.key, activity.c.verb.in_(STATES))
        .limit(COUNTED + 1)
        .correlate(asked)
        .subquery()
    )
    counts = select(func.count().label("count")).select_from(own).lateral()
    found = session.execute(select(asked.c.place, counts.c.count).select_from(asked).join(counts, true()))
    return {rows[place]: count for place, count in found}
