"""A trail in a database of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text

from ..audit_log import AuditLog, scope_of
from ..audited import audited_tables
from ..connections import Target
from ..errors import ConfigurationError
from ..installation import catalog
from ..installation.wanted import differences
from ..quoting import qualified
from ..settings import fixed_search_path
from . import assertions
from .change import Change

# The activities go with their transactions. What says where recording began stays.
_TABLES = ("activity", "transaction")


class AuditTrail:
    """The trail of one AuditLog in a database that exists for tests only.

    :param audit_log: of the application.
    """

    def __init__(self, audit_log: AuditLog) -> None:
        self.audit_log = audit_log
        self._databases: set[str] = set()

    def install(self, target: Engine | Target) -> None:
        """Install the trail after ``create_all()``; with an Engine it commits.

        :raises ConfigurationError: if there is a trail already that holds something: the database may not be one of
            tests.
        """
        with self._connection(target) as connection:
            self._refuse_what_it_holds(connection)
            self.audit_log.install(connection)
            self._know(connection)

    def use(self, target: Engine | Target, *, filled: bool = False) -> None:
        """Take the trail that migrations have made, and change nothing.

        :param filled: the trail may hold something, since the migrations write rows of audited tables.
        :raises ConfigurationError: if something is missing or differs from what the models want; and if the trail
            holds something, as in :meth:`install`.
        """
        with self._connection(target) as connection:
            if not filled:
                self._refuse_what_it_holds(connection)
            with fixed_search_path(connection):
                installed = catalog.read(connection, self.audit_log.schema)
            found = [each.summary for each in differences(scope_of(self.audit_log), installed)]
            if found or installed.version_problem:
                raise ConfigurationError(
                    f"The migrations of database {connection.engine.url.database!r} do not make what the models want: "
                    f"{installed.version_problem or ', '.join(found)}. Write one with autogenerate."
                )
            self._know(connection)

    def truncate(self, target: Engine | Target, *, trail_only: bool = False) -> None:
        """Empty the trail and the audited tables, and begin their identities anew; with an Engine it commits.

        Nowhere else than in tests can a trail be emptied, and no row of the tables is recorded as lost.

        :param trail_only: leave the tables of the application alone.
        :raises ConfigurationError: if neither :meth:`install` nor :meth:`use` was called for this database.
        """
        with self._connection(target) as connection:
            if self._database(connection) not in self._databases:
                raise ConfigurationError(
                    f"The trail of database {connection.engine.url.database!r} was not installed by this AuditTrail, "
                    "so it is not emptied. Call install() first, or use(), on a database for tests."
                )
            if not trail_only:
                preparer = connection.dialect.identifier_preparer
                audited = [preparer.format_table(each) for each, _ in audited_tables(self.audit_log.metadata)]
                with _setting(connection, "audit_logger.enabled", "off"):
                    connection.exec_driver_sql(f"TRUNCATE {', '.join(audited)} RESTART IDENTITY CASCADE")
            # What went unrecorded has left a note, which goes as well.
            with _setting(connection, "audit_logger.maintenance", "on"):
                trail = [self._name(each) for each in _TABLES]
                connection.exec_driver_sql(f"TRUNCATE {', '.join(trail)} RESTART IDENTITY")

    def changes(self, session: Target) -> list[Change]:
        """Return all that the trail holds, oldest first; see :func:`changes`."""
        return assertions.changes(session, audit_log=self.audit_log)

    def assert_changes(self, session: Target, **expected: Any) -> AbstractContextManager[None]:
        """Fail unless the block makes these changes; see :func:`assert_changes`."""
        return assertions.assert_changes(session, audit_log=self.audit_log, **expected)

    def assert_unchanged(self, session: Target) -> AbstractContextManager[None]:
        """Fail if the block changes a row of an audited table; see :func:`assert_unchanged`."""
        return assertions.assert_unchanged(session, audit_log=self.audit_log)

    def _refuse_what_it_holds(self, connection: Connection) -> None:
        exists = connection.scalar(
            text("SELECT pg_catalog.to_regclass(CAST(:name AS text)) IS NOT NULL"),
            {"name": qualified("activity", self.audit_log.schema)},
        )
        if exists and connection.scalar(text(f"SELECT EXISTS (SELECT FROM {self._name('activity')})")):
            raise ConfigurationError(
                f"Database {connection.engine.url.database!r} has a trail that is not empty, so it may be more "
                "than one of tests. Use another database, or drop it and create it anew."
            )

    def _know(self, connection: Connection) -> None:
        """Remember that the database is one of tests."""
        self._databases.add(self._database(connection))
        assertions.installed.add(self.audit_log)

    def _name(self, table: str) -> str:
        return qualified(table, self.audit_log.schema)

    @contextmanager
    def _connection(self, target: Engine | Target) -> Iterator[Connection]:
        if isinstance(target, Engine):
            with target.begin() as connection:
                yield connection
        else:
            yield assertions.flushed(target, self.audit_log)

    @staticmethod
    def _database(connection: Connection) -> str:
        found: str = connection.scalars(
            text(
                "SELECT d.oid::text || '/' || d.datname FROM pg_catalog.pg_database AS d"
                " WHERE d.datname = pg_catalog.current_database()"
            )
        ).one()
        return found


@contextmanager
def _setting(connection: Connection, name: str, value: str) -> Iterator[None]:
    """Set a parameter of PostgreSQL for a block, within the transaction."""
    statement = text("SELECT pg_catalog.set_config(CAST(:name AS text), CAST(:value AS text), true)")
    connection.execute(statement, {"name": name, "value": value})
    yield
    connection.execute(statement, {"name": name, "value": ""})
