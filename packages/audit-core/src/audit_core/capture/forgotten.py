"""Notices that nobody called attach(): what audit_context says is lost then, without an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, Dialect, Engine, Table, event
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, object_mapper

from ..audited import is_audited
from ..errors import ContextWarning
from .context import NOTHING_SAID, current_context
from .listeners import Resolve, attached_engines, is_attached

_ATTACH = "Call audit_log.attach(engine) once, where the engine is created."

#: The engines, by their dialect, on which something was lost.
_noticed: WeakSet[Dialect] = WeakSet()
#: Those of which somebody said that they are not attached on purpose.
_left: WeakSet[Dialect] = WeakSet()


def listen() -> None:
    """Look at what sessions write within a block of audit_context; twice is once."""
    if not event.contains(Session, "after_flush", _after_flush):
        event.listen(Session, "after_flush", _after_flush)
        event.listen(Session, "do_orm_execute", _do_orm_execute)


def leave_unattached(engine: Engine) -> None:
    """Say that nobody has forgotten it."""
    _left.add(engine.dialect)


def is_left_unattached(dialect: Dialect) -> bool:
    """Return whether somebody said so."""
    return dialect in _left


def find_problem(engine: Engine, resolve: Resolve, is_asking: bool) -> str | None:
    """Say why an engine of this process seems to be forgotten; None where nothing tells.

    Nothing is known of other processes, and one that only checks may have an engine of its own.

    :param resolve: of the trail, as it is attached to engines.
    :param is_asking: whether the trail has resolvers, which nobody asks without an engine that is attached.
    """
    if is_attached(engine.dialect) or engine.dialect in _left:
        return None
    if engine.dialect in _noticed:
        return f"{_lost_on(engine)} {_ATTACH}"
    others = attached_engines(resolve)
    if any(_is_same_place(engine.url, other.url) for other in others):
        return (
            f"{engine!r} is not attached, and another engine with the same database and role is: what is written on "
            "this one names nobody. Call audit_log.attach(engine) with each engine that the application creates."
        )
    if is_asking and not others:
        return (
            "This AuditLog has functions to ask, such as get_actor_id, and no engine of this process is attached: "
            f"nobody asks them. {_ATTACH}"
        )
    return None


def _is_same_place(one: URL, other: URL) -> bool:
    # Without a database in it, a URL says nothing: a function makes the connections.
    return one.database is not None and all(
        getattr(one, part) == getattr(other, part) for part in ("host", "port", "database", "username", "query")
    )


def _lost_on(engine: Engine) -> str:
    return f"What audit_context says is not recorded: no AuditLog is attached to {engine!r}."


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
    dialect = bind.dialect
    if dialect.name != "postgresql" or is_attached(dialect) or dialect in _left or dialect in _noticed:
        return
    _noticed.add(dialect)
    warnings.warn(ContextWarning(f"{_lost_on(bind.engine)} {_ATTACH}"), stacklevel=2)
