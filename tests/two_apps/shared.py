"""One set of models and one logger for several apps, each with a database of its own."""

from __future__ import annotations

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL

from tests.contract.flask_app import make_app
from tests.contract.models import ArticleColumns, UserColumns

db = SQLAlchemy()


class User(UserMixin, UserColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


class Article(ArticleColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


audit_logger = AuditLogger(db)
actor_cls = User


def create_app(url: URL | None = None) -> Flask:
    return make_app(db, Article, User, url)
