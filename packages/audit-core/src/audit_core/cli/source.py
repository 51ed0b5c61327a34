"""Where a command finds the trail and its database."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from sqlalchemy import Engine, inspect

from audit_core import AuditLog, Problem
from audit_core.installation.ddl import require_postgresql
from audit_core.installation.objects import TABLE_NAMES
from audit_core.installation.predecessor import read_predecessors
from audit_core.settings import fixed_search_path

from .errors import CommandError

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Database:
    """A database of the application, and the AuditLog of its trail."""

    audit_log: AuditLog
    engine: Engine

    def require_trail(self) -> None:
        """Refuse a database that cannot be read."""
        missing = self._missing()
        if missing:
            raise CommandError(
                f"Database {self.engine.url.database!r} has no trail: there is no table {missing[0]!r} in schema "
                f"{self.audit_log.schema!r}. Run the migrations, or install()."
            )

    def problems(self) -> Iterator[Problem]:
        """Yield what ``check()`` finds."""
        self._missing()
        with self.engine.connect() as connection:
            yield from self.audit_log.check(connection)

    def _missing(self) -> list[str]:
        """Return which tables of the trail are not there; refuse a database that has another trail in its place."""
        require_postgresql(self.engine.dialect)
        schema = self.audit_log.schema
        with self.engine.connect() as connection, fixed_search_path(connection):
            inspector = inspect(connection)
            missing = [name for name in TABLE_NAMES if not inspector.has_table(name, schema)]
            others = [each for each in read_predecessors(connection) if each.schema == schema] if missing else []
        if others:
            raise CommandError(
                f"Database {self.engine.url.database!r} has the trail of {others[0].source} still. Write the migration "
                "to this version (flask db migrate, or alembic revision --autogenerate) and run it."
            )
        return missing


class TrailSource(ABC):
    """What the commands ask for their database: the options of ``audit-log``, or a Flask app."""

    @abstractmethod
    def database(self) -> Database:
        """Return the database to read."""

    def problems(self) -> Iterator[Problem]:
        """Yield all that is not recorded or protected as it should be."""
        return self.database().problems()


def with_database(command: _F) -> _F:
    """Pass a command its database as the first argument."""

    @functools.wraps(command)
    @click.pass_obj
    def called(source: TrailSource, /, *args: Any, **kwargs: Any) -> Any:
        database = source.database()
        database.require_trail()
        return command(database, *args, **kwargs)

    return called  # type: ignore[return-value]
