"""Settings of a session under which our statements mean one thing, for as long as they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_GET = text("SELECT pg_catalog.current_setting(CAST(:name AS pg_catalog.text))")
_SET = text("SELECT pg_catalog.set_config(CAST(:name AS pg_catalog.text), CAST(:value AS pg_catalog.text), true)")

#: How the triggers write values: as sql/v1/fragments/value_settings.sql has it.
_OF_RECORDS = {
    "extra_float_digits": "1",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "lc_monetary": "C",
}


def fixed_search_path(connection: Connection) -> AbstractContextManager[None]:
    """Find functions and operators in ``pg_catalog`` only, within the block.

    Whoever may create functions in a schema that is searched could have them called by whoever reads: one whose
    argument types fit better is taken, also before those of ``pg_catalog``.
    """
    return _fixed(connection, {"search_path": "pg_catalog, pg_temp"})


def recorded_settings(connection: Connection) -> AbstractContextManager[None]:
    """Write values as they were recorded, within the block, so that the two can be compared."""
    return _fixed(connection, _OF_RECORDS)


@contextmanager
def _fixed(connection: Connection, wanted: Mapping[str, str]) -> Iterator[None]:
    """Set what is set otherwise, and put it back."""
    with _transaction(connection):
        found = {name: connection.scalar(_GET, {"name": name}) for name in wanted}
        before = {name: value for name, value in found.items() if value != wanted[name]}
        _set(connection, {name: wanted[name] for name in before})
        try:
            yield
        except DBAPIError:
            # The transaction is aborted, and its rollback takes the settings back.
            raise
        except BaseException:
            _set(connection, before)
            raise
        _set(connection, before)


def _set(connection: Connection, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        connection.execute(_SET, {"name": name, "value": value})


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
