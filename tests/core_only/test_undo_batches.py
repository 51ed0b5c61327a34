"""Rows that were written one by one are taken back together, with the same outcome as one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from audit_core import AuditLog
from audit_core.undo import UndoPlan
from audit_core.undo.reversal import Reversal
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Engine, ForeignKey, Integer, MetaData, Table, event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from tests.core_only.shop import Base, audit_log, opened, partitioned

TABLES = [table for table in Base.metadata.sorted_tables if table.info.get("versioned") is not None]

#: What a plan for rows of one kind may send, whatever their number up to 1,000: it is 25 to 30 today.
FEW = 40


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def one_by_one(session: Session, *statements: str, rows: int = 1000) -> int:
    """Run statements for each number ``r``, in a transaction of their own, and return its id in the trail."""
    session.execute(text(f"DO $$BEGIN FOR r IN 1..{rows} LOOP {'; '.join(statements)}; END LOOP; END$$"))
    session.commit()
    found = session.scalar(select(audit_log.transaction_cls.id).order_by(audit_log.transaction_cls.id.desc()).limit(1))
    assert found is not None
    return found


def held(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    return {table.name: sorted(tuple(row) for row in session.execute(select(table))) for table in TABLES}


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Everything that is sent, savepoints as well."""
    sent: list[str] = []

    def statement(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    def savepoint(conn: Connection, name: Any, *_: Any) -> None:
        sent.append(str(name))

    listeners = [("before_cursor_execute", statement)]
    listeners += [(name, savepoint) for name in ("savepoint", "rollback_savepoint", "release_savepoint")]
    for name, listener in listeners:
        event.listen(engine, name, listener)
    yield sent
    for name, listener in listeners:
        event.remove(engine, name, listener)


CUSTOMER, ORDER = "INSERT INTO customers VALUES (r, 'x')", "INSERT INTO orders VALUES (r, r, 1, 'OPEN')"
NAME, CODE = "UPDATE customers SET name = 'y' WHERE id = r", "UPDATE customers SET code = r WHERE id = r"
KEY = "UPDATE customers SET id = r + 5000 WHERE id = r"
TOTAL, DELETE = "UPDATE orders SET total = 2 WHERE id = r", "DELETE FROM customers WHERE id = r"


@pytest.mark.parametrize(
    ("before", "statements", "changes"),
    [
        ([], [CUSTOMER], 1),
        ([CUSTOMER], [NAME], 1),
        ([CUSTOMER], [DELETE], 1),
        ([], [CUSTOMER, ORDER], 2),
        ([CUSTOMER, ORDER], [DELETE], 2),
        ([], [CUSTOMER, ORDER, TOTAL, NAME], 4),
        ([CUSTOMER], [NAME, CODE], 2),
        ([CUSTOMER], [DELETE, CUSTOMER, CODE], 3),
        ([CUSTOMER], [KEY], 1),
        ([CUSTOMER], [KEY, "UPDATE customers SET id = r + 9000 WHERE id = r + 5000"], 2),
    ],
    ids="insert,update,delete,children,cascade,written again,updated twice,replaced,key,key twice".split(","),
)
def test_rows_written_one_by_one_take_few_statements(
    session: Session, shop_engine: Engine, before: list[str], statements: list[str], changes: int
) -> None:
    rows = 1000 // changes
    if before:
        one_by_one(session, *before, rows=rows)
    was = held(session)
    done = one_by_one(session, *statements, rows=rows)
    with counted(shop_engine) as sent:
        plan = audit_log.plan_undo(session, done)
    assert 0 < len(sent) < FEW
    assert plan.conflicts == []
    ids = [each.activity_id for each in plan.steps]
    assert (len(ids), ids) == (rows * changes, sorted(ids, reverse=True))
    with counted(shop_engine) as sent:
        plan.apply()
    assert 0 < len(sent) < FEW
    assert held(session) == was


def test_keys_that_references_follow_take_few_statements(session: Session, shop_engine: Engine) -> None:
    """The changes of the references are recorded as well, and are taken back by the cascade."""
    one_by_one(session, CUSTOMER, ORDER, "INSERT INTO lines VALUES (r, 1, 'ink')", rows=330)
    was = held(session)
    done = one_by_one(session, KEY, "UPDATE orders SET id = r + 5000 WHERE id = r", rows=330)
    with counted(shop_engine) as sent:
        plan = audit_log.plan_undo(session, done)
    assert 0 < len(sent) < 2 * FEW
    assert (len(plan.steps), plan.conflicts) == (660, [])
    plan.apply()
    assert held(session) == was


def test_a_key_is_not_carried_on_before_its_turn(session: Session) -> None:
    """Taken back at once, the first customer would take the order along, which is to go to the second one."""
    customers = "INSERT INTO customers VALUES (1, 'x'), (2, 'y')"
    one_by_one(session, customers, "INSERT INTO orders VALUES (1, 2, 5, 'OPEN')", rows=1)
    was = held(session)
    done = one_by_one(
        session,
        "UPDATE customers SET id = 3 WHERE id = 2",
        "UPDATE customers SET id = 2 WHERE id = 1",
        "UPDATE orders SET customer_id = 2",
        rows=1,
    )
    plan = audit_log.plan_undo(session, done)
    assert plan.conflicts == []
    plan.apply()
    assert held(session) == was


def test_rows_of_a_partitioned_table_take_few_statements(session: Session, shop_engine: Engine) -> None:
    log = AuditLog(MetaData())
    partitioned(log, session.connection())
    log.install(session.connection())
    session.commit()
    done = one_by_one(session, "INSERT INTO events SELECT n, n % 2 + 1 FROM generate_series(1, 1000) AS n", rows=1)
    with counted(shop_engine) as sent:
        plan = log.plan_undo(session, done)
    assert (len(plan.steps), plan.conflicts) == (1000, [])
    assert 0 < len(sent) < FEW
    plan.apply()
    assert session.scalar(text("SELECT count(*) FROM events")) == 0


@pytest.mark.parametrize("statement", [CUSTOMER, CUSTOMER.replace("(r,", "(generate_series(1, 1000),")])
def test_what_is_refused_is_found_among_others(session: Session, shop_engine: Engine, statement: str) -> None:
    """Also where one statement wrote all rows."""
    done = one_by_one(session, statement, rows=1000 if statement == CUSTOMER else 1)
    session.execute(text("INSERT INTO orders VALUES (7, 300, 1, 'OPEN'), (8, 777, 1, 'OPEN')"))
    session.execute(text("UPDATE customers SET name = 'z' WHERE id IN (301, 999)"))
    session.commit()
    with counted(shop_engine) as sent:
        plan = audit_log.plan_undo(session, done)
    assert len(plan.steps) == 996
    assert [each.message for each in plan.conflicts] == [
        "customers 999 was changed since: name",
        "customers 777: it cannot go without orders 8",
        "customers 301 was changed since: name",
        "customers 300: it cannot go without orders 7",
    ]
    # Each is found by halves.
    assert 0 < len(sent) < 500


def test_one_that_waits_in_vain_does_not_hold_the_others_up(session: Session, shop_engine: Engine) -> None:
    """A cascade is recorded before what it deletes, and each customer may be the one that an order waits for."""
    one_by_one(session, "INSERT INTO customers VALUES (r, 'x', r)", ORDER, rows=500)
    done = one_by_one(session, DELETE, rows=500)
    session.execute(text("INSERT INTO customers VALUES (1000, 'y', 250)"))
    session.commit()
    with counted(shop_engine) as sent:
        plan = audit_log.plan_undo(session, done)
    assert [(each.kind, each.message[:13]) for each in plan.conflicts] == [
        ("constraint", "orders 250: t"),
        ("constraint", "customers 250"),
    ]
    assert len(plan.steps) == 998
    assert 0 < len(sent) < 500


def test_a_lock_that_is_not_had_is_waited_for_once(session: Session, shop_engine: Engine) -> None:
    done = one_by_one(session, CUSTOMER)
    with shop_engine.begin() as other:
        other.execute(text("SELECT FROM customers WHERE id = 500 FOR UPDATE"))
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with counted(shop_engine) as sent, pytest.raises(OperationalError, match="lock timeout"):
            audit_log.plan_undo(session, done)
        assert 0 < len(sent) < FEW
        session.rollback()


def test_what_a_trigger_raises_is_raised(session: Session) -> None:
    """One after the other, a trigger may let rows go that it does not let go in another order."""
    done = one_by_one(session, CUSTOMER, ORDER, rows=20)
    session.execute(
        text(
            "CREATE FUNCTION in_order() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
            "IF (SELECT max(id) FROM customers) > OLD.id THEN RAISE 'not the last one'; END IF; RETURN OLD; END$$"
        )
    )
    session.execute(
        text("CREATE TRIGGER in_order AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION in_order()"),
    )
    session.commit()
    plan = audit_log.plan_undo(session, done)
    assert (len(plan.steps), plan.conflicts) == (40, [])
    session.execute(text("INSERT INTO customers VALUES (21, 'x')"))
    session.commit()
    with pytest.raises(DBAPIError, match="not the last one"):
        audit_log.plan_undo(session, done)


def test_a_row_in_conflict_is_not_taken_along_by_a_cascade_of_its_own_statement(session: Session) -> None:
    log = AuditLog(MetaData())
    Table(
        "nodes",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("parent", ForeignKey("nodes.id", ondelete="CASCADE")),
        Column("size", Integer),
        info={"versioned": {}},
    )
    log.metadata.create_all(session.connection())
    log.install(session.connection())
    session.commit()
    for statements in (
        ["INSERT INTO nodes VALUES (1), (2), (3)", "INSERT INTO nodes VALUES (4, 1), (5, 2)"],
        ["INSERT INTO nodes VALUES (1, NULL), (2, NULL), (3, NULL), (4, 1), (5, 2)"],
    ):
        done = one_by_one(session, *statements, rows=1)
        one_by_one(session, "UPDATE nodes SET size = 5 WHERE id = 5", rows=1)
        plan = log.plan_undo(session, done)
        assert [each.message for each in plan.conflicts] == [
            "nodes 5 was changed since: size",
            "nodes 2: it cannot go without nodes 5",
        ]
        plan.apply("skip")
        assert session.scalars(text("SELECT id FROM nodes ORDER BY id")).all() == [2, 5]
        session.execute(text("DELETE FROM nodes"))
        session.commit()


ids = st.integers(1, 4)
STATEMENTS = st.one_of(
    st.builds("INSERT INTO customers VALUES ({}, 'c{}', {})".format, ids, ids, ids),
    st.builds("INSERT INTO customers VALUES ({}, 'c')".format, ids),
    st.builds("INSERT INTO orders VALUES ({}, {}, 5, 'OPEN')".format, ids, ids),
    st.builds("INSERT INTO lines VALUES ({}, {}, 'ink')".format, ids, ids),
    st.builds("INSERT INTO deliveries VALUES ({}, {}, {}, '{}')".format, ids, ids, ids, ids),
    st.builds("UPDATE customers SET name = name || '{}' WHERE id <= {}".format, ids, ids),
    st.builds("UPDATE customers SET code = {} WHERE id = {}".format, ids, ids),
    st.builds("UPDATE customers SET id = {} WHERE id = {}".format, ids, ids),
    st.builds("UPDATE orders SET customer_id = {} WHERE id = {}".format, ids, ids),
    st.builds("UPDATE orders SET total = total + 1 WHERE id <= {}".format, ids),
    st.builds("DELETE FROM customers WHERE id = {}".format, ids),
    st.builds("DELETE FROM orders WHERE id = {}".format, ids),
    st.builds("DELETE FROM lines WHERE number = {}".format, ids),
    st.builds("DELETE FROM deliveries WHERE id = {}".format, ids),
)


def test_together_gives_what_one_after_the_other_gives(shop_engine: Engine) -> None:
    def run(session: Session, statements: list[str]) -> None:
        for statement in statements:
            with suppress(IntegrityError), session.begin_nested():
                session.execute(text(statement))
        session.commit()

    def outcome(session: Session, done: int) -> tuple[Any, ...]:
        plan = audit_log.plan_undo(session, done)
        try:
            plan.apply("skip")
            return _shown(plan), held(session)
        finally:
            session.rollback()

    with opened(shop_engine) as session:

        @settings(max_examples=60, deadline=None)
        @given(*(st.lists(STATEMENTS, max_size=size) for size in (8, 12, 4)))
        def check(before: list[str], statements: list[str], since: list[str]) -> None:
            run(session, ["TRUNCATE customers, orders, lines, deliveries", *before])
            run(session, ["INSERT INTO people VALUES (1, 'x')", *statements, "DELETE FROM people"])
            done = session.scalar(select(func.max(audit_log.transaction_cls.id)))
            assert done is not None
            run(session, since)
            together = outcome(session, done)
            with pytest.MonkeyPatch.context() as patch:
                # So no statement is tried with another one.
                patch.setattr(Reversal, "_take_back_some", lambda *_: [])
                assert outcome(session, done) == together

        check()


def _shown(plan: UndoPlan) -> Any:
    """What is done and what is not; what has to wait may come in another order."""
    conflicts = sorted((each.activity_id or 0, each.kind, each.message) for each in plan.conflicts)
    return sorted((each.activity_id, each.action, each.columns) for each in plan.steps), conflicts
