"""The tables of the application as they are now: finding rows in them, locking and writing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    FromClause,
    Insert,
    Join,
    Select,
    TableClause,
    Text,
    Update,
    and_,
    any_,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    table,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, OID, REGCLASS
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeEngine, UserDefinedType

from ..quoting import qualified
from ..reading.audited_table import AuditedTable
from ..reading.changes import table_of
from ..reading.exact import equal, exact_text, pg
from ..reading.merging import merged, whole_before
from ..reading.past_rows import readable
from ..reading.relations import pg_attribute
from ..reading.types import RowType
from .recorded import RecordedChange, read_row
from .steps import UndoStep

if TYPE_CHECKING:
    from ..scope import Scope


class _TupleId(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **kw: Any) -> str:
        return "TID"


#: Where a row is stored.
_PLACE = (("tableoid", OID()), ("ctid", _TupleId()))


class _Overriding(Select[Any]):
    """The rows of an INSERT that brings the values of identity columns along."""

    inherit_cache = False


@compiles(_Overriding)
def _compile_overriding(element: _Overriding, compiler: Any, **kw: Any) -> str:
    return "OVERRIDING SYSTEM VALUE " + str(compiler.visit_select(element, **kw))


@dataclass(frozen=True)
class LiveRow:
    """A row of the application that is locked, and where it is stored."""

    place: tuple[int, str]
    data: dict[str, Any]


@dataclass(frozen=True)
class LiveTable:
    """A table of the application as it is in the database now."""

    audited: AuditedTable
    relation: TableClause
    #: The columns that can be written; the database computes the others.
    columns: frozenset[str]

    @classmethod
    def find(cls, scope: Scope, connection: Connection, schema: str, name: str) -> LiveTable | None:
        """Find the table that a name in the trail means today; None if it is gone, or not recorded."""
        found = table_of(scope, schema, name)
        if found is None or not found.primary_key.columns:
            return None
        relid = cast(pg.to_regclass(exact_text(qualified(found.name, found.schema)), type_=REGCLASS), OID)
        query = select(pg_attribute.c.attname, cast(pg_attribute.c.attgenerated, Text)).where(
            pg_attribute.c.attrelid == relid, pg_attribute.c.attnum > 0, ~pg_attribute.c.attisdropped
        )
        columns = {row.attname: row[1] for row in connection.execute(query)}
        if not columns:
            return None
        place = [column(name, type_) for name, type_ in _PLACE]
        return cls(
            AuditedTable(scope, found, None),
            table(found.name, *map(column, columns), *place, schema=found.schema),
            frozenset(name for name, kind in columns.items() if not kind),
        )

    def key_in(self, data: dict[str, Any]) -> tuple[Any, ...]:
        """Return what tells rows apart: the table, and the key in recorded data."""
        key = (str(data.get(each.name)) for each in self.audited.key_columns)
        return (self.relation.schema, self.relation.name, *key)

    def known(self, change: RecordedChange, data: dict[str, Any]) -> dict[str, Any]:
        """Return what a change recorded of the columns that can be written."""
        return {name: value for name, value in data.items() if name in self.columns and name not in change.masked}

    def lock(
        self, connection: Connection, changes: list[RecordedChange], *, before: bool = False
    ) -> dict[int, LiveRow]:
        """Lock the rows that activities are about, and read them, by the ids of the activities.

        :param before: under the keys that they had before.
        """
        row = self.relation.alias()
        activity, recorded, joined = self._recorded([change.id for change in changes], before=before)
        key = self.audited.key_columns
        has_key = and_(*(equal(row.c[each.name], recorded.c[each.name], each.type) for each in key))
        query = (
            select(activity.c.id, row.c.tableoid, cast(row.c.ctid, Text), cast(pg.to_jsonb(row.table_valued()), Text))
            .select_from(joined.join(row, has_key))
            .with_for_update(of=row)
        )
        return {id_: LiveRow((number, place), read_row(data)) for id_, number, place, data in connection.execute(query)}

    def write(
        self, connection: Connection, steps: list[tuple[UndoStep, LiveRow | None]], *, before: bool = True
    ) -> int:
        """Set rows to what they were before the activities of their steps, or after; return how many were set.

        All steps do the same to the same columns.
        """
        relation = self.relation
        first, _ = steps[0]
        activity, recorded, joined = self._recorded([step.activity_id for step, _ in steps], before)
        statement: Insert | Update | Delete
        if first.action == "insert":
            rows = _Overriding(*(recorded.c[name] for name in first.columns)).select_from(joined)
            statement = insert(relation).from_select(list(first.columns), rows, include_defaults=False)
        else:
            places = _places(steps)
            source = (
                select(places, *(recorded.c[name].label(f"new_{n}") for n, name in enumerate(first.columns)))
                .select_from(joined.join(places, places.c.activity_id == activity.c.id))
                .subquery()
            )
            # By its place: on the way, two rows may have the same key where the constraint is deferred.
            is_row: ColumnElement[bool] = and_(
                relation.c.tableoid == source.c.number, relation.c.ctid == cast(source.c.place, relation.c.ctid.type)
            )
            if first.action == "delete":
                statement = delete(relation).where(is_row)
            else:
                values = {name: source.c[f"new_{n}"] for n, name in enumerate(first.columns)}
                statement = update(relation).values(values).where(is_row)
        return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount

    def _recorded(self, activity_ids: list[int], before: bool) -> tuple[FromClause, FromClause, Join]:
        """Turn what activities recorded into rows of the table, with the types that it has now.

        :return: the activities, the rows, and both joined.
        """
        activity = self.audited.all_activities
        recorded = (whole_before if before else merged)(activity.c, self.audited.scope.activity_cls)
        empty = cast(null(), RowType(self.relation.name, self.relation.schema))
        names = [each.name for each in self.relation.columns if each.name not in dict(_PLACE)]
        row = pg.jsonb_populate_record(empty, readable(self.audited, recorded, activity.c.masked)).table_valued(*names)
        joined = activity.join(row, activity.c.id == any_(literal(activity_ids, ARRAY(BigInteger()))))
        return activity, row, joined


def _places(steps: list[tuple[UndoStep, LiveRow | None]]) -> FromClause:
    """Return where the row of each step is stored."""
    places = [(step.activity_id, *row.place) for step, row in steps if row is not None]
    types: tuple[TypeEngine[Any], ...] = (BigInteger(), OID(), Text())
    arrays: list[Any] = [
        literal(list(values), ARRAY(type_)) for values, type_ in zip(zip(*places, strict=True), types, strict=True)
    ]
    # Of several arrays it is syntax, if it is not qualified.
    return func.unnest(*arrays).table_valued("activity_id", "number", "place").render_derived()


def no_table(change: RecordedChange) -> str:
    """Describe that the table of a change is gone."""
    return f"the table of {change.name} is gone, or is not audited"
