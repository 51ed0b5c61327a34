"""The rows of a table at a recent instant, from those of today with what was recorded since taken back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, notes
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import HSTORE, JSONB
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session
from sqlalchemy.types import CHAR, NullType

from tests.core_only.shop import Customer, Explain, Line, Order, Person, audit_log, now, opened, partitioned


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def run(session: Session | Connection, *statements: str) -> dt.datetime:
    """Run statements, and return an instant after them."""
    for statement in statements:
        session.execute(text(statement))
    return now(session)


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


@pytest.mark.parametrize(
    ("type_", "key", "changed"),
    [
        (Integer(), "1", "-2"),
        (BigInteger(), "1", "9007199254740993"),
        (Text(), "'a'", "'" + "ä" * 1200 + "'"),
        (String(5), "'007'", "'null'"),
        (CHAR(3), "'a'", "'b'"),
        (Boolean(), "true", "false"),
        (Numeric(20, 4), "1.5", "-0.0001"),
        (Numeric(), "1.50", "'NaN'"),
        (Date(), "'2026-03-29'", "'0044-03-15 BC'"),
        (DateTime(), "'2026-03-29 02:30'", "'infinity'"),
        (DateTime(timezone=True), "'2026-03-29 02:30+01'", "'-infinity'"),
        (LargeBinary(), r"'\x00ff'", r"'\x'"),
        (Uuid(), f"'{uuid.UUID(int=1)}'", f"'{uuid.UUID(int=2)}'"),
        (Uuid(native_uuid=False), f"'{uuid.UUID(int=1).hex}'", f"'{uuid.UUID(int=2).hex}'"),
    ],
)
@pytest.mark.parametrize("is_composite", [False, True], ids=["alone", "composite"])
def test_keys_are_found_in_the_trail(
    connection: Connection, type_: Any, key: str, changed: str, is_composite: bool
) -> None:
    key_column = Column("Key", type_, primary_key=True, autoincrement=False)
    name = Column("name", String, primary_key=is_composite)
    log, things = audited(connection, key_column, name, Column("value", Integer))
    when = run(connection, f"INSERT INTO things VALUES ({key}, 'a', 1)")
    later = run(connection, f"INSERT INTO things VALUES ({changed}, 'b', 2)", "UPDATE things SET value = 3")
    connection.execute(text("SET LOCAL TimeZone = 'Asia/Kathmandu'; SET LOCAL DateStyle = 'German'"))
    connection.execute(text("SET LOCAL bytea_output = 'escape'; SET LOCAL extra_float_digits = -15"))
    found = log.as_of(things, when, live=True)
    assert connection.execute(select(found.c.name, found.c.value)).all() == [("a", 1)]
    again = log.as_of(things, later, live=True)
    assert connection.execute(select(again.c.name, again.c.value).order_by(again.c.name)).all() == [("a", 3), ("b", 3)]


@pytest.mark.parametrize("is_composite", [False, True], ids=["alone", "composite"])
def test_a_key_with_a_collation_of_its_own(connection: Connection, is_composite: bool) -> None:
    key = Column("id", Text(collation="POSIX"), primary_key=True)
    other = Column("other", Text(collation="ucs_basic"), primary_key=is_composite, server_default="x")
    log, things = audited(connection, key, other, Column("value", Integer))
    when = run(connection, "INSERT INTO things VALUES ('a', 'x', 1), ('b', 'y', 2)")
    run(connection, "UPDATE things SET value = 3 WHERE id = 'a'")
    agree(connection, log, things, when)
    wanted = ("a", "x") if is_composite else "a"
    for live in (True, False):
        found = log.as_of(things, when, key=wanted, live=live)
        assert connection.scalars(select(found.c.value)).all() == [1]
    assert len(connection.execute(log.history(things, wanted)).all()) == 2


@pytest.mark.parametrize("type_", [Float(), Interval(), JSONB()], ids=repr)
def test_a_key_whose_text_is_not_certain_is_refused(connection: Connection, type_: Any) -> None:
    log, things = audited(connection, Column("id", type_, primary_key=True))
    with pytest.raises(HistoryError, match=r"'id' is in the primary key of table 'things'.*Ask without live=True"):
        log.as_of(things, now(connection), live=True)


class Moment(TypeDecorator[dt.datetime]):
    impl = DateTime(timezone=True)
    cache_ok = True


def test_a_key_of_a_type_of_the_application(connection: Connection) -> None:
    log, things = audited(connection, Column("at", Moment, primary_key=True), Column("value", Integer))
    when = run(connection, "INSERT INTO things VALUES ('2026-03-29 02:30+01', 1)")
    connection.execute(text("SET LOCAL TimeZone = 'Asia/Kathmandu'"))
    run(connection, "UPDATE things SET value = 2")
    found = log.as_of(things, when, live=True)
    assert connection.scalars(select(found.c.value)).all() == [1]
    at = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.timezone.utc)
    assert log.diff(connection, things, at, when, now(connection)) == {"value": (1, 2)}


def test_a_key_of_another_type_than_in_the_model_is_refused(connection: Connection) -> None:
    log, things = audited(connection, Column("at", DateTime(), primary_key=True), Column("value", Integer))
    run(connection, "ALTER TABLE things ALTER at TYPE timestamptz", "INSERT INTO things VALUES ('2026-03-29 02:30', 1)")
    assert "primary key has another type" in refusal(connection, log, things, now(connection))


@pytest.mark.parametrize(
    ("in_model", "stored", "value"),
    [
        (DateTime(), "timestamptz", "'2026-03-29 02:30+01'"),
        (Date(), "timestamptz", "'2026-03-29 23:30+00'"),
        (String(), "timestamp", "'2026-03-29 02:30'"),
        (String(), "inet", "'10.0.0.1'"),
        (String(), "integer[]", "'{1, 2}'"),
        (String(), "json", """'{"b": 1,  "a": 2}'"""),
        (String(), "char(3)", "'a'"),
        (Float(), "real", "0.1"),
        (Numeric(), "float8", "0.30000000000000004"),
    ],
)
def test_values_that_are_not_read_as_recorded_ones_are_refused(
    connection: Connection, in_model: Any, stored: str, value: str
) -> None:
    columns = (Column("id", Integer, primary_key=True), Column("value", in_model))
    log = AuditLog(MetaData())
    things = Table("things", log.metadata, *columns, info={"versioned": {}})
    run(connection, f"CREATE TABLE things (id integer PRIMARY KEY, value {stored})")
    log.install(connection)
    when = run(connection, f"INSERT INTO things VALUES (1, {value})")
    assert "column value has another type than in the model" in refusal(connection, log, things, when)


@pytest.mark.parametrize(
    ("in_model", "stored", "value"),
    [
        (String(2), "text", "'abc'"),
        (CHAR(3), "varchar", "'a'"),
        (String(36), "uuid", f"'{uuid.UUID(int=1)}'"),
        (Uuid(), "text", f"'{uuid.UUID(int=1)}'"),
        (JSONB(), "json", """'{"b": 1,  "a": 2}'"""),
        (Text(), "information_schema.sql_identifier", "'a'"),
        (Integer(), "bigint", "1"),
        (Float(), "numeric", "0.1"),
        # Made by this model; recorded values are read in double precision.
        (Float(24), "float(24)", "0.1"),
        (NullType(), "point", "'(1, 2)'"),
    ],
)
def test_values_of_another_type_than_in_the_model(
    connection: Connection, in_model: Any, stored: str, value: str
) -> None:
    columns = (Column("id", Integer, primary_key=True), Column("value", in_model))
    log = AuditLog(MetaData())
    things = Table("things", log.metadata, *columns, info={"versioned": {}})
    run(connection, f"CREATE TABLE things (id integer PRIMARY KEY, value {stored})")
    log.install(connection)
    when = run(connection, f"INSERT INTO things VALUES (1, {value}), (2, {value})")
    run(connection, "UPDATE things SET value = NULL WHERE id = 1")
    ((changed, unchanged),) = agree(connection, log, things, when)
    assert changed.value == unchanged.value is not None


def test_rows_change_places_in_one_statement(connection: Connection) -> None:
    columns = (Column("id", Integer), Column("name", String), PrimaryKeyConstraint("id", deferrable=True))
    log, things = audited(connection, *columns)
    when = run(connection, "INSERT INTO things VALUES (1, 'Ann'), (2, 'Ben'), (3, 'Cid'), (4, 'Dan')")
    then = run(connection, "UPDATE things SET id = id % 3 + 1 WHERE id < 4")
    run(connection, "UPDATE things SET id = 5 WHERE id = 1", "UPDATE things SET name = 'Eve' WHERE id = 2")
    first, second = agree(connection, log, things, when, then)
    assert [row[:2] for row in first] == [(1, "Ann"), (2, "Ben"), (3, "Cid"), (4, "Dan")]
    assert [row[:2] for row in second] == [(1, "Cid"), (2, "Ann"), (3, "Ben"), (4, "Dan")]


def test_values_of_a_type_with_a_form_of_its_own(connection: Connection) -> None:
    connection.execute(text("CREATE EXTENSION IF NOT EXISTS hstore"))
    columns = (
        Column("id", Integer, primary_key=True),
        Column("tags", HSTORE),
        Column("data", JSONB),
        Column("price", Numeric(38, 18)),
        Column("label", String(20)),
    )
    log, things = audited(connection, *columns)
    when = run(
        connection,
        """INSERT INTO things VALUES (1, 'a=>1, "b c"=>NULL', '{"x": 1.10}', 0.1, 'one')""",
        """INSERT INTO things VALUES (2, '', 'null', NULL, NULL)""",
    )
    run(connection, "UPDATE things SET tags = NULL, data = '[]', price = 2, label = 'changed' WHERE id = 1")
    ((first, second),) = agree(connection, log, things, when)
    assert first[:5] == (1, {"a": "1", "b c": None}, {"x": 1.1}, Decimal("0.100000000000000000"), "one")
    assert second[:5] == (2, {}, None, None, None)


def test_columns_that_the_database_computes(connection: Connection) -> None:
    columns = (Column("id", Integer, primary_key=True), Column("v", Integer), Column("twice", Integer))
    log, things = audited(connection, *columns[:2], install=False, include=["v", "twice"])
    things.append_column(columns[2])
    # Those that are not stored are not recorded.
    is_virtual = connection.dialect.server_version_info >= (18,)  # type: ignore[operator]
    kind = "VIRTUAL" if is_virtual else "STORED"
    run(connection, f"ALTER TABLE things ADD twice integer GENERATED ALWAYS AS (v * 2) {kind}")
    log.install(connection)
    when = run(connection, "INSERT INTO things VALUES (1, 1), (2, 2)")
    run(connection, "UPDATE things SET v = 7 WHERE id = 1")
    told = rows(connection, log, things, when)
    assert [row[:3] for row in told] == [(1, 1, None if is_virtual else 2), (2, 2, 4)]
    assert told[0].audit_notes == (['"twice" was not recorded'] if is_virtual else [])
    things.info["versioned"] = {"include": ["twice"]}
    assert "recorded otherwise than declared" in refusal(connection, log, things, now(connection))


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
