"""Flask, Flask-SQLAlchemy, Flask-Login and Flask-Migrate with nothing configured."""

from __future__ import annotations

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, Column, ForeignKey, Table

from tests.contract.flask_app import make_app
from tests.contract.models import ArticleColumns, UserColumns

db = SQLAlchemy()


class User(UserMixin, UserColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


class Article(ArticleColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


audit_logger = AuditLogger(db)
actor_cls = User

# Declared after the logger, and without a model.
readers = Table(
    "readers",
    db.metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("article_id", ForeignKey("articles.id", ondelete="CASCADE"), primary_key=True),
    info={"versioned": {}},
)


def create_app(url: URL | None = None) -> Flask:
    return make_app(db, Article, User, url)
