"""Erasing values of a person from the trail, so that the seals still prove the rest.

What is erased is replaced by what the seal committed to: a hash with a random salt, which is erased with the value. Who
has the whole database, and all keys, cannot test a guess of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import Engine, Select, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..connections import Target, connection_of, sqlstate
from ..errors import HistoryError, MaintenanceError
from ..installation import ddl
from ..lifecycle.attaching import LOCK_NOT_AVAILABLE
from ..lifecycle.holds import HELD
from ..lifecycle.owner import WhoIsAtWork, owner_connection, statement
from ..quoting import qualified
from ..reading.activities import is_of_actor
from ..reading.entities import Entity
from ..reading.history import history
from ..settings import recorded_settings

if TYPE_CHECKING:
    from ..scope import Scope

#: As what a person is in an activity.
Part: TypeAlias = Literal["record", "related", "actor"]

_ERASE = (
    "SELECT {schema}.audit_logger_erase(CAST(:activities AS bigint[]), CAST(:columns AS text[]),"
    " CAST(:transactions AS bigint[]), CAST(:fields AS text[]), CAST(CAST(:said AS text) AS jsonb))"
)
_PARTITIONS = (
    "SELECT DISTINCT c.relname FROM {schema}.activity AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.tableoid"
    " WHERE a.id = ANY (CAST(:ids AS bigint[])) ORDER BY 1"
)
_IS_HELD = "SELECT a.id FROM {schema}.activity AS a WHERE a.id = ANY (CAST(:ids AS bigint[])) AND " + HELD + " LIMIT 1"
_ARCHIVED = "SELECT p.name FROM {schema}.activity_partition AS p WHERE p.archived_at IS NOT NULL ORDER BY p.end_id"
#: What of a transaction says something of a person, beside the keys of ``meta``.
_OF_TRANSACTION = ("client_addr", "application_name")
#: What an erasure leaves in them has to be gone, too.
_OF_SEALS = ("activity_commitment", "activity_seal_leaf")


@dataclass(frozen=True)
class Erasure:
    """What was erased, or would be."""

    #: How many values, by table and column; of transactions ``transaction`` and the field.
    values: Mapping[tuple[str, str], int]
    #: How many activities and transactions have them.
    activities: int
    transactions: int
    #: Partitions of the trail that are in the archive, too. It has the values still; see :meth:`AuditLog.erase`.
    archived: tuple[str, ...]
    #: The tables of the trail whose files hold what was erased until :meth:`AuditLog.rewrite`.
    tables: tuple[str, ...]
    #: The activity that says what was erased; None if nothing was, or it was a dry run.
    maintenance_id: int | None


def erase(
    scope: Scope,
    target: Target,
    model: Any,
    key: Any,
    columns: Sequence[Any],
    reason: str,
    *,
    where: Any,
    actor: Any,
    dry_run: bool,
) -> Erasure:
    """Erase values; see :meth:`audit_core.AuditLog.erase`."""
    if not reason.strip():
        raise HistoryError("reason is empty: say why, since it is what stays.")
    connection = connection_of(target, scope.bind_arguments(), HistoryError)
    with recorded_settings(connection), Session(connection) as session:
        names = column_names(scope, model, key, columns, where)
        activities = () if model is None else session.scalars(_activities(scope, model, key, where)).all()
        transactions = () if actor is None else session.scalars(transactions_of_actor(scope, actor)).all()
        counts, activity_ids, transaction_ids = counted(names, activities, transactions)
        fields = dict.fromkeys(name for of_table, name in counts if of_table == "transaction")
        ids = {"ids": activity_ids}
        held = connection.scalar(statement(_IS_HELD, schema=scope.schema), ids)
        if held is not None:
            raise HistoryError(f"Activity {held} is held, so nothing was erased. Release the hold first; see holds().")
        archived = tuple(connection.scalars(statement(_ARCHIVED, schema=scope.schema)))
        tables = [*connection.scalars(statement(_PARTITIONS, schema=scope.schema), ids), *_OF_SEALS]
        if transaction_ids:
            tables.append("transaction")
        maintenance_id = None
        if counts and not dry_run:
            of_table = None if model is None else Entity.find(scope, model).own[0].table.name
            given = {
                "activities": activity_ids,
                "columns": names,
                "transactions": transaction_ids,
                "fields": list(fields),
                "said": json.dumps({"reason": reason, "table": of_table}),
            }
            maintenance_id = connection.scalar(statement(_ERASE, schema=scope.schema), given)
        sizes = (len(activity_ids), len(transaction_ids))
        return Erasure(dict(counts), *sizes, archived, tuple(tables), maintenance_id)


def counted(
    names: Sequence[str], activities: Iterable[Any], transactions: Iterable[Any]
) -> tuple[Counter[tuple[str, str]], list[int], list[int]]:
    """Count values by table and column, and return the ids of the activities and transactions that have them."""
    counts: Counter[tuple[str, str]] = Counter()
    activity_ids, transaction_ids = [], []
    for activity in activities:
        if own := [(activity.table_name, name) for name in names if _has(activity, name)]:
            counts.update(own)
            activity_ids.append(activity.id)
    for transaction in transactions:
        if own := [("transaction", name) for name in _fields(transaction)]:
            counts.update(own)
            transaction_ids.append(transaction.id)
    return counts, activity_ids, transaction_ids


@dataclass(frozen=True)
class Subject:
    """A person, as whom and what the trail has it."""

    scope: Scope
    model: Any
    key: Any
    #: The id of the person as an actor; None if it is none.
    actor: Any

    @classmethod
    def find(cls, scope: Scope, model: Any, key: Any, actor: Any) -> Subject:
        """Find out whether the key is that of the actor as well."""
        if actor is None and scope.actor.named is not None and key is not None:
            own = {part.table for part in Entity.find(scope, model).own}
            actor = key if inspect(scope.actor.found).local_table in own else None
        return cls(scope, model, key, actor)

    def queries(self) -> Iterator[tuple[Part, Select[Any]]]:
        """Yield a query for each part of what the trail has, oldest first."""
        scope = self.scope
        activity, transaction = scope.activity_cls, scope.transaction_cls
        yield "record", history(scope, self.model, self.key).order_by(None).order_by(activity.id)
        yield "related", history(scope, self.model, self.key, related=True).order_by(None).order_by(activity.id)
        if self.actor is not None:
            of_actor = select(activity).join(activity.transaction.of_type(transaction))
            yield "actor", of_actor.where(is_of_actor(scope, self.actor)).order_by(activity.id)


def subject(scope: Scope, target: Target, model: Any, key: Any, actor: Any) -> Iterator[tuple[Part, Any]]:
    """Yield what the trail has of a person; see :meth:`audit_core.AuditLog.subject`."""
    connection = connection_of(target, scope.bind_arguments(), HistoryError)
    seen: set[int] = set()
    with Session(connection) as session:
        for part, query in Subject.find(scope, model, key, actor).queries():
            for each in session.scalars(query.execution_options(yield_per=500)):
                if each.id not in seen:
                    seen.add(each.id)
                    yield part, each


def rewrite(scope: Scope, engine: Engine, who: WhoIsAtWork, erasure: Erasure, patience: float) -> None:
    """Rewrite the files of what was erased; see :meth:`audit_core.AuditLog.rewrite`."""
    with owner_connection(engine, who) as connection:
        ddl.execute(connection, [f"SET lock_timeout = {int(patience * 1000)}"])
        for name in erasure.tables:
            try:
                ddl.execute(connection, [f"VACUUM (FULL, ANALYZE) {qualified(name, scope.schema)}"])
            except DBAPIError as error:
                if sqlstate(error.orig) != LOCK_NOT_AVAILABLE:
                    raise
                raise MaintenanceError(
                    f"Some transaction used {scope.schema}.{name} for {patience:g} seconds, so its files still hold "
                    "what was erased, out of reach of queries. Try again when no long transaction is running."
                ) from error


def column_names(scope: Scope, model: Any, key: Any, columns: Sequence[Any], where: Any) -> list[str]:
    """Return the names of the columns.

    :raises HistoryError: if they cannot be erased, or it is not said of which records.
    """
    if model is None:
        if columns or key is not None or where is not None:
            raise HistoryError("Of which table? Give the model, and the key of the record or where=.")
        return []
    if isinstance(columns, str) or not columns:
        raise HistoryError("Give the columns whose values are to be erased as a list.")
    if key is None and where is None:
        raise HistoryError("Give the key of the record, or where=, a condition of the activities that are concerned.")
    entity = Entity.find(scope, model)
    names = []
    known = {each.name: each for part in entity.own for each in part.table.columns}
    for each in columns:
        name = each if isinstance(each, str) else each.property.columns[0].name
        if name not in known:
            raise HistoryError(f"{name!r} is not a column of {entity.own[0].table.fullname!r}.")
        if known[name].primary_key:
            raise HistoryError(
                f"{name!r} is of the primary key, which holds the history of a record together: it cannot be erased."
            )
        names.append(name)
    return names


def _activities(scope: Scope, model: Any, key: Any, where: Any) -> Select[Any]:
    """Select the activities that may have values of these columns."""
    activity = scope.activity_cls
    if key is not None:
        query = history(scope, model, key)
    else:
        query = select(activity).where(Entity.find(scope, model).is_of(activity)).order_by(activity.id)
    return query if where is None else query.where(where)


def transactions_of_actor(scope: Scope, actor: Any) -> Select[Any]:
    """Select the transactions of an actor."""
    transaction = scope.transaction_cls
    return select(transaction).where(is_of_actor(scope, actor)).order_by(transaction.id)


def _has(activity: Any, name: str) -> bool:
    """Return whether an activity has a value of a column that is neither masked nor erased."""
    return (name in activity.old_data or name in activity.changed_data) and name not in (activity.masked or ())


def _fields(transaction: Any) -> Iterable[str]:
    """Yield what a transaction says of a person, beside who it is."""
    erased = transaction.erased or ()
    for name in _OF_TRANSACTION:
        if getattr(transaction, name) and name not in erased:
            yield name
    for name in transaction.meta or ():
        if f"meta.{name}" not in erased:
            yield f"meta.{name}"
