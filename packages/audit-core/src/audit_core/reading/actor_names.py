"""What actors are called, loaded in one query for all that are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, String, Table, any_, inspect, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from ..audited import is_audited
from ..connections import connection_of
from ..errors import AuditError, HistoryError
from ..options import TableOptions
from .exact import is_extended, operate

if TYPE_CHECKING:
    from ..scope import Scope

#: The columns that name an actor; the first that there is.
NAMES = ("name", "full_name", "username", "login", "email")
_LONGEST = 80
# No file holds a half of a character, and the others turn around what is written behind the name.
_UNSHOWN = re.compile("[\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What pydantic makes of an object lists all its values: passwords, too.
_LISTING = frozenset({"pydantic", "sqlmodel"})
#: What a __str__ may raise for an object that has not all of its values.
UNNAMEABLE = (AuditError, SQLAlchemyError, AttributeError, LookupError, TypeError, ValueError)


def actor_names(scope: Scope, session: Any, ids: Iterable[Any]) -> dict[Any, str]:
    """Return what actors are called, by their primary keys; of those that are gone, or have no name, nothing.

    It is ``str(actor)`` if the class of the actors says what that is, and else one of their columns. Where the reader
    may not see them, nobody has a name.
    """
    wanted = sorted({each for each in ids if each is not None}, key=str)
    table = None if scope.actor.named is None else inspect(scope.actor.found).local_table
    # In another MetaData they may be in another database.
    if not wanted or not isinstance(table, Table) or table.metadata is not scope.metadata:
        return {}
    connection = connection_of(session, scope.bind_arguments(), HistoryError)
    try:
        with connection.begin_nested():
            found = _texts if says_itself(scope.actor.found) else _columns
            names = found(connection, scope.actor.found, table, wanted)
    except DBAPIError:
        return {}
    return {key: short for key, name in names.items() if (short := short_name(name))}


def says_itself(cls: type[Any]) -> bool:
    """Return whether a class says what its objects are called, and not only what they consist of."""
    owner = next(each for each in cls.__mro__ if "__str__" in vars(each))
    return owner is not object and owner.__module__.partition(".")[0] not in _LISTING


def _texts(connection: Connection, cls: type[Any], table: Table, ids: list[Any]) -> dict[Any, str | None]:
    with Session(connection, join_transaction_mode="rollback_only") as session:
        actors = session.scalars(select(cls).where(_is_one_of(table, ids))).all()
        keys = [inspect(each).identity[0] for each in actors]
        # In no session, so that a __str__ that wants more cannot run a query for each of them.
        session.expunge_all()
    return {key: _text(actor) for key, actor in zip(keys, actors, strict=True)}


def _text(actor: Any) -> str | None:
    try:
        return str(actor)
    except UNNAMEABLE:
        return None


def _columns(connection: Connection, cls: type[Any], table: Table, ids: list[Any]) -> dict[Any, str | None]:
    column = naming_column(table, NAMES)
    if column is None:
        return {}
    key = _key(table)
    return {row[0]: row[1] for row in connection.execute(select(key, column).where(_is_one_of(table, ids)))}


def naming_column(table: Any, names: Iterable[str]) -> Column[Any] | None:
    """Return the first column that may name a row: what the trail is not to know is not shown beside it."""
    options = TableOptions.read(table) if isinstance(table, Table) and is_audited(table) else None
    hidden = () if options is None else (*options.mask, *options.exclude)
    columns = {each.name: each for each in table.columns if isinstance(each.type, String) and each.name not in hidden}
    return next((columns[name] for name in names if name in columns), None)


def _is_one_of(table: Table, ids: list[Any]) -> Any:
    key = _key(table)
    if is_extended(key.type):
        return key.in_(ids)
    return operate(key, "=", any_(literal(ids, ARRAY(key.type))))


def _key(table: Table) -> Column[Any]:
    (key,) = table.primary_key.columns
    return key


def short_name(name: Any) -> str | None:
    """Return a name in one line, cut if it is long; None if there is nothing in it."""
    text = "" if name is None else _UNSHOWN.sub("\ufffd", " ".join(str(name)[: _LONGEST * 2].split()))
    return (text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…") or None
