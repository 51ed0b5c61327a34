"""Tables and keys as a person writes them."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from audit_core import AuditLog, HistoryError
from audit_core.audit_log import scope_of
from audit_core.reading import find_table, parse_actor, parse_key
from sqlalchemy import Column, Date, Integer, MetaData, String, Table, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


@pytest.fixture
def log() -> AuditLog:
    metadata = MetaData()
    versioned = {"info": {"versioned": {}}}
    Table("items", metadata, Column("id", Integer, primary_key=True), **versioned)
    Table("items", metadata, Column("id", Uuid, primary_key=True), schema="stock", **versioned)
    Table("days", metadata, Column("day", Date, primary_key=True), schema="stock", **versioned)
    Table(
        "readers", metadata, Column("a", Integer, primary_key=True), Column("b", String, primary_key=True), **versioned
    )
    Table("secrets", metadata, Column("id", Integer, primary_key=True))
    return AuditLog(metadata)


def test_a_table_is_found_by_its_name(log: AuditLog) -> None:
    assert find_table(scope_of(log), "readers").name == "readers"
    assert find_table(scope_of(log), "days").schema == "stock"
    assert find_table(scope_of(log), "stock.items").schema == "stock"
    assert find_table(scope_of(log), "items").schema is None


@pytest.mark.parametrize("name", ["item", "secrets", "", "stock."])
def test_a_table_that_is_not_recorded_is_refused(log: AuditLog, name: str) -> None:
    with pytest.raises(HistoryError, match=r"the audited tables are 'items', 'readers', 'stock.days', 'stock.items'"):
        find_table(scope_of(log), name)


def test_a_name_in_two_schemas_needs_one() -> None:
    metadata = MetaData()
    for schema in ("a", "b"):
        Table("t", metadata, Column("id", Integer, primary_key=True), schema=schema, info={"versioned": {}})
    with pytest.raises(HistoryError, match=r"several tables 't': 'a\.t', 'b\.t'\. Give the schema"):
        find_table(AuditLog(metadata), "t")


def test_a_key_has_the_type_of_its_column(log: AuditLog) -> None:
    some = uuid.uuid4()
    assert parse_key(find_table(scope_of(log), "items"), "007") == (7,)
    assert parse_key(find_table(scope_of(log), "stock.items"), str(some)) == (some,)
    assert parse_key(find_table(scope_of(log), "days"), "2026-11-24") == (dt.date(2026, 11, 24),)
    assert parse_key(find_table(scope_of(log), "readers"), '[7, "a, b"]') == (7, "a, b")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("items", "abc"),
        ("items", ""),
        ("days", "today"),
        ("readers", "7"),
        ("readers", "[7]"),
        ("readers", '["x", "y"]'),
    ],
)
def test_a_key_of_the_wrong_shape_is_refused(log: AuditLog, table: str, text: str) -> None:
    with pytest.raises(HistoryError, match="is not a primary key of table"):
        parse_key(find_table(scope_of(log), table), text)


def test_an_actor_has_the_type_of_the_actors_key() -> None:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    log = AuditLog(Base, actor_cls=User)
    assert parse_actor(scope_of(log), "7") == 7
    with pytest.raises(HistoryError, match=r"'x' is not a primary key of an actor, which is of the type Integer\(\)"):
        parse_actor(scope_of(log), "x")
    assert parse_actor(scope_of(AuditLog(MetaData())), "x") == "x"
