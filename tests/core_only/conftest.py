from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.orm import Session

from tests.contract.fixtures import trail
from tests.contract.subject import Subject
from tests.core_only import app, least_privilege

__all__ = ["trail"]


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction in a database of its own."""
    with engine.begin() as connection:
        yield connection


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
                "GRANT SELECT ON activity, transaction, activity_coverage TO {role}",
            ):
                connection.execute(text(statement.format(role=role)))
        yield database.set(drivername="postgresql+psycopg", username=role, password="secret")
        with owner.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    owner.dispose()
