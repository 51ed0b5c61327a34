"""How settings travel to the server: by themselves, or with a statement in one round trip where the driver can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Text, bindparam, func, literal_column, select, true

from ..quoting import literal
from .conversion import Settings
from .statements import is_single

# Of PostgreSQL: one with better fitting types, in a schema that is searched, would run instead.
_set_config = func.pg_catalog.set_config
_SET_CONTEXT = select(
    *(
        _set_config(literal_column(literal(f"audit_logger.{name}")), bindparam(name, type_=Text()), true())
        for name in Settings._fields
    )
)


class Route(NamedTuple):
    """How settings can reach the server together with a statement."""

    #: The connection commits each statement: both are put between BEGIN and COMMIT.
    autocommit: bool
    #: Both are queued by the driver, and travel together.
    queued: bool

    @property
    def takes_statement(self) -> bool:
        """Whether the statement is executed on the way."""
        return self.autocommit or self.queued


class Sender:
    """Sends settings on the connections of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        compiled = _SET_CONTEXT.compile(dialect=dialect)
        self._sql = compiled.string
        self._names = compiled.positiontup
        # The statement and its context share a round trip where the driver can queue them. The async
        # adapter fetches rows right after execute(), when a queue has none yet.
        self._may_queue = dialect.driver == "psycopg" and not dialect.is_async and _has_pipeline()
        self._may_queue_begin = self._may_queue and _can_queue_begin()

    def route(self, dbapi_connection: Any, cursor: Any, statement: str, parameters: Any) -> Route | None:
        """Find the way for a statement; None if there is none."""
        # A setting of one transaction is gone after each statement of a connection in autocommit.
        autocommit = bool(getattr(dbapi_connection, "autocommit", False))
        server_side = bool(getattr(cursor, "name", None) or getattr(cursor, "server_side", False))
        if autocommit and server_side:
            return None
        return Route(autocommit, self._may_queue and not server_side and bool(parameters or is_single(statement)))

    def send(self, dbapi_connection: Any, settings: Settings, route: Route, execute: Callable[[], None]) -> None:
        """Send settings, and run the statement if the route takes it."""
        with (
            self._transaction(dbapi_connection) if route.autocommit else nullcontext(),
            dbapi_connection.pipeline() if route.queued else nullcontext() as pipeline,
        ):
            if route.autocommit:
                _run(dbapi_connection, "BEGIN")
            elif route.queued and self._may_queue_begin:
                _queue_begin(dbapi_connection, pipeline)
            self.send_alone(dbapi_connection, settings)
            if route.takes_statement:
                execute()

    def send_alone(self, dbapi_connection: Any, settings: Settings) -> None:
        """Send settings by themselves."""
        values = settings._asdict()
        parameters = values if self._names is None else tuple(values[each] for each in self._names)
        _run(dbapi_connection, self._sql, parameters)

    @contextmanager
    def _transaction(self, dbapi_connection: Any) -> Iterator[None]:
        """End the transaction that the block begins on a connection in autocommit.

        On psycopg BEGIN travels with what follows, and COMMIT alone: the driver sends a Flush behind a pipeline,
        and one that comes after the transaction makes PgBouncer keep a connection for a client with nothing to ask.
        """
        try:
            yield
        except BaseException:
            # What broke the connection, if it is broken, matters more than that it cannot roll back.
            with suppress(self._dialect.loaded_dbapi.Error):
                _run(dbapi_connection, "ROLLBACK")
            raise
        _run(dbapi_connection, "COMMIT")


def _run(dbapi_connection: Any, sql: str, *parameters: Any) -> None:
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute(sql, *parameters)
    finally:
        cursor.close()


def _has_pipeline() -> bool:
    from psycopg import Pipeline

    return Pipeline.is_supported()


def _can_queue_begin() -> bool:
    """Return whether psycopg is one whose pipeline is known to take a command that the driver did not queue itself."""
    import psycopg

    return psycopg.__version__.startswith(("3.2.", "3.3."))


def _queue_begin(dbapi_connection: Any, pipeline: Any) -> None:
    """Queue BEGIN with what follows where a transaction begins: the driver would wait for its answer."""
    from psycopg.pq import TransactionStatus

    asked = (dbapi_connection.isolation_level, dbapi_connection.read_only, dbapi_connection.deferrable)
    if asked == (None, None, None) and dbapi_connection.pgconn.transaction_status == TransactionStatus.IDLE:
        dbapi_connection.pgconn.send_query_params(b"BEGIN", None)
        # As the driver does for commands of its own: the answer is checked, and belongs to no cursor.
        pipeline.result_queue.append(None)
