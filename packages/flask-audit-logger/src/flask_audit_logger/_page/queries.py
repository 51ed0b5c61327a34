"""The queries of the page: each looks at a bounded part of the trail, along an index."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import equal, operate, scope_of
from sqlalchemy import (
    ColumnElement,
    Select,
    cast,
    false,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Session

from .loading import LOADED, STATES, load_activities
from .partitions import by_ids, is_among

#: Activities of a page.
PAGE = 50
#: So many activities of a record are looked at for those of a column.
_LOOKED_AT = 1000
#: So many rows of a large transaction are looked at to find the first.
_FIRST = 10_000


@dataclass(frozen=True)
class Page:
    """Activities, newest first, and where the next page begins."""

    activities: Sequence[Any]
    #: The id after which the next page begins; None at the end of the trail.
    after: int | None = None
    #: The search was cut off, and may find more further back.
    is_partial: bool = False


def start_reading(connection: Any, patience: dt.timedelta) -> None:
    """Begin a transaction that can change nothing, and whose queries go along an index and end in time."""
    connection.execute(text("SET TRANSACTION READ ONLY"))
    limit_time(connection, patience)
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    # The planner thinks that a question to many partitions is so dear that it is worth compiling, which takes longer.
    connection.execute(text("SET LOCAL jit = off"))


def limit_time(connection: Any, patience: dt.timedelta) -> None:
    """Have each statement of this transaction end in time."""
    milliseconds = int(patience / dt.timedelta(milliseconds=1))
    connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))


@contextmanager
def along_index(session: Session) -> Iterator[None]:
    """Read in the order of an index, where the planner would rather sort the few rows that it expects."""
    names = ("enable_bitmapscan", "enable_sort")
    for name in names:
        session.execute(text(f"SET LOCAL {name} = off"))
    yield
    for name in names:
        session.execute(text(f"SET LOCAL {name} = on"))


def record_page(log: AuditLog, session: Session, query: Select[Any], after: int | None) -> Page:
    """Load a page of a record's activities, newest first, with the data."""
    if after is not None:
        query = query.where(log.activity_cls.id < after)
    ids = session.scalars(query.with_only_columns(log.activity_cls.id).limit(PAGE + 1)).all()
    activities = load_activities(log, session, ids[:PAGE], LOADED)
    return Page(activities[::-1], ids[PAGE - 1] if len(ids) > PAGE else None)


def record_page_of_column(log: AuditLog, session: Session, query: Select[Any], column: Any, after: int | None) -> Page:
    """Load a page of those of a record's activities that have a column: of its last ones, as no index has columns.

    :param column: the query for activities that have it.
    """
    activity = log.activity_cls
    if after is not None:
        query = query.where(activity.id < after)
    ids = session.scalars(query.with_only_columns(activity.id).limit(_LOOKED_AT + 1)).all()
    looked_at = ids[:_LOOKED_AT]
    matching = column.order_by(None).with_only_columns(activity.id)
    found = sorted(session.scalars(by_ids(log, matching, looked_at)), reverse=True) if looked_at else []
    activities = load_activities(log, session, found[:PAGE], LOADED)[::-1]
    if len(found) > PAGE:
        return Page(activities, found[PAGE - 1])
    return Page(activities, looked_at[-1], is_partial=True) if len(ids) > _LOOKED_AT else Page(activities)


def states_of(log: AuditLog, session: Session, query: Select[Any], asked: Sequence[int | None]) -> list[Any]:
    """Load the activities of a record that left the states asked for: by their ids, or the last one.

    One that is not of the record is None.
    """
    activity = log.activity_cls
    own = query.where(activity.verb.in_(STATES)).with_only_columns(activity.id)
    by_id = own.where(activity.id.in_([each for each in asked if each is not None])).order_by(None)
    parts = [by_id.add_columns(false().label("is_last"))]
    if None in asked:
        newest = own.limit(1).subquery()
        parts.append(select(newest.c.id, true()))
    # All at once, so that the keys that the record had are looked for once.
    picked = session.execute(union_all(*parts)).all()
    last = next((id_ for id_, is_last in picked if is_last), None)
    found = {each.id: each for each in load_activities(log, session, {id_ for id_, _ in picked}, LOADED)}
    wanted = [last if each is None else each for each in asked]
    return [None if each is None else found.get(each) for each in wanted]


def transaction_page(log: AuditLog, session: Session, transaction_id: int, after: int | None, is_large: bool) -> Page:
    """Load a page of a transaction's activities, in the order in which they happened, with the data."""
    activity = log.activity_cls
    own = select(activity.id).where(
        activity.transaction_id == transaction_id, *is_among(log, session, [transaction_id])
    )
    if not is_large:
        query = own.order_by(activity.id + literal_column("0"))
    else:
        query = own.where(activity.id >= _first_of(log, session, transaction_id)).order_by(activity.id)
    if after is not None:
        query = query.where(activity.id > after)
    ids = session.scalars(query.limit(PAGE + 1)).all()
    return Page(load_activities(log, session, ids[:PAGE], LOADED), ids[PAGE - 1] if len(ids) > PAGE else None)


def _first_of(log: AuditLog, session: Session, transaction_id: int) -> int:
    """Return the first id of a large transaction. To put a million in order takes a second."""
    activity = log.activity_cls
    own = select(activity.id).where(
        activity.transaction_id == transaction_id, *is_among(log, session, [transaction_id])
    )
    # The index leads to those that lie first on disk, which most often came first.
    found: int | None = session.scalar(select(func.min(own.limit(_FIRST).subquery().c.id)))
    first = 0
    while found is not None:
        first = found
        # Not always: room that became free is used again. Among the ids before it, the index of ids looks.
        is_own = activity.transaction_id + literal_column("0") == transaction_id
        before = select(func.min(activity.id)).where(is_own, activity.id < first, activity.id >= first - _FIRST)
        found = session.scalar(before)
    return first


def of_activity(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that an activity answers by itself."""
    return {name: value for name, value in filters.items() if name not in ("actor", "client_addr", "meta", "text")}


def of_transaction(log: AuditLog, filters: dict[str, Any]) -> Iterator[ColumnElement[bool]]:
    """Return the conditions that ask for the transaction of an activity."""
    transaction = log.transaction_cls
    is_own = transaction.id == log.activity_cls.transaction_id
    if "actor" in filters:
        actor = select(transaction.actor_id).where(is_own).scalar_subquery()
        key_type = scope_of(log).actor.key_type()
        yield actor.is_(None) if filters["actor"] is None else equal(actor, filters["actor"], key_type)
    if "client_addr" in filters:
        # A file has the transaction beside the activity.
        address = select(transaction.client_addr).where(is_own).correlate(log.activity_cls).scalar_subquery()
        yield operate(address, "<<=", cast(literal(filters["client_addr"]), INET))
    if "meta" in filters:
        yield select(type_coerce(transaction.meta, JSONB()).contains(filters["meta"])).where(is_own).scalar_subquery()
