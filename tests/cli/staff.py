"""A shop whose actors are employees, in three ways: with a name, with a text of their own, and without either."""

from __future__ import annotations

from typing import Any

from audit_core import AuditLog
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

AUDITED: Any = ({"info": {"versioned": {}}},)


class Base(DeclarativeBase):
    pass


class Employee(Base):
    __tablename__ = "employees"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str | None]


class Article(Base):
    __tablename__ = "articles"
    __table_args__: Any = ({"info": {"versioned": {"exclude": ["shelf"], "mask": ["code"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column("t_title")
    body: Mapped[str | None]
    stock: Mapped[int | None]
    shelf: Mapped[str | None]
    code: Mapped[str | None]


audit_log = AuditLog(Base, actor_cls=Employee)


class OwnBase(DeclarativeBase):
    pass


class Branch(OwnBase):
    __tablename__ = "branches"

    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str]


class Clerk(OwnBase):
    __tablename__ = "clerks"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    branch_id: Mapped[int | None] = mapped_column(ForeignKey(Branch.id))
    branch: Mapped[Branch | None] = relationship()

    def __str__(self) -> str:
        return f"Clerk {self.name}" if self.branch_id is None else f"{self.name} of {self.branch.city}"  # type: ignore[union-attr]


class Item(OwnBase):
    __tablename__ = "items"
    __table_args__: Any = AUDITED

    id: Mapped[int] = mapped_column(primary_key=True)


own_audit_log = AuditLog(OwnBase, actor_cls=Clerk)
