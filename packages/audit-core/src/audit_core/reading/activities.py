"""A choice of activities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Table, and_, cast, inspect, literal, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

from ..errors import HistoryError
from .audited_table import AuditedTable
from .bounds import end_id_of, end_id_until, first_id_of, first_id_since
from .entities import Entity
from .exact import equal, exact_text, operate, pg
from .instants import instant

if TYPE_CHECKING:
    from ..models import AuditLogActivity
    from ..scope import Scope

#: Every verb that an activity can have.
VERBS = ("insert", "update", "delete", "truncate", "snapshot", "bypass", "maintenance", "read", "event")


#: Says that an option was not given, where None means something.
class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()


def activities(
    scope: Scope,
    *,
    actor: Any = ANY,
    table: Any = None,
    verb: str | Sequence[str] | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    column: Any = None,
    transaction: Any = None,
    meta: Mapping[str, Any] | None = None,
    after: AuditLogActivity | int | None = None,
) -> Select[Any]:
    """Select activities, newest first; see :meth:`audit_core.AuditLog.activities`."""
    activity = scope.activity_cls
    query = select(activity).order_by(activity.id.desc())
    if actor is not ANY or meta is not None:
        query = query.where(activity.transaction_id.in_(_transactions(scope, actor, meta)))
    if column is not None:
        table, name = _table_and_column(scope, table, column)
        query = query.where(operate(type_coerce(activity.changed_data, JSONB()), "?", exact_text(name)))
    if table is not None:
        query = query.where(_is_of_table(scope, table))
    if verb is not None:
        query = query.where(activity.verb.in_(_verbs(verb)))
    if since is not None:
        query = query.where(activity.issued_at >= instant(since, "since"), activity.id >= first_id_since(scope, since))
    if until is not None:
        query = query.where(activity.issued_at <= instant(until, "until"), activity.id < end_id_until(scope, until))
    if since is not None and until is not None and since > until:
        raise HistoryError(f"since is {since.isoformat()}, which is later than until, {until.isoformat()}.")
    if transaction is not None:
        query = query.where(is_of_transaction(scope, transaction_id(scope, transaction)))
    if after is not None:
        query = query.where(activity.id < (after if isinstance(after, int) else after.id))
    return query


def is_of_transaction(scope: Scope, number: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether an activity is of a transaction, which is looked for in its partitions only."""
    activity = scope.activity_cls
    return and_(
        activity.transaction_id == number,
        activity.id >= first_id_of(scope, number),
        activity.id < end_id_of(scope, number),
    )


def transaction_id(scope: Scope, transaction: Any) -> int:
    """Return the id of a transaction that is given as an object or as its id.

    :raises HistoryError: if it is neither.
    """
    found = transaction.id if isinstance(transaction, scope.transaction_cls) else transaction
    if isinstance(found, bool) or not isinstance(found, int):
        raise HistoryError(f"{transaction!r} is not a transaction of the trail; give an AuditLogTransaction or its id.")
    return found


def _transactions(scope: Scope, actor: Any, meta: Mapping[str, Any] | None) -> Select[Any]:
    transaction = scope.transaction_cls
    query = select(transaction.id)
    if actor is not ANY:
        query = query.where(is_of_actor(scope, actor))
    if meta is not None:
        query = query.where(type_coerce(transaction.meta, JSONB()).contains(dict(meta)))
    return query


def is_of_actor(scope: Scope, actor: Any) -> ColumnElement[bool]:
    """Return whether a transaction is of an actor, given as an object or as the id; None for nobody."""
    actor_id, column = actor_id_of(actor), scope.transaction_cls.actor_id
    if actor_id is None:
        return column.is_(None)
    return equal(inspect(scope.transaction_cls).local_table.c.actor_id, actor_id, scope.actor.key_type())


def actor_id_text(scope: Scope, actor: Any) -> ColumnElement[str]:
    """Write the id of an actor as the database prints it."""
    type_ = scope.actor.key_type()
    text: ColumnElement[str] = pg.format(exact_text("%s"), cast(literal(actor_id_of(actor), type_), type_))
    return text


def actor_id_of(actor: Any) -> Any:
    """Return the id of an actor who is given as an object or as the id."""
    state = inspect(actor, raiseerr=False)
    if state is None or not hasattr(state, "identity"):
        return actor
    if state.identity is None:
        raise HistoryError(f"The actor {actor!r} has no primary key yet. Flush it first.")
    return state.identity[0]


def _table_and_column(scope: Scope, table: Any, column: Any) -> tuple[Any, str]:
    """Return the table and the name of a column that is given as ``Model.attribute``, a Column or a name."""
    if isinstance(column, str):
        known = _columns(scope, table)
        if known is not None and column not in known:
            raise HistoryError(
                f"{column!r} is not a column of {getattr(table, 'fullname', table)!r}; its columns are "
                f"{', '.join(map(repr, sorted(known)))}."
            )
        return table, column
    if isinstance(column, InstrumentedAttribute):
        column = column.property.columns[0]
    owner = getattr(column, "table", None)
    if not isinstance(owner, Table):
        raise HistoryError(f"{column!r} is not a column; give its name, a Column or an attribute such as Model.name.")
    return owner if table is None else table, column.name


def _columns(scope: Scope, table: Any) -> set[str] | None:
    if table is None or isinstance(table, str):
        return None
    # A column that was dropped since is still in the trail, and not to be asked for by a typing error.
    return {each.name for part in Entity.find(scope, table).own for each in part.table.columns}


def _is_of_table(scope: Scope, table: Any) -> ColumnElement[bool]:
    """Return whether an activity is of a table, given as a model, a Table or a name."""
    if not isinstance(table, str):
        return Entity.find(scope, table).is_of(scope.activity_cls)
    known = scope.metadata.tables.get(table)
    if known is not None:
        return AuditedTable.find(scope, known).is_of(scope.activity_cls)
    # The name of a table that is gone may be asked for, too.
    schema, _, name = table.rpartition(".")
    named = scope.activity_cls.table_name == name
    return named & (scope.activity_cls.schema == schema) if schema else named


def _verbs(verb: str | Sequence[str]) -> list[str]:
    verbs = [verb] if isinstance(verb, str) else list(verb)
    for each in verbs:
        if each not in VERBS:
            raise HistoryError(f"{each!r} is not a verb of the trail; known are {', '.join(map(repr, VERBS))}.")
    return verbs
