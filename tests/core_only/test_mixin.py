"""Models that know their history."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from audit_core import Audited, AuditLog, HistoryError
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Seat(Audited, Base):
    __tablename__ = "seats"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    row: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    taken_by: Mapped[str | None]


class Others(DeclarativeBase):
    pass


class Other(Audited, Others):
    __tablename__ = "others"

    id: Mapped[int] = mapped_column(primary_key=True)


log = AuditLog(Base)


def test_an_object_knows_its_history(connection: Connection) -> None:
    Base.metadata.create_all(connection)
    log.install(connection)
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        seat = Seat(row=1, number=2, taken_by="Ann")
        session.add_all([seat, Seat(row=2, number=1)])
        session.flush()
        then = session.scalar(select(func.clock_timestamp()))
        assert isinstance(then, dt.datetime)
        seat.taken_by = "Ben"
        session.flush()
        assert [(each.verb, each.changes.get("taken_by")) for each in seat.history] == [
            ("update", ("Ann", "Ben")),
            ("insert", (None, "Ann")),
        ]
        was = seat.as_of(then)
        assert isinstance(was, Seat)
        assert was.taken_by == "Ann"
        assert was not in session
        session.commit()
        session.execute(delete(Seat))
        gone = seat.as_of(then)
        assert gone is not None
        assert gone.taken_by == "Ann"


def test_without_a_session_or_a_trail_it_says_what_to_do(connection: Connection) -> None:
    with pytest.raises(HistoryError, match="is in no session"):
        _ = Seat(row=1, number=2).history
    Others.metadata.create_all(connection)
    with Session(connection) as session:
        other = Other(id=1)
        session.add(other)
        session.flush()
        with pytest.raises(HistoryError, match="No AuditLog records the models of Other"):
            _ = other.history
