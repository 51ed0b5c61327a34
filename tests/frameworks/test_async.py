"""Reading the trail with an AsyncSession, and what docs/async.md says of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from audit_core import Audited, AuditError, AuditLog, HistoryError, audit_context
from sqlalchemy import URL, event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, selectinload, undefer

from tests.frameworks.documentation import page_of, python, write_files

DRIVERS = ["psycopg", "asyncpg"]


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)


class Page(Audited, Base):
    """Its updates are recorded without the columns that do not change."""

    __tablename__ = "pages"
    __table_args__: Any = ({"info": {"versioned": {"store": "changes"}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    text: Mapped[str]


audit_log = AuditLog(Base, actor_cls=User)
Activity, Transaction = audit_log.activity_cls, audit_log.transaction_cls


@asynccontextmanager
async def written(url: URL, driver: str) -> AsyncIterator[AsyncEngine]:
    """Write a page in three transactions, each by another user."""
    engine = create_async_engine(url.set(drivername=f"postgresql+{driver}"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(audit_log.install)
    audit_log.attach(engine)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add_all([User(id=1), User(id=2), User(id=3)])
        page = Page(id=1, title="a", text="long")
        session.add(page)
        for number, title in ((1, "a"), (2, "b"), (3, "c")):
            with audit_context(actor_id=number):
                page.title = title
                await session.commit()
    try:
        yield engine
    finally:
        audit_log.detach(engine)
        await engine.dispose()


async def queries_of(engine: AsyncEngine, read: Callable[[AsyncSession], Awaitable[Any]]) -> tuple[int, Any]:
    """Return how many queries reading took, and what was read."""
    sent: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    async with AsyncSession(engine) as session:
        found = await read(session)
    event.remove(engine.sync_engine, "before_cursor_execute", count)
    return len(sent), found


@pytest.mark.parametrize("driver", DRIVERS)
def test_who_made_the_changes_takes_one_query_for_all_of_them(database: URL, driver: str) -> None:
    async def transactions(session: AsyncSession, query: Any) -> Any:
        return [each.transaction.actor_id for each in await session.scalars(query)]

    async def actors(session: AsyncSession, query: Any) -> Any:
        return [each.transaction.actor.id for each in await session.scalars(query)]

    async def run() -> None:
        history, activities = audit_log.history(Page, 1), audit_log.activities(table=Page)
        actor = selectinload(Activity.transaction).selectinload(Transaction.actor)
        joined = joinedload(Activity.transaction).joinedload(Transaction.actor)
        async with written(database, driver) as engine:
            for query in (history, activities, select(Activity).order_by(Activity.id.desc())):
                assert await queries_of(engine, lambda s, q=query: transactions(s, q)) == (2, [3, 2, 1])
                assert await queries_of(engine, lambda s, q=query: actors(s, q.options(actor))) == (3, [3, 2, 1])
                assert await queries_of(engine, lambda s, q=query: actors(s, q.options(joined))) == (1, [3, 2, 1])
            async with AsyncSession(engine) as session:
                newest = (await session.scalars(history)).first()
                assert (await newest.transaction.awaitable_attrs.actor).id == 3
            query = select(Transaction).options(selectinload(Transaction.activities)).order_by(Transaction.id)
            async with AsyncSession(engine) as session:
                found = (await session.scalars(query)).all()
                assert [[each.verb for each in one.activities] for one in found] == [["insert"], ["update"], ["update"]]

    asyncio.run(run())


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_takes_a_query_says_how_it_is_loaded(database: URL, driver: str) -> None:
    async def run() -> None:
        query = audit_log.history(Page, 1)
        async with written(database, driver) as engine, AsyncSession(engine) as session:
            newest, *_, oldest = await session.scalars(query)
            assert oldest.after.title == "a"
            assert newest.changes == {"title": ("b", "c")}
            with pytest.raises(HistoryError, match=re.escape("options(undefer(AuditLogActivity.completed_old_data))")):
                newest.row_before  # noqa: B018
            session.expunge_all()
            newest, *_ = await session.scalars(query.options(undefer(Activity.completed_old_data)))
            assert newest.row_before == {"id": 1, "title": "b", "text": "long"}
            assert (newest.before.title, newest.after.text) == ("b", "long")

    asyncio.run(run())


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_mixin_says_how_it_is_awaited(database: URL, driver: str) -> None:
    async def run() -> None:
        async with written(database, driver) as engine, AsyncSession(engine) as session:
            page = await session.get_one(Page, 1)
            when = (await session.scalars(audit_log.history(page))).all()[-1].issued_at
            for what, call in (("history", lambda: page.history), ("as_of(when)", lambda: page.as_of(when))):
                with pytest.raises(HistoryError, match=re.escape(f"await session.run_sync(lambda _: obj.{what})")):
                    call()
            assert len(await session.run_sync(lambda _: page.history)) == 3
            past = await session.run_sync(lambda _: page.as_of(when))
            assert past is not None
            assert past.title == "a"

    asyncio.run(run())


def test_an_engine_is_not_a_connection(database: URL) -> None:
    async_engine = create_async_engine(database)
    with pytest.raises(AuditError, match=r"async with engine\.begin\(\) as connection: await connection\.run_sync"):
        audit_log.install(async_engine)  # type: ignore[arg-type]
    with pytest.raises(AuditError, match=r"Open one: with engine\.begin\(\) as connection"):
        audit_log.install(async_engine.sync_engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_quick_start(database: URL, tmp_path: Path, driver: str) -> None:
    url = database.set(drivername=f"postgresql+{driver}")
    write_files("async", "async", tmp_path)
    (expected,) = re.findall(r"It prints\n\n```text\n(.*?)```", page_of("async"), re.DOTALL)
    assert python(tmp_path, url, "app.py") == expected
    assert python(tmp_path, url, "undo.py") == "Hello\n"
