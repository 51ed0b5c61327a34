"""The only way DDL runs, with a connection or written to a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement

from ..errors import UnsupportedDatabaseError
from ..quoting import literal

OLDEST_POSTGRESQL = (14,)

#: How many statements travel together. More would save nothing, and an error shows them all.
_TOGETHER = 100


class Statement(ExecutableDDLElement):
    """One SQL statement that reaches the server, or the script, letter for letter.

    ``text()`` would take ``:name`` inside a function body for a parameter, and ``text()`` and ``DDL()``
    double every ``%`` in a script.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        # Without parameters the driver leaves every % alone.
        self._execution_options = self._execution_options.union({"no_parameters": True})


@compiles(Statement)
def _compile_statement(element: Statement, compiler: Any, **kw: Any) -> str:
    return element.sql


def execute(connection: Connection, statements: Iterable[str]) -> None:
    """Run each statement by itself, as some drivers demand."""
    for sql in statements:
        connection.execute(Statement(sql))


def execute_together(connection: Connection, statements: Sequence[str]) -> None:
    """Run many small statements in few round trips; what they return is not read.

    The server runs each by itself: a text of several statements is refused by some drivers.
    """
    for first in range(0, len(statements), _TOGETHER):
        lines = "".join(f"EXECUTE {literal(sql)};\n" for sql in statements[first : first + _TOGETHER])
        execute(connection, [f"DO {literal(f'BEGIN {lines}END')}"])


def require_postgresql(dialect: Dialect) -> None:
    """Refuse a database that cannot hold an audit trail; of a script, only the dialect is known.

    :raises UnsupportedDatabaseError: if it is not PostgreSQL 14 or later.
    """
    if dialect.name != "postgresql":
        raise UnsupportedDatabaseError(
            f"The audit trail needs PostgreSQL 14 or later; this database is {dialect.name!r}."
        )
    version: tuple[int, ...] | None = getattr(dialect, "server_version_info", None)
    if version is not None and version < OLDEST_POSTGRESQL:
        raise UnsupportedDatabaseError(
            "The audit trail needs PostgreSQL 14 or later; this server is "
            f"{'.'.join(map(str, version))}. Upgrade the server."
        )
