"""Under load and faults, the trail has what was committed and nothing else, each change with its actor."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from audit_core import audit_context
from sqlalchemy import URL, Connection, Engine, create_engine, func, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dev.postgres import ThrowawayServer, throwaway_server
from tests.conftest import VERSION
from tests.stress.app import Account, Activity, Event, Note, Slot, Transaction, audit_log, install
from tests.stress.replay import rebuilt, stored
from tests.stress.writers import DEADLOCK, SERIALIZATION_FAILURE, Disconnected, Ledger, sqlstate, transact

WRITERS = 16
TRANSACTIONS = 20
ATTEMPTS = 100
PATIENCE = 60.0  # seconds, for all that has to happen


@pytest.fixture(scope="module")
def mortal() -> Iterator[ThrowawayServer]:
    """A server that only these tests use, and may kill."""
    with throwaway_server(VERSION, in_memory=True) as server:
        yield server


@pytest.fixture
def database(mortal: ThrowawayServer) -> Iterator[URL]:
    """The URL of a fresh database on that server, where nobody waits for long."""
    url = make_url(mortal.url).set(drivername="postgresql+psycopg")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE stress"))
        for setting in ("deadlock_timeout = '20ms'", "statement_timeout = '30s'"):
            connection.execute(text(f"ALTER DATABASE stress SET {setting}"))
    # The server may die in the meantime.
    server.dispose()
    yield url.set(database="stress")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE stress WITH (FORCE)"))
    server.dispose()


def threads(url: URL) -> Engine:
    return create_engine(url, pool_size=WRITERS, max_overflow=0)


def asyncio_with_psycopg(url: URL) -> AsyncEngine:
    return create_async_engine(url, pool_size=WRITERS, max_overflow=0)


def asyncio_with_asyncpg(url: URL) -> AsyncEngine:
    return create_async_engine(url.set(drivername="postgresql+asyncpg"), pool_size=WRITERS, max_overflow=0)


@pytest.fixture
def audited(database: URL) -> Iterator[Engine]:
    """An engine of threads, with two accounts."""
    install(database)
    engine = threads(database)
    audit_log.attach(engine)
    with engine.begin() as connection:
        connection.execute(insert(Account).values([{"id": id_, "marker": "first"} for id_ in (1, 2)]))
    yield engine
    audit_log.detach(engine)
    engine.dispose()


def recorded(connection: Connection) -> list[tuple[str, str | None]]:
    """Read markers and actors of what happened to the two accounts after they were made."""
    query = (
        select(Activity.changed_data["marker"].astext, Transaction.actor_id)  # type: ignore[index]
        .join(Transaction, Transaction.id == Activity.transaction_id)
        .where(Activity.verb == "update")
        .order_by(Activity.id)
    )
    assert rebuilt(connection, audit_log, Account.__table__) == stored(connection, Account.__table__)
    return [(marker, actor) for marker, actor in connection.execute(query)]


def mark(connection: Connection, id_: int, marker: str) -> None:
    connection.execute(update(Account).where(Account.id == id_).values(marker=marker))


def test_of_a_deadlock_only_the_survivor_is_in_the_trail_until_the_other_tries_again(audited: Engine) -> None:
    both_have_a_lock = threading.Barrier(2)
    survivor_has_committed = threading.Event()

    def mark_both(actor: str, first: int, second: int) -> int:
        """Return which attempt went through."""
        with audit_context(actor_id=actor), audited.connect() as connection:
            mark(connection, first, f"{actor}, attempt 1")
            both_have_a_lock.wait(PATIENCE)
            try:
                mark(connection, second, f"{actor}, attempt 1")
                connection.commit()
            except DBAPIError as error:
                if sqlstate(error) != DEADLOCK:
                    raise
                connection.rollback()
                # Before that, it could take the row that the survivor waits for, and the two would be where they were.
                assert survivor_has_committed.wait(PATIENCE)
                for id_ in (first, second):
                    mark(connection, id_, f"{actor}, attempt 2")
                connection.commit()
                return 2
            survivor_has_committed.set()
            return 1

    with ThreadPoolExecutor(2) as pool:
        of_ann, of_ben = pool.submit(mark_both, "ann", 1, 2), pool.submit(mark_both, "ben", 2, 1)
        attempts = {"ann": of_ann.result(PATIENCE), "ben": of_ben.result(PATIENCE)}
    assert sorted(attempts.values()) == [1, 2]
    with audited.connect() as connection:
        expected = [(f"{actor}, attempt {attempt}", actor) for actor, attempt in attempts.items() for _ in range(2)]
        assert sorted(recorded(connection)) == expected


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_of_a_serialization_failure_nothing_is_in_the_trail_until_it_is_tried_again(
    audited: Engine, level: str
) -> None:
    isolated = audited.execution_options(isolation_level=level)
    with audit_context(actor_id="slow"), isolated.connect() as slow:
        mark(slow, 1, "attempt 1")
        with audit_context(actor_id="fast"), isolated.begin() as fast:
            mark(fast, 2, "in between")
        with pytest.raises(DBAPIError) as failure:
            mark(slow, 2, "attempt 1")
        assert sqlstate(failure.value) == SERIALIZATION_FAILURE
        slow.rollback()
        for id_ in (1, 2):
            mark(slow, id_, "attempt 2")
        slow.commit()
    with audited.connect() as connection:
        assert recorded(connection) == [("in between", "fast"), ("attempt 2", "slow"), ("attempt 2", "slow")]


@pytest.mark.parametrize("order", ["as they began", "the last one first"])
def test_serializable_transactions_that_have_nothing_in_common_do_not_fail_for_the_trail(
    audited: Engine, order: str
) -> None:
    """What one of them reads of the trail to find its own row must not be what another one writes."""
    writes = [
        [update(Account).where(Account.id == 1).values(marker=marker) for marker in ("first", "second")],
        [insert(Note).values(name=marker, marker=marker) for marker in ("first", "second")],
        [insert(Slot).values(position=number, marker=str(number)) for number in (1, 2)],
        [insert(Event).values(id=number, year=number, marker=str(number)) for number in (1, 2)],
    ]
    isolated = audited.execution_options(isolation_level="SERIALIZABLE")
    with ExitStack() as stack:
        connections = [stack.enter_context(isolated.connect()) for _ in writes]
        for turn in range(2):
            for number, connection in enumerate(connections):
                with audit_context(actor_id=f"writer {number}"):
                    connection.execute(writes[number][turn])
        for connection in connections if order == "as they began" else reversed(connections):
            connection.commit()
    with audited.connect() as connection:
        query = (
            select(Activity.table_name, Transaction.actor_id, func.count(Activity.transaction_id.distinct()))
            .join(Transaction, Transaction.id == Activity.transaction_id)
            .where(Transaction.actor_id.is_not(None))
            .group_by(Activity.table_name, Transaction.actor_id)
            .order_by(Transaction.actor_id)
        )
        assert [tuple(row) for row in connection.execute(query)] == [
            (table, f"writer {number}", 1) for number, table in enumerate(("accounts", "notes", "slots", "events"))
        ]


@pytest.mark.parametrize("make_engine", [threads, asyncio_with_psycopg, asyncio_with_asyncpg])
def test_what_is_committed_is_in_the_trail_though_writers_fail_and_the_server_is_killed(
    mortal: ThrowawayServer, database: URL, make_engine: type[Engine | AsyncEngine]
) -> None:
    """Sixteen writers, with deadlocks, serialization failures, errors, savepoints and a SIGKILL of all processes.

    Each table can be rebuilt from the trail, which names the actor of each change. A transaction whose commit
    the server did not answer is there as a whole or not at all.
    """
    install(database)
    ledger = Ledger()
    asyncio.run(disturbed_writers(mortal, make_engine(database), ledger))
    assert ledger.commits >= WRITERS * TRANSACTIONS // 2
    assert ledger.errors["disconnected"] > 0
    engine = create_engine(database)
    with engine.connect() as connection:
        ledger.check(connection)
    engine.dispose()


async def disturbed_writers(server: ThrowawayServer, engine: Engine | AsyncEngine, ledger: Ledger) -> None:
    """Have the writers write, and kill the server when they have done half of it."""
    loop = asyncio.get_running_loop()
    is_up, half_done = asyncio.Event(), asyncio.Event()
    is_up.set()
    ledger.call_after(WRITERS * TRANSACTIONS // 2, lambda: loop.call_soon_threadsafe(half_done.set))

    async def write(writer: int) -> None:
        for turn in range(TRANSACTIONS):
            for attempt in range(ATTEMPTS):
                await is_up.wait()
                if await transacted(f"{writer}.{turn}.{attempt}"):
                    break
            else:
                raise AssertionError(f"writer {writer} does not get through")

    async def transacted(name: str) -> bool:
        with contextlib.suppress(Disconnected):
            if isinstance(engine, AsyncEngine):
                async with engine.connect() as connection:
                    return await connection.run_sync(transact, name, ledger) == "committed"
            return await loop.run_in_executor(pool, transacted_in_thread, engine, name, ledger)
        return False

    def kill_and_start() -> None:
        server.kill()
        server.start()

    async def kill() -> None:
        await half_done.wait()
        is_up.clear()
        await asyncio.to_thread(kill_and_start)
        is_up.set()

    audit_log.attach(engine)
    with ThreadPoolExecutor(WRITERS) as pool:
        await asyncio.wait_for(asyncio.gather(kill(), *map(write, range(WRITERS))), PATIENCE)
    audit_log.detach(engine)
    if isinstance(engine, AsyncEngine):
        await engine.dispose()
    else:
        engine.dispose()


def transacted_in_thread(engine: Engine, name: str, ledger: Ledger) -> bool:
    with engine.connect() as connection:
        return transact(connection, name, ledger) == "committed"
