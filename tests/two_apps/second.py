"""Another application of the process: other models, other actors, another schema for the trail."""

from __future__ import annotations

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL
from sqlalchemy.orm import Mapped, mapped_column

from tests.contract.flask_app import make_app
from tests.contract.models import ArticleColumns, UserColumns

db = SQLAlchemy()


class User(UserColumns, db.Model):  # type: ignore[name-defined, misc]
    pass


class Editor(UserMixin, db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = "editors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Article(ArticleColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


audit_logger = AuditLogger(db, actor_cls=Editor, schema="Second trail")
actor_cls = Editor


def create_app(url: URL | None = None) -> Flask:
    return make_app(db, Article, Editor, url)
