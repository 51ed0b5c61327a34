from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.orm import Session

from tests.contract.fixtures import trail
from tests.contract.subject import Subject
from tests.core_only import app

__all__ = ["trail"]


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction in a database of its own."""
    with engine.begin() as connection:
        yield connection


@pytest.fixture(scope="module", params=["psycopg", "psycopg2", "application role"])
def subject(module_database: URL, request: pytest.FixtureRequest) -> Iterator[Subject]:
    owner = create_engine(module_database)
    with owner.begin() as connection:
        app.Base.metadata.create_all(connection)
        app.audit_log.install(connection)
    url = module_database.set(drivername="postgresql+psycopg")
    is_owner = request.param != "application role"
    role = f"app_{module_database.database}"
    if is_owner:
        url = module_database.set(drivername=f"postgresql+{request.param}")
    else:
        url = url.set(username=role, password="secret")
        with owner.begin() as connection:
            for statement in (
                "CREATE ROLE {role} LOGIN PASSWORD 'secret'",
                "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON articles, users TO {role}",
                "GRANT USAGE ON SEQUENCE articles_id_seq, users_id_seq TO {role}",
                "GRANT SELECT ON activity, transaction TO {role}",
            ):
                connection.execute(text(statement.format(role=role)))
    engine = create_engine(url)
    app.audit_log.attach(engine)
    yield Subject(app.audit_log, engine, app.Article, app.User, lambda: Session(engine), app.User, is_owner=is_owner)
    app.audit_log.detach(engine)
    engine.dispose()
    if not is_owner:
        with owner.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    owner.dispose()
