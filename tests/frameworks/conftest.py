from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


audit_log = AuditLog(Base)


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = create_engine(database, pool_size=5, max_overflow=20)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    audit_log.attach(engine)
    yield engine
    engine.dispose()


def add(engine: Engine, name: str) -> None:
    """Write as the application does."""
    with Session(engine) as session:
        session.add(Item(name=name))
        session.commit()


def recorded(engine: Engine) -> dict[str, tuple[str | None, str | None, dict[str, Any]]]:
    """Return actor, address and meta of what inserted each item."""
    with Session(engine) as session:
        return {
            each.changed_data["name"]: (
                each.transaction.actor_id,
                each.transaction.client_addr and str(each.transaction.client_addr),
                each.transaction.meta or {},
            )
            for each in session.scalars(audit_log.activities(verb="insert"))
        }
