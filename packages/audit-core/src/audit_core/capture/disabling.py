"""The block in which a transaction is not recorded."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from sqlalchemy.orm import Session

from ..connections import connection_of, is_asynchronous, unwrapped
from ..errors import ConfigurationError
from .conversion import bypass_reason_text
from .forgotten import is_left_unattached
from .listeners import TransactionState, transaction_state


class Disabled:
    """The block of :meth:`audit_core.AuditLog.disable`."""

    def __init__(self, target: Any, bind_arguments: dict[str, Any], reason: str | None) -> None:
        self._reason = bypass_reason_text(reason)
        self._bind_arguments = bind_arguments
        # Both ends of the block are those of one session.
        self._target = unwrapped(target)
        self._state: TransactionState | None = None

    def __enter__(self) -> None:
        if is_asynchronous(self._target):
            raise ConfigurationError(f"disable() of an {type(self._target).__name__!r} is written with async with.")
        self._enter(self._target)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit(self._target, kind)

    async def __aenter__(self) -> None:
        if not is_asynchronous(self._target):
            raise ConfigurationError(f"disable() of a {type(self._target).__name__!r} is written with a plain with.")
        await self._target.run_sync(self._enter)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._target.run_sync(self._exit, kind)

    def _enter(self, target: Any) -> None:
        _flush(target)
        connection = connection_of(target, self._bind_arguments)
        if connection.dialect.name != "postgresql" or is_left_unattached(connection.dialect):
            return  # as in the tests of an application: there is nothing to switch off
        if not connection.in_transaction():
            connection.begin()
        state = transaction_state(connection)
        if state is None:
            raise ConfigurationError(
                f"disable() needs an engine that is attached: call audit_log.attach({connection.engine!r}) first."
            )
        state.disabled.append(self._reason)
        self._state = state

    def _exit(self, target: Any, kind: type[BaseException] | None) -> None:
        state, self._state = self._state, None
        try:
            if kind is None:
                _flush(target)
        finally:
            # If the transaction has ended, its state has no effect any more.
            if state is not None:
                state.disabled.pop()


def _flush(target: Any) -> None:
    if isinstance(target, Session):
        target.flush()
