from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session

from tests.contract.fixtures import trail
from tests.contract.subject import Subject
from tests.core_only import app

__all__ = ["trail"]


@pytest.fixture(scope="module", params=["psycopg", "psycopg2"])
def subject(module_database: URL, request: pytest.FixtureRequest) -> Iterator[Subject]:
    engine = create_engine(module_database.set(drivername=f"postgresql+{request.param}"))
    with engine.begin() as connection:
        app.Base.metadata.create_all(connection)
        app.audit_log.install(connection)
    app.audit_log.attach(engine)
    yield Subject(app.audit_log, engine, app.Article, app.User, lambda: Session(engine), app.User)
    app.audit_log.detach(engine)
    engine.dispose()
