"""Names in our queries mean what PostgreSQL means by them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_GET = text("SELECT pg_catalog.current_setting('search_path')")
_SET = text("SELECT pg_catalog.set_config('search_path', CAST(:path AS pg_catalog.text), true)")


@contextmanager
def fixed_search_path(connection: Connection) -> Iterator[None]:
    """Find functions and operators in ``pg_catalog`` only, within the block.

    Whoever may create functions in a schema that is searched could have them called by whoever reads: one whose
    argument types fit better is taken, also before those of ``pg_catalog``.
    """
    with _transaction(connection):
        before = connection.scalar(_GET)
        connection.execute(_SET, {"path": "pg_catalog, pg_temp"})
        try:
            yield
        except DBAPIError:
            # The transaction is aborted, and its rollback takes the setting back.
            raise
        except BaseException:
            connection.execute(_SET, {"path": before})
            raise
        connection.execute(_SET, {"path": before})


def _transaction(connection: Connection) -> AbstractContextManager[None]:
    """Make sure that there is a transaction, which the setting is local to."""
    autocommit = bool(getattr(connection.connection.dbapi_connection, "autocommit", False))
    return _transaction_in_autocommit(connection) if autocommit else nullcontext()


@contextmanager
def _transaction_in_autocommit(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
