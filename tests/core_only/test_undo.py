"""Changes can be taken back, and nothing else is lost by it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, HistoryError, UndoConflictError, audit_context
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, create_engine, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.core_only.shop import Base, Customer, audit_log, now, opened

Transaction = audit_log.transaction_cls
TABLES = [table for table in Base.metadata.sorted_tables if table.info.get("versioned") is not None]


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def commit(session: Session, *statements: str, **context: Any) -> int:
    """Run statements in a transaction of their own, and return its id in the trail."""
    with audit_context(**context):
        for statement in statements:
            session.execute(text(statement))
    session.commit()
    return last_transaction(session)


def last_transaction(session: Session) -> int:
    found = session.scalar(select(Transaction.id).order_by(Transaction.id.desc()).limit(1))
    assert found is not None
    return found


def held(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    """What all tables hold."""
    found = {table.name: sorted(tuple(row) for row in session.execute(select(table))) for table in TABLES}
    session.rollback()
    return {name: rows for name, rows in found.items() if rows}


def undo(session: Session, what: Any, **options: Any) -> int:
    transaction = audit_log.plan_undo(session, what).apply(**options)
    assert transaction is not None
    session.commit()
    return transaction.id


def test_inserts_updates_and_deletes_are_taken_back_by_an_audited_transaction(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A'), (2, 'Ben', NULL)")
    before = held(session)
    done = commit(
        session,
        "INSERT INTO customers VALUES (3, 'Cid')",
        "UPDATE customers SET name = 'Anna' WHERE id = 1",
        "DELETE FROM customers WHERE id = 2",
        "UPDATE customers SET id = 4 WHERE id = 1",
    )
    after = held(session)
    plan = audit_log.plan_undo(session, done)
    assert [(step.action, step.table_name, step.row_key, step.columns) for step in plan.steps] == [
        ("update", "customers", "4", ("id",)),
        ("insert", "customers", "2", ("id", "code", "name")),
        ("update", "customers", "1", ("name",)),
        ("delete", "customers", "3", ()),
    ]
    assert plan.conflicts == []
    session.commit()
    assert held(session) == after
    with audit_context(actor_id="ann"):
        transaction = plan.apply()
    assert transaction is not None
    session.commit()
    assert held(session) == before
    assert (transaction.meta, transaction.actor_id) == ({"undoes": done}, "ann")
    assert len(transaction.activities) == 4
    # The undo can be undone, and then the transaction can be undone again.
    undo(session, transaction)
    assert held(session) == after
    undo(session, done)
    assert held(session) == before


def test_what_was_undone_cannot_be_undone_twice(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    plan = audit_log.plan_undo(session, done)
    by = undo(session, done)
    for again in (lambda: audit_log.plan_undo(session, done), plan.apply):
        with pytest.raises(HistoryError, match=f"Transaction {done} was undone by transaction {by} already"):
            again()


def test_later_changes_of_other_columns_stay(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A')")
    done = commit(session, "UPDATE customers SET name = 'wrong'")
    commit(session, "UPDATE customers SET code = 'B'")
    undo(session, done)
    assert held(session) == {"customers": [(1, "Ann", "B")]}


def test_columns_that_were_changed_since_are_a_conflict(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A'), (2, 'Ben', 'B')")
    done = commit(session, "UPDATE customers SET name = 'wrong'")
    commit(session, "UPDATE customers SET name = 'Anna' WHERE id = 1")
    before = held(session)
    plan = audit_log.plan_undo(session, done)
    assert [(each.kind, each.message) for each in plan.conflicts] == [
        ("changed", "customers 1 was changed since: name")
    ]
    with pytest.raises(UndoConflictError, match=r"1 conflicts: customers 1 was changed since: name\. Leave them out"):
        plan.apply()
    session.commit()
    assert held(session) == before
    undo(session, done, on_conflict="skip")
    assert held(session) == {"customers": [(1, "Anna", "A"), (2, "Ben", "B")]}


@pytest.mark.parametrize(
    ("done", "since", "kind", "message"),
    [
        ("UPDATE customers SET name = 'x'", "DELETE FROM customers WHERE id = 1", "gone", "customers 1 is gone"),
        (
            "DELETE FROM customers WHERE id = 1",
            "INSERT INTO customers VALUES (1, 'other')",
            "exists",
            "customers 1 exists again, with other values",
        ),
        (
            "INSERT INTO customers VALUES (3, 'Cid')",
            "UPDATE customers SET name = 'x' WHERE id = 3",
            "changed",
            "customers 3 was changed since: name",
        ),
        (
            "DELETE FROM customers WHERE id = 1",
            "UPDATE customers SET code = 'A' WHERE id = 2",
            "constraint",
            "customers_code_key",
        ),
        (
            "INSERT INTO customers VALUES (3, 'Cid')",
            "INSERT INTO orders VALUES (1, 3, 5, 'OPEN')",
            "cascade",
            "customers 3: it cannot go without orders 1",
        ),
        (
            "DELETE FROM orders WHERE id = 7",
            "DELETE FROM customers WHERE id = 2",
            "constraint",
            "orders_customer_id_fkey",
        ),
        ("TRUNCATE deliveries, people", "INSERT INTO people VALUES (5)", "", ""),
        ("TRUNCATE orders CASCADE", "SELECT 1", "unknown", "truncate of orders: the rows were not recorded"),
        ("UPDATE people SET ssn = '5'", "SELECT 1", "unknown", "people 1: the value of ssn is masked"),
    ],
)
def test_conflicts_change_nothing(session: Session, done: str, since: str, kind: str, message: str) -> None:
    commit(
        session,
        "INSERT INTO customers VALUES (1, 'Ann', 'A'), (2, 'Ben', 'B')",
        "INSERT INTO orders VALUES (7, 2, 5, 'OPEN')",
        *(["INSERT INTO people VALUES (1, 'Ann', '', '1', 1)"] if "people SET" in done else []),
    )
    transaction = commit(session, done)
    if not kind:
        return
    commit(session, since)
    before = held(session)
    plan = audit_log.plan_undo(session, transaction)
    assert [each.kind for each in plan.conflicts] == [kind]
    assert message in plan.conflicts[0].message
    with pytest.raises(UndoConflictError):
        plan.apply()
    session.commit()
    assert held(session) == before


def test_a_trigger_that_keeps_a_row_is_a_conflict(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    session.execute(text("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"))
    session.execute(
        text("CREATE TRIGGER keep BEFORE DELETE ON customers FOR EACH ROW EXECUTE FUNCTION keep()"),
    )
    session.commit()
    plan = audit_log.plan_undo(session, done)
    assert [each.message for each in plan.conflicts] == ["customers 1: a trigger keeps it as it is"]


def test_what_changed_after_the_plan_is_found(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    plan = audit_log.plan_undo(session, done)
    assert plan.conflicts == []
    commit(session, "UPDATE customers SET name = 'Anna'")
    with pytest.raises(UndoConflictError, match="changed since"):
        plan.apply()


def test_references_are_followed_in_order(session: Session) -> None:
    commit(
        session,
        "INSERT INTO customers VALUES (1, 'Ann')",
        "INSERT INTO orders VALUES (1, 1, 0.100000000000000001, 'PAID', '2026-01-01 00:00+00')",
        "INSERT INTO lines VALUES (1, 1, 'ink'), (1, 2, 'pen')",
    )
    before = held(session)
    cascade = commit(session, "DELETE FROM customers")
    assert held(session) == {}
    undo(session, cascade)
    assert held(session) == before
    renumbered = commit(session, "UPDATE customers SET id = 5")
    undo(session, renumbered)
    assert held(session) == before


def test_changes_of_a_row_wait_for_what_it_references(session: Session) -> None:
    """A cascade is recorded after the row that it comes from, so the order comes back later than its customer."""
    commit(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    before = held(session)
    done = commit(session, "UPDATE orders SET total = 6", "DELETE FROM customers")
    undo(session, done)
    assert held(session) == before


def test_a_row_in_conflict_leaves_the_others_of_its_statement_alone(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben'), (3, 'Cid')")
    commit(session, "INSERT INTO orders VALUES (1, 2, 5, 'OPEN')")
    plan = audit_log.plan_undo(session, done)
    assert [each.message for each in plan.conflicts] == ["customers 2: it cannot go without orders 1"]
    undo(session, done, on_conflict="skip")
    assert [row[0] for row in held(session)["customers"]] == [2]


def test_keys_that_changed_places(session: Session) -> None:
    log = AuditLog(MetaData())
    slots = Table("slots", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    session.execute(text("CREATE TABLE slots (id int PRIMARY KEY DEFERRABLE, name text)"))
    log.install(session.connection())
    commit(session, "INSERT INTO slots VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    done = commit(session, "UPDATE slots SET id = 4 - id")
    plan = log.plan_undo(session, done)
    assert plan.conflicts == []
    plan.apply()
    assert session.execute(text("SELECT id, name FROM slots ORDER BY id")).all() == [(1, "a"), (2, "b"), (3, "c")]
    assert slots.name == "slots"


@pytest.mark.parametrize("initially", ["DEFERRED", "IMMEDIATE"])
def test_constraints_wait_as_usual_afterwards(session: Session, initially: str) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    commit(
        session,
        f"ALTER TABLE orders ALTER CONSTRAINT orders_customer_id_fkey DEFERRABLE INITIALLY {initially}",
        'CREATE TABLE odd ("a:b\'" int PRIMARY KEY DEFERRABLE)',
    )
    audit_log.plan_undo(session, done).apply()
    orphan = text("INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    if initially == "IMMEDIATE":
        with pytest.raises(IntegrityError):
            session.execute(orphan)
        session.rollback()
    else:
        session.execute(orphan)
        with pytest.raises(IntegrityError):
            session.commit()


def test_a_reference_that_would_be_lost_is_a_conflict(session: Session) -> None:
    log = AuditLog(MetaData())
    Table("parents", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    Table(
        "children",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("parent", ForeignKey("parents.id", ondelete="SET NULL")),
        info={"versioned": {}},
    )
    log.metadata.create_all(session.connection())
    log.install(session.connection())
    done = commit(session, "INSERT INTO parents VALUES (1)")
    commit(session, "INSERT INTO children VALUES (1, 1)")
    assert [each.message for each in log.plan_undo(session, done).conflicts] == [
        "parents 1: it cannot go without children 1"
    ]


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg"])
def test_other_drivers(shop_engine: Engine, session: Session, driver: str) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A'), (2, 'Ben', 'B')")
    before = held(session)
    done = commit(session, "UPDATE customers SET id = id + 2, name = 'x'", "DELETE FROM customers WHERE id = 4")

    def take_back(session: Session) -> None:
        undo(session, done)

    async def take_back_asynchronously() -> None:
        engine = create_async_engine(shop_engine.url.set(drivername="postgresql+asyncpg"))
        audit_log.attach(engine)
        async with AsyncSession(engine) as async_session:
            await async_session.run_sync(take_back)
        audit_log.detach(engine)
        await engine.dispose()

    if driver == "asyncpg":
        asyncio.run(take_back_asynchronously())
    else:
        engine = create_engine(shop_engine.url.set(drivername="postgresql+psycopg2"))
        audit_log.attach(engine)
        with Session(engine) as other:
            take_back(other)
        audit_log.detach(engine)
        engine.dispose()
    assert held(session) == before


def test_identity_and_generated_columns(session: Session) -> None:
    log = AuditLog(MetaData())
    session.connection().exec_driver_sql(
        "CREATE TABLE things (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int,"
        ' "twice:x%%" int GENERATED ALWAYS AS (n * 2) STORED)'
    )
    Table("things", log.metadata, autoload_with=session.connection(), info={"versioned": {}})
    log.install(session.connection())
    commit(session, "INSERT INTO things (n) VALUES (1), (2)")
    done = commit(session, "UPDATE things SET n = 5", "DELETE FROM things")
    log.plan_undo(session, done).apply()
    assert session.execute(text("SELECT * FROM things ORDER BY id")).all() == [(1, 1, 2), (2, 2, 4)]


def test_single_activities(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    commit(session, "UPDATE customers SET name = 'wrong'")
    (latest,) = session.scalars(audit_log.history(Customer, 1).limit(1))
    transaction = audit_log.plan_undo(session, latest).apply()
    assert transaction is not None
    assert transaction.meta == {"undoes": {"activities": [latest.id]}}
    session.commit()
    assert held(session) == {"customers": [(1, "Ann", None), (2, "wrong", None)]}
    rest = session.scalars(audit_log.activities(verb="insert")).all()
    with pytest.raises(UndoConflictError, match="customers 2 was changed since"):
        audit_log.plan_undo(session, rest).apply()


def test_excluded_columns_get_their_default_and_keep_what_they_have(session: Session) -> None:
    commit(session, "INSERT INTO people VALUES (1, 'Ann', 'red', '1', 1)")
    done = commit(session, "UPDATE people SET name = 'wrong', hair = 'blue'")
    undo(session, done)
    assert held(session) == {"people": [(1, "Ann", "blue", "1", 1)]}
    gone = commit(session, "DELETE FROM people")
    undo(session, gone)
    assert held(session) == {"people": [(1, "Ann", None, None, None)]}


def test_objects_of_the_session_see_it(session: Session) -> None:
    ann = Customer(id=1, name="Ann")
    session.add(ann)
    session.commit()
    ann.name = "wrong"
    session.commit()
    done = last_transaction(session)
    assert ann.name == "wrong"
    audit_log.plan_undo(session, done).apply()
    assert ann.name == "Ann"


def test_what_is_left_out_is_not_taken_along_by_a_cascade(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    commit(session, "UPDATE orders SET total = 6")
    plan = audit_log.plan_undo(session, done)
    assert [each.kind for each in plan.conflicts] == ["changed", "cascade"]
    assert plan.apply("skip") is None
    session.commit()
    assert set(held(session)) == {"customers", "orders"}


def test_a_failure_takes_all_of_it_back(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    commit(session, "CREATE TABLE notes (customer int REFERENCES customers DEFERRABLE)", "INSERT INTO notes VALUES (1)")
    before = held(session)
    plan = audit_log.plan_undo(session, done)
    assert [each.kind for each in plan.conflicts] == ["constraint"]
    for on_conflict in ("abort", "skip"):
        with pytest.raises(UndoConflictError, match="notes_customer_fkey"):
            plan.apply(on_conflict)  # type: ignore[arg-type]
        session.commit()
        assert held(session) == before


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE orders SET id = 7"],
        ["UPDATE orders SET id = 7", "UPDATE lines SET article = 'x'"],
        ["UPDATE lines SET article = 'x'", "UPDATE orders SET id = 7"],
        ["UPDATE orders SET id = 7", "UPDATE orders SET id = 8"],
        ["UPDATE lines SET number = number + 5", "UPDATE orders SET id = 7", "DELETE FROM lines"],
        ["UPDATE lines SET number = number + 5", "UPDATE orders SET id = 7", "DELETE FROM customers"],
    ],
)
def test_a_key_that_a_cascade_carried_on_comes_back_with_it(session: Session, statements: list[str]) -> None:
    commit(
        session,
        "INSERT INTO customers VALUES (1, 'Ann')",
        "INSERT INTO orders VALUES (1, 1, 5, 'OPEN'), (2, 1, 5, 'OPEN')",
        "INSERT INTO lines VALUES (1, 1, 'a'), (1, 2, 'b')",
        "DELETE FROM orders WHERE id = 2",
        "INSERT INTO deliveries VALUES (1, 1, 1)",
    )
    before = held(session)
    done = commit(session, *statements)
    plan = audit_log.plan_undo(session, done)
    assert plan.conflicts == []
    undo(session, done)
    assert held(session) == before


def test_a_row_that_has_the_old_key_and_is_another_one_is_no_answer(session: Session) -> None:
    commit(
        session,
        "INSERT INTO customers VALUES (1, 'Ann')",
        "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')",
        "INSERT INTO lines VALUES (1, 1, 'a')",
    )
    done = commit(session, "UPDATE lines SET number = 2")
    commit(session, "DELETE FROM lines", "INSERT INTO lines VALUES (1, 1, 'other')")
    plan = audit_log.plan_undo(session, done)
    assert [each.message for each in plan.conflicts] == ["lines [1, 2] is gone"]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_conflicts_name_the_constraint_and_no_values(session: Session, driver: str) -> None:
    """What is masked, or not recorded, stands in PostgreSQL's details."""
    session.execute(text("ALTER TABLE people ADD UNIQUE (ssn), ADD CHECK (hair <> 'secret'), ALTER name SET NOT NULL"))
    session.execute(text("CREATE UNIQUE INDEX by_age ON people (age, hair)"))
    commit(session, "INSERT INTO people VALUES (1, 'Ann', 'secret-red', 'secret-1', 41)")
    done = commit(session, "DELETE FROM people")
    session.execute(text("ALTER TABLE people ALTER hair SET DEFAULT 'secret'"))
    session.commit()

    def messages() -> list[str]:
        if driver != "asyncpg":
            engine = create_engine(session.connection().engine.url.set(drivername=f"postgresql+{driver}"))
            audit_log.attach(engine)
            with Session(engine) as own:
                found = [each.message for each in audit_log.plan_undo(own, done).conflicts]
            engine.dispose()
            return found

        async def ask() -> list[str]:
            engine = create_async_engine(session.connection().engine.url.set(drivername="postgresql+asyncpg"))
            audit_log.attach(engine)
            try:
                async with AsyncSession(engine) as own:
                    plan = await own.run_sync(lambda sync: audit_log.plan_undo(sync, done))
            finally:
                await engine.dispose()
            return [each.message for each in plan.conflicts]

        return asyncio.run(ask())

    assert messages() == [
        'people 1: the check constraint "people_hair_check" of people (hair) prevents it (SQLSTATE 23514)'
    ]
    session.execute(text("ALTER TABLE people ALTER hair SET DEFAULT 'secret-blue', ALTER ssn SET DEFAULT 'secret-2'"))
    commit(session, "INSERT INTO people VALUES (2, 'Ben', 'x', 'secret-2', 1)")
    assert messages() == [
        'people 1: the unique constraint "people_ssn_key" of people (ssn) prevents it (SQLSTATE 23505)'
    ]
    session.execute(text("ALTER TABLE people ALTER ssn DROP DEFAULT, ALTER age SET DEFAULT 1"))
    session.execute(text("ALTER TABLE people ALTER hair SET DEFAULT 'x'"))
    session.commit()
    assert messages() == ['people 1: the unique constraint "by_age" of people (age, hair) prevents it (SQLSTATE 23505)']
    session.execute(text("DELETE FROM people"))
    session.execute(text("ALTER TABLE people ALTER age DROP DEFAULT, ALTER ssn SET NOT NULL"))
    session.commit()
    (message,) = messages()
    assert message.startswith("people 1: the not-null constraint")
    assert message.endswith("of people (ssn) prevents it (SQLSTATE 23502)")
    session.execute(text("ALTER TABLE people ALTER ssn DROP NOT NULL, ALTER name TYPE varchar(2)"))
    session.commit()
    assert messages() == ["people 1: a value does not fit the table as it is now (SQLSTATE 22001)"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (999, "There is no transaction 999 in the trail"),
        ("7", "'7' cannot be undone"),
        ([1, 2], "cannot be undone; give an AuditLogTransaction"),
        (None, "None cannot be undone"),
    ],
)
def test_what_cannot_be_undone(session: Session, what: Any, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        audit_log.plan_undo(session, what)


def test_bad_options_and_engines(session: Session, shop_engine: Engine) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    with pytest.raises(HistoryError, match="on_conflict is 'ignore'"):
        audit_log.plan_undo(session, done).apply("ignore")  # type: ignore[arg-type]
    with pytest.raises(HistoryError, match="neither a Session nor a Connection"):
        audit_log.plan_undo(shop_engine, done)  # type: ignore[arg-type]
    session.commit()
    audit_log.detach(shop_engine)
    with pytest.raises(ConfigurationError, match="needs an engine that is attached"):
        audit_log.plan_undo(session, done)
    session.rollback()


def test_a_row_is_restored_as_it_was(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A')")
    when = now(session)
    commit(session, "UPDATE customers SET name = 'Anna'", "UPDATE customers SET code = 'B'")
    transaction = audit_log.restore(session, Customer, 1, when)
    assert transaction is not None
    assert transaction.meta is not None
    assert transaction.meta["restores"]["row_key"] == "1"
    session.commit()
    assert held(session) == {"customers": [(1, "Ann", "A")]}
    assert audit_log.restore(session, Customer, 1, when) is None
    undo(session, transaction)
    assert held(session) == {"customers": [(1, "Anna", "B")]}


def test_a_deleted_row_comes_back_with_what_went_with_it(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    when = now(session)
    commit(
        session,
        "UPDATE customers SET name = 'Anna' WHERE id = 1",
        "INSERT INTO orders VALUES (1, 1, 5, 'OPEN'), (2, 2, 6, 'OPEN')",
        "INSERT INTO lines VALUES (1, 1, 'ink'), (2, 1, 'pen')",
    )
    just_before = now(session)
    before = held(session)
    commit(session, "DELETE FROM customers WHERE id = 1", "DELETE FROM lines WHERE order_id = 2")
    audit_log.restore(session, Customer, 1, just_before)
    session.commit()
    before["lines"].remove((2, 1, "pen"))
    assert held(session) == before
    commit(session, "DELETE FROM customers WHERE id = 1")
    audit_log.restore(session, Customer, 1, when)
    session.commit()
    before["customers"][0] = (1, "Ann", None)
    assert held(session) == before


def test_a_row_that_was_not_there_cannot_be_restored(session: Session) -> None:
    start = now(session) - dt.timedelta(days=1)
    commit(session, "INSERT INTO customers VALUES (1, 'Ann')", "DELETE FROM customers")
    with pytest.raises(HistoryError, match="'customers' 1 was gone at"):
        audit_log.restore(session, Customer, 1, now(session))
    with pytest.raises(HistoryError, match="begins at"):
        audit_log.restore(session, Customer, 1, start)


ids = st.integers(1, 4)
STATEMENTS = st.one_of(
    st.builds("INSERT INTO customers VALUES ({}, 'c{}')".format, ids, ids),
    st.builds("INSERT INTO orders VALUES ({}, {}, 5, 'OPEN')".format, ids, ids),
    st.builds("INSERT INTO lines SELECT id, {}, 'ink' FROM orders".format, ids),
    st.builds("INSERT INTO orders SELECT id, id, 5, 'PAID' FROM customers WHERE id <= {}".format, ids),
    st.builds("UPDATE customers SET name = name || '{}'".format, ids),
    st.builds("UPDATE customers SET id = {} WHERE id = {}".format, st.integers(5, 8), ids),
    st.builds("UPDATE customers SET id = {} WHERE id = {}".format, ids, st.integers(5, 8)),
    st.builds("UPDATE orders SET id = {}, customer_id = {} WHERE id = {}".format, ids, ids, ids),
    st.builds("DELETE FROM customers WHERE id = {}".format, ids),
    st.builds("DELETE FROM orders WHERE id >= {}".format, ids),
    st.builds("DELETE FROM lines WHERE number = {}".format, ids),
)


def test_undoing_everything_gives_the_empty_tables_back(shop_engine: Engine) -> None:
    with opened(shop_engine) as session:

        @settings(max_examples=25, deadline=None)
        @given(st.lists(st.lists(STATEMENTS, min_size=1, max_size=6), min_size=1, max_size=5))
        def check(transactions: list[list[str]]) -> None:
            states = [(0, held(session))]
            assert states[0][1] == {}
            for statements in transactions:
                for statement in statements:
                    with suppress(IntegrityError), session.begin_nested():
                        session.execute(text(statement))
                session.commit()
                newest = session.scalars(audit_log.activities().limit(1)).first()
                if newest is not None and newest.transaction_id not in undos | {states[-1][0]}:
                    states.append((newest.transaction_id, held(session)))
            for (_, before), (done, _) in reversed(list(pairwise(states))):
                plan = audit_log.plan_undo(session, done)
                assert plan.conflicts == []
                transaction = plan.apply()
                session.commit()
                assert held(session) == before
                # Where changes cancelled each other out, there is nothing to do.
                if transaction is not None:
                    undos.add(transaction.id)

        undos: set[int] = set()
        check()


def test_a_restore_takes_along_what_went_in_the_same_transaction_and_not_under_its_number(session: Session) -> None:
    """Numbers of transactions come again in another cluster."""
    commit(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    when = now(session)
    commit(session, "INSERT INTO orders VALUES (2, 1, 5, 'OPEN')")
    earlier = commit(session, "DELETE FROM orders WHERE id = 2")
    gone = commit(session, "DELETE FROM customers")
    session.execute(text("SET audit_logger.maintenance = on"))
    number = select(Transaction.native_transaction_id).where(Transaction.id == gone).scalar_subquery()
    activity = audit_log.activity_cls
    for model, column in ((Transaction, Transaction.id), (activity, activity.transaction_id)):
        session.execute(update(model).where(column == earlier).values(native_transaction_id=number))
    session.execute(text("RESET audit_logger.maintenance"))
    session.commit()
    audit_log.restore(session, Customer, 1, when)
    session.commit()
    assert [row[0] for row in held(session)["orders"]] == [1]
