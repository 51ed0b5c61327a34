"""A notebook with FastAPI and an asynchronous engine: who wrote what, and back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from audit_core import AuditLog, UndoConflictError
from audit_core.asgi import AuditContextMiddleware
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    __table_args__ = ({"info": {"versioned": {}}},)  # audited

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Text(BaseModel):
    text: str


audit_log = AuditLog(Base)
engine = create_async_engine(os.environ["DATABASE_URL"])
audit_log.attach(engine)
open_session = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Create the tables and the trail, which an application with Alembic leaves to its migrations."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(audit_log.install)
    yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    """Open a session for a request."""
    async with open_session() as session:
        yield session


def get_user(request: Request, x_user: Annotated[str, Header()]) -> str:
    """Take whoever says a name for that person; a real application asks for a password."""
    request.state.actor_id = x_user
    return x_user


app = FastAPI(title="Notebook", lifespan=lifespan)
app.add_middleware(AuditContextMiddleware, get_actor_id=lambda scope: scope["state"].get("actor_id"))
Database = Annotated[AsyncSession, Depends(get_session)]
writing = {"dependencies": [Depends(get_user)]}


@app.put("/notes/{key}", **writing)
async def write(key: int, body: Text, session: Database) -> Text:
    """Write a note, or write it anew."""
    await session.merge(Note(id=key, text=body.text))
    await session.commit()
    return body


@app.get("/notes/{key}/history")
async def history(key: int, session: Database) -> list[dict[str, Any]]:
    """Say what happened to a note, and who did it."""
    activities = await session.scalars(
        audit_log.history(Note, key).options(joinedload(audit_log.activity_cls.transaction))
    )
    return [
        {
            "transaction": activity.transaction_id,
            "what": activity.verb,
            "who": activity.transaction.actor_id,
            "changes": activity.changes,
        }
        for activity in activities
    ]


@app.post("/transactions/{number}/undo", **writing)
async def undo(number: int, session: Database) -> dict[str, Any]:
    """Take a transaction of the trail back."""

    def take_back(session: Session) -> int:
        return audit_log.plan_undo(session, number).apply().id

    try:
        transaction = await session.run_sync(take_back)
    except UndoConflictError as error:
        raise HTTPException(409, str(error)) from error
    await session.commit()
    return {"transaction": transaction}
