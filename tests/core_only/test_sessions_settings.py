"""What is recorded is the same for every session, and so is what is compared with it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import (
    ARRAY,
    JSON,
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
    Table,
    Text,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import DATERANGE, MONEY, TSTZRANGE

pytestmark = pytest.mark.each_server

METADATA = MetaData()
LOG = AuditLog(METADATA)
AUDITED: dict[str, Any] = {"info": {"versioned": {}}}

VALUES = Table(
    "values_",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("double", Float(53)),
    Column("single", Float(24)),
    Column("at", DateTime(timezone=True)),
    Column("day", Date),
    Column("span", Interval),
    Column("bytes", LargeBinary),
    Column("price", MONEY),
    Column("days", DATERANGE),
    Column("times", TSTZRANGE),
    Column("number", Numeric),
    Column("list", ARRAY(Integer)),
    Column("json_", JSON),
    **AUDITED,
)
KEYS = Table("keys", METADATA, Column("at", DateTime(timezone=True), primary_key=True), Column("n", Integer), **AUDITED)
BYTES = Table("bytes_", METADATA, Column("key", LargeBinary, primary_key=True), Column("n", Integer), **AUDITED)
LONG = Table("long_", METADATA, Column("key", Text, primary_key=True), Column("n", Integer), **AUDITED)

ROW = (
    "(1, 0.30000000000000004, 0.1, '2026-11-24 12:00:00.123456+00', '2026-02-01', '-02:03:04', '\\x00ff5c',"
    " 1234.5, '[2026-02-01,2026-03-04)', '[2026-02-01 12:00+00,2026-03-04 12:00+00)', 1.10, '{1,2}', '{\"a\": 1}')"
)
OTHER_SETTINGS = (
    "SET extra_float_digits = -15",
    "SET TimeZone = 'Asia/Kathmandu'",
    "SET DateStyle = 'SQL, DMY'",
    "SET IntervalStyle = 'sql_standard'",
    "SET bytea_output = 'escape'",
    "SET xmlbinary = 'hex'",
    "SET quote_all_identifiers = on",
    "SET enable_indexscan = off",
)


@pytest.fixture
def trail(connection: Connection) -> Connection:
    METADATA.create_all(connection)
    LOG.install(connection)
    return connection


def data(connection: Connection) -> list[Any]:
    activity = LOG.activity_cls
    query = select(activity.verb, activity.row_key, text("old_data::text, changed_data::text")).order_by(activity.id)
    return [tuple(row) for row in connection.execute(query)]


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize("rows", [1, 3, 150])
def test_every_session_records_the_same(trail: Connection, rows: int) -> None:
    written = (
        *(f"INSERT INTO values_ VALUES {ROW.replace('(1', f'({n}')}" for n in range(1, rows + 1)),
        "UPDATE values_ SET double = double * 1.4, span = span - interval '1 day'",
        "DELETE FROM values_",
    )
    run(trail, *written)
    usual = data(trail)
    run(trail, *OTHER_SETTINGS, *written)
    assert data(trail) == usual * 2
    assert '"double": 0.30000000000000004' in usual[0][3]
    assert '"span": "-1 days -02:03:04"' in usual[rows][3]


@pytest.mark.parametrize("rows", [1, 3, 150])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("double", "0.3"),
        ("number", "1.1"),
        ("list", "'[0:1]={1,2}'"),
        ("json_", "'{\"a\":  1}'"),
        ("double", "'-0'::float8 * CASE WHEN double = 0 THEN 1 ELSE 0 END"),
    ],
)
def test_whether_a_row_changed_is_told_by_its_values(trail: Connection, rows: int, column: str, value: str) -> None:
    for n in range(1, rows + 1):
        run(trail, f"INSERT INTO values_ VALUES {ROW.replace('(1', f'({n}')}")
    if "-0" in value:
        run(trail, "UPDATE values_ SET double = 0")
    before = len(data(trail))
    run(
        trail,
        "SET extra_float_digits = -15",
        f"UPDATE values_ SET {column} = {value}",
        f"UPDATE values_ SET {column} = {value}",
    )
    changes = data(trail)[before:]
    assert len(changes) == rows
    assert all(f'"{column}":' in changed for *_, changed in changes)


def test_only_excluded_columns_changed_and_nothing_else(connection: Connection) -> None:
    log = AuditLog(MetaData())
    Table("t", log.metadata, *(Column(name, Float, primary_key=name == "a") for name in "abc"), Column("seen", Integer),
          info={"versioned": {"exclude": ["seen"]}})  # fmt: skip
    log.metadata.create_all(connection)
    log.install(connection)
    run(
        connection,
        "INSERT INTO t VALUES (1, 0, 1, 1), (2, 0, 1, 1)",
        "UPDATE t SET seen = 2",
        "UPDATE t SET seen = 3 WHERE a = 1",
    )
    run(
        connection,
        "UPDATE t SET b = '-0', seen = 4 WHERE a = 1",
        "UPDATE t SET b = CASE a WHEN 2 THEN '-0' ELSE b END, seen = 5",
    )
    found = connection.execute(
        select(log.activity_cls.row_key, log.activity_cls.changed_data).order_by(log.activity_cls.id)
    )
    assert found.all()[2:] == [("1", {"b": 0}), ("2", {"b": 0})]


def test_a_key_with_a_time_zone_has_one_history(trail: Connection) -> None:
    when = dt.datetime(2026, 11, 24, 12, 0, 0, 123456, dt.timezone.utc)
    run(trail, f"INSERT INTO keys VALUES ('{when}', 1)", "SET TimeZone = 'Asia/Kathmandu'", "UPDATE keys SET n = 2")
    run(trail, "SET TimeZone = 'America/New_York'", "DELETE FROM keys")
    assert [row.verb for row in trail.execute(LOG.history(KEYS, when))] == ["delete", "update", "insert"]
    run(trail, "INSERT INTO keys VALUES ('infinity', 1)")
    assert LOG.get_as_of(trail, KEYS, when, dt.datetime.now(dt.timezone.utc)) is None


def test_a_key_of_bytes_has_one_history(trail: Connection) -> None:
    run(trail, "INSERT INTO bytes_ VALUES ('\\x00ff5c', 1)", "SET bytea_output = 'escape'", "UPDATE bytes_ SET n = 2")
    assert [row.verb for row in trail.execute(LOG.history(BYTES, b"\x00\xff\\"))] == ["update", "insert"]


@pytest.mark.parametrize("settings", [(), OTHER_SETTINGS])
def test_an_undo_compares_and_writes_the_same_in_every_session(engine: Engine, settings: tuple[str, ...]) -> None:
    LOG.attach(engine)
    try:
        with engine.begin() as connection:
            METADATA.create_all(connection)
            LOG.install(connection)
            run(connection, f"INSERT INTO values_ VALUES {ROW}")
        with engine.begin() as connection:
            run(
                connection, "UPDATE values_ SET day = '2026-05-06', span = '3 days', double = 1, price = 7, days = NULL"
            )
        with engine.begin() as connection:
            run(connection, *settings)
            before = connection.exec_driver_sql("SELECT current_setting('TimeZone')").scalar()
            last = connection.scalar(select(LOG.transaction_cls.id).order_by(LOG.transaction_cls.id.desc()).limit(1))
            plan = LOG.plan_undo(connection, last)
            assert plan.conflicts == []
            plan.apply()
            assert connection.exec_driver_sql("SELECT current_setting('TimeZone')").scalar() == before
            run(connection, "RESET ALL")
            row = connection.execute(select(VALUES)).one()
        assert (row.day, row.span, row.double) == (
            dt.date(2026, 2, 1),
            -dt.timedelta(hours=2, minutes=3, seconds=4),
            0.30000000000000004,
        )
        assert Decimal(str(row.number)) == Decimal("1.10")
    finally:
        LOG.detach(engine)


def test_keys_longer_than_an_index_takes(trail: Connection) -> None:
    keys = ["k" * 1000, "k" * 1001, "k" * 100_000, "k" * 100_001]
    for key in keys:
        trail.execute(LONG.insert().values(key=key, n=1))
    for key in keys:
        trail.execute(LONG.update().where(LONG.c.key == key).values(n=2))
        assert [row.verb for row in trail.execute(LOG.history(LONG, key))] == ["update", "insert"]
    found = trail.scalars(select(LOG.activity_cls.row_key)).all()
    assert len(set(found)) == 4
    # What stands for a long key is the key of no other row.
    trail.execute(LONG.insert().values(key=found[-1], n=1))
    assert [row.verb for row in trail.execute(LOG.history(LONG, found[-1]))] == ["insert"]


def test_a_snapshot_writes_what_the_triggers_write(engine: Engine) -> None:
    with engine.begin() as connection:
        METADATA.create_all(connection)
        run(connection, f"INSERT INTO values_ VALUES {ROW}")
        LOG.install(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run(connection, *OTHER_SETTINGS[:-1], "CALL audit_logger_snapshot('values_', 10)")
        assert connection.exec_driver_sql("SELECT current_setting('TimeZone')").scalar() == "Asia/Kathmandu"
        run(connection, "RESET ALL", "DELETE FROM values_")
        (_, _, _, snapshot), (_, _, deleted, _) = data(connection)
        assert snapshot == deleted


def test_generated_columns_that_are_not_stored_are_left_out(connection: Connection) -> None:
    version = connection.dialect.server_version_info
    assert version is not None
    kind = "VIRTUAL" if version >= (18,) else "STORED"
    log = AuditLog(MetaData())
    table = Table(
        "t", log.metadata, Column("id", Integer, primary_key=True), Column("twice", Integer), info={"versioned": {}}
    )
    run(connection, f"CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) {kind})")
    log.install(connection)
    assert log.check(connection) == []
    run(connection, "INSERT INTO t VALUES (1)", "UPDATE t SET id = 2", "INSERT INTO t SELECT generate_series(3, 5)")
    activity = log.activity_cls
    expected = {"id": 1} if kind == "VIRTUAL" else {"id": 1, "twice": 2}
    assert connection.scalars(select(activity.changed_data).order_by(activity.id)).first() == expected
    if kind == "VIRTUAL":
        row = connection.execute(select(log.as_of(table, dt.datetime.now(dt.timezone.utc)))).first()
        assert row is not None
        assert row.audit_notes == ['"twice" was not recorded']


def test_a_text_that_no_jsonb_can_hold_does_not_stop_the_write(connection: Connection) -> None:
    log = AuditLog(MetaData())
    Table("t", log.metadata, Column("id", Integer, primary_key=True), Column("a", Text), info={"versioned": {}})
    log.metadata.create_all(connection)
    log.install(connection)
    run(connection, "INSERT INTO t VALUES (1, repeat(repeat('x', 1000), 270000))")
    activity = log.activity_cls
    (found,) = connection.execute(select(activity.row_key, activity.changed_data)).all()
    assert found.row_key == "1"
    assert found.changed_data["a"] == {"$unstorable": '"' + "x" * 999, "$bytes": 270_000_002}
