"""AsyncEngine, AsyncSession and asyncio tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from audit_core import audit_context
from sqlalchemy import URL, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import joinedload

from tests.core_only.app import Article, Base, audit_log

Activity = audit_log.activity_cls


@asynccontextmanager
async def audited(url: URL, driver: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url.set(drivername=f"postgresql+{driver}"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(audit_log.install)
    audit_log.attach(engine)
    try:
        yield engine
    finally:
        audit_log.detach(engine)
        await engine.dispose()


async def recorded(engine: AsyncEngine) -> list[tuple[str, int | None]]:
    changes = select(Activity).where(Activity.verb != "bypass")
    query = changes.options(joinedload(Activity.transaction)).order_by(Activity.id)
    async with AsyncSession(engine) as session:
        activities = (await session.scalars(query)).all()
    return [(a.data["title"], a.transaction.actor_id) for a in activities]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_writes_name_their_actor(database: URL, driver: str) -> None:
    async def run() -> None:
        async with audited(database, driver) as engine:
            async with AsyncSession(engine) as session:
                with audit_context(actor_id=1):
                    session.add(Article(title="first"))
                    await session.flush()
                with audit_context(actor_id=2):
                    await session.execute(insert(Article).values(title="second").returning(Article.id))
                    nested = await session.begin_nested()
                    await session.execute(insert(Article).values(title="lost"))
                    await nested.rollback()
                await session.execute(insert(Article).values(title="nobody's"))
                await session.commit()
            assert await recorded(engine) == [("first", 1), ("second", 2), ("nobody's", None)]

    asyncio.run(run())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_tasks_keep_their_contexts_apart(database: URL, driver: str) -> None:
    async def run() -> None:
        async with audited(database, driver) as engine:
            everybody_is_ready = asyncio.Barrier(5) if hasattr(asyncio, "Barrier") else None

            async def write(actor: int) -> None:
                with audit_context(actor_id=actor):
                    async with AsyncSession(engine) as session:
                        await session.execute(insert(Article).values(title=f"by {actor}"))
                        if everybody_is_ready is not None:
                            await everybody_is_ready.wait()
                        await session.execute(insert(Article).values(title=f"by {actor}"))
                        await session.commit()

            await asyncio.gather(*map(write, range(1, 6)))
            expected = [(f"by {actor}", actor) for actor in range(1, 6) for _ in range(2)]
            assert sorted(await recorded(engine)) == expected

    asyncio.run(run())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_disable_of_an_async_session_and_connection(database: URL, driver: str) -> None:
    async def run() -> None:
        async with audited(database, driver) as engine:
            async with AsyncSession(engine) as session:
                session.add(Article(title="pending before"))
                async with audit_log.disable(session):
                    session.add(Article(title="hidden"))
                session.add(Article(title="after"))
                await session.commit()
            async with engine.begin() as connection:
                async with audit_log.disable(connection):
                    await connection.execute(insert(Article).values(title="hidden"))
                await connection.execute(insert(Article).values(title="last"))
            titles = [title for title, _ in await recorded(engine)]
            assert titles == ["pending before", "after", "last"]

    asyncio.run(run())
