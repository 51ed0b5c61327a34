"""What audited models offer of their own accord, if they want to."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeVar

from sqlalchemy.orm import object_mapper, object_session

from .audit_log import AuditLog, find_audit_log, scope_of
from .connections import told_to_await
from .errors import HistoryError
from .models import AuditLogActivity
from .reading.entities import Entity

_T = TypeVar("_T", bound="Audited")

_HOW = "The session of this object is asynchronous: write await session.run_sync(lambda _: obj.{})."


class Audited:
    """A mixin for models: ``class Article(Audited, Base)``. It adds no column, and audits nothing by itself."""

    @property
    def history(self) -> list[AuditLogActivity]:
        """The activities of this object, newest first, read by its session; see :meth:`AuditLog.history`.

        :raises HistoryError: if it is in no session, or in an asynchronous one outside of ``run_sync()``, or its table
            is not audited.
        """
        session, audit_log = _of(self)
        with told_to_await(_HOW.format("history")):
            return list(session.scalars(audit_log.history(self)))

    def as_of(self: _T, when: dt.datetime) -> _T | None:
        """Return this object as it was at an instant, in no session; None if it was not there.

        :raises HistoryError: if it is in no session, or as in :meth:`AuditLog.get_as_of`.
        """
        session, audit_log = _of(self)
        key = Entity.find(scope_of(audit_log), type(self)).audited.key_of(self)
        with told_to_await(_HOW.format("as_of(when)")):
            return audit_log.get_as_of(session, type(self), key, when)


def _of(obj: Any) -> tuple[Any, AuditLog]:
    session = object_session(obj)
    if session is None:
        raise HistoryError(f"{obj!r} is in no session that could read its history. Use audit_log.history(Model, key).")
    audit_log = find_audit_log(object_mapper(obj).local_table.metadata)  # type: ignore[attr-defined]
    if audit_log is None:
        raise HistoryError(f"No AuditLog records the models of {type(obj).__name__}. Make one: AuditLog(Base).")
    return session, audit_log
