"""Which activities are those of an audited table, said in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Executable,
    Result,
    ScalarSelect,
    Select,
    Table,
    and_,
    any_,
    cast,
    collate,
    column,
    exists,
    func,
    inspect,
    literal,
    literal_column,
    not_,
    or_,
    select,
    table,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, OID
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.selectable import FromClause

from ..audited import is_audited
from ..connections import connection_of
from ..errors import HistoryError
from ..options import TableOptions
from .exact import ExactText, exact_text, operate, pg
from .relations import partitions_of, pg_class, pg_namespace, pg_partitioned_table, relations
from .row_keys import key_text, key_value

if TYPE_CHECKING:
    from ..scope import Scope

#: The number of activities with made-up names, which record reads, that are passed at once.
_PASSED = 500
#: What is read of an activity that an index finds.
_FOUND = ("id", "issued_at", "native_transaction_id", "relid", "schema", "table_name", "verb", "row_key", "old_row_key")


@dataclass(frozen=True)
class AuditedTable:
    """A table of the application that one AuditLog records, and the model of all its rows."""

    scope: Scope
    table: Table
    mapper: Mapper[Any] | None
    #: Parts of queries that are needed at several places, and looked up once.
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def find(cls, scope: Scope, table: Table, mapper: Mapper[Any] | None = None) -> AuditedTable:
        """Find what is recorded of a table.

        :raises HistoryError: if nothing is.
        """
        if table.metadata is not scope.metadata or not is_audited(table):
            raise HistoryError(
                f"Table {table.fullname!r} is not audited, so it has no history. Declare it with "
                '{"info": {"versioned": {}}}, and write a migration.'
            )
        if not table.primary_key.columns:
            raise HistoryError(f"Table {table.fullname!r} has no primary key, so its records cannot be told apart.")
        return cls(scope, table, mapper)

    @cached_property
    def options(self) -> TableOptions:
        """How the table is audited now."""
        return TableOptions.read(self.table)

    def records(self, name: str) -> bool:
        """Return whether the values of a column are recorded."""
        options = self.options
        kept = not options.include or name in options.include or name in self.table.primary_key.columns
        return kept and name not in options.exclude and name not in options.mask

    @property
    def activities(self) -> FromClause:
        """The activities of the table, under a name of their own."""
        return self._activities.alias()

    def found_by(self, condition: Callable[[Any], ColumnElement[bool]]) -> FromClause:
        """The activities, without their data, of the table's names that meet a condition: an index finds them, and few.

        Whether they are of the table is left to :meth:`is_of`. The planner weighs the conditions that stand here for
        each partition, and those outside once.
        """
        activity = self.all_activities
        columns = [activity.c[name] for name in _FOUND]
        found = select(*columns).where(self.has_name(activity.c), condition(activity.c)).offset(literal_column("0"))
        return found.correlate_except(activity).lateral()

    @property
    def all_activities(self) -> FromClause:
        """The activities of all tables, under a name of their own."""
        table: FromClause = inspect(self.scope.activity_cls).local_table
        return table.alias()

    @property
    def key_columns(self) -> list[Column[Any]]:
        return list(self.table.primary_key.columns)

    def key_of(self, obj: Any) -> tuple[Any, ...]:
        """Return the primary key of an object, without a query.

        :raises HistoryError: if it has none yet.
        """
        state: Any = inspect(obj)
        # Of a persistent object this is what the database has, also when the object is expired.
        key = state.identity if state.identity is not None else state.mapper.primary_key_from_instance(obj)
        if None in key:
            raise HistoryError(f"{obj!r} has no primary key yet, so it has no history. Flush it first.")
        return tuple(key)

    def row_key(self, key: Any) -> ColumnElement[str]:
        """Write a primary key as the triggers do.

        :raises HistoryError: if it has not the shape of the table's key.
        """
        values: Sequence[Any] = tuple(key) if isinstance(key, (tuple, list)) else (key,)
        columns = self.key_columns
        if len(values) != len(columns) or None in values:
            names = ", ".join(each.name for each in columns)
            wanted = f"one value, {names}" if len(columns) == 1 else f"a tuple ({names})"
            raise HistoryError(f"{key!r} is not a primary key of table {self.table.fullname!r}: it takes {wanted}.")
        given = [key_value(value, each.type) for value, each in zip(values, columns, strict=True)]
        return key_text(pg.jsonb_build_array(*given, type_=JSONB()), len(given))

    def key_in(self, data: ColumnElement[Any], columns: Sequence[Column[Any]] | None = None) -> ColumnElement[str]:
        """Write the primary key that a recorded row has, or the values of other columns in the same way."""
        names = [each.name for each in columns or self.key_columns]
        values = [operate(type_coerce(data, JSONB()), "->", exact_text(str(name)), JSONB()) for name in names]
        return key_text(pg.jsonb_build_array(*values, type_=JSONB()), len(names))

    def is_of(self, activity: Any, *, few: bool = False) -> ColumnElement[bool]:
        """Return whether an activity is of this table, or of what was this table before it was renamed.

        :param few: whether an index finds so few that more time would go into weighing this for each partition than
            into asking for each activity.
        """
        # After a restore into another database a number may belong to another table. A name that a table
        # has now is taken to be that table's.
        is_others = and_(
            activity.table_name == self.table.name, activity.schema == any_(array_of(select(self._namesakes.c.schema)))
        )
        is_own = or_(
            and_(
                activity.table_name == self.table.name,
                activity.schema == self.schema,
            ),
            and_(activity.relid == any_(array_of(select(self._numbers.c.relid))), not_(is_others)),
        )
        if few:
            # It reads no table of its own, so all is correlated.
            is_own = exists(select(literal(1)).where(is_own).offset(literal_column("0")).correlate_except(None))
        return and_(self.has_name(activity), is_own)

    def has_name(self, activity: Any) -> ColumnElement[bool]:
        """Return whether an activity has a name that the table has, or may have had."""
        has_name: ColumnElement[bool] = activity.table_name == any_(array_of(select(self._names.c.name)))
        return has_name

    @property
    def possible_names(self) -> Select[Any]:
        """Select the table's name, and those that no table has any more, which may have been its own."""
        return select(self._names.c.name)

    @property
    def schema(self) -> ScalarSelect[str]:
        """The schema in which the table is, or would be."""
        return select(self._schema.c.name).scalar_subquery()

    # What these say is needed at several places of a query, and looked up once.

    @cached_property
    def _activities(self) -> CTE:
        activity = self.all_activities
        own = select(activity).where(self.is_of(activity.c)).cte()
        # Each place of the query chooses among them by an index.
        found: Any = own.prefix_with("NOT MATERIALIZED")
        # It has a name that is made of the address of the first one, which must not become that of another.
        found._named_after = own
        return found  # type: ignore[no-any-return]

    @cached_property
    def interruptions(self) -> CTE:
        """The activities that are of the table as a whole and end its rows, or say that some were not recorded.

        They are few, and an index finds them.
        """
        own = self.activities
        return (
            select(own.c.id, own.c.relid, own.c.verb, own.c.issued_at)
            .where(own.c.row_key.is_(None), own.c.verb.in_(("truncate", "bypass")))
            .cte()
        )

    @cached_property
    def _schema(self) -> CTE:
        """The schema in which the table is, or would be."""
        if self.table.schema is not None:
            return select(exact_text(self.table.schema).label("name")).cte()
        found = (
            select(pg_namespace.c.nspname)
            .select_from(relations)
            .where(pg_class.c.relname == self.table.name, pg.pg_table_is_visible(pg_class.c.oid))
            .scalar_subquery()
        )
        return select(cast(func.coalesce(found, pg.current_schema()), ExactText).label("name")).cte()

    @cached_property
    def _namesakes(self) -> CTE:
        """The schemas that have a table of this name now."""
        named = pg_class.c.relname == self.table.name
        return select(pg_namespace.c.nspname.label("schema")).select_from(relations).where(named).cte()

    @cached_property
    def is_partitioned(self) -> ColumnElement[bool]:
        """Whether the table has partitions now."""
        found = select(literal(1)).where(pg_partitioned_table.c.partrelid.in_(select(self.numbers_now.c.relid)))
        return exists(found.correlate(None))

    @cached_property
    def _numbers(self) -> CTE:
        """The numbers that the table and its partitions have in the trail, which do not change with its name.

        In a database that was restored they are others than those of today, which may have been those of a table that
        is gone. The coverage of the table tells.
        """
        now = self.numbers_now
        covered = table(
            "activity_coverage",
            column("relid", OID),
            column("schema", ExactText),
            column("table_name", ExactText),
            schema=self.scope.schema,
        )
        then = (
            select(covered.c.relid)
            .where(
                covered.c.table_name == exact_text(self.table.name),
                covered.c.schema == self.schema,
                covered.c.relid.not_in(select(now.c.relid)),
            )
            .cte()
        )
        # Partitions come and go.
        is_as_then = or_(self.is_partitioned, ~exists(select(literal(1)).select_from(then)))
        return select(then.c.relid).union(select(now.c.relid).where(is_as_then)).cte()

    @cached_property
    def numbers_now(self) -> CTE:
        """The numbers of the table and of its partitions."""
        found = (
            select(pg_class.c.oid.label("relid"))
            .select_from(relations)
            .where(
                pg_class.c.relname == self.table.name,
                pg_namespace.c.nspname == self.schema,
            )
            .cte()
        )
        return select(found.c.relid).union(select(cast(partitions_of(found.c.relid), OID)).select_from(found)).cte()

    @cached_property
    def _names(self) -> CTE:
        """The table's name, and the names that no table has any more, which may have been its own.

        Of the closed partitions they are known. In the open one it is a walk along the index from one name to the next,
        which takes a look-up for each. Names that were only read, which anybody may make up, are passed in a row.
        """
        open_ = table(
            "activity_open", column("table_name", ExactText), column("verb", ExactText), schema=self.scope.schema
        )
        # A recursion has one collation from the start: that of the columns of the trail.
        walk = select(collate(exact_text(""), "C").label("name")).cte(recursive=True)
        others = _following(open_, walk.c.name)
        following = func.coalesce(
            select(others.c.table_name)
            .where(others.c.verb != "read")
            .order_by(others.c.table_name)
            .limit(1)
            .scalar_subquery(),
            # Not all of the last one was seen, so it counts.
            select(func.max(_following(open_, walk.c.name).c.table_name)).scalar_subquery(),
        )
        walk = walk.union_all(select(following).where(walk.c.name.is_not(None)))
        closed = table(
            "activity_partition",
            column("table_names", ARRAY(ExactText())),
            column("removed_at"),
            schema=self.scope.schema,
        )
        names = select(walk.c.name.label("name")).union(
            select(pg.unnest(closed.c.table_names, type_=ExactText())).where(closed.c.removed_at.is_(None))
        )
        known = names.cte()
        is_taken = exists(select(literal(1)).where(pg_class.c.relname == known.c.name))
        former = select(known.c.name).where(known.c.name != exact_text(""), ~is_taken)
        return select(exact_text(self.table.name).label("name")).union(former).cte()


def _following(activity: FromClause, name: ColumnElement[str]) -> FromClause:
    """Select the next activities along the index of names."""
    return (
        select(activity.c.table_name, activity.c.verb)
        .where(activity.c.table_name > name)
        .order_by(activity.c.table_name)
        .limit(_PASSED)
        .correlate_except(activity)
        .subquery()
    )


def schema_of(scope: Scope, table: Table) -> Select[Any]:
    """Select the schema in which a table is, or would be."""
    return select(AuditedTable(scope, table, None)._schema.c.name)


def execute(scope: Scope, session: Any, statement: Executable) -> Result[Any]:
    """Run a query of the trail on a session or a connection.

    :raises HistoryError: if it is asynchronous.
    """
    return connection_of(session, scope.bind_arguments(), HistoryError).execute(statement)


def array_of(query: Any) -> ColumnElement[Any]:
    """Make an array of the rows of a query."""
    return func.array(query.scalar_subquery())
