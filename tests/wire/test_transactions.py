"""Transactions that somebody else begins, ends or finishes elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

import pytest
from audit_core import audit_context
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.orm import Session, sessionmaker

from tests.wire.app import Article, audit_log
from tests.wire.conftest import Recorded

MakeEngine = Callable[..., Engine]
DRIVERS = ("psycopg", "psycopg2")
Mode = Literal["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"]
MODES: list[Mode] = ["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"]

#: What a session does in a transaction that it did not begin.
ACTORS = {
    "outside, before": "outer",
    "flushed": "ann",
    "by Core": "ben",
    "rolled back": "lost",
    "after the rollback": "ann",
    "nested and lost": "lost",
    "nested": "ben",
    "nobody's": None,
    "outside, after": "outer",
}


def write(session: Session | Connection, title: str) -> None:
    with audit_context(actor_id=ACTORS.get(title)):
        session.execute(insert(Article).values(title=title))


def work(session: Session) -> None:
    with audit_context(actor_id=ACTORS["flushed"]):
        session.add(Article(title="flushed"))
        session.flush()
    write(session, "by Core")
    session.commit()
    write(session, "rolled back")
    session.rollback()
    write(session, "after the rollback")
    nested = session.begin_nested()
    write(session, "nested and lost")
    nested.rollback()
    with session.begin_nested():
        write(session, "nested")
    write(session, "nobody's")
    session.commit()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("within_savepoint", [False, True])
def test_a_session_within_a_transaction_of_others_attributes_what_is_kept(
    attached: MakeEngine, recorded: Recorded, driver: str, mode: Mode, within_savepoint: bool
) -> None:
    engine = attached(driver)
    with engine.connect() as connection, ExitStack() as stack:
        last = connection.scalar(select(Article.id).order_by(Article.id.desc()).limit(1)) or 0
        connection.rollback()
        connection.begin()
        if within_savepoint:
            connection.begin_nested()
        write(connection, "outside, before")
        session = stack.enter_context(Session(connection, join_transaction_mode=mode))
        work(session)
        session.close()
        write(connection, "outside, after")
        if connection.in_transaction():
            connection.commit()
        kept = connection.scalars(select(Article.title).where(Article.id > last).order_by(Article.id)).all()
    assert set(kept) >= {"after the rollback", "nested", "nobody's", "outside, after"}
    assert recorded() == [(title, ACTORS[title]) for title in kept]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("mode", MODES)
def test_tests_that_roll_back_around_a_session_leave_nothing(
    attached: MakeEngine, recorded: Recorded, driver: str, mode: Mode
) -> None:
    """Except ``control_fully``, where the session's commit is one."""
    engine = attached(driver)
    with engine.connect() as connection:
        connection.begin()
        with audit_context(actor_id="test"), Session(connection, join_transaction_mode=mode) as session:
            session.add(Article(title="in a test"))
            session.commit()
        if connection.in_transaction():
            connection.rollback()
    assert recorded() == ([("in a test", "test")] if mode == "control_fully" else [])


@pytest.fixture
def preparing(attached: MakeEngine) -> None:
    engine = attached()
    with engine.connect() as connection:
        if connection.scalar(text("SELECT current_setting('max_prepared_transactions')::int")) == 0:
            pytest.fail("The server refuses two-phase transactions: set max_prepared_transactions = 10.")


@pytest.mark.usefixtures("preparing")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_prepared_transaction_that_another_connection_commits_keeps_its_actors(
    attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    connection = attached(driver).connect()
    transaction = connection.begin_twophase()
    with audit_context(actor_id="ann", reason="first"):
        connection.execute(insert(Article).values(title="by ann"))
    nested = connection.begin_nested()
    with audit_context(actor_id="lost"):
        connection.execute(insert(Article).values(title="lost"))
    nested.rollback()
    with audit_context(actor_id="ben"):
        connection.execute(insert(Article).values(title="by ben"))
    connection.execute(insert(Article).values(title="by nobody"))
    transaction.prepare()
    assert recorded() == []
    # Its program dies here.
    connection.invalidate()
    with audit_context(actor_id="recovery"), attached(driver).connect() as other:
        assert transaction.xid in other.recover_twophase()
        other.commit_prepared(transaction.xid, recover=True)
    assert recorded() == [("by ann", "ann"), ("by ben", "ben"), ("by nobody", None)]


@pytest.mark.usefixtures("preparing")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_prepared_transaction_that_is_rolled_back_leaves_nothing(
    attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    engine = attached(driver, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        with audit_context(actor_id="ann"):
            connection.execute(insert(Article).values(title="lost"))
        transaction.prepare()
        transaction.rollback()
        connection.execute(insert(Article).values(title="by nobody"))
        connection.commit()
    assert recorded() == [("by nobody", None)]


@pytest.mark.usefixtures("preparing")
@pytest.mark.parametrize("driver", DRIVERS)
def test_two_phase_sessions_take_turns_on_a_connection(attached: MakeEngine, recorded: Recorded, driver: str) -> None:
    sessions = sessionmaker(attached(driver, pool_size=1, max_overflow=0), twophase=True)
    expected: list[tuple[str, Any]] = [("first", "ann"), ("second", None), ("third", "ben")]
    for title, actor in expected:
        with audit_context(actor_id=actor), sessions.begin() as session:
            session.add(Article(title=title))
    assert recorded() == expected


@pytest.mark.usefixtures("preparing")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_transaction_that_is_prepared_by_hand_leaves_its_actor_to_no_other(
    attached: MakeEngine, recorded: Recorded, driver: str
) -> None:
    """PREPARE TRANSACTION ends the transaction on the server, of which SQLAlchemy knows nothing."""
    gid = f"by hand {secrets.token_hex(4)}"
    engine = attached(driver, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        with audit_context(actor_id="ann"):
            connection.execute(insert(Article).values(title="prepared"))
        connection.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
        connection.commit()
        connection.execute(insert(Article).values(title="by nobody"))
        connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"COMMIT PREPARED '{gid}'")
    assert sorted(recorded()) == [("by nobody", None), ("prepared", "ann")]


def test_disable_in_a_session_within_a_transaction_of_others_ends_with_its_block(
    attached: MakeEngine, recorded: Recorded
) -> None:
    with attached().connect() as connection:
        connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            with audit_context(actor_id="ann"), audit_log.disable(session):
                session.add(Article(title="hidden"))
            write(session, "by Core")
            session.commit()
        write(connection, "outside, after")
        connection.commit()
    assert recorded() == [("by Core", "ben"), ("outside, after", "outer")]
