"""What happened to one record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    ForeignKeyConstraint,
    FromClause,
    Select,
    Subquery,
    Table,
    and_,
    any_,
    case,
    cast,
    collate,
    exists,
    func,
    inspect,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from ..audited import foreign_keys_of, is_audited
from ..errors import HistoryError
from .audited_table import AuditedTable, array_of
from .bounds import FIRST_ID, LAST_ID
from .entities import Entity
from .exact import ExactText, operate
from .merging import ROW_VERBS, merged, whole_before

if TYPE_CHECKING:
    from ..scope import Scope

MISSING: Any = object()


def found_entity(scope: Scope, target: Any, key: Any, name: str = "history") -> tuple[Entity, Any]:
    """Return the model and the primary key of a record that is given as an object, or as both of these.

    :raises HistoryError: if it is neither.
    """
    if key is not MISSING:
        return Entity.find(scope, target), key
    if isinstance(target, (type, Table)) or inspect(target, raiseerr=False) is None:
        raise HistoryError(
            f"{target!r} is not an object of a mapped class. Write {name}(obj), or {name}(Model, key) for a "
            "record that is not loaded."
        )
    entity = Entity.find(scope, type(target))
    return entity, entity.audited.key_of(target)


def history(scope: Scope, target: Any, key: Any = MISSING, *, related: bool = False) -> Select[Any]:
    """Select the activities of one record, newest first; see :meth:`audit_core.AuditLog.history`."""
    entity, key = found_entity(scope, target, key)
    activity = scope.activity_cls
    newest_first = select(activity).order_by(found_first(activity.id).desc())
    keys = {part.table: _keys(part, part.row_key(entity.key_of(part, key))) for part in entity.parts}
    if (is_one := _is_one(entity, keys)) is not None:
        newest_first = newest_first.where(is_one)
    audited = entity.audited
    if not related and len(keys) == 1:
        under = keys[audited.table]
        return newest_first.where(audited.is_of(activity, few=True), _is_under(activity, under))
    ids = []
    for part in entity.parts:
        own, under = part.activities, keys[part.table]
        ids.append(select(own.c.id).where(_is_under(own.c, under)))
        if related:
            ids += [_ids_of_referencing(part, constraint, under) for constraint in _references(part)]
    return newest_first.where(activity.id.in_(union_all(*ids)))


def _is_one(entity: Entity, keys: dict[Table, CTE]) -> ColumnElement[bool] | None:
    """Return whether the record ever was an object of the model, where its table has those of other classes, too."""
    try:
        discriminator = entity.discriminator if entity.shares_table else None
    except HistoryError:
        # It has the key that was asked for; nothing else is known.
        return None
    if discriminator is None:
        return None
    (holder,) = (part for part in entity.own if part.table is discriminator.table)
    activity, under = holder.activities, keys[holder.table]
    return exists(
        select(literal(1))
        .select_from(activity)
        .where(_is_under(activity.c, under), activity.c.verb.in_(ROW_VERBS), entity.is_kind(activity.c, discriminator))
    )


def _keys(audited: AuditedTable, row_key: ColumnElement[str]) -> CTE:
    """Select each key that a record had, with the activities between which it had it.

    From the key that it has now, the last activity that gave it this key leads to the one before. Where
    rows change places in one statement, their activities have the same time, and must not be mixed.
    """
    now = _last_key(audited, row_key)
    last_id, never = literal(LAST_ID, BigInteger()), cast(null(), DateTime(timezone=True))
    # A row without a key, from which the first step leads to the key of now: so each table is named once.
    keys = select(
        collate(cast(null(), ExactText), "C").label("row_key"),
        last_id.label("since"),
        last_id.label("until"),
        never.label("left_at"),
        collate(now.c.row_key, "C").label("previous_key"),
        never.label("arrived_at"),
    ).cte(recursive=True)
    before = _under(audited, keys, keys.c.previous_key, keys.c.since, keys.c.arrived_at)
    return keys.union_all(before.where(keys.c.previous_key.is_not(None)))


def _under(
    audited: AuditedTable,
    source: Any,
    row_key: ColumnElement[str],
    until: ColumnElement[int],
    left_at: ColumnElement[Any],
) -> Select[Any]:
    """Select a key that a record had until an activity, and since which one, with the key that it had before.

    It begins with the update that gave it to the record, or after the one that took it from another record, which
    took its history along.
    """

    def newest(column: str, is_wanted: Callable[[Any], ColumnElement[bool]]) -> FromClause:
        return _newest(
            audited,
            lambda one: one[column],
            (row_key, until),
            lambda one: and_(one.issued_at.is_distinct_from(left_at), is_wanted(one)),
        )

    came = newest("row_key", lambda arrival: arrival.old_row_key.is_not(None))
    begin = func.coalesce(came.c.id, literal(FIRST_ID, BigInteger()), type_=BigInteger())

    def is_left(departure: Any) -> ColumnElement[bool]:
        other = audited.found_by(
            lambda one: and_(one.row_key == row_key, one.id >= begin, _is_before(one.row_key, one.id, (row_key, until)))
        )
        is_taken_over = exists(select(literal(1)).where(audited.is_of(other.c), _is_at_once(other.c, departure)))
        # What left before that counts no more, so a step looks at what lies between.
        return or_(departure.id < begin, ~is_taken_over)

    left = newest("old_row_key", is_left)
    since = func.greatest(came.c.id, left.c.id, literal(FIRST_ID, BigInteger()), type_=BigInteger())
    return (
        select(
            row_key.label("row_key"),
            since.label("since"),
            until.label("until"),
            left_at.label("left_at"),
            case((came.c.id == since, came.c.old_row_key)).label("previous_key"),
            came.c.issued_at.label("arrived_at"),
        )
        .select_from(source)
        .outerjoin(came, true())
        .outerjoin(left, true())
    )


def _newest(
    audited: AuditedTable,
    key_of: Callable[[Any], ColumnElement[str]],
    before: tuple[ColumnElement[str], ColumnElement[int]],
    is_wanted: Callable[[Any], ColumnElement[bool]],
) -> FromClause:
    """Select the last activity under a key, before an id, that is wanted: an index has them in this order.

    It does for each name of the table: of several at once it would have to read all of them. The key is not compared by
    ``=``, nor the id alone, as the planner might then go back along all ids until it meets the key.
    """
    names = audited.possible_names.subquery()
    activity = audited.all_activities
    key = key_of(activity.c)
    last = (
        select(activity.c.id, activity.c.issued_at, activity.c.old_row_key)
        .where(
            activity.c.table_name == names.c.name,
            operate(key, ">=", before[0]),
            _is_before(key, activity.c.id, before),
            audited.is_of(activity.c, few=True),
            is_wanted(activity.c),
        )
        .order_by(key.desc(), activity.c.id.desc())
        .limit(1)
        .correlate_except(activity)
        .lateral()
    )
    of_all_names = select(last).select_from(names.join(last, true())).order_by(last.c.id.desc()).limit(1)
    return of_all_names.correlate_except(names, last).lateral()


def _is_before(key: Any, id_: Any, before: tuple[ColumnElement[str], ColumnElement[int]]) -> ColumnElement[bool]:
    """Return whether the index has a key and an id before others.

    Two conditions on an id alone seem few rows to the planner, whatever the key.
    """
    return operate(tuple_(key, id_), "<", tuple_(*before))


def _last_key(audited: AuditedTable, row_key: ColumnElement[str]) -> Subquery:
    """Follow a record that left a key, and whose place nobody took, to the key that it has now."""
    # A recursion has one collation from the start: that of the columns of the trail.
    start = select(
        collate(row_key, "C").label("row_key"), cast(literal(FIRST_ID, BigInteger()), BigInteger).label("since")
    )
    walk = start.cte(recursive=True)
    departure = audited.found_by(lambda left: left.old_row_key == walk.c.row_key)

    def exists_other(condition: Callable[[Any], ColumnElement[bool]]) -> ColumnElement[bool]:
        other = audited.found_by(lambda one: and_(one.row_key == departure.c.old_row_key, condition(one)))
        return exists(select(literal(1)).where(audited.is_of(other.c), other.c.verb.in_(ROW_VERBS)))

    # Of most departures the index finds a later one, and only of the last one all others have to be read.
    is_taken = case(
        (exists_other(lambda one: one.id > departure.c.id), true()),
        else_=exists_other(lambda one: _is_at_once(one, departure.c)),
    )
    last = (
        select(departure.c.row_key, departure.c.id)
        .where(audited.is_of(departure.c), departure.c.id > walk.c.since, ~is_taken)
        .order_by(departure.c.id.desc())
        .limit(1)
        .lateral()
    )
    walk = walk.union_all(select(last.c.row_key, last.c.id).select_from(walk).join(last, true()))
    return select(walk.c.row_key).order_by(walk.c.since.desc()).limit(1).subquery()


def found_first(id_: ColumnElement[int] | InstrumentedAttribute[int]) -> ColumnElement[int]:
    """Return what orders as an id does, and by which no index is read: few rows are to be found by another one.

    The planner might else go along all ids, through every partition, until it meets the first.
    """
    return id_ + literal_column("0")


def _is_at_once(one: Any, other: Any) -> ColumnElement[bool]:
    """Return whether two rows were changed at once, so that what one left under a key is not what the other took."""
    return and_(one.issued_at == other.issued_at, one.native_transaction_id == other.native_transaction_id)


def _is_under(activity: Any, keys: CTE) -> ColumnElement[bool]:
    """Return whether an activity is one of those that a record has under the keys that it had.

    An array of the keys is looked up in the index of each partition. Joined, the planner would take them for hundreds,
    and might read the whole trail instead.
    """
    is_between = and_(
        activity.row_key == keys.c.row_key,
        activity.id >= keys.c.since,
        activity.id < keys.c.until,
        activity.issued_at.is_distinct_from(keys.c.left_at),
    )
    return and_(
        activity.row_key == any_(array_of(select(keys.c.row_key))),
        exists(select(literal(1)).where(is_between).offset(literal_column("0"))),
    )


def referencing_tables(audited: AuditedTable) -> set[Table]:
    """Return the audited tables whose rows refer to rows of a table."""
    return {constraint.table for constraint in _references(audited)}


def _references(audited: AuditedTable) -> Iterator[ForeignKeyConstraint]:
    for _, table in sorted(audited.scope.metadata.tables.items()):
        if is_audited(table) and table.primary_key.columns:
            yield from (each for each in foreign_keys_of(table) if each.referred_table is audited.table)


def _ids_of_referencing(audited: AuditedTable, constraint: ForeignKeyConstraint, keys: CTE) -> Select[Any]:
    """Select the activities of rows that referenced the record before the change or after it."""
    child = AuditedTable.find(audited.scope, constraint.table)
    activity = child.activities
    pairs = {element.column: element.parent for element in constraint.elements}
    by_key = set(pairs) == set(audited.key_columns)
    referred = audited.key_columns if by_key else list(pairs)
    referring = [pairs[each] for each in referred]
    before = child.key_in(whole_before(activity.c, audited.scope.activity_cls), referring)
    after = child.key_in(merged(activity.c, audited.scope.activity_cls), referring)
    query = select(activity.c.id).where(activity.c.verb.in_(ROW_VERBS))
    if by_key:
        return query.where(
            exists(
                select(literal(1)).where(
                    or_(before == keys.c.row_key, after == keys.c.row_key),
                    activity.c.id >= keys.c.since,
                    activity.c.id < keys.c.until,
                )
            )
        )
    own = audited.activities
    value = audited.key_in(merged(own.c, audited.scope.activity_cls), referred)
    return query.where(exists(select(literal(1)).where(_is_under(own.c, keys), or_(before == value, after == value))))
