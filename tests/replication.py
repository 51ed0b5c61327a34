"""Two servers, and what one has of the other by logical replication."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import URL, create_engine, make_url, text

from dev.postgres import throwaway_server
from tests.conftest import VERSION

TRAIL = "activity, transaction, activity_coverage"


@contextmanager
def publisher_and_subscriber() -> Iterator[tuple[URL, URL]]:
    """Start two servers, which can publish."""
    with ExitStack() as stack:
        yield stack.enter_context(_server()), stack.enter_context(_server())


@contextmanager
def subscription(publisher: URL, subscriber: URL, tables: str = TRAIL) -> Iterator[None]:
    """Publish tables, wait until what is there has been copied, and go on for the length of the block."""
    source = publisher.set(drivername="postgresql").render_as_string(hide_password=False)
    # Not activity_stream: a consumer belongs to one server.
    run(publisher, f"CREATE PUBLICATION trail FOR TABLE {tables} WITH (publish_via_partition_root = true)")
    run(subscriber, f"CREATE SUBSCRIPTION trail CONNECTION '{source}' PUBLICATION trail")
    try:
        wait_for(lambda: rows(subscriber, "(SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r')") == [])
        yield
    finally:
        run(subscriber, "DROP SUBSCRIPTION trail")


def run(url: URL, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def rows(url: URL, table: str) -> list[object]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.scalars(text(f"SELECT t::text FROM {table} AS t ORDER BY 1")))
    engine.dispose()
    return found


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def _server() -> Iterator[URL]:
    with throwaway_server(VERSION, in_memory=True) as server:
        url = make_url(server.url).set(drivername="postgresql+psycopg")
        run(url, "ALTER SYSTEM SET wal_level = logical")
        # It takes a new start.
        server.kill()
        server.start()
        yield url
