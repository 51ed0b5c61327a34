"""An app whose writes need not name their actor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from audit_core import audit_context
from flask import Flask
from flask_audit_logger import AuditLogger
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, select
from sqlalchemy.orm import Mapped, mapped_column


@pytest.mark.parametrize(
    ("enabled", "config", "actor"),
    [
        (True, {}, "7"),
        (True, {"AUDIT_LOG_ENABLED": True}, "7"),
        (True, {"AUDIT_LOG_ENABLED": False}, None),
        (False, {}, None),
        (False, {"AUDIT_LOG_ENABLED": True}, None),
    ],
)
def test_who_is_at_work_is_sent_unless_it_is_switched_off(
    new_database: Callable[..., AbstractContextManager[URL]], enabled: bool, config: dict[str, Any], actor: str | None
) -> None:
    db = SQLAlchemy()

    class Thing(db.Model):  # type: ignore[name-defined, misc]
        __table_args__ = ({"info": {"versioned": {}}},)
        id: Mapped[int] = mapped_column(primary_key=True)

    audit_logger = AuditLogger(db, actor_cls=None, enabled=enabled)
    with new_database() as url:
        app = Flask(__name__)
        app.config |= {"SQLALCHEMY_DATABASE_URI": url.render_as_string(hide_password=False), **config}
        db.init_app(app)
        with app.app_context(), warnings.catch_warnings():
            warnings.simplefilter("error")
            db.create_all()
            audit_logger.install(db.session)
            db.session.commit()
            with audit_context(actor_id=7):
                db.session.add(Thing())
                db.session.commit()
                # It switches off what is on.
                with audit_logger.disable(db.session):
                    db.session.add(Thing())
                db.session.commit()
            actors = select(audit_logger.transaction_cls.actor_id).order_by(audit_logger.transaction_cls.id)
            assert db.session.scalars(actors.limit(1)).all() == [actor]
            db.session.remove()
            db.engine.dispose()
    audit_logger.close()
