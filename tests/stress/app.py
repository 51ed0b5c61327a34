"""Tables with keys of each kind, whose rows say which statement wrote them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from audit_core import AuditLog
from sqlalchemy import URL, ForeignKey, PrimaryKeyConstraint, create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Stamped:
    #: Names the statement that wrote the row; no two statements have the same.
    marker: Mapped[str]
    #: Never changes, and no two rows have the same, so that a row is known when its key changes.
    born: Mapped[int] = mapped_column(default=0)


class Account(Stamped, Base):
    __tablename__ = "accounts"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int] = mapped_column(default=0)


class Entry(Stamped, Base):
    __tablename__ = "entries"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    account_id: Mapped[int] = mapped_column(
        ForeignKey(Account.id, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[Decimal | None]


class Note(Stamped, Base):
    __tablename__ = "notes"
    __table_args__: Any = ({"info": {"versioned": {"truncate": "rows"}}},)

    name: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[Any | None] = mapped_column(JSONB)


class Slot(Stamped, Base):
    """Its keys may change places in one statement."""

    __tablename__ = "slots"

    position: Mapped[int] = mapped_column(autoincrement=False)

    __table_args__: Any = (
        PrimaryKeyConstraint("position", deferrable=True, initially="IMMEDIATE"),
        {"info": {"versioned": {}}},
    )


class Event(Stamped, Base):
    """In a partition for each year; a year that changes moves it."""

    __tablename__ = "events"
    __table_args__: Any = ({"postgresql_partition_by": "LIST (year)", "info": {"versioned": {"truncate": "rows"}}},)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Hidden(Stamped, Base):
    """Only written while recording is disabled."""

    __tablename__ = "hidden"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)


audit_log = AuditLog(Base)
Activity = audit_log.activity_cls
Transaction = audit_log.transaction_cls

YEARS = (1, 2, 3)


def install(url: URL) -> None:
    """Create the tables and the trail."""
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        for year in YEARS:
            connection.execute(text(f"CREATE TABLE events_{year} PARTITION OF events FOR VALUES IN ({year})"))
        audit_log.install(connection)
    engine.dispose()


#: The tables whose every change is in the trail.
RECORDED = [model.__table__ for model in (Account, Entry, Note, Slot, Event)]
