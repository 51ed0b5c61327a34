"""An application whose actors are texts, so that any text can be one."""

from __future__ import annotations

from typing import Any

from audit_core import AuditLog
from sqlalchemy.orm import DeclarativeBase

from tests.contract.models import ArticleColumns


class Base(DeclarativeBase):
    pass


class Article(ArticleColumns, Base):
    __table_args__: Any = ({"info": {"versioned": {}}},)


audit_log = AuditLog(Base)
Activity = audit_log.activity_cls
Transaction = audit_log.transaction_cls
