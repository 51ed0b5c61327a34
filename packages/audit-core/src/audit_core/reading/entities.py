"""The tables that hold the objects of a model: one, or with inheritance several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    and_,
    cast,
    exists,
    inspect,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression

from ..audited import is_audited
from ..errors import HistoryError
from .audited_table import AuditedTable
from .exact import exact_text, operate, pg
from .merging import ROW_VERBS, merged, whole_before
from .types import StoredType

if TYPE_CHECKING:
    from ..scope import Scope


@dataclass(frozen=True)
class Entity:
    """A model with all tables that its objects are in, or a table without one."""

    mapper: Mapper[Any] | None
    #: The table of the model itself.
    audited: AuditedTable
    #: The tables of the classes that it inherits from.
    above: tuple[AuditedTable, ...] = ()
    #: The tables of its subclasses, as far as they are recorded.
    below: tuple[AuditedTable, ...] = ()

    @classmethod
    def find(cls, scope: Scope, model: Any) -> Entity:
        """Find what is recorded of a model; a Table will do.

        :raises HistoryError: if nothing is, or not all of it.
        """
        if isinstance(model, Table):
            return cls(None, AuditedTable.find(scope, model))
        mapper = inspect(model, raiseerr=False) if isinstance(model, type) else None
        if not isinstance(mapper, Mapper):
            raise HistoryError(f"{model!r} is neither a mapped class nor a Table, so it has no history.")
        if not isinstance(mapper.local_table, Table):
            raise HistoryError(
                f"{model.__name__!r} is mapped to {str(mapper.local_table)!r}, and only tables have a history. Ask for "
                "one of them."
            )
        # Of several classes in one table, the last one is that of all its rows.
        own = {each.local_table: each for each in _lineage(mapper)}
        audited, *above = (AuditedTable.find(scope, table, each) for table, each in own.items())
        below = [
            AuditedTable(scope, each.local_table, each)
            for each in mapper.self_and_descendants
            if isinstance(each.local_table, Table)
            and each.inherits is not None
            and each.local_table is not each.inherits.local_table
            and each.local_table not in own
            and mapper in _lineage(each)
            and each.local_table.metadata is scope.metadata
            and is_audited(each.local_table)
            and each.local_table.primary_key.columns
        ]
        return cls(mapper, audited, tuple(above), tuple(below))

    @property
    def own(self) -> tuple[AuditedTable, ...]:
        """The tables in which each object has a row."""
        return (self.audited, *self.above)

    @property
    def parts(self) -> tuple[AuditedTable, ...]:
        """All tables."""
        return (*self.own, *self.below)

    @cached_property
    def labels(self) -> dict[Column[Any], str]:
        """The columns of all tables, and what they are called beside each other; those that are equal share a name."""
        found: dict[Column[Any], str] = {}
        links: dict[Column[Any], str] = {}
        for part in self.parts:
            for each in part.table.columns:
                linked = self.linked(each)
                label = links.get(linked) if linked in self._linked_columns else None
                if label is None:
                    label = each.key if each.key not in found.values() else f"{part.table.name}_{each.key}"
                    links[linked] = label
                found[each] = label
        return found

    def linked(self, column: Column[Any]) -> Column[Any]:
        """Return the column of the uppermost table that a column is equal to, or the column itself."""
        while column in self._equal:
            column = self._equal[column]
        return column

    def links(self, part: AuditedTable) -> Iterator[tuple[Column[Any], Column[Any]]]:
        """Pair the columns of a table with those of the model's own table by which their rows belong together."""
        own = {self.linked(each): each for each in self.audited.table.columns}
        for each in part.table.columns:
            if self.linked(each) in self._linked_columns:
                yield each, own[self.linked(each)]

    def key_of(self, part: AuditedTable, key: Any) -> Any:
        """Put the values of a primary key in the order that they have in one of the tables."""
        if self.mapper is None or not isinstance(key, (tuple, list)):
            return key
        order = [self.linked(each) for each in self.mapper.primary_key if isinstance(each, Column)]
        wanted = [self.linked(each) for each in part.key_columns]
        if len(key) != len(order) or set(wanted) != set(order):
            return key
        return tuple(key[order.index(each)] for each in wanted)

    # Classes that share a table.

    @property
    def shares_table(self) -> bool:
        """Whether the table of the model has rows of other classes, too."""
        return self.mapper is not self.audited.mapper

    @property
    def discriminator(self) -> Column[Any] | None:
        """The column that tells the objects of the model from others in its tables; None if there are no others.

        :raises HistoryError: if it cannot be told.
        """
        mapper = self.mapper
        if mapper is None or mapper.inherits is None or mapper.concrete or mapper.polymorphic_on is None:
            return None
        column = mapper.polymorphic_on
        for part in self.own:
            if column in set(part.table.columns) and part.records(column.name):
                return column  # type: ignore[return-value]
        name = mapper.class_.__name__
        raise HistoryError(
            f"{str(column)!r} tells {name!r} from other classes in one table, and is not recorded. Ask for the table, "
            f"as {name}.__table__, or record it."
        )

    @property
    def identities(self) -> list[Any]:
        """The values of the discriminator that objects of the model have."""
        return _identities(self.mapper)

    def is_of(self, activity: Any) -> ColumnElement[bool]:
        """Return whether an activity is of the model's tables, and not of a row of another class."""
        return or_(*(and_(part.is_of(activity), self._is_own(part, activity)) for part in self.own))

    def is_kind(self, activity: Any, discriminator: Column[Any]) -> ColumnElement[bool]:
        """Return whether a row was one of the model, before a change or after it."""
        identities = [
            pg.to_jsonb(
                cast(literal(each, discriminator.type), StoredType(discriminator.type, keep_scale=True)), type_=JSONB()
            )
            for each in self.identities
        ]
        name = exact_text(str(discriminator.name))
        model = self.audited.scope.activity_cls
        rows = (whole_before(activity, model), merged(activity, model))
        return or_(*(operate(row, "->", name, JSONB()).in_(identities) for row in rows))

    def _is_own(self, part: AuditedTable, activity: Any) -> ColumnElement[bool]:
        discriminator = self.discriminator
        no_row = activity.verb.not_in(ROW_VERBS)
        if discriminator is None or _identities(part.mapper) == self.identities:
            return literal(True)
        if discriminator.table is part.table:
            return or_(no_row, self.is_kind(activity, discriminator))
        (holder,) = (each for each in self.own if each.table is discriminator.table)
        other = holder.activities
        return or_(
            no_row,
            exists(select(literal(1)).where(other.c.row_key == activity.row_key, self.is_kind(other.c, discriminator))),
        )

    @cached_property
    def _equal(self) -> dict[Column[Any], Column[Any]]:
        """Map the columns by which a class is joined to the class above it."""
        mappers = [] if self.mapper is None else [*_lineage(self.mapper), *self.mapper.self_and_descendants]
        found: dict[Column[Any], Column[Any]] = {}
        for mapper in mappers:
            if mapper.inherit_condition is None or mapper.concrete:
                continue
            for each in visitors.iterate(mapper.inherit_condition):
                if isinstance(each, BinaryExpression) and each.operator is operators.eq:
                    sides: list[Any] = [each.left, each.right]
                    sides.sort(key=lambda side: side.table is not mapper.local_table)
                    found[sides[0]] = sides[1]
        return found

    @cached_property
    def _linked_columns(self) -> set[Column[Any]]:
        return {self.linked(each) for each in self._equal}


def _lineage(mapper: Mapper[Any]) -> Iterator[Mapper[Any]]:
    """Yield a mapper and those above it whose rows its objects share; a concrete one has all columns itself."""
    for each in mapper.iterate_to_root():
        yield each
        if each.concrete:
            return


def _identities(mapper: Mapper[Any] | None) -> list[Any]:
    found = [] if mapper is None else [each.polymorphic_identity for each in mapper.self_and_descendants]
    return [each for each in found if each is not None]
