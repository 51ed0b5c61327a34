"""Another class than User makes the changes, and who it is comes from ``flask.g``."""

from __future__ import annotations

from typing import Any

from flask import Flask, g
from flask_audit_logger import AuditLogger
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from tests.contract.flask_app import make_app
from tests.contract.models import ArticleColumns, UserColumns

db = SQLAlchemy()


def get_actor_id() -> Any:
    return g.get("employee_id")


audit_logger = AuditLogger(db, get_actor_id=get_actor_id, actor_cls="Employee")


class User(UserColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


class Employee(db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = "employees"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]


class Article(ArticleColumns, db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {}}},)


actor_cls = Employee


def create_app(url: URL | None = None) -> Flask:
    return make_app(db, Article, Employee, url)
