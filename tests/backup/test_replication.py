"""A trail that is published by logical replication is read on the subscriber as where it was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from dev.postgres import throwaway_server
from tests.backup.conftest import Database, install
from tests.backup.shop import Shop
from tests.conftest import VERSION


@contextmanager
def server_with_logical_replication() -> Iterator[URL]:
    with throwaway_server(VERSION, in_memory=True) as server:
        url = make_url(server.url).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET wal_level = logical")
        engine.dispose()
        # It takes a new start.
        server.kill()
        server.start()
        yield url


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[URL, URL]]:
    with ExitStack() as stack:
        publisher, subscriber = (stack.enter_context(server_with_logical_replication()) for _ in range(2))
        yield publisher, subscriber


def run(database: Database, *statements: str) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(database: Database, table: str) -> list[object]:
    with database.engine.connect() as connection:
        return list(connection.scalars(text(f"SELECT t::text FROM {table} AS t ORDER BY 1")))


def test_a_trail_is_read_where_it_is_replicated(servers: tuple[URL, URL]) -> None:
    """The trail and the tables are installed there, too: what arrives is not recorded once more."""
    shop = Shop(None)
    published, subscribed = (Database(shop, create_engine(url)) for url in servers)
    for database in (published, subscribed):
        with database.engine.begin() as connection:
            install(connection, shop)
    before = published.write()
    # Not activity_stream: a consumer belongs to one server.
    run(
        published,
        "CREATE PUBLICATION trail FOR TABLE activity, transaction, activity_coverage, customers, orders, events"
        " WITH (publish_via_partition_root = true)",
    )
    try:
        run(subscribed, f"CREATE SUBSCRIPTION trail CONNECTION '{published.url}' PUBLICATION trail")
        copying = "(SELECT s.srrelid FROM pg_subscription_rel AS s WHERE s.srsubstate <> 'r')"
        wait_for(lambda: rows(subscribed, copying) == [])
        run(
            published,
            "INSERT INTO customers VALUES (5, 'Kim')",
            "UPDATE customers SET name = 'Kym' WHERE id = 5",
            "UPDATE events SET year = 3 - year WHERE id = 100",
            "DELETE FROM orders WHERE id = 1",
        )
        with published.engine.connect() as connection:
            times = [*before, *connection.scalars(text("SELECT clock_timestamp()"))]
        for table in ("orders", "activity", "transaction", "customers", "events"):
            wait_for(lambda table=table: rows(subscribed, table) == rows(published, table))
        assert subscribed.seen(times) == published.seen(times)
        with subscribed.engine.connect() as connection:
            assert shop.log.check(connection) == []
    finally:
        run(subscribed, "DROP SUBSCRIPTION IF EXISTS trail")
        for database in (published, subscribed):
            database.engine.dispose()
