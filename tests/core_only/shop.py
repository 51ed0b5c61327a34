"""Tables that reference each other, for what can be asked of the trail."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from audit_core import AuditLog
from sqlalchemy import (
    ClauseElement,
    Column,
    Connection,
    DateTime,
    Engine,
    Executable,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    Table,
    func,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, validates


class State(enum.Enum):
    OPEN = "open"
    PAID = "paid"


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    code: Mapped[str | None] = mapped_column(unique=True)

    @validates("name")
    def not_empty(self, key: str, value: str) -> str:
        if not value:
            raise ValueError("a customer has a name")
        return value


class Order(Base):
    __tablename__ = "orders"
    __table_args__: Any = ({"info": {"versioned": {"store": "changes"}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id, onupdate="CASCADE", ondelete="CASCADE"))
    total: Mapped[Decimal] = mapped_column(Numeric(38, 18))
    state: Mapped[State] = mapped_column(default=State.OPEN)
    #: Mapped under another name.
    ordered_at: Mapped[dt.datetime | None] = mapped_column("at", DateTime(timezone=True))


class Line(Base):
    __tablename__ = "lines"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    order_id: Mapped[int] = mapped_column(
        ForeignKey(Order.id, onupdate="CASCADE", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    article: Mapped[str]


class Delivery(Base):
    """References a composite key, in another order than the key has, and a column that is not a key."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int]
    order: Mapped[int]
    to_code: Mapped[str | None] = mapped_column(ForeignKey(Customer.code, onupdate="CASCADE"))

    __table_args__: Any = (
        ForeignKeyConstraint(
            ["line", "order"], ["lines.number", "lines.order_id"], onupdate="CASCADE", ondelete="CASCADE"
        ),
        {"info": {"versioned": {}}},
    )


class Person(Base):
    __tablename__ = "people"
    __table_args__: Any = ({"info": {"versioned": {"store": "changes", "exclude": ["hair"], "mask": ["ssn", "age"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    hair: Mapped[str | None]
    ssn: Mapped[str | None]
    age: Mapped[int | None]


class Unaudited(Base):
    __tablename__ = "unaudited"

    id: Mapped[int] = mapped_column(primary_key=True)


audit_log = AuditLog(Base)
Activity = audit_log.activity_cls


def partitioned(log: AuditLog, connection: Connection) -> Table:
    """Create a table ``events`` that is partitioned by year, with the years 1 and 2; it is not recorded yet."""
    events = Table(
        "events",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("year", Integer, primary_key=True),
        postgresql_partition_by="LIST (year)",
        info={"versioned": {}},
    )
    log.metadata.create_all(connection)
    for year in (1, 2):
        connection.exec_driver_sql(f"CREATE TABLE events_{year} PARTITION OF events FOR VALUES IN ({year})")
    return events


class Explain(Executable, ClauseElement):
    """The plan of a query, line by line."""

    inherit_cache = False

    def __init__(self, query: Any, options: str = "") -> None:
        self.query, self.options = query, options


@compiles(Explain)
def _explain(element: Explain, compiler: Any, **kw: Any) -> str:
    return f"EXPLAIN {element.options} {compiler.process(element.query, **kw)}"


def install(engine: Engine) -> None:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)


@contextmanager
def opened(engine: Engine) -> Iterator[Session]:
    """A session on a database with the tables and the trail."""
    audit_log.attach(engine)
    with Session(engine) as session:
        yield session
    audit_log.detach(engine)


def now(session: Session | Connection) -> dt.datetime:
    """The time of the server, which is that of the trail."""
    when = session.scalar(select(func.clock_timestamp()))
    assert when is not None
    return when


def run(session: Session | Connection, *statements: str) -> dt.datetime:
    """Run statements, and return an instant after them."""
    for statement in statements:
        session.execute(text(statement))
    return now(session)
