from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, func, select
from sqlalchemy.pool import NullPool

from tests.wire.app import Activity, Base, Transaction, audit_log
from tests.wire.proxy import Proxy


@pytest.fixture(scope="module")
def audited(module_database: URL) -> URL:
    """A database with the application's tables and the trail."""
    engine = create_engine(module_database)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    engine.dispose()
    return module_database


@pytest.fixture(scope="module")
def proxy(audited: URL) -> Iterator[Proxy]:
    with Proxy(audited.host or "127.0.0.1", audited.port or 5432) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxied(audited: URL, proxy: Proxy) -> URL:
    """The same database, through the proxy."""
    return audited.set(host="127.0.0.1", port=proxy.port)


#: Lists title and actor of the inserted articles, in the order of the trail.
Recorded = Callable[[], list[tuple[str, str | None]]]


@pytest.fixture
def recorded(audited: URL) -> Recorded:
    """Read from the trail whose articles were inserted since the test began."""
    engine = create_engine(audited, poolclass=NullPool)
    with engine.connect() as connection:
        start = connection.scalar(select(func.max(Activity.id))) or 0
    query = (
        select(Activity.changed_data["title"].astext, Transaction.actor_id)  # type: ignore[index]
        .join(Transaction, Transaction.id == Activity.transaction_id)
        .where(Activity.id > start, Activity.verb == "insert")
        .order_by(Activity.id)
    )

    def read() -> list[tuple[str, str | None]]:
        with engine.connect() as connection:
            return [(title, actor) for title, actor in connection.execute(query)]

    return read


@pytest.fixture
def attached(audited: URL) -> Iterator[Callable[..., Engine]]:
    """Make engines that send the context, with the options of ``create_engine``."""
    engines = []

    def make(driver: str = "psycopg", **options: Any) -> Engine:
        engine = create_engine(audited.set(drivername=f"postgresql+{driver}"), **options)
        engines.append(engine)
        audit_log.attach(engine)
        return engine

    yield make
    for engine in engines:
        audit_log.detach(engine)
        engine.dispose()
