"""What a visitor asks of the log, as a query for activities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import VERBS, pg
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    cast,
    false,
    inspect,
    literal,
    literal_column,
    select,
)
from sqlalchemy.orm import Session

from .few import are_few_of_table, own_activities
from .partitions import by_ids
from .queries import of_activity, of_transaction


def without_reads(filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters that leave reads out, unless they ask for verbs."""
    return {**filters, "verb": filters.get("verb") or [verb for verb in VERBS if verb != "read"]}


def all_matching(log: AuditLog, filters: dict[str, Any]) -> Select[Any]:
    """Select all activities that are asked for, wherever they are."""
    own = {name: value for name, value in filters.items() if name not in ("client_addr", "text")}
    query = log.activities(**own)
    if "client_addr" in filters:
        query = query.where(*of_transaction(log, {"client_addr": filters["client_addr"]}))
    return query.where(_contains(log, filters["text"])) if "text" in filters else query


def known_matching(log: AuditLog, session: Session, filters: dict[str, Any]) -> Sequence[Any] | None:
    """Return the activities that are asked for, if all that is asked is known of those of an actor.

    A single verb is what somebody wrote, and may be none.
    """
    if filters.keys() != {"actor", "verb"} or isinstance(filters["verb"], str):
        return None
    own = own_activities(log, session, filters["actor"])
    return [each for each in own.rows if each.verb in filters["verb"]] if own.are_all else None


def few_matching(log: AuditLog, session: Session, filters: dict[str, Any]) -> Select[Any] | None:
    """Select what is asked for, if an index leads to few activities."""
    matching = matching_of(log, filters)
    if "transaction" in filters:
        return matching
    if "actor" in filters:
        own = own_activities(log, session, filters["actor"])
        if own.are_all:
            # They are the actor's, so nobody has to look at their transactions again.
            matching = matching_of(log, {name: value for name, value in filters.items() if name != "actor"})
            return by_ids(log, matching, [each.id for each in own.rows]) if own.rows else matching.where(false())
    return matching if "table" in filters and are_few_of_table(log, session, filters["table"]) else None


def matching_of(log: AuditLog, filters: dict[str, Any]) -> Select[Any]:
    """Select what is asked for, looking up the transaction of each activity that is met."""
    activity = log.activity_cls
    searched = filters.get("text")
    filters = {name: value for name, value in filters.items() if name != "text"}
    # A subquery of all transactions of an actor would be read as a whole.
    query = log.activities(**of_activity(filters)).where(*of_transaction(log, filters))
    if searched is not None:
        query = query.where(_contains(log, searched))
    table = inspect(activity).local_table
    return query.order_by(None).with_only_columns(
        table.c.id, table.c.transaction_id, table.c.schema, table.c.table_name, table.c.verb
    )


def _contains(log: AuditLog, wanted: str) -> ColumnElement[bool]:
    """Return whether the recorded values, the key or what was said beside hold a text, in any case."""
    activity = inspect(log.activity_cls).local_table
    transaction = inspect(log.transaction_cls).local_table
    meta = select(cast(transaction.c.meta, Text)).where(transaction.c.id == activity.c.transaction_id)
    meta = meta.correlate(activity)
    places = pg.concat_ws(
        cast(literal("\n"), Text()),
        cast(activity.c.row_key, Text),
        cast(activity.c.changed_data, Text),
        cast(activity.c.old_data, Text),
        meta.scalar_subquery(),
        type_=Text(),
    )
    lower = pg.lower(cast(literal(wanted), Text()), type_=Text())
    return pg.strpos(pg.lower(places, type_=Text()), lower, type_=BigInteger()) > literal_column("0")
