"""An AuditLogger where its application is not at work."""

from __future__ import annotations

from flask_audit_logger import AuditLogger
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, create_engine


def test_a_script_that_only_checks_has_forgotten_nothing(database: URL) -> None:
    """The engines of applications are attached by themselves; who makes another one knows what for."""
    db = SQLAlchemy()

    class Article(db.Model):  # type: ignore[name-defined, misc]
        __table_args__ = ({"info": {"versioned": {}}},)
        id = db.Column(db.Integer, primary_key=True)

    audit_logger = AuditLogger(db, actor_cls=None)
    engine = create_engine(database)
    with engine.begin() as connection:
        db.metadata.create_all(connection)
        audit_logger.install(connection)
        assert audit_logger.check(connection) == []
    engine.dispose()
    audit_logger.close()
