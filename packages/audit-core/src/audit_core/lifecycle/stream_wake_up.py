"""Waiting for the next commit that recorded something."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from sqlalchemy import Engine

from ..errors import StreamError


class WakeUp:
    """Listens while the block lasts; without an engine nothing wakes it."""

    def __init__(self, engine: Engine | None, schema: str) -> None:
        self._engine = engine
        self._schema = schema
        self._connection: Any = None

    def __enter__(self) -> WakeUp:
        if self._engine is not None:
            if self._engine.dialect.driver != "psycopg":
                raise StreamError(
                    f"wake_up=True needs psycopg 3, and this engine has {self._engine.dialect.driver!r}. Leave it out: "
                    "the stream looks for itself."
                )
            pooled = self._engine.raw_connection()
            # It is not given back: it would go on listening.
            pooled.detach()
            self._connection = pooled.dbapi_connection
            self._connection.autocommit = True
            self._connection.execute("LISTEN audit_logger")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def wait(self, seconds: float) -> None:
        """Wait for a commit, or until the time is up."""
        if self._connection is None:
            time.sleep(seconds)
            return
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for notice in self._connection.notifies(timeout=left, stop_after=1):
                if notice.payload == self._schema:
                    return
