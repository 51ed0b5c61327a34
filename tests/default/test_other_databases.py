"""An application may run on another database than PostgreSQL, in its own tests for instance."""

from __future__ import annotations

from audit_core import audit_context
from sqlalchemy import select

from tests.default.app import Article, create_app, db


def test_on_sqlite_the_application_works_and_nothing_is_recorded() -> None:
    app = create_app("sqlite://")
    with app.app_context(), audit_context(actor_id=1, reason="not stored"):
        db.create_all()
        db.session.add(Article(title="title"))
        db.session.commit()
        assert db.session.scalars(select(Article.title)).all() == ["title"]
        db.session.remove()
        db.engine.dispose()
