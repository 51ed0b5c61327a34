"""What rows are called: those that are there, and those that the trail knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit_core.siblings import UNNAMEABLE, Scope, equal, mapper_of, naming_column, says_itself, short_name, table_of
from sqlalchemy import ColumnElement, Select, and_, literal, or_, select
from sqlalchemy.exc import DataError, DBAPIError, InternalError, ProgrammingError
from sqlalchemy.orm import Mapper, Session, lazyload

#: The columns that name a record; the first that there is.
OF_RECORD = ("title", "name", "label", "username", "email")


def load_names(
    session: Session,
    table: Any,
    mapper: Mapper[Any] | None,
    keys: list[tuple[Any, ...]],
    name_of: Callable[[Any], str | None] | None,
    columns: Sequence[str],
) -> dict[tuple[Any, ...], str | None]:
    """Name rows of a table that may not be there, or not be for the role of the page."""
    try:
        with session.begin_nested():
            return _load_names(session, table, mapper, keys, name_of, columns)
    except DataError:
        # A key that the column does not hold, as one of a time when it had another type, costs the others no name.
        half = len(keys) // 2
        parts = (keys[:half], keys[half:]) if half else ()
        found = (load_names(session, table, mapper, part, name_of, columns) for part in parts)
        return {key: name for each in found for key, name in each.items()}
    except (ProgrammingError, InternalError):
        # The second if what names a row asked in a transaction that had failed.
        return {}


def readable_rows(session: Session, query: Select[Any]) -> Sequence[Any]:
    """Read rows of a table; none if it is not there, or not for the role of the page."""
    try:
        with session.begin_nested():
            return session.execute(query).all()
    except ProgrammingError:
        return []


def _load_names(
    session: Session,
    table: Any,
    mapper: Mapper[Any] | None,
    keys: list[tuple[Any, ...]],
    name_of: Callable[[Any], str | None] | None,
    columns: Sequence[str],
) -> dict[tuple[Any, ...], str | None]:
    """Name the rows that are there, by their primary keys."""
    primary_key = list(table.primary_key.columns)
    if not keys or not primary_key:
        return {}
    is_wanted: ColumnElement[bool] = or_(
        *(
            and_(*(equal(column, literal(value, column.type), column.type) for column, value in zip(primary_key, key)))  # noqa: B905
            for key in keys
        )
    )
    name_of = name_of or _own_text(mapper)
    if mapper is not None and name_of is not None:
        query = select(mapper.class_, *primary_key).where(is_wanted).options(lazyload("*"))
        return {tuple(row[1:]): _called_there(name_of, row[0]) for row in session.execute(query)}
    named = [each for each in [naming_column(table, columns)] if each is not None]
    query = select(*(named or primary_key[:1]), *primary_key).where(is_wanted)
    return {tuple(row[1:]): short_name(row[0]) if named else None for row in session.execute(query)}


def name_of_recorded(
    scope: Scope, activity: Any, name_of: Callable[[Any], str | None] | None, columns: Sequence[str]
) -> str | None:
    data = {**_object(activity.old_data), **_object(activity.changed_data)}
    masked = activity.masked or ()
    table = table_of(scope, activity.schema, activity.table_name)
    name_of = name_of or _own_text(None if table is None else mapper_of(scope, table))
    if name_of is not None:
        try:
            past = activity.before if activity.verb == "delete" else activity.after
        except UNNAMEABLE:
            past = None
        if past is not None and (name := _called(name_of, past)) is not None:
            return name
    for column in columns:
        if isinstance(data.get(column), str) and column not in masked:
            return short_name(data[column])
    return None


def _own_text(mapper: Mapper[Any] | None) -> Callable[[Any], str | None] | None:
    """Return ``str``, if the class of the model says what that is."""
    return str if mapper is not None and says_itself(mapper.class_) else None


def _called_there(name_of: Callable[[Any], str | None], obj: Any) -> str | None:
    try:
        return short_name(name_of(obj))
    except DBAPIError:
        # Nothing can be asked any more before the savepoint is gone back to.
        raise
    except UNNAMEABLE:
        return None


def _called(name_of: Callable[[Any], str | None], obj: Any) -> str | None:
    try:
        return short_name(name_of(obj))
    except UNNAMEABLE:
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
