from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.contract.fixtures import trail
from tests.contract.subject import Subject
from tests.core_only import app, least_privilege, shop

__all__ = ["trail"]


@pytest.fixture(scope="module")
def module_engine(module_database: URL) -> Iterator[Engine]:
    """An engine on the database that the tests of one file share; each connection is a new session."""
    engine = create_engine(module_database, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(module_engine: Engine) -> Iterator[Connection]:
    """A transaction in a database that is empty, and is so again when the test is over.

    A database for each test, and statements that SQLAlchemy has not compiled before, take longer than most tests.
    """
    with module_engine.connect() as connection, connection.begin() as transaction:
        yield connection
        driver: Any = connection.connection.driver_connection
        # What a commit would do first, unless the test ended with an error of the server.
        if driver.info.transaction_status == TransactionStatus.INTRANS:
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.rollback()


@pytest.fixture(scope="session")
def shop_template(new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[URL]:
    """A database with the tables of the shop and their trail, to be copied: that is faster than to install it again."""
    with new_database() as url:
        engine = create_engine(url, poolclass=NullPool)
        shop.install(engine)
        yield url


@pytest.fixture
def shop_engine(new_database: Callable[..., AbstractContextManager[URL]], shop_template: URL) -> Iterator[Engine]:
    """An engine on a fresh database with the tables of the shop and their trail."""
    with new_database(template=shop_template) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module", params=["psycopg", "psycopg2", "application role", "one owner", "two owners"])
def subject(
    new_database: Callable[..., AbstractContextManager[URL]], request: pytest.FixtureRequest
) -> Iterator[Subject]:
    """The application as owner of everything, or as a role that may write to its own tables only."""
    with new_database() as database:
        yield from _subject(database, request.param)


def _subject(database: URL, how: str) -> Iterator[Subject]:
    if how in ("one owner", "two owners"):
        log, article_cls, user_cls = least_privilege.audit_log, least_privilege.Article, least_privilege.User
        installation = least_privilege.installed(database, how)
    else:
        log, article_cls, user_cls = app.audit_log, app.Article, app.User
        installation = _installed(database, how)
    with installation as url:
        engine = create_engine(url)
        log.attach(engine)
        is_owner = how.startswith("psycopg")
        yield Subject(log, engine, article_cls, user_cls, lambda: Session(engine), user_cls, is_owner=is_owner)
        log.detach(engine)
        engine.dispose()


@contextmanager
def _installed(database: URL, how: str) -> Iterator[URL]:
    """Install the trail, and yield the URL with which the application comes."""
    owner = create_engine(database)
    with owner.begin() as connection:
        app.Base.metadata.create_all(connection)
        app.audit_log.install(connection)
    if how != "application role":
        yield database.set(drivername=f"postgresql+{how}")
    else:
        role = f"app_{database.database}"
        with owner.begin() as connection:
            for statement in (
                "CREATE ROLE {role} LOGIN PASSWORD 'secret'",
                "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON articles, users TO {role}",
                "GRANT USAGE ON SEQUENCE articles_id_seq, users_id_seq TO {role}",
                "GRANT SELECT ON activity, activity_open, transaction TO {role}",
                "GRANT SELECT ON activity_coverage, activity_partition, activity_retention TO {role}",
            ):
                connection.execute(text(statement.format(role=role)))
        yield database.set(drivername="postgresql+psycopg", username=role, password="secret")
        with owner.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    owner.dispose()
