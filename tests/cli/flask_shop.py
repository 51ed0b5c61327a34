"""What ``flask --app tests.cli.flask_shop audit`` reads: two databases with a trail, and one without."""

from __future__ import annotations

import os

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()


class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)


class Article(db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = "articles"
    __table_args__ = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Report(db.Model):  # type: ignore[name-defined, misc]
    __bind_key__ = "reports"
    __tablename__ = "reports"
    __table_args__ = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Visit(db.Model):  # type: ignore[name-defined, misc]
    __bind_key__ = "plain"
    __tablename__ = "visits"

    id: Mapped[int] = mapped_column(primary_key=True)


audit_logger = AuditLogger(db)
reports_logger = AuditLogger(db, bind_key="reports", actor_cls=None)


def create_app() -> Flask:
    app = Flask("shop")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
        SQLALCHEMY_BINDS={"reports": os.environ["REPORTS_URL"], "plain": "sqlite://"},
    )
    db.init_app(app)
    return app


def without_database() -> Flask:
    return Flask("bare")
