"""Which types of keys and values can be asked for from the rows of today."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import HSTORE, JSONB
from sqlalchemy.types import CHAR, NullType

from tests.core_only.shop import now, run
from tests.core_only.test_reading_live import agree, audited, refusal, rows


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


def stored_otherwise(connection: Connection, in_model: Any, stored: str) -> tuple[AuditLog, Table]:
    """Create a table whose column has another type than the model says."""
    log = AuditLog(MetaData())
    columns = (Column("id", Integer, primary_key=True), Column("value", in_model))
    things = Table("things", log.metadata, *columns, info={"versioned": {}})
    run(connection, f"CREATE TABLE things (id integer PRIMARY KEY, value {stored})")
    log.install(connection)
    return log, things


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
    log, things = stored_otherwise(connection, in_model, stored)
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
    log, things = stored_otherwise(connection, in_model, stored)
    when = run(connection, f"INSERT INTO things VALUES (1, {value}), (2, {value})")
    run(connection, "UPDATE things SET value = NULL WHERE id = 1")
    ((changed, unchanged),) = agree(connection, log, things, when)
    assert changed.value == unchanged.value is not None


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
