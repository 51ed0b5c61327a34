"""What happened to one record, and which activities there are."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, audit_context
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    func,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.core_only.shop import (
    Activity,
    Customer,
    Explain,
    Line,
    Order,
    Unaudited,
    audit_log,
    now,
    opened,
    partitioned,
)


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def told(session: Session, query: Select[Any]) -> list[str]:
    """Each activity in a few words."""
    return [f"{each.verb} {each.table_name} {each.row_key}" for each in session.scalars(query)]


def run(session: Session, *statements: str) -> None:
    for statement in statements:
        session.execute(text(statement))


def test_the_history_of_an_object_newest_first(session: Session) -> None:
    ann, ben = Customer(name="Ann"), Customer(name="Ben")
    session.add_all([ann, ben])
    session.commit()
    ann.name = "Anna"
    session.commit()
    session.delete(ben)
    session.commit()
    assert told(session, audit_log.history(ann)) == ["update customers 1", "insert customers 1"]
    assert told(session, audit_log.history(Customer, 2)) == ["delete customers 2", "insert customers 2"]
    assert told(session, audit_log.history(Customer.__table__, 2).limit(1)) == ["delete customers 2"]
    assert told(session, audit_log.history(Customer, 3)) == []


def test_asking_for_an_expired_object_needs_no_query_of_its_own(session: Session) -> None:
    ann = Customer(name="Ann")
    session.add(ann)
    session.commit()
    session.close()
    assert told(session, audit_log.history(ann)) == ["insert customers 1"]


def test_histories_can_be_put_together(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')", "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    asked = [audit_log.history(Customer, 1), audit_log.history(Customer, 2), audit_log.history(Order, 1)]
    ids = union_all(*(query.with_only_columns(Activity.id).order_by(None) for query in asked))
    assert told(session, select(Activity).where(Activity.id.in_(ids)).order_by(Activity.id)) == [
        "insert customers 1",
        "insert customers 2",
        "insert orders 1",
    ]


def test_composite_keys_are_tuples(session: Session) -> None:
    line = Line(order_id=1, number=2, article="ink")
    for obj in (Customer(id=1, name="Ann"), Order(id=1, customer_id=1, total=1), line):
        session.add(obj)
        session.flush()
    assert told(session, audit_log.history(Line, (1, 2))) == ["insert lines [1, 2]"]
    assert told(session, audit_log.history(line)) == ["insert lines [1, 2]"]
    assert told(session, audit_log.history(Line, (2, 1))) == []


def test_a_record_is_followed_when_its_key_changes(session: Session) -> None:
    run(
        session,
        "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')",
        "UPDATE customers SET id = 3 WHERE id = 1",
        "INSERT INTO customers VALUES (1, 'Cid')",
        "UPDATE customers SET id = 4 WHERE id = 3",
        "UPDATE customers SET id = 3 WHERE id = 2",
    )
    assert told(session, audit_log.history(Customer, 4)) == [
        "update customers 4",
        "update customers 3",
        "insert customers 1",
    ]
    assert told(session, audit_log.history(Customer, 3)) == ["update customers 3", "insert customers 2"]


def test_a_key_that_a_record_had_leads_to_it_unless_another_has_it(session: Session) -> None:
    run(
        session,
        "INSERT INTO customers VALUES (1, 'Ann'), (5, 'Eve')",
        "UPDATE customers SET id = 2 WHERE id = 1",
        "UPDATE customers SET id = 3 WHERE id = 2",
        "UPDATE customers SET name = 'Anna' WHERE id = 3",
    )
    for key in (1, 2, 3):
        assert told(session, audit_log.history(Customer, key)) == [
            "update customers 3",
            "update customers 3",
            "update customers 2",
            "insert customers 1",
        ]
    run(session, "UPDATE customers SET id = 2 WHERE id = 5")
    assert told(session, audit_log.history(Customer, 2)) == ["update customers 2", "insert customers 5"]


def test_rows_that_change_places_in_one_statement_keep_their_own_history(session: Session) -> None:
    log = AuditLog(MetaData())
    slots = Table("slots", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    run(session, "CREATE TABLE slots (id int PRIMARY KEY DEFERRABLE, name text)")
    log.install(session.connection())
    run(session, "INSERT INTO slots VALUES (1, 'a'), (2, 'b')", "UPDATE slots SET id = 3 - id")
    for key, name in ((1, "b"), (2, "a")):
        found = session.scalars(log.history(slots, key)).all()
        assert [(each.verb, each.data["name"]) for each in found] == [("update", name), ("insert", name)]


def test_a_record_that_was_deleted_and_made_again_has_one_history(session: Session) -> None:
    run(
        session,
        "INSERT INTO customers VALUES (1, 'Ann')",
        "DELETE FROM customers",
        "INSERT INTO customers VALUES (1, 'Ann')",
    )
    assert told(session, audit_log.history(Customer, 1)) == [
        "insert customers 1",
        "delete customers 1",
        "insert customers 1",
    ]


def test_a_table_is_followed_when_it_is_renamed_and_moved(session: Session) -> None:
    run(session, "ALTER TABLE customers RENAME TO clients", "INSERT INTO clients VALUES (1, 'Ann')")
    run(session, "ALTER TABLE clients RENAME TO customers", "UPDATE customers SET name = 'Anna'")
    run(session, "CREATE SCHEMA shop", "ALTER TABLE customers SET SCHEMA shop", "UPDATE shop.customers SET name = 'A'")
    run(session, "ALTER TABLE shop.customers SET SCHEMA public", "UPDATE customers SET id = 2")
    assert told(session, audit_log.history(Customer, 2)) == [
        "update customers 2",
        "update customers 1",
        "update customers 1",
        "insert clients 1",
    ]


def test_a_name_that_another_table_has_now_is_not_followed(session: Session) -> None:
    """A number is given again in a database that was restored."""
    run(
        session,
        "ALTER TABLE customers RENAME TO clients",
        "INSERT INTO clients VALUES (1, 'Ann')",
        "ALTER TABLE clients RENAME TO customers",
        "CREATE TABLE clients ()",
        "UPDATE customers SET name = 'Anna'",
        "CREATE SCHEMA shop",
        "ALTER TABLE customers SET SCHEMA shop",
        "UPDATE shop.customers SET name = 'Anne'",
        "ALTER TABLE shop.customers SET SCHEMA public",
        "CREATE TABLE shop.customers ()",
    )
    assert told(session, audit_log.history(Customer, 1)) == ["update customers 1"]


def renumber(session: Session, **numbers: str) -> None:
    """Set the activities of tables to other numbers, as if they came from another database."""
    for name, number in numbers.items():
        run(
            session,
            "SET LOCAL audit_logger.maintenance = on;"
            f"UPDATE activity SET relid = {number} WHERE table_name = '{name}' AND relid <> 0;"
            f"UPDATE activity_coverage SET relid = {number} WHERE table_name = '{name}'",
        )


def test_a_table_that_is_gone_does_not_lend_its_past_to_one_that_has_its_number_after_a_restore(
    session: Session,
) -> None:
    run(
        session,
        "INSERT INTO customers VALUES (1, 'Eva'), (2, 'Tom')",
        "UPDATE customers SET name = 'Eve'",
        "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,"
        " row_key, old_data, changed_data) SELECT transaction_id, issued_at, native_transaction_id, 2, schema, 'lost',"
        " verb, row_key, '{}', '{\"id\": 1, \"name\": \"Not Eva\"}' FROM activity WHERE verb = 'insert'",
    )
    renumber(session, customers="1", lost="'customers'::regclass")
    run(session, "UPDATE customers SET name = 'Eva' WHERE id = 1")
    assert told(session, audit_log.history(Customer, 1)) == ["update customers 1"] * 2 + ["insert customers 1"]
    rows = audit_log.as_of(Customer, now(session))
    assert set(session.execute(select(rows.c.id, rows.c.name))) == {(1, "Eva"), (2, "Eve")}


def test_a_renamed_table_is_followed_after_a_restore(session: Session) -> None:
    run(session, "ALTER TABLE customers RENAME TO clients", "INSERT INTO clients VALUES (1, 'Ann')")
    run(session, "ALTER TABLE clients RENAME TO customers", "UPDATE customers SET name = 'Anna'")
    renumber(session, customers="1", clients="1")
    run(session, "UPDATE customers SET name = 'Anne'")
    assert told(session, audit_log.history(Customer, 1)) == ["update customers 1"] * 2 + ["insert clients 1"]


def test_tables_of_the_same_name_are_told_apart(session: Session) -> None:
    other = AuditLog(MetaData())
    Table("customers", other.metadata, Column("id", Integer, primary_key=True), schema="shop", info={"versioned": {}})
    run(session, "CREATE SCHEMA shop", "CREATE TABLE shop.customers (id int PRIMARY KEY)")
    other.install(session.connection())
    run(session, "INSERT INTO shop.customers VALUES (1)", "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    assert [each.data["name"] for each in session.scalars(audit_log.history(Customer, 1))] == ["Ann"]
    (table,) = other.metadata.tables.values()
    assert [each.data for each in session.scalars(other.history(table, 1))] == [{"id": 1}]
    assert told(session, other.activities(table=table)) == ["insert customers 1"]


def test_a_partitioned_table_has_one_history_for_a_row_that_moves(session: Session) -> None:
    log = AuditLog(MetaData())
    events = partitioned(log, session.connection())
    log.install(session.connection())
    run(session, "INSERT INTO events VALUES (5, 1)", "UPDATE events SET year = 2")
    run(session, "ALTER TABLE events RENAME TO happenings", "UPDATE happenings SET id = 6")
    run(session, "ALTER TABLE happenings RENAME TO events")
    assert told(session, log.history(events, (6, 2))) == [
        "update happenings [6, 2]",
        "update events [5, 2]",
        "insert events [5, 1]",
    ]


def test_related_rows_present_and_deleted(session: Session) -> None:
    session.add_all([Customer(id=1, name="Ann", code="A"), Customer(id=2, name="Ben", code="B")])
    session.flush()
    session.add_all([Order(id=1, customer_id=1, total=1), Order(id=2, customer_id=2, total=2)])
    session.flush()
    session.add_all([Line(order_id=1, number=n, article="ink") for n in (1, 2)])
    session.flush()
    run(
        session,
        "INSERT INTO deliveries VALUES (1, 1, 1, 'A'), (2, 2, 1, 'B')",
        "UPDATE orders SET customer_id = 2 WHERE id = 1",
        "DELETE FROM lines WHERE number = 1",
        "UPDATE customers SET id = 7, code = 'C' WHERE id = 1",
        "INSERT INTO orders (id, customer_id, total, state) VALUES (3, 7, 3, 'OPEN')",
    )
    assert sorted(told(session, audit_log.history(Customer, 7, related=True))) == [
        "delete deliveries 1",
        "insert customers 1",
        "insert deliveries 1",
        "insert orders 1",
        "insert orders 3",
        "update customers 7",
        "update orders 1",
    ]
    assert told(session, audit_log.history(Order, 1, related=True)) == [
        "delete lines [1, 1]",
        "update orders 1",
        "insert lines [1, 2]",
        "insert lines [1, 1]",
        "insert orders 1",
    ]
    assert told(session, audit_log.history(Line, (1, 2), related=True)) == [
        "insert deliveries 2",
        "insert lines [1, 2]",
    ]


def test_history_uses_the_index(session: Session) -> None:
    run(
        session,
        "INSERT INTO customers SELECT n, 'n' FROM generate_series(1, 50000) AS n",
        "UPDATE customers SET id = 60000 WHERE id = 50000",
        "ANALYZE activity",
    )
    for query in (
        audit_log.history(Customer, 60000),
        audit_log.history(Customer, 60000).join(Activity.transaction).limit(10),
    ):
        assert len(session.scalars(query).all()) == 2
        plan = session.execute(Explain(query)).scalars().all()
        scans = [line.strip() for line in plan if " on activity_open" in line]
        assert scans
        assert [line for line in scans if "row_key_id_idx" not in line] == []


def test_following_a_key_reads_as_much_for_each_of_its_changes(session: Session) -> None:
    """A key that was changed to and fro has many changes, which are not all read at each step."""
    run(session, "INSERT INTO customers SELECT n, 'x' FROM generate_series(1, 5000) AS n")
    flips = "DO $$BEGIN FOR r IN 1..{} LOOP UPDATE customers SET id = 6001 - id WHERE id IN (1, 6000); END LOOP; END$$"
    query = audit_log.history(Customer, 1)
    read = []
    for changes in (200, 400):
        run(session, flips.format(changes), "ANALYZE activity")
        (explained,) = session.scalars(Explain(query, "(ANALYZE, BUFFERS, FORMAT JSON)")).one()
        read.append(explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"])
    assert len(session.scalars(query).all()) == 601
    # There are three times as many.
    assert 0 < read[1] < 4 * read[0]


def test_activities_by_who_what_and_when(session: Session) -> None:
    with audit_context(actor_id="ann", reason="start", nested={"a": [1, 2]}):
        run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    between = now(session)
    with audit_context(actor_id="ben"):
        run(session, "UPDATE customers SET name = 'Anna' WHERE id = 1", "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    run(session, "DELETE FROM customers WHERE id = 2")
    first, second, third = "insert customers 1", "insert customers 2", "update customers 1"
    fourth, fifth = "insert orders 1", "delete customers 2"
    transaction = session.scalars(select(audit_log.transaction_cls).filter_by(actor_id="ben")).one()
    for options, expected in [
        ({}, [fifth, fourth, third, second, first]),
        ({"actor": "ann"}, [second, first]),
        ({"actor": None}, [fifth]),
        ({"meta": {"reason": "start"}}, [second, first]),
        ({"meta": {"nested": {"a": [2]}}, "actor": "ben"}, []),
        ({"table": Order}, [fourth]),
        ({"table": "orders"}, [fourth]),
        ({"table": "public.orders"}, [fourth]),
        ({"table": "gone"}, []),
        ({"table": Customer.__table__, "verb": "insert"}, [second, first]),
        ({"verb": ["update", "delete"]}, [fifth, third]),
        ({"since": between}, [fifth, fourth, third]),
        ({"until": between}, [second, first]),
        ({"since": between, "until": between}, []),
        ({"column": Customer.name}, [third, second, first]),
        ({"column": "name", "table": Customer, "verb": "update"}, [third]),
        ({"column": Order.ordered_at}, [fourth]),
        ({"transaction": transaction}, [fourth, third]),
        ({"transaction": transaction.id, "column": "total"}, [fourth]),
        ({"transaction": 999}, []),
    ]:
        assert told(session, audit_log.activities(**options)) == expected, options  # type: ignore[arg-type]


def test_an_actor_can_be_an_object(engine: Engine) -> None:
    from tests.core_only.app import Article, Base, User
    from tests.core_only.app import audit_log as log

    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    with Session(engine) as session:
        ann = User(name="Ann")
        session.add(ann)
        session.commit()
        with audit_context(actor_id=ann.id):
            session.add(Article(title="Hello"))
            session.commit()
        assert told(session, log.activities(actor=ann)) == ["insert articles 1"]
        with pytest.raises(HistoryError, match="no primary key yet"):
            log.activities(actor=User(name="Ben"))
    log.detach(engine)


def test_pages(session: Session) -> None:
    run(session, "INSERT INTO customers SELECT n, 'n' FROM generate_series(1, 7) AS n")
    seen, page = [], session.scalars(audit_log.activities(table=Customer).limit(3)).all()
    while page:
        seen += [activity.row_key for activity in page]
        page = session.scalars(audit_log.activities(table=Customer, after=page[-1]).limit(3)).all()
    assert seen == ["7", "6", "5", "4", "3", "2", "1"]
    assert told(session, audit_log.activities(after=2)) == ["insert customers 1"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: audit_log.history(Unaudited, 1), "Table 'unaudited' is not audited"),
        (lambda: audit_log.history(Line, 1), r"1 is not a primary key of table 'lines': .* \(order_id, number\)"),
        (lambda: audit_log.history(Line, (1, 2, 3)), r"\(1, 2, 3\) is not a primary key"),
        (lambda: audit_log.history(Customer, (1, 2)), "takes one value, id"),
        (lambda: audit_log.history(Customer, None), "None is not a primary key"),
        (lambda: audit_log.history(Customer), "history.Model, key."),
        (lambda: audit_log.history("customers", 1), "'customers' is neither a mapped class nor a Table"),
        (lambda: audit_log.history(Customer(name="new")), "has no primary key yet"),
        (lambda: audit_log.activities(verb="inserted"), "'inserted' is not a verb .* 'insert', 'update'"),
        (lambda: audit_log.activities(table=Unaudited), "'unaudited' is not audited"),
        (lambda: audit_log.activities(table=Customer, column="nam"), "'nam' is not a column .* 'code', 'id', 'name'"),
        (lambda: audit_log.activities(column=7), "7 is not a column"),
        (lambda: audit_log.activities(transaction="7"), "'7' is not a transaction"),
        (lambda: audit_log.activities(since=dt.datetime(2026, 1, 1)), "since is .* no time zone"),
        (lambda: audit_log.activities(until=dt.date(2026, 1, 1)), "until is .* make it a datetime"),
        (
            lambda: audit_log.activities(
                since=dt.datetime(2026, 2, 1, tzinfo=dt.timezone.utc),
                until=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
            ),
            "later than until",
        ),
    ],
)
def test_what_cannot_be_asked(ask: Any, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        ask()


def test_keys_are_values_and_never_sql(session: Session) -> None:
    log = AuditLog(MetaData())
    names = Table('na"me%s', log.metadata, Column("a'b%", String(5), primary_key=True), info={"versioned": {}})
    log.metadata.create_all(session.connection())
    log.install(session.connection())
    for name in ("'; --", '"x"', "%s", "ab"):
        session.execute(names.insert(), {"a'b%": name})
        assert [each.data for each in session.scalars(log.history(names, name))] == [{"a'b%": name}]
    # A cast to the type of the column would cut it, and find another row.
    assert session.scalars(log.history(names, "'; -- and more")).all() == []
    rows = log.as_of(names, now(session))
    assert set(session.scalars(select(rows.c["a'b%"]))) == {"'; --", '"x"', "%s", "ab"}


def test_reading_sends_no_context(session: Session) -> None:
    """It would pin a connection that a proxy shares."""
    run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    when = now(session)
    session.commit()
    with audit_context(actor_id="ann"):
        for query in (
            audit_log.history(Customer, 1, related=True),
            audit_log.activities(actor="ann", meta={}),
            select(audit_log.as_of(Customer, when)),
        ):
            session.execute(query)
            assert session.scalar(select(func.current_setting("audit_logger.actor_id", True))) in (None, "")


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_reading_with_an_async_session(shop_engine: Engine, driver: str) -> None:
    async def ask() -> None:
        async_engine = create_async_engine(shop_engine.url.set(drivername=f"postgresql+{driver}"))
        async with AsyncSession(async_engine) as session:
            when = (await session.scalars(select(func.clock_timestamp()))).one()
            (activity,) = await session.scalars(audit_log.history(Order, 1, related=True))
            assert activity.changes["total"] == (None, Decimal("0.100000000000000001"))
            assert (await session.scalars(audit_log.activities(actor=None, meta=None, column=Order.total))).all()
            rows = audit_log.as_of(Order, when)
            (order,) = await session.scalars(select(rows.objects).where(rows.c.id == 1))
            assert order.total == Decimal("0.100000000000000001")
            loaded = await session.run_sync(lambda sync: audit_log.get_as_of(sync, Order, 1, when))
            assert loaded is not None
            assert loaded.total == order.total
            with pytest.raises(HistoryError, match=r"await session\.run_sync"):
                audit_log.get_as_of(session, Order, 1, when)  # type: ignore[type-var]
        await async_engine.dispose()

    with opened(shop_engine) as session:
        run(session, "INSERT INTO customers VALUES (1, 'Ann')")
        run(session, "INSERT INTO orders VALUES (1, 1, 0.100000000000000001, 'OPEN')")
        session.commit()
    asyncio.run(ask())


def test_psycopg2(shop_engine: Engine) -> None:
    from sqlalchemy import create_engine

    with opened(shop_engine) as session:
        run(session, "INSERT INTO customers VALUES (1, 'Ann')")
        run(session, "INSERT INTO orders VALUES (1, 1, 0.100000000000000001, 'OPEN')")
        session.commit()
    other = create_engine(shop_engine.url.set(drivername="postgresql+psycopg2"))
    with Session(other) as session:
        (activity,) = session.scalars(audit_log.history(Order, 1, related=True))
        assert activity.after.total == Decimal("0.100000000000000001")
        assert told(session, audit_log.activities(column="total", meta={})) == []
        order = audit_log.get_as_of(session, Order, 1, now(session))
        assert order is not None
        assert order.total == activity.after.total
    other.dispose()


def test_a_foreign_key_to_a_table_that_nobody_has_is_to_none(engine: Engine) -> None:
    metadata, audited = MetaData(), {"versioned": {}}
    log = AuditLog(metadata)
    things = Table("things", metadata, Column("id", Integer, primary_key=True), info=audited)
    parts = Table(
        "parts",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("thing_id", ForeignKey("things.id")),
        Column("table_of_nobody", ForeignKey("nowhere.id")),
        Column("column_of_nobody", ForeignKey("things.nothing")),
        info=audited,
    )
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE things (id int PRIMARY KEY)"))
        created = "id int PRIMARY KEY, thing_id int, table_of_nobody int, column_of_nobody int"
        connection.execute(text(f"CREATE TABLE parts ({created})"))
        log.install(connection)
        connection.execute(things.insert().values(id=1))
        connection.execute(parts.insert().values(id=1, thing_id=1, table_of_nobody=1, column_of_nobody=1))
        with Session(connection) as session:
            assert told(session, log.history(things, 1, related=True)) == ["insert parts 1", "insert things 1"]


def test_an_undo_passes_over_a_foreign_key_to_a_table_that_nobody_has(engine: Engine) -> None:
    metadata, audited = MetaData(), {"versioned": {}}
    log = AuditLog(metadata)
    things = Table("things", metadata, Column("id", Integer, primary_key=True), info=audited)
    parts = Table(
        "parts",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("thing_id", ForeignKey("things.id", ondelete="SET NULL")),
        Column("table_of_nobody", ForeignKey("nowhere.id")),
        info=audited,
    )
    log.attach(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (id int PRIMARY KEY)"))
        referring = "thing_id int REFERENCES things ON DELETE SET NULL, table_of_nobody int"
        connection.execute(text(f"CREATE TABLE parts (id int PRIMARY KEY, {referring})"))
        log.install(connection)
    with engine.begin() as connection:
        connection.execute(things.insert().values(id=1))
        connection.execute(parts.insert().values(id=1, thing_id=1, table_of_nobody=1))
    with engine.begin() as connection:
        connection.execute(things.delete())
    with Session(engine) as session, session.begin():
        log.plan_undo(session, session.scalars(text("SELECT max(id) FROM transaction")).one()).apply()
        assert session.execute(text("SELECT thing_id, table_of_nobody FROM parts")).all() == [(1, 1)]
    # A part that came since is in the way of taking the thing back.
    with engine.begin() as connection:
        connection.execute(parts.insert().values(id=2, thing_id=1, table_of_nobody=1))
    with Session(engine) as session:
        conflicts = log.plan_undo(session, 1).conflicts
        assert [each.message for each in conflicts] == ["things 1: it cannot go without parts 2"]
