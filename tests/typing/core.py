"""Checked by mypy as a user of audit_core would write it; never run."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any

from audit_core import AuditLog, AuditLogActivity, audit_context, notes
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)


class Account(Base):
    __tablename__ = "account"
    __table_args__ = ({"info": {"versioned": {"exclude": ["password"]}}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    password: Mapped[str]


audit_log = AuditLog(Base, actor_cls=User, get_client_addr=lambda: "192.0.2.1")

engine = create_engine("postgresql+psycopg:///app")
audit_log.attach(engine)
with engine.begin() as connection:
    audit_log.install(connection)
    problems: list[str] = [problem.message for problem in audit_log.check(connection)]
    audit_log.send_context(connection)


@audit_context(reason="nightly import")
def import_accounts(passwords: list[str]) -> int:
    with Session(engine) as session, audit_context(actor_id=7):
        session.add_all(Account(password=password) for password in passwords)
        with audit_log.disable(session, reason="rebuild"), audit_log.disable(scoped_session(sessionmaker(engine))):
            session.commit()
    return len(passwords)


def changes_of(session: Session, table: str) -> Sequence[AuditLogActivity]:
    activity = audit_log.activity_cls
    return session.scalars(select(activity).where(activity.table_name == table)).all()


def account_at(session: Session, when: dt.datetime) -> str | None:
    account = audit_log.get_as_of(session, Account, 1, when)
    said: tuple[str, ...] = () if account is None else notes(account)
    rows = audit_log.as_of(Account, when)
    passwords = session.scalars(select(rows.c.password).where(rows.c.id == 1)).all()
    changes: dict[str, tuple[Any, Any]] = audit_log.diff(session, Account, 1, when, when)
    for activity in session.scalars(audit_log.history(Account, 1, related=True)):
        changes |= activity.changes
    newest: AuditLogActivity | None = session.scalars(audit_log.history(account).limit(1)).first()
    verbs: list[str] = [activity.verb for activity in session.scalars(audit_log.activities(table=Account))]
    recent = audit_log.activities(actor=None, table=Account, verb=["update"], since=when, after=7).limit(3)
    return account.password if account and (said or passwords or recent is not None or newest or verbs) else None


def take_back(session: Session, when: dt.datetime) -> int | None:
    plan = audit_log.plan_undo(session, 7)
    said = [conflict.message for conflict in plan.conflicts] + [step.action for step in plan.steps]
    undone = plan.apply(on_conflict="skip")
    audit_log.restore(session, Account, 1, when)
    return undone.id if undone is not None and said else None


async def main() -> None:
    async_engine = create_async_engine("postgresql+psycopg:///app")
    audit_log.attach(async_engine)
    async with AsyncSession(async_engine) as session:
        with audit_context(actor_id=7):
            async with audit_log.disable(session):
                session.add(Account(password=""))
            await session.commit()
    audit_log.detach(async_engine)


count: int = import_accounts(["secret"])
asyncio.run(main())
