"""``log --follow``: each activity once, as soon as it is committed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from sqlalchemy import ColumnElement, Select, Text, cast, func, literal, literal_column, not_, select
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from audit_core import AuditLog

from .description import print_selected
from .errors import INTERRUPTED, CommandError
from .output import Listing
from .source import Database


class _Xid8(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **kw: Any) -> str:
        return "XID8"


class _Snapshot(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **kw: Any) -> str:
        return "PG_SNAPSHOT"


def follow(
    database: Database,
    query: Select[Any],
    limit: int,
    interval: float,
    listing: Listing | None,
) -> NoReturn:
    """Print the newest activities of a query, and then new ones as they are committed, oldest first.

    Ids are drawn before the commit, so a later commit may bring a smaller one. What is new is told by the snapshots
    of two looks: it is visible in this one, and its transaction was not yet over in the one before. Numbers of
    transactions mean nothing in another cluster: what a restored trail brought along is shown once, and then left out.
    """
    log = database.audit_log
    activity = log.activity_cls
    query_forwards = query.order_by(None).order_by(activity.id)
    interruption = _Interruption()
    handler = signal.signal(signal.SIGINT, interruption)
    try:
        with interruption.deferred(), _look(database) as (session, seen):
            newest = select(query.limit(limit).with_only_columns(activity.id).subquery().c.id)
            first = select(activity).where(activity.id.in_(newest)).order_by(activity.id)
            print_selected(session, log, first, listing)
            foreign = session.scalar(_last_foreign(log, seen)) or 0
        while True:
            time.sleep(interval)
            with interruption.deferred(), _look(database) as (session, snapshot):
                new = query_forwards.where(activity.transaction_id.in_(_over_since(log, seen, snapshot, foreign)))
                print_selected(session, log, new, listing)
                seen = snapshot
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, handler)


class _Interruption:
    """Ctrl-C, which waits for a look to end: within the connection pool it would leave a traceback.

    A second one does not wait.
    """

    def __init__(self) -> None:
        self._is_looking = False
        self._is_asked_for = False

    def __call__(self, *_: Any) -> None:
        if self._is_asked_for or not self._is_looking:
            raise KeyboardInterrupt
        self._is_asked_for = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        self._is_looking = True
        yield
        self._is_looking = False
        if self._is_asked_for:
            raise KeyboardInterrupt


@contextmanager
def _look(database: Database) -> Iterator[tuple[Session, str]]:
    """Begin a transaction that sees one snapshot, and end it with the block."""
    engine = database.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with Session(engine) as session:
        in_recovery, snapshot = session.execute(
            select(func.pg_is_in_recovery(), cast(func.pg_current_snapshot(), Text))
        ).one()
        if in_recovery:
            # The snapshot of a standby does not list the transactions in progress.
            raise CommandError("--follow needs the primary server, and this is a standby.")
        yield session, snapshot


def _over_since(log: AuditLog, seen: str, snapshot: str, foreign: int) -> Select[Any]:
    """Select the transactions that were not over in an earlier snapshot, and are in this one."""
    transaction = log.transaction_cls
    return select(transaction.id).where(
        transaction.native_transaction_id >= _oldest(seen),  # by the index
        transaction.id > foreign,
        not_(_is_over(transaction.native_transaction_id, seen)),
        # Also restored while this goes on.
        _is_over(transaction.native_transaction_id, snapshot),
    )


def _last_foreign(log: AuditLog, seen: str) -> Select[Any]:
    """Select the last transaction that is there and, by its number, has not happened in this cluster yet."""
    transaction = log.transaction_cls
    # By the index of the numbers: the planner would go down all ids to find the largest one.
    last = func.max(transaction.id + literal_column("0"))
    number = transaction.native_transaction_id
    return select(last).where(number >= _oldest(seen), not_(_is_over(number, seen)))


def _oldest(snapshot: str) -> int:
    """Return the number of the oldest transaction that was in progress in a snapshot."""
    return int(snapshot.partition(":")[0])


def _is_over(number: Any, snapshot: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.pg_visible_in_snapshot(
        cast(cast(number, Text), _Xid8()), cast(literal(snapshot, Text()), _Snapshot())
    )
    return found
