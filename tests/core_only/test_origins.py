"""Who gave a record its present values: the last activity of its present life that set each column."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import HistoryError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.core_only.shop import Customer, Explain, Line, Order, Person, Unaudited, audit_log, opened
from tests.core_only.test_inheritance import Van, commit
from tests.core_only.test_inheritance import log as vehicles_log
from tests.core_only.test_inheritance import session as vehicles
from tests.core_only.test_reading_history import run

__all__ = ["vehicles"]


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def told(session: Session, query: Any) -> dict[str, str | None]:
    """Name the activity of each column by its verb and its place among all."""
    ids = list(session.scalars(text("SELECT id FROM activity ORDER BY id")))
    return {
        column: None if activity is None else f"{activity.verb} {ids.index(activity.id)}"
        for column, activity in session.execute(query)
    }


def test_a_column_is_of_the_activity_that_set_it_last(session: Session) -> None:
    run(
        session,
        "INSERT INTO customers VALUES (1, 'Ann')",
        "INSERT INTO orders VALUES (1, 1, 1, 'OPEN')",
        "UPDATE orders SET total = 2",
        "UPDATE orders SET state = 'PAID'",
        "UPDATE orders SET total = 3",
        "INSERT INTO lines VALUES (1, 1, 'pen'), (1, 2, 'cup')",
        "UPDATE lines SET article = 'pot' WHERE number = 2",
    )
    # Of this table only what changed is recorded.
    assert told(session, audit_log.origins(Order, 1)) == {
        "id": "insert 1",
        "customer_id": "insert 1",
        "total": "update 4",
        "state": "update 3",
        "at": "insert 1",
    }
    assert told(session, audit_log.origins(Line, (1, 2))) == {
        "order_id": "insert 6",
        "number": "insert 6",
        "article": "update 7",
    }
    (order,) = session.scalars(audit_log.history(Order, 1).limit(1))
    assert told(session, audit_log.origins(session.get_one(Order, 1)))["total"] == "update 4"
    assert order.changes["total"][1] == 3


def test_what_is_not_recorded_is_of_nobody_and_what_is_masked_of_who_set_it(session: Session) -> None:
    run(
        session,
        "INSERT INTO people VALUES (1, 'Ann', 'red', 'x', 20)",
        "UPDATE people SET ssn = 'y', hair = 'grey'",
    )
    assert told(session, audit_log.origins(Person, 1)) == {
        "id": "insert 0",
        "name": "insert 0",
        "hair": None,
        "ssn": "update 1",
        "age": "insert 0",
    }


def test_a_record_that_was_deleted_is_of_who_did_it_until_it_is_made_again(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')", "DELETE FROM customers")
    assert set(told(session, audit_log.origins(Customer, 1)).values()) == {"delete 1"}
    run(session, "INSERT INTO customers VALUES (1, 'Bea')")
    assert set(told(session, audit_log.origins(Customer, 1)).values()) == {"insert 2"}
    assert set(told(session, audit_log.origins(Customer, 2)).values()) == {None}


def test_a_key_that_changed_is_followed(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')", "UPDATE customers SET id = 5")
    assert told(session, audit_log.origins(Customer, 5)) == {"id": "update 1", "name": "insert 0", "code": "insert 0"}


def test_a_snapshot_says_what_was_there(session: Session) -> None:
    run(session, "ALTER TABLE customers DISABLE TRIGGER USER", "INSERT INTO customers VALUES (1, 'Ann')")
    run(session, "ALTER TABLE customers ENABLE TRIGGER USER", "UPDATE customers SET code = 'a'")
    assert told(session, audit_log.origins(Customer, 1)) == {"id": None, "name": None, "code": "update 0"}
    session.commit()
    with session.get_bind().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:  # type: ignore[union-attr]
        connection.execute(text("INSERT INTO customers VALUES (2, 'Ben')"))
        connection.execute(text("SET audit_logger.maintenance = on"))
        connection.execute(text("DELETE FROM activity WHERE row_key = '2'"))
        connection.execute(text("RESET audit_logger.maintenance"))
        connection.execute(text("CALL audit_logger_snapshot('customers', 100)"))
    assert {str(each).split()[0] for each in told(session, audit_log.origins(Customer, 2)).values()} == {"snapshot"}


def test_a_model_in_several_tables_has_the_columns_of_all(vehicles: Session) -> None:
    commit(vehicles, Van(id=1, name="Vic", payload=9, van_name="V"))
    run(vehicles, "UPDATE vehicles SET name = 'new'", "UPDATE vans SET payload = 0")
    found = told(vehicles, vehicles_log.origins(Van, 1))
    assert set(found) == {"van_id", "payload", "name", "kind", "vehicles_name"}
    assert [name for name, each in found.items() if each and each.startswith("update")] == ["payload", "vehicles_name"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((Customer,), r"Write origins\(obj\), or origins\(Model, key\)"),
        ((Unaudited, 1), "is not audited"),
        ((Line, 1), r"it takes a tuple \(order_id, number\)"),
    ],
)
def test_what_cannot_be_asked(asked: tuple[Any, ...], message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        audit_log.origins(*asked)


def test_it_reads_the_index(session: Session) -> None:
    run(session, "INSERT INTO customers SELECT n, 'n' FROM generate_series(1, 50000) AS n", "ANALYZE activity")
    plan = session.execute(Explain(audit_log.origins(Customer, 40000))).scalars().all()
    scans = [line.strip() for line in plan if " on activity_open" in line]
    assert scans
    assert [line for line in scans if "Seq Scan" in line] == []
    assert set(told(session, audit_log.origins(Customer, 40000)).values()) == {"insert 39999"}


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_an_async_session_asks_too(shop_engine: Engine, driver: str) -> None:
    async def ask() -> list[str]:
        engine = create_async_engine(shop_engine.url.set(drivername=f"postgresql+{driver}"))
        async with AsyncSession(engine) as session:
            found = (await session.execute(audit_log.origins(Customer, 1))).all()
        await engine.dispose()
        return [column for column, activity in found if activity is not None]

    with opened(shop_engine) as session:
        run(session, "INSERT INTO customers VALUES (1, 'Ann')")
        session.commit()
    assert asyncio.run(ask()) == ["id", "name", "code"]


def test_psycopg2_asks_too(shop_engine: Engine) -> None:
    with opened(shop_engine) as session:
        run(session, "INSERT INTO customers VALUES (1, 'Ann')")
        session.commit()
    other = create_engine(shop_engine.url.set(drivername="postgresql+psycopg2"))
    with Session(other) as session:
        assert set(told(session, audit_log.origins(Customer, 1)).values()) == {"insert 0"}
    other.dispose()
