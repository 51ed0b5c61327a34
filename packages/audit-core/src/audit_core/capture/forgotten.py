"""Notices that nobody called attach(): what audit_context says is lost then, without an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from sqlalchemy import Dialect, Engine, Table, event
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, object_mapper

from ..audited import is_audited
from ..errors import ContextWarning
from .context import NOTHING_SAID, current_context
from .listeners import is_attached

#: The engines, by their dialect, of which it was said, or need not be.
_noticed: WeakSet[Dialect] = WeakSet()


def listen() -> None:
    """Look at what sessions write within a block of audit_context; twice is once."""
    if not event.contains(Session, "after_flush", _after_flush):
        event.listen(Session, "after_flush", _after_flush)
        event.listen(Session, "do_orm_execute", _do_orm_execute)


def leave_unattached(engine: Engine) -> None:
    """Say that nobody has forgotten it."""
    _noticed.add(engine.dialect)


def _after_flush(session: Session, flush_context: Any) -> None:
    if current_context() is not NOTHING_SAID:
        # Most often the first object tells, and the others need not be gathered.
        written = (obj for name in ("new", "dirty", "deleted") for obj in getattr(session, name))
        _notice(session, map(object_mapper, written))


def _do_orm_execute(state: ORMExecuteState) -> None:
    if not state.is_select and current_context() is not NOTHING_SAID and state.bind_mapper is not None:
        _notice(state.session, iter([state.bind_mapper]))


def _notice(session: Session, mappers: Iterator[Mapper[Any]]) -> None:
    tables = ((each, each.local_table) for each in mappers)
    mapper = next((each for each, table in tables if isinstance(table, Table) and is_audited(table)), None)
    if mapper is None:
        return
    bind = session.get_bind(mapper)
    if bind.dialect.name != "postgresql" or is_attached(bind.dialect) or bind.dialect in _noticed:
        return
    _noticed.add(bind.dialect)
    warnings.warn(
        ContextWarning(
            f"What audit_context says is not recorded: no AuditLog is attached to {bind.engine!r}. Call "
            "audit_log.attach(engine) once, where the engine is created."
        ),
        stacklevel=2,
    )
