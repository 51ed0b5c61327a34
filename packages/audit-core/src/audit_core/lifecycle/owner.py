"""The connection of somebody who maintains the trail: its owner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from sqlalchemy import Connection, Dialect, Engine, TextClause, text

from ..capture.conversion import Settings
from ..errors import ConfigurationError
from ..installation.ddl import require_postgresql
from ..quoting import qualified, quote

#: Says who is at work, as the settings of a session.
WhoIsAtWork: TypeAlias = Callable[[Dialect], Settings]

_SET = text("SELECT pg_catalog.set_config(CAST(:name AS pg_catalog.text), CAST(:value AS pg_catalog.text), false)")
_TRY_LOCK = text(
    "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(CAST(:name AS pg_catalog.text), 0))"
)

_ACTOR_ID_TYPE = text(
    "SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute AS a"
    " WHERE a.attrelid = pg_catalog.to_regclass(CAST(:of_table AS pg_catalog.text)) AND a.attname = 'actor_id'"
)


def statement(template: str, **names: str) -> TextClause:
    """Write names, quoted, into a statement that has ``{name}`` in their places, and values as ``:value``."""
    return text(template.format(**{key: quote(name).replace(":", "\\:") for key, name in names.items()}))


@contextmanager
def owner_connection(engine: Engine, who: WhoIsAtWork) -> Iterator[Connection]:
    """Connect in a way in which partitions can be split, detached and dropped, and close the connection at the end.

    Each statement commits, and settings hold for the session, which never goes back into the pool. Functions and
    operators are found in ``pg_catalog`` only.

    :raises ConfigurationError: if it is no engine.
    """
    if not isinstance(engine, Engine):
        raise ConfigurationError(
            f"{engine!r} is not an Engine. This commits as it goes, on a connection of its own: give the engine, and "
            "of an AsyncEngine its sync_engine, within run_sync()."
        )
    require_postgresql(engine.dialect)
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        require_postgresql(connection.dialect)
        settings = {f"audit_logger.{name}": value for name, value in who(connection.dialect)._asdict().items()}
        # Of a role or a database whose statements are stopped after a while, these are not.
        settings |= {"search_path": "pg_catalog, pg_temp", "statement_timeout": "0", "lock_timeout": "0"}
        try:
            for name, value in settings.items():
                connection.execute(_SET, {"name": name, "value": value})
            yield connection
        finally:
            connection.invalidate()


@contextmanager
def one_transaction(connection: Connection) -> Iterator[None]:
    """Run a block in a transaction that may rewrite the trail."""
    connection.commit()
    connection.execution_options(isolation_level="READ COMMITTED")
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        yield
    connection.execution_options(isolation_level="AUTOCOMMIT")


def try_lock(connection: Connection, name: str) -> bool:
    """Take the lock of a kind of work, which the session keeps until it ends; False if another session has it."""
    # One that was closed just now, or whose client was killed, needs a moment to end.
    for wait in (0.1, 0.2, 0.7, 0.0):
        if connection.scalar(_TRY_LOCK, {"name": name}):
            return True
        time.sleep(wait)
    return False


def actor_id_type(connection: Connection, schema: str) -> str:
    """Return the type of the ids of actors in the trail of a schema, as the database writes it."""
    return str(connection.scalar(_ACTOR_ID_TYPE, {"of_table": qualified("transaction", schema)}))
