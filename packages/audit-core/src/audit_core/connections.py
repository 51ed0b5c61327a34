"""The connection of what a caller has: a session, one that stands for several, or a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.orm import Session, scoped_session

from .errors import AuditError, ConfigurationError, HistoryError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

#: What the functions take that talk to the database.
Target: TypeAlias = "Session | scoped_session[Any] | Connection"
AsyncTarget: TypeAlias = "AsyncSession | async_scoped_session[Any] | AsyncConnection"


def unwrapped(target: Any) -> Any:
    """Return the session that a ``scoped_session`` stands for here and now; anything else as it is."""
    # An async_scoped_session is known by its looks: importing it would cost those who need none.
    is_scoped = hasattr(target, "registry") and hasattr(target, "session_factory")
    return target.registry() if is_scoped else target


def is_asynchronous(target: Any) -> bool:
    """Return whether a session or connection, already unwrapped, has to be awaited."""
    return hasattr(target, "run_sync")


def connection_of(
    target: Any, bind_arguments: dict[str, Any], error: type[AuditError] = ConfigurationError
) -> Connection:
    """Return the connection on which a session has the tables of the trail; a connection is one itself.

    :param bind_arguments: tells a session with several engines which one is meant.
    :raises AuditError: as ``error``, if it is asynchronous or something else.
    """
    found = unwrapped(target)
    if isinstance(found, Connection):
        return found
    if isinstance(found, Session):
        return found.connection(bind_arguments=bind_arguments)
    if is_asynchronous(found):
        name = "connection" if hasattr(found, "sync_connection") else "session"
        given = f"{name}()" if found is not target else name
        raise error(
            f"{type(target).__name__!r} is asynchronous: write await {given}.run_sync(lambda {name}: ...), and call "
            f"this in there with what it gives you."
        )
    if hasattr(found, "begin") and hasattr(found, "dispose"):
        begin = "async with engine.begin() as connection: await connection.run_sync(...)"
        raise error(
            f"{target!r} is neither a Session nor a Connection. Open one: "
            + (begin if hasattr(found, "sync_engine") else "with engine.begin() as connection: ...")
        )
    raise error(f"{target!r} is neither a Session nor a Connection.")


@contextmanager
def told_to_await(message: str) -> Iterator[None]:
    """Say how it is awaited, where an asynchronous session had to query and could not.

    :raises HistoryError: with the message.
    """
    try:
        yield
    except (MissingGreenlet, StatementError) as error:
        if isinstance(error, MissingGreenlet) or isinstance(error.orig, MissingGreenlet):
            raise HistoryError(message) from error
        raise


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error, whichever driver it is of."""
    found: str | None = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return found
