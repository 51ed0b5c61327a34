"""What a configuration shows to the contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from audit_core import AuditLog, AuditLogActivity
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, joinedload


@dataclass
class Subject:
    audit_log: AuditLog
    engine: Engine
    article_cls: Any
    user_cls: Any
    #: Opens a session of its own, in whatever the configuration needs around it.
    session: Callable[[], AbstractContextManager[Session]]
    #: The class of actors; None where actor_id is a text.
    actor_cls: Any
    #: Whether the application's role owns the tables, and not only may write to its own.
    is_owner: bool = True

    def add_actor(self, name: str) -> Any:
        """Add somebody who can make changes, and return the key."""
        if self.actor_cls is None:
            return name
        with self.session() as session:
            actor = self.actor_cls(name=name)
            session.add(actor)
            session.commit()
            return actor.id


class Trail:
    """What was recorded since a test began."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.activity_cls = subject.audit_log.activity_cls
        self.transaction_cls = subject.audit_log.transaction_cls
        with Session(subject.engine) as session:
            self.last_activity = session.scalar(select(func.max(self.activity_cls.id))) or 0
            self.last_transaction = session.scalar(select(func.max(self.transaction_cls.id))) or 0

    def activities(self, table_name: str = "articles") -> list[AuditLogActivity]:
        """Load the changes of a table, oldest first, with transaction and actor."""
        return [activity for activity in self._load(table_name) if activity.verb != "bypass"]

    def bypasses(self, table_name: str = "articles") -> list[AuditLogActivity]:
        """Load what is known of writes that bypassed the trail."""
        return [activity for activity in self._load(table_name) if activity.verb == "bypass"]

    def _load(self, table_name: str) -> list[AuditLogActivity]:
        transaction = joinedload(self.activity_cls.transaction)
        if self.subject.actor_cls is not None:
            transaction = transaction.joinedload(self.transaction_cls.actor)
        query = (
            select(self.activity_cls)
            .options(transaction)
            .where(self.activity_cls.id > self.last_activity, self.activity_cls.table_name == table_name)
            .order_by(self.activity_cls.id)
        )
        with Session(self.subject.engine) as session:
            return list(session.scalars(query))

    def actors(self) -> list[Any]:
        """Return the actor of each activity, oldest first."""
        return [activity.transaction.actor_id for activity in self.activities()]

    def verbs(self) -> list[str]:
        return [activity.verb for activity in self.activities()]

    def transaction_count(self) -> int:
        query = select(func.count()).where(self.transaction_cls.id > self.last_transaction)
        with Session(self.subject.engine) as session:
            return session.scalar(query) or 0
