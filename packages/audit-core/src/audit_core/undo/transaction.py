"""The transaction of the caller, and what the trail has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Text, cast, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from ..connections import connection_of
from ..errors import HistoryError
from ..reading.exact import pg

if TYPE_CHECKING:
    from ..scope import Scope


def flushed_connection(scope: Scope, session: Any) -> Connection:
    """Return the connection of a session, with what is pending sent.

    :raises HistoryError: if the session is asynchronous, or none.
    """
    connection = connection_of(session, scope.bind_arguments(), HistoryError)
    if not isinstance(session, Connection):
        session.flush()
    return connection


def written_transaction(scope: Scope, session: Any, meta: dict[str, Any]) -> Any:
    """Load the transaction of the trail that this database transaction has just written."""
    transaction = scope.transaction_cls
    query = (
        select(transaction)
        .where(
            transaction.native_transaction_id
            == cast(cast(pg.pg_current_xact_id(), Text), transaction.native_transaction_id.type),
            type_coerce(transaction.meta, JSONB()).contains(meta),
        )
        .order_by(transaction.id.desc())
        .limit(1)
    )
    if isinstance(session, Connection):
        return session.execute(query).first()
    return session.scalars(query, bind_arguments=scope.bind_arguments()).first()
