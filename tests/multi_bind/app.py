"""Three databases in one application: two are recorded, each by a logger of its own, and one is not."""

from __future__ import annotations

import os

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL
from sqlalchemy.orm import Mapped, mapped_column

from tests.contract.flask_app import make_app
from tests.contract.models import ArticleColumns, UserColumns

db = SQLAlchemy()


class User(UserMixin, UserColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


class Article(ArticleColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


class Report(db.Model):  # type: ignore[name-defined, misc]
    __bind_key__ = "reports"
    __tablename__ = "reports"
    __table_args__ = ({"info": {"versioned": {"exclude": ["secret"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    secret: Mapped[str | None]


class Visit(db.Model):  # type: ignore[name-defined, misc]
    __bind_key__ = "plain"
    __tablename__ = "visits"

    id: Mapped[int] = mapped_column(primary_key=True)


audit_logger = AuditLogger(db)
reports_logger = AuditLogger(db, bind_key="reports", schema="audit")
actor_cls = User


def create_app(url: URL | None = None) -> Flask:
    return make_app(
        db,
        Article,
        User,
        url,
        binds={"reports": os.environ["REPORTS_URL"], "plain": os.environ["PLAIN_URL"]},
    )
