"""Constraints that can wait do so while changes are taken back."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from ..installation.ddl import execute
from ..quoting import qualified
from .refusals import Refusal

# A name is left out where another constraint has it that cannot wait.
_DEFERRABLE = text(
    "SELECT c.conname, n.nspname "
    "FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.connamespace "
    "WHERE c.condeferrable AND NOT c.condeferred AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_constraint AS o "
    "WHERE o.connamespace = c.connamespace AND o.conname = c.conname AND NOT o.condeferrable) "
    "GROUP BY c.conname, n.nspname ORDER BY n.nspname, c.conname"
)


class Constraints:
    """The constraints of the application's tables that can be deferred and usually are not."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def defer(self) -> None:
        """Check them when :meth:`check` is called."""
        self._set("DEFERRED")

    def check(self) -> str | None:
        """Check what was deferred, and go back to what is usual; return what prevents it."""
        refusal = None
        check = self._connection.begin_nested()
        try:
            execute(self._connection, ["SET CONSTRAINTS ALL IMMEDIATE"])
        except IntegrityError as error:
            refusal = Refusal.read(error)
        finally:
            # What waits for the commit goes on to do so.
            check.rollback()
        if refusal is not None:
            return self.described(refusal)
        self._set("IMMEDIATE")
        return None

    def described(self, refusal: Refusal) -> str:
        """Return the constraint and its columns."""
        return refusal.message(refusal.columns(self._connection))

    @cached_property
    def _names(self) -> list[str]:
        return [qualified(*row) for row in self._connection.execute(_DEFERRABLE)]

    def _set(self, mode: Literal["DEFERRED", "IMMEDIATE"]) -> None:
        if self._names:
            execute(self._connection, [f"SET CONSTRAINTS {', '.join(self._names)} {mode}"])
