"""Bad input: each error names the thing and says what to do, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from audit_core import (
    AuditLog,
    ConfigurationError,
    ContextError,
    UnsupportedDatabaseError,
    audit_context,
)
from audit_core.installation.catalog import read
from audit_core.siblings import differences, scope_of
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    String,
    Table,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.contract.tables import log_of_users


@pytest.mark.parametrize(
    ("versioned", "message"),
    [
        ({"exclude": ["nmae"]}, r"'users'.*'nmae'.*its columns are 'id', 'name'"),
        ({"exclude": ["id"]}, r"'users'.*'id'.*primary key"),
        ({"exclude": "name"}, r"'users'.*'exclude' is 'name'; make it a list"),
        ({"exclud": ["name"]}, r"'users'.*'exclud' is not an option.*'exclude'"),
        ({"store": "all"}, r"'users'.*'store' is 'all'; it can be 'rows' or 'changes'"),
        (["name"], r"'users'.*make it a dict"),
        (True, r"'users'.*make it a dict"),
    ],
)
def test_options_of_a_table_are_checked_before_anything_is_installed(
    engine: Engine, versioned: object, message: str
) -> None:
    log = log_of_users(versioned)
    with engine.begin() as connection:
        log.metadata.create_all(connection)
        with pytest.raises(ConfigurationError, match=message):
            log.install(connection)
        assert not inspect(connection).has_table("activity")


def test_a_table_with_a_name_of_the_trail_that_is_declared_later_is_refused(engine: Engine) -> None:
    log = log_of_users({})
    Table("activity", log.metadata, Column("id", Integer, primary_key=True))
    with engine.begin() as connection, pytest.raises(ConfigurationError, match="'activity'"):
        log.install(connection)


def test_a_foreign_table_with_a_name_of_the_trail_is_refused(engine: Engine) -> None:
    log = log_of_users({})
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE activity (id int)")
        with pytest.raises(ConfigurationError, match=r"public\.activity.*schema='audit'"):
            log.install(connection)


def test_half_a_trail_is_not_touched(engine: Engine) -> None:
    log = log_of_users({})
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
        assert differences(scope_of(log), read(connection, "public")) == []


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


def test_an_old_postgresql_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.dialect.server_version_info = (13, 9)
        with pytest.raises(UnsupportedDatabaseError, match=r"this server is 13\.9"):
            log_of_users({}).install(connection)
