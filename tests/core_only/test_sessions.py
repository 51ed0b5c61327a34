"""Each function that talks to the database takes whatever session or connection the application has."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from audit_core import AuditError, ConfigurationError, HistoryError, audit_context
from audit_core.connections import Target
from sqlalchemy import Engine, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.core_only.shop import Base, Customer, audit_log, now

Activity = audit_log.activity_cls
Open = Callable[[Engine], AbstractContextManager[Any]]


def scoped(engine: Engine) -> Any:
    return scoped_session(sessionmaker(engine))


@pytest.fixture(params=[Session, scoped, Engine.connect], ids=["Session", "scoped_session", "Connection"])
def target(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Any]:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
    audit_log.attach(engine)
    target = request.param(engine)
    yield target
    target.close()
    audit_log.detach(engine)


def names(target: Any) -> list[Any]:
    recorded = select(Activity.changed_data["name"].astext).where(Activity.verb == "insert").order_by(Activity.id)
    return [row[0] for row in target.execute(recorded)]


def test_all_of_them(target: Any) -> None:
    audit_log.install(target)
    assert audit_log.check(target) == []
    target.execute(text("INSERT INTO customers VALUES (1, 'Ann')"))
    with audit_log.disable(target):
        target.execute(text("INSERT INTO customers VALUES (2, 'hidden')"))
    with audit_context(reason="copied"):
        audit_log.send_context(target)
        sent = target.execute(select(func.current_setting("audit_logger.meta"))).scalar_one()
    assert sent == '{"reason": "copied"}'
    target.execute(text("INSERT INTO customers VALUES (3, 'Cid')"))
    assert names(target) == ["Ann", "Cid"]
    when = now(target)
    target.execute(text("UPDATE customers SET name = 'Cyd' WHERE id = 3"))
    last = target.execute(select(Activity.transaction_id).order_by(Activity.id.desc()).limit(1)).scalar_one()
    found = audit_log.get_as_of(target, Customer, 3, when)
    assert found is not None
    assert found.name == "Cid"
    assert audit_log.diff(target, Customer, 3, when, now(target)) == {"name": ("Cid", "Cyd")}
    assert audit_log.restore(target, Customer, 3, when) is not None
    assert audit_log.plan_undo(target, last).conflicts != []
    audit_log.uninstall(target, drop_trail=True)
    target.rollback()


def test_pending_changes_of_a_scoped_session_are_on_their_side_of_a_block(engine: Engine) -> None:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    audit_log.attach(engine)
    session = scoped(engine)
    session.add(Customer(id=1, name="before"))
    with audit_log.disable(session):
        session.add(Customer(id=2, name="hidden"))
    session.add(Customer(id=3, name="after"))
    session.commit()
    assert names(session) == ["before", "after"]
    session.remove()
    audit_log.detach(engine)


def test_an_undo_of_a_scoped_session_is_seen_by_its_objects(engine: Engine) -> None:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    audit_log.attach(engine)
    session = scoped(engine)
    customer = Customer(id=1, name="Ann")
    session.add(customer)
    session.commit()
    customer.name = "Anna"
    session.commit()
    (last,) = session.scalars(audit_log.history(customer).limit(1))
    transaction = audit_log.plan_undo(session, last).apply()
    assert isinstance(transaction, audit_log.transaction_cls)
    assert customer.name == "Ann"
    session.remove()
    audit_log.detach(engine)


def test_disable_of_an_async_scoped_session(engine: Engine) -> None:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)

    async def write() -> list[Any]:
        async_engine = create_async_engine(engine.url)
        audit_log.attach(async_engine)
        session = async_scoped_session(async_sessionmaker(async_engine), scopefunc=asyncio.current_task)
        session.add(Customer(id=1, name="before"))
        async with audit_log.disable(session):
            session.add(Customer(id=2, name="hidden"))
        session.add(Customer(id=3, name="after"))
        await session.commit()
        found = await session().run_sync(names)
        await session.remove()
        audit_log.detach(async_engine)
        await async_engine.dispose()
        return found

    assert asyncio.run(write()) == ["before", "after"]


CALLS: list[tuple[type[AuditError], Callable[[Any], object]]] = [
    (ConfigurationError, audit_log.install),
    (ConfigurationError, audit_log.uninstall),
    (ConfigurationError, audit_log.check),
    (ConfigurationError, audit_log.send_context),
    (HistoryError, lambda target: audit_log.plan_undo(target, 1)),
]


@pytest.mark.parametrize(("kind", "call"), CALLS)
def test_what_has_to_be_awaited_is_told_how(kind: type[AuditError], call: Callable[[Any], object]) -> None:
    session = async_scoped_session(async_sessionmaker(), scopefunc=lambda: None)
    for given, said in (
        (session(), "'AsyncSession' is asynchronous: write await session.run_sync("),
        (session, "'async_scoped_session' is asynchronous: write await session().run_sync("),
    ):
        with pytest.raises(kind, match=re.escape(said)):
            call(given)


@pytest.mark.parametrize(("kind", "call"), CALLS)
def test_what_is_no_connection_is_named(engine: Engine, kind: type[AuditError], call: Callable[[Any], object]) -> None:
    with pytest.raises(kind, match=r"^Engine\(.*neither a Session nor a Connection"):
        call(engine)


def test_both_kinds_of_blocks_are_told_apart(engine: Engine) -> None:
    target: Target = Session(engine)

    async def enter() -> None:
        async with audit_log.disable(target):
            pass

    with pytest.raises(ConfigurationError, match="'Session' is written with a plain with"):
        asyncio.run(enter())
    with pytest.raises(ConfigurationError, match="'AsyncSession' is written with async with"):
        audit_log.disable(AsyncSession()).__enter__()
