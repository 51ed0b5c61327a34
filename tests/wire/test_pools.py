"""A connection goes from hand to hand, breaks and comes back: each change keeps the actor who made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from audit_core import audit_context
from sqlalchemy import URL, Connection, Engine, create_engine, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from tests.wire.app import Article, audit_log
from tests.wire.conftest import Recorded

MakeEngine = Callable[..., Engine]
DRIVERS = ("psycopg", "psycopg2")


def write(connection: Connection, title: str) -> None:
    connection.execute(insert(Article).values(title=title))


def write_as(engine: Engine, actor: str | None, title: str) -> int:
    """Insert an article in a transaction of its own; return the id of the server's process."""
    with audit_context(actor_id=actor), engine.begin() as connection:
        write(connection, title)
        return process_of(connection)


def write_and_fail(engine: Engine) -> None:
    with engine.begin() as connection:
        write(connection, "an error comes after it")
        connection.exec_driver_sql("SELECT 1 / 0")


def process_of(connection: Connection) -> int:
    return int(connection.scalar(select(func.pg_backend_pid())) or 0)


def end(url: URL, process: int) -> None:
    """Have the server end a connection, and wait until it did."""
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute("SELECT pg_terminate_backend(%s, 10000)", [process]).fetchone()
    assert row == (True,)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"pool_size": 1, "max_overflow": 0}, id="one connection"),
        pytest.param({"pool_size": 1, "max_overflow": 0, "pool_reset_on_return": None}, id="no reset"),
        pytest.param({"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}, id="pre-ping"),
        pytest.param({"pool_size": 2, "pool_use_lifo": True}, id="last in, first out"),
        pytest.param({"poolclass": StaticPool}, id="static"),
        pytest.param({"poolclass": NullPool}, id="none"),
    ],
)
def test_contexts_that_take_turns_on_a_connection_do_not_mix(
    attached: MakeEngine, recorded: Recorded, driver: str, options: dict[str, Any]
) -> None:
    engine = attached(driver, **options)
    for number in range(3):
        write_as(engine, "ann", f"ann {number}")
        write_as(engine, None, f"nobody {number}")
        with audit_context(actor_id="lost"), engine.connect() as connection:
            write(connection, "given back without a commit")
        write_as(engine, None, f"nobody again {number}")
        with audit_context(actor_id="lost"), pytest.raises(DBAPIError):
            write_and_fail(engine)
        write_as(engine, "ben", f"ben {number}")
    assert recorded() == [
        each
        for number in range(3)
        for each in (
            (f"ann {number}", "ann"),
            (f"nobody {number}", None),
            (f"nobody again {number}", None),
            (f"ben {number}", "ben"),
        )
    ]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_connection_that_pre_ping_replaces_is_told_who_writes(
    audited: URL, attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    engine = attached(driver, pool_size=1, max_overflow=0, pool_pre_ping=True)
    with audit_context(actor_id="ann"):
        first = write_as(engine, "ann", "before")
        end(audited, first)
        second = write_as(engine, "ann", "same actor")
        end(audited, second)
    third = write_as(engine, None, "nobody")
    assert len({first, second, third}) == 3
    assert recorded() == [("before", "ann"), ("same actor", "ann"), ("nobody", None)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_connection_that_the_server_ended_fails_one_transaction_and_no_more(
    audited: URL, attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    engine = attached(driver, pool_size=1, max_overflow=0)
    end(audited, write_as(engine, "ann", "before"))
    with pytest.raises(DBAPIError) as failure:
        write_as(engine, "ann", "fails")
    assert failure.value.connection_invalidated
    write_as(engine, "ann", "again")
    write_as(engine, None, "nobody")
    assert recorded() == [("before", "ann"), ("again", "ann"), ("nobody", None)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_transaction_that_loses_its_connection_leaves_nothing_and_can_be_repeated(
    audited: URL, attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    engine = attached(driver, pool_size=1, max_overflow=0)
    with audit_context(actor_id="ann"), engine.connect() as connection:
        write(connection, "lost")
        end(audited, process_of(connection))
        with pytest.raises(DBAPIError) as failure:
            write(connection, "fails")
        assert failure.value.connection_invalidated
        connection.rollback()
        write(connection, "repeated")
        connection.commit()
    assert recorded() == [("repeated", "ann")]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("writes_first", [True, False])
def test_the_context_is_sent_again_after_the_application_invalidated_a_connection(
    attached: MakeEngine, recorded: Recorded, driver: str, writes_first: bool
) -> None:
    engine = attached(driver, pool_size=1, max_overflow=0)
    with audit_context(actor_id="ann"), engine.connect() as connection:
        if writes_first:
            write(connection, "lost")
        connection.invalidate()
        connection.rollback()
        write(connection, "kept")
        connection.commit()
        connection.invalidate()
        write(connection, "kept, too")
        connection.commit()
    assert recorded() == [("kept", "ann"), ("kept, too", "ann")]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_savepoint_that_loses_its_connection_is_no_obstacle(
    audited: URL, attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    engine = attached(driver, pool_size=1, max_overflow=0)
    with audit_context(actor_id="ann"), engine.connect() as connection:
        nested = connection.begin_nested()
        write(connection, "lost")
        end(audited, process_of(connection))
        with pytest.raises(DBAPIError):
            write(connection, "fails")
        nested.rollback()
        connection.rollback()
        with connection.begin_nested():
            write(connection, "repeated")
        connection.commit()
    assert recorded() == [("repeated", "ann")]


def test_a_session_goes_on_after_its_connection_was_lost(
    audited: URL, attached: MakeEngine, recorded: Recorded
) -> None:
    engine = attached(pool_size=1, max_overflow=0)
    with audit_context(actor_id="ann"), Session(engine) as session:
        session.add(Article(title="lost"))
        session.flush()
        end(audited, process_of(session.connection()))
        session.add(Article(title="lost, too"))
        with pytest.raises(DBAPIError):
            session.commit()
        session.rollback()
        session.add(Article(title="kept"))
        session.commit()
    assert recorded() == [("kept", "ann")]


def autocommit_of_the_engine(make: MakeEngine) -> Engine:
    return make(isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)


def autocommit_of_a_copy(make: MakeEngine) -> Engine:
    return make(pool_size=1, max_overflow=0).execution_options(isolation_level="AUTOCOMMIT")


@pytest.mark.parametrize("autocommitting", [autocommit_of_the_engine, autocommit_of_a_copy])
def test_in_autocommit_psycopg_attributes_each_statement(
    attached: MakeEngine, recorded: Recorded, autocommitting: Callable[[MakeEngine], Engine]
) -> None:
    engine = autocommitting(attached)
    with engine.connect() as connection:
        with audit_context(actor_id="ann"):
            write(connection, "values")
            connection.exec_driver_sql("INSERT INTO articles (title) VALUES ('text')")
            connection.exec_driver_sql("INSERT INTO articles (title) VALUES (%s)", [("many 1",), ("many 2",)])
        write(connection, "nobody")
        with audit_context(actor_id="ben"):
            batches = connection.execution_options(insertmanyvalues_page_size=2)
            titles = [{"title": f"batch {number}"} for number in range(5)]
            batches.execute(insert(Article).returning(Article.id), titles)
        # No rollback can take it away.
        connection.rollback()
        write(connection, "nobody again")
    assert recorded() == [
        ("values", "ann"),
        ("text", "ann"),
        ("many 1", "ann"),
        ("many 2", "ann"),
        ("nobody", None),
        *((f"batch {number}", "ben") for number in range(5)),
        ("nobody again", None),
    ]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_statement_that_fails_in_autocommit_leaves_nothing_for_the_next(
    attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    engine = attached(driver, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        with audit_context(actor_id="ann"), pytest.raises(DBAPIError):
            connection.exec_driver_sql("INSERT INTO articles (title) VALUES (NULL)")
        write(connection, "nobody")
    assert recorded() == [("nobody", None)]


def test_autocommit_and_transactions_alternate_on_one_connection(attached: MakeEngine, recorded: Recorded) -> None:
    engine = attached(pool_size=1, max_overflow=0)
    autocommitting = engine.execution_options(isolation_level="AUTOCOMMIT")
    processes = set()
    for number in range(3):
        processes.add(write_as(autocommitting, "ann", f"{number} alone"))
        processes.add(write_as(engine, "ben", f"{number} together"))
        processes.add(write_as(autocommitting, None, f"{number} nobody"))
    assert len(processes) == 1
    assert recorded() == [
        (f"{number} {title}", actor)
        for number in range(3)
        for title, actor in (("alone", "ann"), ("together", "ben"), ("nobody", None))
    ]


def test_copies_of_an_engine_send_the_context_whenever_they_were_made(audited: URL, recorded: Recorded) -> None:
    engine = create_engine(audited, poolclass=QueuePool, pool_size=1, max_overflow=0)
    before = engine.execution_options(isolation_level="SERIALIZABLE")
    audit_log.attach(engine)
    after = engine.execution_options(isolation_level="REPEATABLE READ")
    copy_of_a_copy = after.execution_options(copied="twice")
    for name, each in {"engine": engine, "before": before, "after": after, "twice": copy_of_a_copy}.items():
        write_as(each, f"actor of {name}", name)
        write_as(each, None, f"nobody of {name}")
    audit_log.detach(engine)
    engine.dispose()
    assert recorded() == [
        each
        for name in ("engine", "before", "after", "twice")
        for each in ((name, f"actor of {name}"), (f"nobody of {name}", None))
    ]


def test_attaching_a_copy_does_not_leave_the_engine_out(audited: URL, recorded: Recorded) -> None:
    engine = create_engine(audited)
    copy = engine.execution_options(copied=True)
    audit_log.attach(copy)
    audit_log.attach(engine)
    write_as(copy, "ann", "copy")
    write_as(engine, "ben", "engine")
    audit_log.detach(engine)
    audit_log.detach(copy)
    engine.dispose()
    assert recorded() == [("copy", "ann"), ("engine", "ben")]
