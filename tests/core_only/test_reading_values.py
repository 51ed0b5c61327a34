"""A recorded value comes back as what the column held, in the database and in Python."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import pickle
import uuid
from decimal import Decimal
from typing import Any

import pytest
from audit_core import AuditLog
from audit_core.reading.values import load_json, to_python
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PickleType,
    String,
    Table,
    Text,
    Time,
    Uuid,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from tests.core_only.test_types import BUILT_IN


@pytest.fixture
def connection(connection: Connection) -> Connection:
    """The same, with types of users."""
    connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('sad', 'happy ''quoted''')")
    connection.exec_driver_sql("CREATE DOMAIN short_text AS varchar(5) CHECK (value <> 'x')")
    connection.exec_driver_sql("CREATE TYPE address AS (street text, number int)")
    return connection


@pytest.mark.filterwarnings("ignore:Did not recognize type")
@pytest.mark.parametrize(("definition", "first", "second"), BUILT_IN)
def test_as_of_has_the_value_that_the_column_had(
    connection: Connection, definition: str, first: str, second: str
) -> None:
    connection.exec_driver_sql(f"CREATE TABLE things (id int PRIMARY KEY, value {definition})")
    log = AuditLog(MetaData())
    things = Table("things", log.metadata, autoload_with=connection, info={"versioned": {}}, resolve_fks=False)
    log.install(connection)
    # Of json and of what SQLAlchemy does not know, the value is compared, as jsonb has it: its spaces and the
    # order of its keys are not kept.
    as_json = "json" in definition or isinstance(things.c.value.type, NullType)
    expected = []
    for statement in (f"INSERT INTO things VALUES (1, {first})", f"UPDATE things SET value = {second}"):
        connection.exec_driver_sql(statement)
        shown = "to_jsonb(value) #>> '{}'" if as_json else "value::text"
        held = connection.exec_driver_sql(f"SELECT {shown}, clock_timestamp() FROM things").one()
        expected.append(tuple(held))
    for held, when in expected:
        value = log.as_of(things, when).c.value
        shown = func.jsonb_build_array(value, type_=pg.JSONB)[0].astext if as_json else cast(value, Text)
        assert connection.scalar(select(shown)) == held


class Temper(enum.Enum):
    SAD = "s"
    GLAD = "g"


class Point(TypeDecorator[complex]):
    """Two numbers, kept as an array."""

    impl = ARRAY(Float)
    cache_ok = True

    def process_bind_param(self, value: complex | None, dialect: Dialect) -> Any:
        return None if value is None else [value.real, value.imag]

    def process_result_value(self, value: Any, dialect: Dialect) -> complex | None:
        return None if value is None else complex(*value)


UTC = dt.timezone.utc
TYPES: list[tuple[TypeEngine[Any], Any]] = [
    (Integer(), -5),
    (BigInteger(), 2**62),
    (Numeric(38, 18), Decimal("12345678901234567890.123456789012345678")),
    (Numeric(), Decimal("1E+300")),
    (Numeric(), Decimal("10") ** 5000),
    (Numeric(), Decimal("Infinity")),
    (Numeric(asdecimal=False), 0.25),
    (Float(), 0.1),
    (Float(), float("-inf")),
    (Boolean(), False),
    (String(10), "é\n'\"\\"),
    (pg.CHAR(5), "ab"),
    (Date(), dt.date(2026, 11, 24)),
    (DateTime(), dt.datetime(2026, 11, 24, 1, 2, 3, 450000)),
    (DateTime(timezone=True), dt.datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)),
    (DateTime(timezone=True), dt.datetime(1850, 1, 1, 1, 2, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=5)))),
    (Time(), dt.time(23, 59, 59, 1)),
    (Time(timezone=True), dt.time(4, 5, 6, tzinfo=dt.timezone(dt.timedelta(hours=-8)))),
    (Interval(), dt.timedelta(days=-3, hours=5, microseconds=7)),
    (Interval(), dt.timedelta(days=40, seconds=-7)),
    (Interval(), dt.timedelta(0)),
    (pg.INTERVAL(), dt.timedelta(days=1)),
    (Uuid(), uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    (Uuid(as_uuid=False), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (LargeBinary(), b"\x00\\\xff"),
    (PickleType(), {"a": [1, None]}),
    (Enum(Temper), Temper.GLAD),
    (Enum(Temper, native_enum=False), Temper.SAD),
    (Enum("x", "y", name="letter"), "y"),
    (ARRAY(Integer), [1, None, 3]),
    (ARRAY(Numeric(10, 2)), [[Decimal("1.50"), None], [Decimal(0), Decimal("-2.25")]]),
    (ARRAY(String, as_tuple=True), ("a,b", 'c"d')),
    (ARRAY(Enum(Temper, name="moods")), [Temper.SAD, Temper.GLAD]),
    (JSON(), {"b": 1.5, "a": [None, "x"]}),
    (pg.JSONB(), [1, {"a": "b"}]),
    (pg.INET(), ipaddress.ip_address("::1")),
    (pg.INET(), ipaddress.ip_interface("10.0.0.1/24")),
    (pg.CIDR(), ipaddress.ip_network("10.0.0.0/8")),
    (pg.MACADDR(), "08:00:2b:01:02:03"),
    (pg.INT4RANGE(), Range(1, 5)),
    (pg.INT8RANGE(), Range(empty=True)),
    (pg.NUMRANGE(), Range(Decimal("1.5"), None, bounds="[)")),
    (pg.DATERANGE(), Range(None, dt.date(2026, 1, 1), bounds="()")),
    (pg.TSRANGE(), Range(dt.datetime(2026, 1, 1, 2, 3, 4, 500000), dt.datetime(2026, 1, 2))),
    (pg.TSTZRANGE(), Range(dt.datetime(2026, 1, 1, tzinfo=UTC), dt.datetime(2026, 1, 2, tzinfo=UTC), bounds="(]")),
    (pg.INT8MULTIRANGE(), [Range(1, 3), Range(5, 7)]),
    (pg.TSTZMULTIRANGE(), [Range(dt.datetime(2026, 1, 1, tzinfo=UTC), dt.datetime(2026, 1, 2, tzinfo=UTC))]),
    (pg.BIT(3), "101"),
    (pg.TSVECTOR(), "'a':1 'cat':3"),
    (Point(), complex(1, -2)),
]


@pytest.mark.parametrize(("type_", "value"), TYPES, ids=lambda each: repr(each)[:40])
def test_values_have_the_type_that_the_model_has_in_python(
    connection: Connection, type_: TypeEngine[Any], value: Any
) -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        __table_args__: Any = ({"info": {"versioned": {}}},)
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[Any] = mapped_column(type_.copy() if hasattr(type_, "copy") else type_, nullable=True)

    log = AuditLog(Base)
    Base.metadata.create_all(connection)
    log.install(connection)
    with Session(connection) as session:
        thing = Thing(id=1, value=value)
        session.add(thing)
        session.flush()
        when = session.scalar(select(func.clock_timestamp()))
        assert when is not None
        session.refresh(thing)
        held = thing.value
        thing.value = None
        session.flush()
        update, insert = session.scalars(log.history(thing))
        for found in (insert.after.value, insert.changes["value"][1], update.before.value, update.changes["value"][0]):
            assert found == held
            assert type(found) is type(held)
        assert update.changes["value"][1] is None
        loaded = log.get_as_of(session, Thing, 1, when)
        assert loaded is not None
        assert loaded.value == held


@pytest.mark.parametrize(
    ("type_", "recorded"),
    [
        (Integer(), "not a number"),
        (Numeric(), "12 apples"),
        (Date(), "infinity"),
        (DateTime(), "0044-03-15T00:00:00 BC"),
        (Time(), "24:00:00"),
        (Interval(), "P1Y2M"),
        (Uuid(), "x"),
        (LargeBinary(), 7),
        (Enum(Temper), "ANGRY"),
        (ARRAY(Integer), 7),
        (pg.INT4RANGE(), "everything"),
        (pg.DATERANGE(), "[infinity,)"),
        (pg.INET(), "somewhere"),
        (Point(), [1, 2, 3]),
    ],
)
def test_what_python_or_the_type_cannot_hold_stays_as_it_is_recorded(type_: TypeEngine[Any], recorded: Any) -> None:
    assert to_python(recorded, type_) == recorded


def test_bytes_in_the_older_form(connection: Connection) -> None:
    connection.exec_driver_sql("SET LOCAL bytea_output = escape")
    text = connection.exec_driver_sql(r"SELECT to_jsonb('\x005c41ff'::bytea) #>> '{}'").scalar()
    assert to_python(text, LargeBinary()) == b"\x00\x5c\x41\xff"


def test_numbers_of_a_recorded_row_are_floats_with_all_digits() -> None:
    (number,) = load_json("[0.12345678901234567890]")
    assert number == 0.12345678901234567890
    assert to_python(number, Numeric()) == Decimal("0.12345678901234567890")
    assert pickle.loads(pickle.dumps(number)) == number
