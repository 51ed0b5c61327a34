"""What ``audit-log --metadata tests.cli.shop:Base`` reads: a shop without a framework."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from audit_core import AuditLog
from sqlalchemy import ForeignKey, MetaData, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    __table_args__: Any = ({"info": {"versioned": {"mask": ["ssn"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    ssn: Mapped[str | None]


class Order(Base):
    __tablename__ = "orders"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id, ondelete="CASCADE"))
    total: Mapped[Decimal] = mapped_column(Numeric)


class Line(Base):
    __tablename__ = "lines"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"), primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    article: Mapped[str]


class Unaudited(Base):
    __tablename__ = "unaudited"

    id: Mapped[int] = mapped_column(primary_key=True)


#: In the application it answers; a command that only reads has nobody to name.
audit_log = AuditLog(Base, get_actor_id=lambda: None)
without_log = MetaData()
