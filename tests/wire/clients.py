"""An application behind the proxy, through any driver."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.wire.app import audit_log

T = TypeVar("T")

ASYNC_DRIVERS = ("psycopg_async", "asyncpg")
DRIVERS = ("psycopg", "psycopg2", *ASYNC_DRIVERS)

#: Runs a function with a new session, and returns what that returns.
InSession = Callable[[Callable[[Session], T]], T]


@contextlib.contextmanager
def application(url: URL, driver: str, *, attached: bool = True) -> Iterator[InSession[T]]:
    """Open an engine with one connection that is ready, for the length of a block."""
    url = url.set(drivername=f"postgresql+{driver}")
    with (_async_sessions if driver in ASYNC_DRIVERS else _sessions)(url, attached) as in_session:
        in_session(lambda session: session.connection())
        yield in_session


@contextlib.contextmanager
def _sessions(url: URL, attached: bool) -> Iterator[InSession[T]]:
    engine = create_engine(url, pool_size=1, max_overflow=0)
    if attached:
        audit_log.attach(engine)

    def in_session(work: Callable[[Session], T]) -> T:
        with Session(engine) as session:
            return work(session)

    yield in_session
    audit_log.detach(engine)
    engine.dispose()


@contextlib.contextmanager
def _async_sessions(url: URL, attached: bool) -> Iterator[InSession[T]]:
    engine = create_async_engine(url, pool_size=1, max_overflow=0)
    if attached:
        audit_log.attach(engine)

    async def run(work: Callable[[Session], T]) -> T:
        async with AsyncSession(engine) as session:
            return await session.run_sync(work)

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        yield lambda work: loop.run_until_complete(run(work))
        audit_log.detach(engine)
        loop.run_until_complete(engine.dispose())
