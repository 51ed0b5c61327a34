"""When the context has to reach the server: before the first write of a transaction, and again when it changed."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from sqlalchemy import Connection, Dialect, Engine, RootTransaction, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.sql.visitors import iterate

from ..connections import sqlstate
from ..errors import ConfigurationError, HistoryError
from ..models import TrailTable
from .conversion import Settings
from .sending import Sender
from .statements import forgets_settings, may_commit, may_go_back, may_write

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

#: Returns the settings of a trail, as they should be at this moment on the engine of a dialect.
Resolve = Callable[[Dialect], Settings]

#: The SQLSTATE of a COMMIT or ROLLBACK inside of a statement that does not run alone.
_INVALID_TRANSACTION_TERMINATION = "2D000"
_UNDEFINED_TABLE = "42P01"


class TransactionState:
    """What the server knows of the context in the current transaction of a connection."""

    __slots__ = ("disabled", "sent")

    def __init__(self) -> None:
        #: None once a savepoint was rolled back: what holds then, only the server knows.
        self.sent: Settings | None = Settings()
        #: The reasons of the blocks of disable() that are open.
        self.disabled: list[str] = []


#: Of each transaction on an engine that is attached. A savepoint belongs to the transaction around it.
_states: WeakKeyDictionary[RootTransaction, TransactionState] = WeakKeyDictionary()


def transaction_state(connection: Connection) -> TransactionState | None:
    """Return the state of the transaction in progress; None without one, or where no trail is attached."""
    transaction = connection.get_transaction()
    # Of a transaction on a connection that was invalidated, the server's side is gone.
    if transaction is None or connection.invalidated or not is_attached(connection.dialect):
        return None
    state = _states.get(transaction)
    if state is None:
        state = _states[transaction] = TransactionState()
    return state


class Listener:
    """Sends the context of one trail on the connections of one engine."""

    def __init__(self, engine: Engine, resolve: Resolve) -> None:
        self.engine = engine
        self.dialect = engine.dialect
        self.resolve = resolve
        self._sender = Sender(engine.dialect)

    def listen(self) -> None:
        """Start listening."""
        for name, handler in self._handlers():
            event.listen(self.engine, name, handler)

    def remove(self) -> None:
        """Stop listening."""
        for name, handler in self._handlers():
            event.remove(self.engine, name, handler)

    def _handlers(self) -> list[tuple[str, Callable[..., Any]]]:
        # All are events of the dialect. With one of an engine, SQLAlchemy takes a longer way at each statement.
        return [
            ("do_execute", self._do_execute),
            ("do_executemany", self._do_executemany),
            ("do_execute_no_params", self._do_execute_no_params),
            ("handle_error", _explain_missing_trail),
        ]

    def _do_execute(
        self, cursor: Any, statement: str, parameters: Any, context: DefaultExecutionContext
    ) -> bool | None:
        return self._send(context, cursor, statement, parameters, self.dialect.do_execute)

    def _do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: DefaultExecutionContext
    ) -> bool | None:
        return self._send(context, cursor, statement, parameters, self.dialect.do_executemany)

    def _do_execute_no_params(self, cursor: Any, statement: str, context: DefaultExecutionContext) -> bool | None:
        def execute(cursor: Any, statement: str, parameters: None, context: DefaultExecutionContext) -> None:
            self.dialect.do_execute_no_params(cursor, statement, context)

        return self._send(context, cursor, statement, None, execute)

    def _send(
        self,
        context: DefaultExecutionContext,
        cursor: Any,
        statement: str,
        parameters: Any,
        execute: Callable[[Any, str, Any, DefaultExecutionContext], None],
    ) -> bool | None:
        """Send the context if the statement needs it; True if the statement went along."""
        # First of all, since most statements only read.
        writes = may_write(context, statement)
        if not writes and not forgets_settings(context, statement):
            return None
        connection = context.root_connection
        # Without a transaction there is no state: the dialect looks around on a new connection.
        state = transaction_state(connection)
        if state is None or self in _resolving.get():
            return None
        if not writes:
            state.sent = None
            return None
        settings = self._settings(state)
        is_sent = settings == state.sent
        goes_back = may_go_back(context, statement)
        if goes_back:
            # What holds after it, only the server knows.
            state.sent = None
        if is_sent:
            return None
        dbapi_connection: Any = connection.connection.dbapi_connection
        route = self._sender.route(dbapi_connection, cursor, statement, parameters)
        if route is None:
            return None
        # Until it arrived, nothing is known: the statement may fail and be rolled back to a savepoint.
        state.sent = None
        try:
            self._sender.send(
                dbapi_connection, settings, route, lambda: execute(cursor, statement, parameters, context)
            )
        except self.dialect.loaded_dbapi.Error as error:
            if route.autocommit and may_commit(statement) and sqlstate(error) == _INVALID_TRANSACTION_TERMINATION:
                # It commits inside, which it may only do alone. Nothing of it has been committed.
                state.sent = Settings()
                return None
            raise
        if not goes_back:
            state.sent = Settings() if route.autocommit else settings
        return route.takes_statement or None

    def send_now(self, connection: Connection) -> None:
        """Send the context by itself."""
        state = transaction_state(connection)
        if state is None:
            return
        settings = self._settings(state)
        state.sent = None
        self._sender.send_alone(connection.connection.dbapi_connection, settings)
        state.sent = settings

    def _settings(self, state: TransactionState) -> Settings:
        # A resolver may query on the same connection, in the middle of a flush.
        token = _resolving.set((*_resolving.get(), self))
        try:
            settings = self.resolve(self.dialect)
        finally:
            _resolving.reset(token)
        if state.disabled:
            return settings._replace(enabled="off", bypass_reason=state.disabled[-1])
        return settings


def _explain_missing_trail(error: ExceptionContext) -> None:
    """Say of a query of the trail that there is none, and how one is made.

    :raises HistoryError: instead of what the driver says.
    """
    if sqlstate(error.original_exception) != _UNDEFINED_TABLE or error.execution_context is None:
        return
    statement: Any = error.execution_context.invoked_statement
    for table in iterate(statement) if statement is not None else ():
        if isinstance(table, TrailTable) and table.name in str(error.original_exception):
            raise HistoryError(
                f"There is no audit trail in schema {table.schema!r} of this database. Run the migration that creates "
                "it, or call install() after create_all() and commit."
            ) from error.original_exception


#: The listeners whose resolvers are being asked.
_resolving: ContextVar[tuple[Listener, ...]] = ContextVar("audit_resolving", default=())

# By the identity of the dialect, which copies of an engine share. The listener keeps its dialect, and the
# engine's events keep the listener: an entry lives as long as its engine.
_listeners: WeakValueDictionary[int, Listener] = WeakValueDictionary()


def is_attached(dialect: Dialect) -> bool:
    """Return whether a trail is attached to the engine of a dialect."""
    return id(dialect) in _listeners


def attached_engines(resolve: Resolve) -> list[Engine]:
    """Return the engines of this process to which a trail is attached."""
    return [each.engine for each in list(_listeners.values()) if each.resolve == resolve]


def attach(engine: Engine | AsyncEngine, resolve: Resolve) -> None:
    """Send the context on an engine and on its ``execution_options()`` copies; twice is once.

    :raises ConfigurationError: if another trail is attached to the engine.
    """
    sync_engine = _sync_engine(engine)
    listener = _listeners.get(id(sync_engine.dialect))
    if listener is not None:
        if listener.resolve != resolve:
            raise ConfigurationError(
                f"Another AuditLog is attached to {sync_engine!r}. The settings of a connection can name one actor: "
                "give each AuditLog its own engine, or declare all tables in one MetaData."
            )
        return
    listener = Listener(sync_engine, resolve)
    listener.listen()
    _listeners[id(sync_engine.dialect)] = listener


def detach(engine: Engine | AsyncEngine, resolve: Resolve) -> None:
    """Undo :func:`attach`; nothing happens if it was not attached."""
    sync_engine = _sync_engine(engine)
    listener = _listeners.get(id(sync_engine.dialect))
    if listener is not None and listener.resolve == resolve:
        listener.remove()
        del _listeners[id(sync_engine.dialect)]


def send_context(connection: Connection) -> None:
    """Send the context of the transaction in progress, or begin one.

    :raises ConfigurationError: if no trail is attached to the engine.
    """
    listener = _listeners.get(id(connection.dialect))
    if listener is None:
        raise ConfigurationError(
            f"send_context() needs an engine that is attached: call audit_log.attach({connection.engine!r}) first."
        )
    if not connection.in_transaction():
        connection.begin()
    listener.send_now(connection)


def _sync_engine(engine: Engine | AsyncEngine) -> Engine:
    sync_engine: Any = engine if isinstance(engine, Engine) else engine.sync_engine
    # A copy shares dialect and connections with the engine that it was made of.
    while hasattr(sync_engine, "_proxied"):
        sync_engine = sync_engine._proxied
    return sync_engine  # type: ignore[no-any-return]
