"""A trail that is published by logical replication is read on the subscriber as where it was recorded."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from tests.backup.conftest import Database, install
from tests.backup.shop import Shop
from tests.replication import TRAIL, publisher_and_subscriber, rows, run, subscription, wait_for


def test_a_trail_is_read_where_it_is_replicated() -> None:
    """The trail and the tables are installed there, too: what arrives is not recorded once more."""
    shop = Shop(None)
    with publisher_and_subscriber() as (publisher, subscriber):
        published, subscribed = (Database(shop, create_engine(url)) for url in (publisher, subscriber))
        for database in (published, subscribed):
            with database.engine.begin() as connection:
                install(connection, shop)
        times = published.write()
        with subscription(publisher, subscriber, f"{TRAIL}, customers, orders, events"):
            run(
                publisher,
                "INSERT INTO customers VALUES (5, 'Kim')",
                "UPDATE customers SET name = 'Kym' WHERE id = 5",
                "UPDATE events SET year = 3 - year WHERE id = 100",
                "DELETE FROM orders WHERE id = 1",
            )
            with published.engine.connect() as connection:
                times += connection.scalars(text("SELECT clock_timestamp()"))
            for table in ("orders", "activity", "transaction", "customers", "events"):
                wait_for(lambda table=table: rows(subscriber, table) == rows(publisher, table))
            assert subscribed.seen(times) == published.seen(times)
            with subscribed.engine.connect() as connection:
                assert shop.log.check(connection) == []
        for database in (published, subscribed):
            database.engine.dispose()
