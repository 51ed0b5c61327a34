"""A session of several engines, each with a trail of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from audit_core import AuditLog
from sqlalchemy import URL, Column, Engine, Integer, MetaData, Table, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "things"
    __table_args__ = ({"info": {"versioned": {}}},)
    id: Mapped[int] = mapped_column(primary_key=True)


MODELS_LOG = AuditLog(Base)
TABLES_LOG = AuditLog(MetaData())
LINKS = Table("links", TABLES_LOG.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})


@pytest.fixture
def other_engine(new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[Engine]:
    with new_database() as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def session(engine: Engine, other_engine: Engine) -> Iterator[Session]:
    for log, each in ((MODELS_LOG, engine), (TABLES_LOG, other_engine)):
        with each.begin() as connection:
            log.metadata.create_all(connection)
            log.install(connection)
        log.attach(each)
    with Session(binds={Base: engine, LINKS: other_engine}) as session:
        yield session
    MODELS_LOG.detach(engine)
    TABLES_LOG.detach(other_engine)


@pytest.mark.parametrize(
    ("log", "expected"), [(MODELS_LOG, (0, 1)), (TABLES_LOG, (1, 0))], ids=["with models", "tables alone"]
)
def test_disable_holds_for_the_engine_of_its_tables(
    session: Session, engine: Engine, other_engine: Engine, log: AuditLog, expected: tuple[int, int]
) -> None:
    with log.disable(session):
        session.add(Thing())
        session.execute(LINKS.insert())
    session.commit()
    recorded = []
    for each_log, each in ((MODELS_LOG, engine), (TABLES_LOG, other_engine)):
        with each.connect() as connection:
            recorded.append(connection.scalar(select(func.count()).where(each_log.activity_cls.verb != "bypass")))
    assert tuple(recorded) == expected
