"""An application may run on another database than PostgreSQL, in its own tests for instance."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from audit_core import UnsupportedDatabaseError, audit_context
from sqlalchemy import select

from tests.default.app import Article, audit_logger, create_app, db

THEN = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)


def test_on_sqlite_the_application_works_and_nothing_is_recorded() -> None:
    app = create_app("sqlite://")
    with app.app_context(), audit_context(actor_id=1, reason="not stored"):
        db.create_all()
        with audit_logger.disable(db.session, reason="seed"):
            db.session.add(Article(title="title"))
        db.session.commit()
        assert db.session.scalars(select(Article.title)).all() == ["title"]
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize(
    "query",
    [
        lambda: audit_logger.activities(),
        lambda: audit_logger.activities(actor=1, table=Article),
        lambda: audit_logger.history(Article, 1),
        lambda: select(audit_logger.transaction_cls),
        lambda: select(audit_logger.as_of(Article, THEN).objects),
        lambda: audit_logger.stats(),
        lambda: audit_logger.coverage(Article),
    ],
)
def test_on_sqlite_reading_says_in_a_line_what_to_do(query: Any) -> None:
    app = create_app("sqlite://")
    with app.app_context():
        db.create_all()
        with pytest.raises(UnsupportedDatabaseError, match=r"this session is on sqlite, .* Run the tests"):
            db.session.execute(query())
        with pytest.raises(UnsupportedDatabaseError):
            audit_logger.get_as_of(db.session, Article, 1, THEN)
        db.session.remove()
        db.engine.dispose()
