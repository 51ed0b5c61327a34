"""The rows of a table at a recent instant, from those of today with what was recorded since taken back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, notes
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    select,
    text,
)
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from tests.core_only.shop import Customer, Explain, Line, Order, Person, audit_log, now, opened, partitioned, run


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def rows(session: Session | Connection, log: AuditLog, model: Any, when: dt.datetime, live: bool = True) -> Any:
    """Load the rows with what is said of them, without the number of an activity."""
    found = log.as_of(model, when, live=live)
    wanted = [each for each in found.c if each.name != "audit_activity_id"]
    return sorted(session.execute(select(*wanted)).all(), key=repr)


def agree(session: Session | Connection, log: AuditLog, model: Any, *instants: dt.datetime) -> list[Any]:
    """Load the rows of each instant in both ways, which have to say the same."""
    told = [rows(session, log, model, when) for when in instants]
    assert told == [rows(session, log, model, when, live=False) for when in instants]
    return told


def refusal(session: Session | Connection, log: AuditLog, model: Any, when: dt.datetime) -> str:
    with pytest.raises(DataError) as error, session.begin_nested():
        session.execute(select(log.as_of(model, when, live=True))).all()
    said = str(error.value.orig)
    assert "ask without live=True" in said
    return said


def audited(connection: Connection, *columns: Any, install: bool = True, **options: Any) -> tuple[AuditLog, Table]:
    log = AuditLog(MetaData())
    things = Table("things", log.metadata, *columns, info={"versioned": options})
    log.metadata.create_all(connection)
    if install:
        log.install(connection)
    return log, things


def test_each_change_is_taken_back(session: Session) -> None:
    instants = [
        run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben'), (9, 'Zoe')"),
        run(session, "UPDATE customers SET name = 'Anna' WHERE id = 1"),
        run(session, "UPDATE customers SET id = 3 WHERE id = 1"),
        run(session, "DELETE FROM customers WHERE id = 2"),
        run(session, "INSERT INTO customers VALUES (1, 'Cid')"),
        run(session, "UPDATE customers SET id = 4 WHERE id = 3", "UPDATE customers SET id = 3 WHERE id = 1"),
    ]
    told = agree(session, audit_log, Customer, *instants)
    assert [[row.name for row in each] for each in told] == [
        ["Ann", "Ben", "Zoe"],
        ["Anna", "Ben", "Zoe"],
        ["Ben", "Anna", "Zoe"],
        ["Anna", "Zoe"],
        ["Cid", "Anna", "Zoe"],
        ["Cid", "Anna", "Zoe"],
    ]


def test_rows_of_every_kind_are_what_the_trail_says(session: Session) -> None:
    first = run(
        session,
        "INSERT INTO customers VALUES (1, 'Ann')",
        "INSERT INTO orders VALUES (1, 1, 0.1, 'OPEN', '2026-03-29 02:30+01'), (2, 1, 1e19, 'PAID', NULL)",
        "INSERT INTO lines SELECT 1, g, 'article ' || g FROM generate_series(1, 3) AS g",
        "INSERT INTO people VALUES (1, 'Ann', 'red', '123', 30), (2, 'Ben', NULL, NULL, NULL)",
    )
    second = run(
        session,
        "UPDATE orders SET total = total + 1 WHERE id = 1",
        "UPDATE lines SET number = number + 10",
        "UPDATE people SET name = 'Anna', hair = 'grey' WHERE id = 1",
    )
    run(session, "UPDATE customers SET id = 7", "UPDATE orders SET state = 'PAID'")
    run(session, "DELETE FROM lines WHERE number = 12")
    session.execute(text("SET LOCAL TimeZone = 'Asia/Kathmandu'"))
    for model in (Customer, Order, Line, Person):
        agree(session, audit_log, model, first, second)


def test_objects_say_what_is_not_recorded_of_them(session: Session) -> None:
    when = run(session, "INSERT INTO people VALUES (1, 'Ann', 'red', '123', 30), (2, 'Ben', 'blond', '456', 40)")
    run(session, "UPDATE people SET name = 'Anna' WHERE id = 1")
    found = audit_log.as_of(Person, when, live=True)
    people = session.scalars(select(found.objects).order_by(found.c.id)).all()
    assert [(each.name, each.hair, each.ssn, each.age) for each in people] == [
        ("Ann", None, None, None),
        ("Ben", None, None, None),
    ]
    for each in people:
        assert sorted(notes(each)) == ['"age" is masked', '"hair" was not recorded', '"ssn" is masked']


def test_a_row_that_was_never_recorded_is_there(connection: Connection) -> None:
    log, things = audited(connection, Column("id", Integer, primary_key=True), Column("name", String), install=False)
    connection.execute(text("INSERT INTO things VALUES (1, 'old'), (2, 'older')"))
    log.install(connection)
    when = now(connection)
    run(connection, "UPDATE things SET name = 'new' WHERE id = 1")
    found = log.as_of(things, when, live=True)
    assert connection.execute(select(found.c.id, found.c.name).order_by(found.c.id)).all() == [(1, "old"), (2, "older")]


def test_it_can_be_filtered_joined_and_asked_for_one_row(session: Session) -> None:
    when = run(session, "INSERT INTO customers SELECT g, 'name ' || g FROM generate_series(1, 20) AS g")
    run(session, "UPDATE customers SET name = 'spoiled' WHERE id % 2 = 0")
    run(session, "UPDATE customers SET id = 100 WHERE id = 5")
    then = audit_log.as_of(Customer, when, live=True)
    compared = select(then.c.id, then.c.name).join(Customer, Customer.id == then.c.id)
    spoiled = compared.where(Customer.name != then.c.name)
    assert session.execute(spoiled.order_by(then.c.id).limit(2)).all() == [(2, "name 2"), (4, "name 4")]
    assert session.scalars(select(then.c.name).where(then.c.id.in_([3, 4, 5, 100])).order_by(then.c.id)).all() == [
        "name 3",
        "name 4",
        "name 5",
    ]
    for key, name in ((3, "name 3"), (4, "name 4"), (5, "name 5"), (100, None)):
        one = audit_log.as_of(Customer, when, key=key, live=True)
        assert session.scalar(select(one.c.name)) == name
        assert session.scalar(select(func.count()).select_from(one)) == (name is not None)
    since = session.execute(select(then.c.id, then.c.audit_activity_id).where(then.c.id < 3).order_by(then.c.id)).all()
    assert since[0] == (1, None)
    assert session.get_one(audit_log.activity_cls, since[1][1]).changes == {"name": ("name 2", "spoiled")}


def test_no_more_of_the_trail_is_read_than_was_recorded_since(session: Session) -> None:
    # Changes of long ago, which take a while to be made by triggers.
    run(
        session,
        "INSERT INTO customers SELECT g, 'name ' || g FROM generate_series(1, 2000) AS g",
        "UPDATE customers SET name = name || '!'",
    )
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.execute(text("UPDATE activity SET issued_at = issued_at - interval '1 year'"))
    session.execute(text("UPDATE activity_coverage SET issued_at = issued_at - interval '2 years'"))
    session.execute(text("SET LOCAL session_replication_role = origin"))
    when = now(session)
    run(session, "UPDATE customers SET name = 'new' WHERE id <= 20", "ANALYZE")
    read = text(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables "
        "WHERE relname LIKE 'activity%'"
    )
    found = audit_log.as_of(Customer, when, live=True)
    before = session.scalar(read)
    assert session.scalar(select(func.count()).select_from(found)) == 2000
    assert session.scalar(read) - before < 300
    # A condition on the key is one on the key of the table.
    plan = "\n".join(session.scalars(Explain(select(found.c.name).where(found.c.id == 77))))
    assert "customers_pkey" in plan
    assert "Seq Scan on customers" not in plan


def test_rows_change_places_in_one_statement(connection: Connection) -> None:
    columns = (Column("id", Integer), Column("name", String), PrimaryKeyConstraint("id", deferrable=True))
    log, things = audited(connection, *columns)
    when = run(connection, "INSERT INTO things VALUES (1, 'Ann'), (2, 'Ben'), (3, 'Cid'), (4, 'Dan')")
    then = run(connection, "UPDATE things SET id = id % 3 + 1 WHERE id < 4")
    run(connection, "UPDATE things SET id = 5 WHERE id = 1", "UPDATE things SET name = 'Eve' WHERE id = 2")
    first, second = agree(connection, log, things, when, then)
    assert [row[:2] for row in first] == [(1, "Ann"), (2, "Ben"), (3, "Cid"), (4, "Dan")]
    assert [row[:2] for row in second] == [(1, "Cid"), (2, "Ann"), (3, "Ben"), (4, "Dan")]


def test_partitions_and_tables_that_inherit(connection: Connection) -> None:
    log = AuditLog(MetaData())
    events = partitioned(log, connection)
    log.install(connection)
    when = run(connection, "INSERT INTO events VALUES (1, 1), (2, 2)")
    run(connection, "UPDATE events SET year = 2 WHERE id = 1", "DELETE FROM events WHERE id = 2")
    assert [row[:2] for row in rows(connection, log, events, when)] == [(1, 1), (2, 2)]
    other, things = audited(connection, Column("id", Integer, primary_key=True))
    run(connection, "CREATE TABLE heirs () INHERITS (things)", "INSERT INTO heirs VALUES (7)")
    when = run(connection, "INSERT INTO things VALUES (1)")
    assert [row[0] for row in rows(connection, other, things, when)] == [1]


def test_a_temporary_table_does_not_stand_for_the_one_that_it_hides(session: Session) -> None:
    when = run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    session.execute(text("CREATE TEMPORARY TABLE customers (LIKE customers) ON COMMIT DROP"))
    run(session, "INSERT INTO pg_temp.customers VALUES (1, 'Eve'), (2, 'Mallory')")
    refusal(session, audit_log, Customer, when)


def test_what_cannot_be_taken_back_is_refused(session: Session) -> None:
    when = run(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO people VALUES (1, 'Ann')")
    run(session, "TRUNCATE customers CASCADE")
    assert "a truncate at " in refusal(session, audit_log, Customer, when)
    assert rows(session, audit_log, Customer, now(session)) == []
    with audit_log.disable(session):
        session.execute(text("UPDATE people SET name = 'Eve'"))
    assert "a bypass at " in refusal(session, audit_log, Person, when)
    assert [row.name for row in rows(session, audit_log, Person, now(session))] == ["Eve"]
    assert str(when.year) in refusal(session, audit_log, Person, when)


def test_a_time_of_which_not_all_is_recorded_is_refused(connection: Connection) -> None:
    columns = (Column("id", Integer, primary_key=True), Column("name", String), Column("secret", String))
    log, things = audited(connection, *columns, install=False)
    before = run(connection, "INSERT INTO things VALUES (1, 'Ann', 'x')")
    log.install(connection)
    begun = now(connection)
    assert "recording began, changed or ended at " in refusal(connection, log, things, before)
    connection.execute(text("DROP TRIGGER audit_logger_update ON things"))
    run(connection, "UPDATE things SET name = 'Eve'")
    log.install(connection)
    assert "recording began, changed or ended at " in refusal(connection, log, things, begun)
    assert [row.name for row in rows(connection, log, things, now(connection))] == ["Eve"]
    # The model of an application that is ahead of its database.
    things.info["versioned"] = {"exclude": ["secret"]}
    assert "recorded otherwise than declared" in refusal(connection, log, things, now(connection))
    things.info["versioned"] = {"operations": ["insert"]}
    with pytest.raises(HistoryError, match=r"only insert is recorded.*Ask without live=True"):
        log.as_of(things, begun, live=True)


@pytest.mark.parametrize(
    "done",
    [
        "ALTER TABLE things RENAME TO former",
        "DROP TABLE things",
        "DROP TRIGGER audit_logger_delete ON things",
        "ALTER TABLE things DISABLE TRIGGER USER",
    ],
)
def test_a_table_that_is_not_recorded_now_is_refused(connection: Connection, done: str) -> None:
    log, things = audited(connection, Column("id", Integer, primary_key=True))
    when = run(connection, "INSERT INTO things VALUES (1)")
    run(connection, done, "CREATE TABLE IF NOT EXISTS things (id integer PRIMARY KEY)", "INSERT INTO things VALUES (7)")
    assert "changes are not recorded now" in refusal(connection, log, things, when)


def test_rows_that_somebody_may_not_see_are_not_left_out_in_silence(engine: Engine) -> None:
    with engine.begin() as connection:
        log, things = audited(connection, Column("id", Integer, primary_key=True), Column("owner", String))
        when = run(connection, "INSERT INTO things VALUES (1, 'reader'), (2, 'Ann')")
        run(
            connection,
            "CREATE ROLE audit_live_reader",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO audit_live_reader",
            "ALTER TABLE things ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY own ON things USING (owner = 'reader')",
        )
        assert [row[0] for row in rows(connection, log, things, when)] == [1, 2]
        connection.execute(text("SET LOCAL ROLE audit_live_reader"))
        assert "row level security hides some of them" in refusal(connection, log, things, when)
        assert [row[0] for row in rows(connection, log, things, when, live=False)] == [1, 2]
        connection.rollback()
