"""Behind PgBouncer in transaction mode, many clients share a few connections and no context."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from audit_core import audit_context
from sqlalchemy import URL, Connection, Engine, create_engine, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.wire.app import Article, audit_log
from tests.wire.bouncer import pgbouncer
from tests.wire.conftest import Recorded

CLIENTS = 12
SHARED = 2

Open = Callable[..., Engine]

#: PgBouncer before 1.21 knows nothing of prepared statements, and Debian 12 has 1.18.
DRIVER_OPTIONS: dict[str, dict[str, Any]] = {
    "psycopg": {"prepare_threshold": None},
    "psycopg2": {},
    "asyncpg": {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"audit_{uuid4().hex}",
    },
}


@pytest.fixture(scope="module")
def bounced(audited: URL) -> Iterator[URL]:
    """The database behind a PgBouncer with two connections."""
    with pgbouncer(audited, SHARED) as url:
        yield url


@pytest.fixture(scope="module")
def bottleneck(audited: URL) -> Iterator[URL]:
    """The database behind a PgBouncer with a single connection."""
    with pgbouncer(audited, 1) as url:
        yield url


@pytest.fixture
def behind() -> Iterator[Open]:
    """Make engines that open a connection for each client, and no second one."""
    engines = []

    def make(url: URL, driver: str = "psycopg", **options: Any) -> Engine:
        engine = create_engine(
            url.set(drivername=f"postgresql+{driver}"),
            poolclass=NullPool,
            connect_args=DRIVER_OPTIONS[driver],
            **options,
        )
        engines.append(engine)
        audit_log.attach(engine)
        return engine

    yield make
    for engine in engines:
        audit_log.detach(engine)
        engine.dispose()


def actor_of(client: int) -> str | None:
    """Every third client says nothing about itself, and would show what another one left behind."""
    return None if client % 3 == 0 else f"client {client}"


def write(connection: Connection, client: int, title: str) -> None:
    with audit_context(actor_id=actor_of(client)):
        connection.execute(insert(Article).values(title=f"{client} {title}"))


def expected(titles: list[str]) -> list[tuple[str, str | None]]:
    return sorted((f"{client} {title}", actor_of(client)) for client in range(CLIENTS) for title in titles)


def in_order(recorded: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    return sorted(recorded, key=lambda each: each[0])


def process_of(connection: Connection) -> Any:
    return connection.scalar(select(func.pg_backend_pid()))


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_clients_that_take_turns_on_few_connections_keep_their_actors(
    bounced: URL, behind: Open, recorded: Recorded, driver: str
) -> None:
    engine = behind(bounced, driver)
    clients = [engine.connect() for _ in range(CLIENTS)]
    processes = set()
    for turn in range(3):
        for first in range(0, CLIENTS, SHARED):
            pair = range(first, first + SHARED)
            for part in ("begins", "goes on"):
                for client in pair:
                    write(clients[client], client, f"{turn} {part}")
                    processes.add(process_of(clients[client]))
            for client in reversed(pair):
                clients[client].commit()
    for client in clients:
        client.close()
    assert len(processes) == SHARED
    titles = [f"{turn} {part}" for turn in range(3) for part in ("begins", "goes on")]
    assert in_order(recorded()) == expected(titles)


def some_transactions(connection: Connection, client: int) -> None:
    """Ten transactions with what may go wrong in between, other things for each client."""
    chance = random.Random(client)
    for turn in range(10):
        write(connection, client, f"{turn} first")
        if chance.random() < 0.3:
            connection.rollback()
            write(connection, client, f"{turn} first")
        nested = connection.begin_nested()
        if chance.random() < 0.5:
            write(connection, (client + 1) % CLIENTS, "lost")
            nested.rollback()
        else:
            nested.commit()
        write(connection, client, f"{turn} second")
        connection.commit()
        if chance.random() < 0.3:
            with audit_context(actor_id="reader"):
                connection.scalar(select(Article.title).limit(1))
            connection.rollback()


TITLES_OF_SOME_TRANSACTIONS = [f"{turn} {part}" for turn in range(10) for part in ("first", "second")]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_threads_on_few_connections_keep_their_actors(
    bounced: URL, behind: Open, recorded: Recorded, driver: str
) -> None:
    engine = behind(bounced, driver)
    everybody_is_ready = threading.Barrier(CLIENTS)

    def run(client: int) -> None:
        with engine.connect() as connection:
            everybody_is_ready.wait(20)
            some_transactions(connection, client)

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(run, range(CLIENTS)))
    assert in_order(recorded()) == expected(TITLES_OF_SOME_TRANSACTIONS)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_tasks_on_few_connections_keep_their_actors(bounced: URL, recorded: Recorded, driver: str) -> None:
    async def run() -> None:
        engine = create_async_engine(
            bounced.set(drivername=f"postgresql+{driver}"), poolclass=NullPool, connect_args=DRIVER_OPTIONS[driver]
        )
        audit_log.attach(engine)

        async def run_client(client: int, connection: AsyncConnection) -> None:
            await connection.run_sync(some_transactions, client)

        connections = [await engine.connect() for _ in range(CLIENTS)]
        await asyncio.gather(*map(run_client, range(CLIENTS), connections))
        for connection in connections:
            await connection.close()
        audit_log.detach(engine)
        await engine.dispose()

    asyncio.run(run())
    assert in_order(recorded()) == expected(TITLES_OF_SOME_TRANSACTIONS)


def test_autocommit_through_psycopg_attributes_each_statement_and_holds_no_connection(
    bottleneck: URL, behind: Open, recorded: Recorded
) -> None:
    engine = behind(bottleneck, isolation_level="AUTOCOMMIT")
    clients = [engine.connect() for _ in range(CLIENTS)]
    for title in ("first", "second"):
        for client, connection in enumerate(clients):
            write(connection, client, title)
    for connection in clients:
        connection.close()
    assert in_order(recorded()) == expected(["first", "second"])


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("isolation_level", ["AUTOCOMMIT", "READ COMMITTED"])
def test_a_client_that_only_reads_holds_no_connection(
    bottleneck: URL, behind: Open, recorded: Recorded, driver: str, isolation_level: str
) -> None:
    """It stays connected, within a context; everybody else waits for the only connection there is."""
    reading = behind(bottleneck, driver, isolation_level=isolation_level)
    writing = behind(bottleneck, driver)
    with audit_context(actor_id="reader"), reading.connect() as reader:
        for _ in range(3):
            reader.execute(select(Article).limit(2)).all()
            if isolation_level != "AUTOCOMMIT":
                reader.commit()
            with audit_context(actor_id="writer"), writing.begin() as writer:
                writer.execute(insert(Article).values(title="by the writer"))
            with audit_context(actor_id=None), writing.begin() as writer:
                writer.execute(insert(Article).values(title="by nobody"))
    assert recorded() == [("by the writer", "writer"), ("by nobody", None)] * 3


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_nothing_stays_behind_on_a_shared_connection(bottleneck: URL, behind: Open, ends: str) -> None:
    query = text(
        "SELECT name, setting FROM (VALUES ('actor_id'), ('client_addr'), ('meta'), ('enabled')) AS n (name), "
        "LATERAL current_setting('audit_logger.' || name, true) AS setting WHERE setting <> ''"
    )
    engine = behind(bottleneck)
    with engine.connect() as first, engine.connect() as second:
        with audit_context(actor_id="ann", client_addr="10.0.0.1", reason="test"):
            first.execute(insert(Article).values(title="x"))
        with audit_log.disable(first):
            first.execute(insert(Article).values(title="y"))
        process = process_of(first)
        getattr(first, ends)()
        assert second.execute(query).all() == []
        assert process_of(second) == process
