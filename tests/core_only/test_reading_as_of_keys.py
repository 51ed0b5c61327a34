"""A condition on the key of the rows of the past is answered by the index, and as it would be without."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from audit_core import AuditLog, HistoryError
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    and_,
    literal_column,
    not_,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column
from sqlalchemy.types import CHAR

from tests.core_only.shop import Customer, Explain, Line, audit_log, now, opened, run


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def table_with(connection: Connection, type_: Any) -> tuple[AuditLog, Table]:
    log = AuditLog(MetaData())
    things = Table(
        "things",
        log.metadata,
        Column("Id", type_, primary_key=True, key="id"),
        Column("name", String),
        info={"versioned": {}},
    )
    log.metadata.create_all(connection)
    log.install(connection)
    return log, things


def is_by_key(condition: ColumnElement[bool]) -> bool:
    return "audit_row_key" in str(condition)


def test_the_index_finds_what_is_asked_for(session: Session) -> None:
    when = run(
        session,
        "INSERT INTO customers SELECT g, 'name ' || g FROM generate_series(1, 20000) AS g",
        "UPDATE customers SET id = id + 50000 WHERE id % 4 = 2",
        "ANALYZE",
    )
    rows = audit_log.as_of(Customer, when)
    old = aliased(Customer, rows)
    read = text(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables "
        "WHERE relname LIKE 'activity%'"
    )
    for condition, found in (
        (rows.c.id == 77, [77]),
        (old.id == 77, [77]),
        (and_(rows.c.id == 77, rows.c.name == "name 77"), [77]),
        (rows.c.id == 50078, [50078]),
        (rows.c.id.in_([76, 77, 78]), [76, 77]),
    ):
        query = select(rows.c.id).where(condition)
        before = session.scalar(read)
        assert sorted(session.scalars(query)) == found
        assert session.scalar(read) - before < 500
        plan = list(session.scalars(Explain(query)))
        scans = [line for line in plan if "Index Cond" in line and " (row_key = ANY (CASE WHEN" in line]
        taken = [line for line in plan if "Index Cond" in line and " (old_row_key = ANY (CASE WHEN" in line]
        assert scans
        assert taken


def test_every_condition_says_what_it_would_without(session: Session) -> None:
    run(session, "INSERT INTO customers SELECT g, 'name ' || g FROM generate_series(1, 5) AS g")
    when = run(session, "UPDATE customers SET id = 6 WHERE id = 1", "DELETE FROM customers WHERE id = 2")
    run(session, "DELETE FROM customers WHERE id = 3")
    rows, others = audit_log.as_of(Customer, when), audit_log.as_of(Customer, when)

    def ids(condition: ColumnElement[bool]) -> list[int]:
        return sorted(session.scalars(select(rows.c.id).where(condition)))

    assert ids(rows.c.id == 1) == []
    assert ids(rows.c.id == 2) == []
    assert ids(3 == rows.c.id) == [3]  # noqa: SIM300
    assert ids(rows.c.id != 3) == [4, 5, 6]
    assert ids(not_(rows.c.id == 3)) == [4, 5, 6]
    assert ids(~rows.c.id.in_([3, 4])) == [5, 6]
    assert ids(rows.c.id.not_in([3, 4])) == [5, 6]
    assert ids(rows.c.id.in_([])) == []
    assert ids(or_(rows.c.id == 3, rows.c.name == "name 1")) == [3, 6]
    assert ids(rows.c.id > 4) == [5, 6]
    assert ids(rows.c.id + 1 == 4) == [3]
    assert ids(rows.c.id.is_(None)) == []
    assert ids(rows.c.id.in_(select(Customer.id))) == [4, 5, 6]
    pairs = select(rows.c.id, others.c.id).outerjoin(others, and_(others.c.id == rows.c.id, others.c.id == 4))
    assert sorted(session.execute(pairs).all()) == [(3, None), (4, 4), (5, None), (6, None)]
    # Another table of the query may have a column of this name.
    mixed = select(rows.c.id, others.c.audit_row_key).select_from(rows).join(others, true()).subquery()
    assert sorted(session.scalars(select(mixed.c.id).where(mixed.c.id == 3))) == [3] * 4
    assert sorted(session.scalars(select(rows.alias("a").c.id).where(literal_column("a.id") == 3))) == [3]


@pytest.mark.parametrize(
    ("type_", "keys", "is_known"),
    [
        (Integer(), [1, -2], True),
        (Uuid(), [uuid.UUID(int=1), uuid.UUID(int=2**127)], True),
        (Text(), ["a", "ä'\"\\%", "Ä" * 250, "007", "", "null", "sha256:"], True),
        (String(300), ["x" * 251, "y" * 252], False),
        (CHAR(3), ["a", "b"], False),
        (String(collation="C"), ["a", "b"], False),
        (Uuid(as_uuid=False), [str(uuid.UUID(int=1)), str(uuid.UUID(int=2))], False),
    ],
)
def test_keys_of_all_kinds(connection: Connection, type_: Any, keys: list[Any], is_known: bool) -> None:
    log, things = table_with(connection, type_)
    for key in keys:
        connection.execute(things.insert().values(id=key, name=str(key)))
    rows = log.as_of(things, now(connection))
    for key in keys:
        condition = rows.c.id == key
        assert is_by_key(condition) is is_known
        assert connection.scalars(select(rows.c.name).where(condition)).all() == [str(key)]
    in_ = rows.c.id.in_(keys)
    assert is_by_key(in_) is is_known
    assert len(connection.execute(select(rows).where(in_)).all()) == len(keys)
    assert not is_by_key(rows.c.name == "a")


def test_values_that_the_trail_may_write_otherwise(connection: Connection) -> None:
    class Doubled(TypeDecorator[int]):
        impl = Integer
        cache_ok = True

        def process_bind_param(self, value: int | None, dialect: Any) -> int | None:
            return None if value is None else 2 * value

    log, things = table_with(connection, Doubled())
    connection.execute(things.insert().values(id=3, name="a"))
    rows = log.as_of(things, now(connection))
    assert not is_by_key(rows.c.id == 3)
    assert connection.scalars(select(rows.c.name).where(rows.c.id == 3)).all() == ["a"]
    log = AuditLog(MetaData())
    other = Table("numbers", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    rows = log.as_of(other, now(connection))
    assert not is_by_key(rows.c.id == 1.0)
    assert not is_by_key(rows.c.id == True)  # noqa: E712
    assert not is_by_key(rows.c.id == rows.c.id)
    assert not is_by_key(rows.c.id.in_([1, None]))


def test_a_column_of_a_composite_key(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO orders VALUES (1, 1, 1, 'OPEN')")
    when = run(session, "INSERT INTO lines VALUES (1, 1, 'a'), (1, 2, 'b')")
    rows = audit_log.as_of(Line, when)
    assert not is_by_key(rows.c.number == 2)
    found = select(rows.c.article, rows.c.audit_row_key).where(rows.c.number == 2)
    assert session.execute(found).all() == [("b", "[1, 2]")]


def test_another_column_was_the_key(connection: Connection) -> None:
    """What is recorded by another key is found as well, if not by the index."""
    connection.execute(text("CREATE TABLE things (name text PRIMARY KEY, id int NOT NULL)"))
    log = AuditLog(MetaData())
    Table("things", log.metadata, Column("name", Text, primary_key=True), Column("id", Integer), info={"versioned": {}})
    log.install(connection)
    before = run(connection, "INSERT INTO things VALUES ('a', 7), ('7', 8)")
    run(connection, "ALTER TABLE things DROP CONSTRAINT things_pkey, ADD PRIMARY KEY (id)")
    log = AuditLog(MetaData())
    things = Table(
        "things", log.metadata, Column("id", Integer, primary_key=True), Column("name", Text), info={"versioned": {}}
    )
    log.install(connection)
    after = run(connection, "INSERT INTO things (id, name) VALUES (9, 'c')")
    rows = log.as_of(things, before)
    assert connection.scalars(select(rows.c.name).where(rows.c.id == 7)).all() == ["a"]
    rows = log.as_of(things, after)
    assert sorted(connection.scalars(select(rows.c.name).where(rows.c.id.in_([7, 8, 9])))) == ["7", "a", "c"]


def test_an_object_that_is_in_two_tables(connection: Connection) -> None:
    class Base(DeclarativeBase):
        pass

    class Vehicle(Base):
        __tablename__ = "vehicles"
        __table_args__: Any = ({"info": {"versioned": {}}},)
        __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    class Van(Vehicle):
        __tablename__ = "vans"
        __table_args__: Any = ({"info": {"versioned": {}}},)
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "van"}
        id: Mapped[int] = mapped_column(ForeignKey(Vehicle.id), primary_key=True)
        load: Mapped[int]

    log = AuditLog(Base)
    Base.metadata.create_all(connection)
    log.install(connection)
    when = run(connection, "INSERT INTO vehicles VALUES (1, 'van'), (2, 'vehicle')", "INSERT INTO vans VALUES (1, 5)")
    for model, found in ((Vehicle, [(1, 5, "1")]), (Van, [(1, 5, "1")])):
        rows = log.as_of(model, when)
        assert is_by_key(rows.c.id == 1)
        query = select(rows.c.id, rows.c.load, rows.c.audit_row_key).where(rows.c.id == 1)
        assert connection.execute(query).all() == found
    rows = log.as_of(Vehicle, when)
    assert connection.execute(select(rows.c.id, rows.c.load).where(rows.c.id == 2)).all() == [(2, None)]


def test_the_column_has_a_name_of_ours() -> None:
    log = AuditLog(MetaData())
    taken = Table(
        "taken",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("audit_row_key", Text),
        info={"versioned": {}},
    )
    with pytest.raises(HistoryError, match="'audit_row_key', which is what as_of"):
        log.as_of(taken, dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))


def test_what_is_asked_of_a_row_stands_in_the_query_once() -> None:
    """To plan the query takes longer than to find one row."""
    query = select(audit_log.as_of(Customer, dt.datetime.now(dt.timezone.utc), key=1))
    compiled = query.compile()
    assert str(compiled).count("DISTINCT ON") == 1
    # Once for the row itself, and once for what lies between its last two activities.
    assert [value for value in compiled.params.values() if value == "bypass"] == ["bypass"] * 2
