"""The block in which a transaction is not recorded."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from .context import bypass_reason_text
from .errors import ConfigurationError
from .listeners import TransactionState, transaction_state


class Disabled:
    """The block of :meth:`audit_core.AuditLog.disable`."""

    def __init__(self, target: Any, bind_arguments: dict[str, Any], reason: str | None) -> None:
        self._reason = bypass_reason_text(reason)
        self._bind_arguments = bind_arguments
        self._async_target = target if hasattr(target, "run_sync") else None
        self._target: Session | Connection = (
            getattr(target, "sync_session", None) or getattr(target, "sync_connection", None) or target
        )
        self._state: TransactionState | None = None

    def __enter__(self) -> None:
        self._flush()
        connection = self._connection()
        state = transaction_state(connection)
        if state is None:
            raise ConfigurationError(
                f"disable() needs an engine that is attached: call audit_log.attach({connection.engine!r}) first."
            )
        state.disabled.append(self._reason)
        self._state = state

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state, self._state = self._state, None
        try:
            if kind is None:
                self._flush()
        finally:
            # If the transaction has ended, its state has no effect any more.
            if state is not None:
                state.disabled.pop()

    async def __aenter__(self) -> None:
        await self._async_target.run_sync(lambda _: self.__enter__())  # type: ignore[union-attr]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._async_target.run_sync(lambda _: self.__exit__(kind, error, trace))  # type: ignore[union-attr]

    def _flush(self) -> None:
        if isinstance(self._target, Session):
            self._target.flush()

    def _connection(self) -> Connection:
        if isinstance(self._target, Session):
            return self._target.connection(bind_arguments=self._bind_arguments)
        if not self._target.in_transaction():
            self._target.begin()
        return self._target
