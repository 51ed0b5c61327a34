"""Every activity of a record begins where the one before ended, and the last one is the row of today.

What was changed without the triggers breaks this chain, and so does whoever alters or deletes activities. PostgreSQL
looks for the keys whose chain is not as simple as that, in one pass over a table's activities; these are then read as
a whole and followed here. Memory holds some hundred keys at a time, and of a key its row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    Table,
    select,
)

from ..audited import audited_tables
from ..connections import Target, connection_of, unwrapped
from ..errors import HistoryError
from ..reading import find_table
from ..reading.exact import ExactText, exact_text, pg
from ..reading.instants import instant
from ..settings import recorded_settings
from .facts import TableFacts
from .finding import Finding
from .live import LiveTable
from .table_check import TableCheck

if TYPE_CHECKING:
    from ..scope import Scope


_ISOLATED = ("repeatable read", "serializable")


def verify(
    scope: Scope, target: Target, tables: Iterable[Any] | None = None, since: dt.datetime | None = None
) -> Iterator[Finding]:
    """Yield what does not fit; see :meth:`audit_core.AuditLog.verify`."""
    if since is not None:
        instant(since, "since")
    return _findings(scope, target, _chosen(scope, tables), since)


def _findings(scope: Scope, target: Target, tables: list[Table], since: dt.datetime | None) -> Iterator[Finding]:
    with _snapshot(scope, target, tables) as (connection, found), recorded_settings(connection):
        for live in found:
            yield from TableCheck(connection, TableFacts.read(connection, live, since)).findings()


def _chosen(scope: Scope, tables: Iterable[Any] | None) -> list[Table]:
    if tables is None:
        return [each for each, _ in audited_tables(scope.metadata)]
    if isinstance(tables, (str, Table)) or not isinstance(tables, Iterable):
        raise HistoryError(f"tables is {tables!r}; make it a list of models, Tables or names.")
    found = []
    for each in tables:
        wanted = find_table(scope, each) if isinstance(each, str) else getattr(each, "__table__", each)
        if not isinstance(wanted, Table):
            raise HistoryError(f"{each!r} is neither a model nor a Table nor the name of a table.")
        if wanted.metadata is not scope.metadata:
            raise HistoryError(f"Table {wanted.fullname!r} is of another MetaData than this trail. Ask its AuditLog.")
        found.append(find_table(scope, wanted.fullname))
    return found


@contextmanager
def _snapshot(scope: Scope, target: Target, tables: list[Table]) -> Iterator[tuple[Connection, list[LiveTable]]]:
    """Read everything as of one instant: what is written meanwhile is in none of it, or in all.

    A TRUNCATE is seen by every snapshot at once, so the tables are locked before there is one.
    """
    owner: Any = unwrapped(target)
    is_own = not getattr(owner, "in_transaction", bool)()
    connection = connection_of(target, scope.bind_arguments(), HistoryError)
    if bool(getattr(connection.connection.dbapi_connection, "autocommit", False)):
        raise HistoryError(
            "The connection commits each statement, so that a writer could come between two of them. Give one with "
            "execution_options(isolation_level='REPEATABLE READ')."
        )
    try:
        name = exact_text("transaction_isolation")
        isolation = str(connection.scalar(select(pg.current_setting(name, type_=ExactText()))))
        if not is_own and isolation not in _ISOLATED:
            raise HistoryError(
                f"The connection is in a transaction that is {isolation.upper()}, so that a writer could come between "
                "two statements. Call verify() outside of a transaction, or in one with "
                "isolation_level='REPEATABLE READ'."
            )
        found = [LiveTable.find(connection, scope, each) for each in tables]
        if is_own:
            owner.rollback()
            connection = connection_of(target, scope.bind_arguments(), HistoryError)
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for live in found:
            connection.exec_driver_sql(f"LOCK TABLE {live.name} IN ACCESS SHARE MODE")
        for live in found:
            live.refuse_later_truncate(connection)
        yield connection, found
    finally:
        if is_own:
            owner.rollback()
