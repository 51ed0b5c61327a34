"""Histories that PostgreSQL-Audit and SQLAlchemy-Continuum recorded are read as our own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import URL, Numeric, Text, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from .conftest import Old

HERE = Path(__file__).parent


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class Article(Base):
    __tablename__ = "articles"
    __table_args__: Any = ({"info": {"versioned": {}}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    price: Mapped[Decimal] = mapped_column(Numeric)


class Line(Base):
    __tablename__ = "lines"
    __table_args__: Any = ({"info": {"versioned": {}}},)
    order_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)


log = AuditLog(Base, schema="audit", actor_cls=User)


@pytest.mark.parametrize(
    ("requirements", "source"),
    [
        (("postgresql-audit==0.18.0", "sqlalchemy<2.1", "psycopg[binary]"), "postgresql-audit"),
        (("postgresql-audit==0.13.0", "sqlalchemy<2", "psycopg2-binary", "sqlalchemy-utils"), "postgresql-audit"),
        (("sqlalchemy-continuum", "psycopg[binary]"), "sqlalchemy-continuum"),
    ],
    ids=["postgresql-audit-0.18", "postgresql-audit-0.13", "sqlalchemy-continuum"],
)
def test_its_history_is_read_as_our_own(
    requirements: tuple[str, ...], source: str, old_python: Callable[..., Path], tmp_path: Path, database: URL
) -> None:
    old = Old(old_python(*requirements), tmp_path, database)
    if "sqlalchemy<2" in requirements:
        url = database.set(drivername="postgresql+psycopg2")
        old.environment["DATABASE_URL"] = url.render_as_string(hide_password=False)
    shutil.copy(HERE / "versioned.py", tmp_path)
    old.run("versioned.py", source.replace("-", "_"))

    engine = create_engine(database)
    log.attach(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP FUNCTION IF EXISTS create_activity() CASCADE"))
        log.install(connection)
    done = log.import_trail(engine, source)
    assert (done.activities, done.without_key, done.skipped, done.without_actor) == (4, (), (), 0)
    with Session(engine) as session:
        update, insert = session.scalars(log.history(Article, 1))
        assert (update.verb, insert.verb) == ("update", "insert")
        assert update.changes == {"price": (Decimal("12.50"), Decimal(13))}
        assert insert.transaction.actor.name == "Ann"
        assert str(update.transaction.client_addr) == "10.0.0.1"
        expected = {"imported_from": source} | ({"reason": "test"} if "continuum" in source else {})
        assert update.transaction.meta == expected
        removed, added = session.scalars(log.history(Line, (7, 1)))
        assert (removed.verb, removed.old_data, added.row_key) == (
            "delete",
            {"order_id": 7, "number": 1, "text": "a"},
            "[7, 1]",
        )
        before = log.get_as_of(session, Article, 1, insert.issued_at)
        assert before is not None
        assert before.price == Decimal("12.50")
        assert session.scalar(text("SELECT count(*) FROM articles")) == 1
        log.plan_undo(session, removed.transaction).apply()
        assert session.get(Line, (7, 1)) is not None
    engine.dispose()
