"""Settings of a session under which our statements mean one thing, for as long as they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_GET = "pg_catalog.current_setting(CAST('{0}' AS pg_catalog.text))"
_SET = "pg_catalog.set_config(CAST('{0}' AS pg_catalog.text), CAST(:value_{0} AS pg_catalog.text), true)"

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
        found = connection.execute(text(f"SELECT {', '.join(map(_GET.format, wanted))}")).one()
        before = {name: value for name, value in zip(wanted, found, strict=True) if value != wanted[name]}
        _set(connection, {name: wanted[name] for name in before})
        try:
            yield
        except DBAPIError:
            # Where the transaction is aborted, its rollback takes the settings back.
            with suppress(DBAPIError):
                _set(connection, before)
            raise
        except BaseException:
            _set(connection, before)
            raise
        _set(connection, before)


def _set(connection: Connection, values: Mapping[str, str]) -> None:
    if values:
        parameters = dict(zip((f"value_{name}" for name in values), values.values(), strict=True))
        connection.execute(text(f"SELECT {', '.join(map(_SET.format, values))}"), parameters)


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
