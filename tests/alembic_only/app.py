"""SQLAlchemy and Alembic without Flask; actors are texts."""

from __future__ import annotations

from audit_core import AuditLog
from sqlalchemy.orm import DeclarativeBase

from tests.contract.models import ArticleColumns, UserColumns


class Base(DeclarativeBase):
    pass


class User(UserColumns, Base):
    __table_args__ = ({"info": {"versioned": {}}},)


class Article(ArticleColumns, Base):
    __table_args__ = ({"info": {"versioned": {}}},)


audit_log = AuditLog(Base)
