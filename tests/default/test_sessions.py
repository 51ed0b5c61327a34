"""``db.session`` is what applications have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tests.contract.subject import Subject, Trail
from tests.default.app import Article, audit_logger, create_app, db


def test_db_session_is_taken_everywhere(subject: Subject, trail: Trail) -> None:
    session: Any = db.session
    with create_app(subject.engine.url).app_context():
        article = Article(title="first")
        session.add(article)
        session.commit()
        with audit_logger.disable(session, reason="rebuild"):
            article.title = "hidden"
        session.commit()
        assert [activity.data["title"] for activity in trail.activities()] == ["first"]
        audit_logger.send_context(session)
        audit_logger.install(session)
        assert audit_logger.check(session) == []
        first = session.scalar(select(audit_logger.transaction_cls.id))
        assert [step.action for step in audit_logger.plan_undo(session, first).steps] == []
        session.rollback()
        db.engine.dispose()
