"""Events: what happened and is no change of a row, such as a login, in the same trail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text

from .connections import Target, connection_of
from .errors import ConfigurationError, HistoryError
from .quoting import qualified
from .reading.values import dump_json

if TYPE_CHECKING:
    from .scope import Scope


def declared_events(events: Collection[str] | None) -> frozenset[str] | None:
    """Return the names of the events that may be recorded; None for any.

    :raises ConfigurationError: if they are no collection of names.
    """
    if events is None:
        return None
    if isinstance(events, str) or not all(isinstance(each, str) and each for each in events):
        raise ConfigurationError(f"events is {events!r}; make it a list of names, such as ['login', 'invoice.sent'].")
    return frozenset(events)


def record_event(
    scope: Scope,
    known: frozenset[str] | None,
    target: Target,
    name: str,
    about: Any,
    data: Mapping[str, Any] | None,
) -> int:
    """Record an event; see :meth:`audit_core.AuditLog.record_event`."""
    if known is not None and name not in known:
        raise ConfigurationError(f"{name!r} is not among the declared events: {', '.join(map(repr, sorted(known)))}.")
    connection = connection_of(target, scope.bind_arguments())
    function = qualified("audit_logger_record_event", scope.schema).replace(":", "\\:")
    query = text(
        f"SELECT {function}(CAST(:name AS text), CAST(CAST(:target AS text) AS jsonb),"
        " CAST(CAST(:data AS text) AS jsonb))"
    )
    given = {
        "name": name,
        "target": None if about is None else dump_json(_reference(scope, about)),
        "data": None if data is None else dump_json(dict(data)),
    }
    recorded: int = connection.execute(query, given).scalar_one()
    return recorded


def _reference(scope: Scope, about: Any) -> dict[str, Any]:
    """Return what says which object an event is about: table, schema where it is declared, and primary key."""
    state = inspect(about, raiseerr=False)
    if state is None or not hasattr(state, "identity"):
        raise HistoryError(f"{about!r} is not an object of a model.")
    if state.identity is None:
        raise HistoryError(f"{about!r} has no primary key yet. Flush it first.")
    table = state.mapper.local_table
    keys = [str(each) for each in state.identity]
    said = {"table": table.name, "key": keys[0] if len(keys) == 1 else keys}
    if table.schema is not None:
        said["schema"] = table.schema
    return said
