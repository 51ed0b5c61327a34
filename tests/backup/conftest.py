"""Servers of two versions, and the programs that dump and restore."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, func, make_url, select

from dev.postgres import bin_directory, postgres_server
from tests.backup.shop import Shop
from tests.needs import without


@pytest.fixture(scope="session")
def server_of(server: URL) -> Iterator[Callable[[str], URL]]:
    """Start a server of a version, once."""
    with contextlib.ExitStack() as stack:
        started: dict[str, URL] = {}

        def start(version: str) -> URL:
            if version not in started:
                try:
                    bin_directory(version)
                except FileNotFoundError as error:
                    without(str(error))
                url = make_url(stack.enter_context(postgres_server(version, in_memory=True)))
                started[version] = url.set(drivername="postgresql+psycopg")
            return started[version]

        yield start


@dataclass(frozen=True)
class Database:
    """A database of the application."""

    shop: Shop
    engine: Engine

    @property
    def url(self) -> str:
        return self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def write(self) -> list[dt.datetime]:
        """Make a history, and return times in it."""
        times = []
        for statement in (
            "INSERT INTO customers VALUES (1, 'Eva'), (2, 'Tom'), (3, 'Ann')",
            "INSERT INTO orders SELECT n, 1 + mod(n, 2) FROM generate_series(1, 20) AS n",
            "INSERT INTO events SELECT n, 1 + mod(n, 2) FROM generate_series(1, 20) AS n",
            "UPDATE customers SET name = 'Eve' WHERE id = 1",
            "UPDATE events SET year = 3 - year WHERE id < 5",
            "DELETE FROM customers WHERE id = 2",
            "TRUNCATE events_1",
            "UPDATE customers SET id = 30 WHERE id = 3",
            "INSERT INTO events VALUES (100, 1)",
        ):
            with self.engine.begin() as connection:
                connection.exec_driver_sql("SELECT set_config('audit_logger.actor_id', 'ann', true)")
                connection.exec_driver_sql(statement)
                times.append(connection.scalar(select(func.clock_timestamp())))
        return times

    def seen(self, times: list[dt.datetime]) -> dict[str, Any]:
        """Return all that the trail answers."""
        log = self.shop.log
        with self.engine.connect() as connection:
            columns = [column for column in log.activity_cls.__table__.columns if column.name != "relid"]
            return {
                "activities": connection.execute(log.activities().with_only_columns(*columns)).all(),
                "transactions": connection.execute(select(log.transaction_cls.__table__).order_by("id")).all(),
                "histories": {
                    (table.name, str(key)): list(
                        connection.scalars(log.history(table, key).with_only_columns(log.activity_cls.id))
                    )
                    for table in self.shop.tables
                    for key in ([1, 2, 3, 30] if table is not self.shop.events else [(1, 1), (1, 2), (7, 2), (100, 1)])
                },
                "tables": {
                    (table.name, when): sorted(map(tuple, connection.execute(select(log.as_of(table, when)))))
                    for table in self.shop.tables
                    for when in times
                    if when >= times[self.shop.tables.index(table)]
                },
            }

    def rows(self) -> dict[str, list[Any]]:
        with self.engine.connect() as connection:
            return {table.name: sorted(map(tuple, connection.execute(select(table)))) for table in self.shop.tables}

    def count(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(self.shop.log.activity_cls)) or 0


def install(connection: Connection, shop: Shop) -> None:
    shop.log.metadata.create_all(connection)
    for year in (1, 2):
        connection.exec_driver_sql(f"CREATE TABLE events_{year} PARTITION OF events FOR VALUES IN ({year})")
    shop.log.install(connection)


@pytest.fixture
def new(server_of: Callable[[str], URL]) -> Iterator[Callable[..., Database]]:
    """Make an empty database on a server of a version."""
    with contextlib.ExitStack() as stack:

        def make(version: str, shop: Shop) -> Database:
            admin = create_engine(server_of(version), isolation_level="AUTOCOMMIT")
            name = f"audit_test_{secrets.token_hex(6)}"
            with admin.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
            engine = create_engine(server_of(version).set(database=name))

            def drop() -> None:
                engine.dispose()
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
                admin.dispose()

            stack.callback(drop)
            return Database(shop, engine)

        yield make


def run(version: str, program: str, *arguments: str | Path, fails: bool = False) -> str:
    """Run a program of PostgreSQL; return what it says if it is to fail."""
    done = subprocess.run([bin_directory(version) / program, *arguments], capture_output=True, text=True)
    assert bool(done.returncode) == fails, done.stderr
    return done.stderr
