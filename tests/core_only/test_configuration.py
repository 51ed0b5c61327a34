"""Bad input: each error names the thing and says what to do, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from audit_core import (
    AuditError,
    AuditLog,
    ConfigurationError,
    ContextError,
    UnsupportedDatabaseError,
    audit_context,
)
from audit_core.catalog import read
from audit_core.quoting import literal, quote, type_name
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


def marked(versioned: object) -> AuditLog:
    metadata = MetaData()
    log = AuditLog(metadata)
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        info={"versioned": versioned},
    )
    return log


@pytest.mark.parametrize(
    ("versioned", "message"),
    [
        ({"exclude": ["nmae"]}, r"'users'.*'nmae'.*its columns are 'id', 'name'"),
        ({"exclude": ["id"]}, r"'users'.*'id'.*primary key"),
        ({"exclude": "name"}, r"'users'.*'exclude' is 'name'; make it a list"),
        ({"exclud": ["name"]}, r"'users'.*'exclud' is not an option.*'exclude'"),
        (["name"], r"'users'.*make it a dict"),
        (True, r"'users'.*make it a dict"),
    ],
)
def test_options_of_a_table_are_checked_before_anything_is_installed(
    engine: Engine, versioned: object, message: str
) -> None:
    log = marked(versioned)
    with engine.begin() as connection:
        log.metadata.create_all(connection)
        with pytest.raises(ConfigurationError, match=message):
            log.install(connection)
        assert not inspect(connection).has_table("activity")


def test_the_key_of_2x_is_not_passed_over() -> None:
    metadata = MetaData()
    log = AuditLog(metadata)
    Table("users", metadata, Column("id", Integer, primary_key=True), info={"audit_logged": True})
    with pytest.raises(ConfigurationError, match=r"'users'.*'audit_logged'.*'versioned'"):
        log.triggers()


@pytest.mark.parametrize("unmarked", [None, False])
def test_a_table_can_be_marked_as_not_versioned(unmarked: object) -> None:
    assert marked(unmarked).triggers() == []


def test_two_logs_on_one_metadata_are_refused() -> None:
    log = marked({})
    with pytest.raises(ConfigurationError, match="has an AuditLog already"):
        AuditLog(log.metadata)


@pytest.mark.parametrize("name", ["activity", "transaction"])
def test_a_table_of_the_application_with_a_name_of_the_trail_is_refused(name: str) -> None:
    metadata = MetaData()
    Table(name, metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(ConfigurationError, match=rf"'{name}'.*schema='audit'"):
        AuditLog(metadata)
    AuditLog(metadata, schema="audit")


def test_a_table_with_a_name_of_the_trail_that_is_declared_later_is_refused(engine: Engine) -> None:
    log = marked({})
    Table("activity", log.metadata, Column("id", Integer, primary_key=True))
    with engine.begin() as connection, pytest.raises(ConfigurationError, match="'activity'"):
        log.install(connection)


def test_a_foreign_table_with_a_name_of_the_trail_is_refused(engine: Engine) -> None:
    log = marked({})
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE activity (id int)")
        with pytest.raises(ConfigurationError, match=r"public\.activity.*schema='audit'"):
            log.install(connection)


def test_half_a_trail_is_not_touched(engine: Engine) -> None:
    log = marked({})
    with engine.begin() as connection:
        log.metadata.create_all(connection)
        log.install(connection)
        connection.exec_driver_sql("DROP TABLE transaction")
        with pytest.raises(ConfigurationError, match="lacks the table transaction"):
            log.install(connection)


class Declared:
    """Models of one test."""

    def __init__(self) -> None:
        class Base(DeclarativeBase):
            pass

        self.base = Base


def composite(base: Any) -> type[Any]:
    class Composite(base):  # type: ignore[misc]
        __tablename__ = "composites"
        left: Mapped[int] = mapped_column(primary_key=True)
        right: Mapped[int] = mapped_column(primary_key=True)

    return Composite


@pytest.mark.parametrize(
    ("actor_cls", "message"),
    [
        (lambda base: "Nobody", r"actor_cls is 'Nobody'.*no model of that name"),
        (composite, r"'Composite' has a composite primary key \('left', 'right'\)"),
        (lambda base: int, "not a mapped class"),
    ],
)
def test_an_actor_class_that_cannot_be_used(engine: Engine, actor_cls: Callable[[Any], Any], message: str) -> None:
    base = Declared().base
    log = AuditLog(base, actor_cls=actor_cls(base))
    with engine.begin() as connection, pytest.raises(ConfigurationError, match=message):
        log.install(connection)
    log.attach(engine)
    table = Table("things", base.metadata, Column("id", Integer, primary_key=True))
    with engine.begin() as connection:
        base.metadata.create_all(connection)
    with (
        audit_context(actor_id=1),
        engine.begin() as connection,
        pytest.raises(ConfigurationError, match=message),
    ):
        connection.execute(insert(table))


def test_an_actor_class_may_be_declared_later(engine: Engine) -> None:
    base = Declared().base
    log = AuditLog(base, actor_cls="Person")

    class Person(base):  # type: ignore[misc, valid-type]
        __tablename__ = "persons"
        __table_args__ = ({"info": {"versioned": {}}},)
        id: Mapped[str] = mapped_column(String(8), primary_key=True)

    with engine.begin() as connection:
        base.metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    with Session(engine) as session, audit_context(actor_id="ann"):
        session.add(Person(id="ann"))
        session.commit()
        transaction = session.scalars(select(log.transaction_cls)).one()
        assert (transaction.actor_id, transaction.actor.id) == ("ann", "ann")
    with engine.connect() as connection:
        assert log.steps(read(connection, "public")) == []


def test_an_actor_of_another_type_is_refused(engine: Engine) -> None:
    base = Declared().base

    class Person(base):  # type: ignore[misc, valid-type]
        __tablename__ = "persons"
        __table_args__ = ({"info": {"versioned": {}}},)
        id: Mapped[int] = mapped_column(primary_key=True)

    log = AuditLog(base, actor_cls=Person, get_actor_id=lambda: "7")
    with engine.begin() as connection:
        base.metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    with (
        Session(engine) as session,
        pytest.raises(ContextError, match="actor_id is '7', a str, and the actor's primary key is INTEGER"),
    ):
        session.execute(insert(Person))


def test_another_database_than_postgresql_is_refused() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection, pytest.raises(UnsupportedDatabaseError, match="'sqlite'"):
        marked({}).install(connection)
    engine.dispose()


def test_an_old_postgresql_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.dialect.server_version_info = (13, 9)
        with pytest.raises(UnsupportedDatabaseError, match=r"this server is 13\.9"):
            marked({}).install(connection)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "é" * 32])
def test_names_that_postgresql_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        quote(name)


@pytest.mark.parametrize("name", ["int; DROP TABLE x", "int--", "", "text)", "a'b", "$audit_logger$"])
def test_what_is_no_type_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        type_name(name)


@pytest.mark.parametrize(
    "name",
    ["bigint", "varchar(36)", "numeric(10, 2)", "timestamp(3) with time zone", 'public."My type"', "uuid"],
)
def test_types_are_left_alone(name: str) -> None:
    assert type_name(name) == name


def test_a_literal_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        literal("a\0b")


def test_every_error_is_an_audit_error() -> None:
    for error in (ConfigurationError, ContextError, UnsupportedDatabaseError):
        assert issubclass(error, AuditError)
    assert issubclass(ConfigurationError, ValueError)


def test_audit_context_does_not_decorate_generators() -> None:
    with pytest.raises(ConfigurationError, match="generator"):

        @audit_context(job="x")
        def numbers() -> Any:
            yield 1


def test_the_likely_slip_with_the_name_of_the_actor_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"actor=7\) names no actor. Write actor_id="):
        audit_context(actor=7)
