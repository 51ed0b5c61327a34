"""Engines are attached once, and can be detached."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from audit_core import (
    AuditLog,
    ConfigurationError,
    ContextWarning,
    HistoryError,
    UnsupportedDatabaseError,
    audit_context,
)
from audit_core.capture.forgotten import leave_unattached
from audit_core.capture.statements import may_write
from sqlalchemy import (
    URL,
    Column,
    Engine,
    Integer,
    MetaData,
    Select,
    Table,
    create_engine,
    event,
    func,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Session

META = MetaData()
AUDIT_LOG = AuditLog(META)
THING = Table("things", META, Column("id", Integer, primary_key=True), info={"versioned": {}})
TRANSACTION = AUDIT_LOG.transaction_cls


@pytest.fixture
def audited(engine: Engine) -> Iterator[Engine]:
    with engine.begin() as connection:
        META.create_all(connection)
        AUDIT_LOG.install(connection)
    AUDIT_LOG.attach(engine)
    yield engine
    AUDIT_LOG.detach(engine)


def reasons(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(connection.scalars(select(TRANSACTION.meta["reason"].astext).order_by(TRANSACTION.id)))  # type: ignore[index]


def write(engine: Engine, reason: str) -> None:
    with audit_context(reason=reason), engine.begin() as connection:
        connection.execute(THING.insert())


def test_attaching_twice_is_once(audited: Engine) -> None:
    AUDIT_LOG.attach(audited)
    AUDIT_LOG.attach(audited.execution_options(copied=True))
    write(audited, "once")
    AUDIT_LOG.detach(audited)
    write(audited, "detached")
    assert reasons(audited) == ["once", None]


def test_detaching_what_is_not_attached_does_nothing(engine: Engine) -> None:
    AUDIT_LOG.detach(engine)


def test_copies_of_an_engine_are_attached_with_it(audited: Engine) -> None:
    write(audited.execution_options(copied=True), "copy")
    assert reasons(audited) == ["copy"]


def test_a_second_trail_on_an_engine_is_refused(audited: Engine) -> None:
    other = AuditLog(MetaData(), schema="other")
    with pytest.raises(ConfigurationError, match="Another AuditLog is attached"):
        other.attach(audited)


def test_an_attached_engine_can_be_collected(database: URL) -> None:
    engine = create_engine(database)
    AUDIT_LOG.attach(engine)
    alive = weakref.ref(engine)
    del engine
    gc.collect()
    assert alive() is None


def test_another_database_than_postgresql_is_refused() -> None:
    with pytest.raises(UnsupportedDatabaseError, match="this database is 'sqlite'"):
        AUDIT_LOG.attach(create_engine("sqlite://"))


def test_disable_needs_an_attached_engine(engine: Engine) -> None:
    with (
        Session(engine) as session,
        pytest.raises(ConfigurationError, match="attach"),
        AUDIT_LOG.disable(session),
    ):
        pass


def test_autocommit_sends_the_context_with_each_statement(audited: Engine) -> None:
    with audited.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        with audit_context(reason="autocommit"):
            connection.execute(THING.insert())
            connection.execute(THING.insert())
        connection.execute(THING.insert())
    assert reasons(audited) == ["autocommit", "autocommit", None]


def test_two_phase_transactions_carry_the_context(audited: Engine) -> None:
    with audited.connect() as connection:
        transaction = connection.begin_twophase()
        with audit_context(reason="two-phase"):
            connection.execute(THING.insert())
        assert connection.scalar(select(TRANSACTION.meta["reason"].astext)) == "two-phase"  # type: ignore[index]
        transaction.rollback()
        connection.execute(THING.insert())
        connection.commit()
    assert reasons(audited) == [None]


def test_statements_that_must_come_first_or_alone_stay_so(audited: Engine) -> None:
    with audit_context(reason="isolated"), audited.begin() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        connection.execute(THING.insert())
    with audit_context(reason="maintenance"), audited.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("VACUUM things"))
    assert reasons(audited) == ["isolated"]


def test_several_statements_in_one_text_run_and_are_attributed(audited: Engine) -> None:
    with audit_context(reason="several"), audited.begin() as connection:
        connection.execute(text("INSERT INTO things VALUES (1); INSERT INTO things VALUES (2);"))
        connection.exec_driver_sql("INSERT INTO things VALUES (3); INSERT INTO things VALUES (4)")
        assert connection.scalar(select(func.count()).select_from(THING)) == 4
    assert reasons(audited) == ["several"]


def test_a_procedure_may_commit_inside(audited: Engine) -> None:
    with audited.begin() as connection:
        connection.exec_driver_sql(
            "CREATE PROCEDURE fill() LANGUAGE plpgsql AS "
            "$$BEGIN INSERT INTO things VALUES (1); COMMIT; INSERT INTO things VALUES (2); END$$"
        )
    with audit_context(reason="procedure"), audited.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("CALL fill()"))
    assert reasons(audited) == [None, None]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (select(THING), False),
        (select(func.count()).where(func.lower("X") == "x"), False),
        (select(func.now()), False),
        (select(func.my_function()), True),
        (select(text("my_function()")), True),
        (select(literal_column("1")), False),
        (select(THING.insert().returning(THING.c.id).cte()), True),
        (select(THING).where(THING.c.id.in_(select(func.f()))), True),
    ],
)
def test_a_select_sends_the_context_only_if_it_may_write(audited: Engine, query: Select[Any], expected: bool) -> None:
    answers: list[bool] = []
    with audited.connect() as connection:
        connection.exec_driver_sql("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        connection.exec_driver_sql("CREATE FUNCTION my_function() RETURNS int LANGUAGE sql AS 'SELECT 1'")

        @event.listens_for(connection, "before_cursor_execute")
        def ask(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
            answers.append(may_write(context, statement))

        connection.execute(query)
    assert answers == [expected]


def test_a_query_of_queries_of_queries_is_walked_through_once(audited: Engine) -> None:
    """Each refers twice to the one before: followed to the end from each reference, this would take for ever."""
    query = select(THING.c.id).cte()
    for _ in range(40):
        other = query.alias()
        query = select(query.c.id).join(other, other.c.id == query.c.id).cte()
    with audit_context(reason="read"), audited.begin() as connection:
        connection.execute(select(query))
        sent = connection.scalar(select(func.current_setting("audit_logger.meta", True)))
    assert not sent


def test_a_context_that_was_rolled_back_by_hand_is_sent_again(audited: Engine) -> None:
    with audit_context(reason="by hand"), audited.begin() as connection:
        connection.exec_driver_sql("SAVEPOINT mine")
        connection.execute(THING.insert())
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mine")
        connection.execute(THING.insert())
    assert reasons(audited) == ["by hand"]


def test_a_resolver_may_query_on_the_same_connection(database: URL) -> None:
    """The user loader of Flask-Login does, in the middle of a flush."""
    metadata = MetaData()
    engine = create_engine(database)
    table = Table("things", metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    session = Session(engine)
    log = AuditLog(metadata, get_actor_id=lambda: session.scalar(text("SELECT 40 + 2")))
    with engine.begin() as connection:
        metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    session.execute(table.insert())
    session.commit()
    assert session.scalar(select(log.transaction_cls.actor_id)) == "42"
    session.close()
    engine.dispose()


def test_a_resolver_that_fails_fails_the_write(database: URL) -> None:
    metadata = MetaData()
    engine = create_engine(database)
    table = Table("things", metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    log = AuditLog(metadata, get_actor_id=lambda: 1 // 0)
    with engine.begin() as connection:
        metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        connection.execute(table.insert())
    log.detach(engine)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(table)) == 0
    engine.dispose()


def test_statement_events_of_the_application_still_run(audited: Engine) -> None:
    seen = []
    event.listen(audited, "before_cursor_execute", lambda *args: seen.append(args[2]))
    write(audited, "seen")
    assert len(seen) == 1


@pytest.mark.parametrize(
    "query",
    [
        AUDIT_LOG.activities(),
        AUDIT_LOG.history(THING, 1),
        select(TRANSACTION),
        select(1).where(select(TRANSACTION.id).exists()),
    ],
)
def test_reading_without_a_trail_says_how_to_make_one(engine: Engine, query: Any) -> None:
    AUDIT_LOG.attach(engine)
    with engine.connect() as connection, pytest.raises(HistoryError, match="no audit trail in schema 'public'"):
        connection.execute(query)
    # What is missing of the application's own is its own affair.
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="things"):
        connection.execute(select(THING))
    AUDIT_LOG.detach(engine)
    with engine.connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(query)


class Base(DeclarativeBase):
    metadata = META


class Thing(Base):
    __table__ = THING


@pytest.mark.parametrize(
    "write_one",
    [lambda session: session.add(Thing()), lambda session: session.execute(insert(Thing))],
    ids=["flush", "statement"],
)
def test_a_forgotten_attach_is_noticed_once(engine: Engine, write_one: Any) -> None:
    with engine.begin() as connection:
        META.create_all(connection)
    with Session(engine) as session:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write_one(session)
            session.flush()
            with audit_context(reason="reads"):
                session.scalars(select(Thing)).all()
        with audit_context(reason="why"):
            with warnings.catch_warnings(record=True) as noticed:
                warnings.simplefilter("always")
                write_one(session)
                session.flush()
            assert [each.category for each in noticed] == [ContextWarning]
            assert "no AuditLog is attached to Engine" in str(noticed[0].message)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                write_one(session)
                session.flush()


def test_an_engine_that_is_attached_needs_no_warning(audited: Engine) -> None:
    with warnings.catch_warnings(), Session(audited) as session, audit_context(reason="why"):
        warnings.simplefilter("error")
        session.add(Thing())
        session.commit()


def forgotten(log: AuditLog, engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [each.message for each in log.check(connection) if "attach" in each.message]


def test_check_says_where_something_was_lost(audited: Engine, database: URL) -> None:
    AUDIT_LOG.detach(audited)
    assert forgotten(AUDIT_LOG, audited) == []
    with Session(audited) as session, audit_context(reason="why"):
        session.add(Thing())
        with pytest.warns(ContextWarning) as noticed:
            session.flush()
        # Also in the transaction that has written it.
        (problem,) = [each.message for each in AUDIT_LOG.check(session) if "attach" in each.message]
    assert problem == str(noticed[0].message)
    assert f"no AuditLog is attached to {audited!r}" in problem
    AUDIT_LOG.attach(audited)
    assert forgotten(AUDIT_LOG, audited) == []


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_check_says_which_engine_was_left_out(audited: Engine, database: URL, driver: str) -> None:
    second = create_engine(database.set(drivername=f"postgresql+{driver}"))
    (problem,) = forgotten(AUDIT_LOG, second)
    assert problem.startswith(f"{second!r} is not attached, and another engine with the same database and role is")
    AUDIT_LOG.attach(second)
    assert forgotten(AUDIT_LOG, second) == []
    AUDIT_LOG.detach(second)
    leave_unattached(second)
    assert forgotten(AUDIT_LOG, second) == []
    second.dispose()


def test_an_engine_of_somebody_else_was_not_forgotten(audited: Engine, database: URL) -> None:
    """Who maintains the trail has another role, and where a function connects, nothing is known."""
    owner = f"owner_{database.database}"
    conninfo = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with audited.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {owner} SUPERUSER LOGIN PASSWORD 'secret'")
    others = [
        create_engine(database.set(username=owner, password="secret")),
        create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo)),
    ]
    for other in others:
        assert forgotten(AUDIT_LOG, other) == []
        other.dispose()
    with audited.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE {owner}")


def test_check_says_that_nobody_asks_the_resolvers(engine: Engine) -> None:
    asking = AuditLog(MetaData(), get_actor_id=lambda: "7")
    silent = AuditLog(MetaData())
    (problem,) = forgotten(asking, engine)
    assert "no engine of this process is attached: nobody asks them" in problem
    assert forgotten(silent, engine) == []
    asking.attach(engine)
    assert forgotten(asking, engine) == []
    asking.detach(engine)
    assert forgotten(asking, engine) == [problem]
