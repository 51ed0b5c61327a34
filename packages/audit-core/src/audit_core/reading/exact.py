"""Functions, operators and texts that mean one thing, whatever else the search path leads to.

Whoever may create functions in a schema that is searched can make one whose argument types fit better than those of
PostgreSQL's own, such as ``unnest(varchar[])`` or ``text = varchar``, and have it run by whoever reads the trail. So
functions are qualified, unless their types are known to be exact, and so are operators.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Dialect, Text, cast, func, literal
from sqlalchemy.dialects.postgresql import CITEXT, DOMAIN
from sqlalchemy.types import Enum, Interval, NullType, TypeDecorator, TypeEngine, UserDefinedType

from ..errors import UnsupportedDatabaseError

#: PostgreSQL's own functions.
pg = func.pg_catalog


class ExactText(TypeDecorator[str]):
    """A text whose values are sent as such; SQLAlchemy sends ``varchar``, for which no operator is exact."""

    impl = Text
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> ColumnElement[str]:
        return cast(bindparam, Text())

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        require_trail(dialect)
        return super().load_dialect_impl(dialect)


def require_trail(dialect: Dialect) -> None:
    """Refuse to write a query of the trail for a database that cannot have one.

    :raises UnsupportedDatabaseError: if it is not PostgreSQL.
    """
    # A query that is only printed is for no database.
    if dialect.name not in ("postgresql", "default"):
        raise UnsupportedDatabaseError(
            f"The audit trail is in PostgreSQL, and this session is on {dialect.name}, where changes are not recorded "
            "and there is nothing to read. Run the tests that read it on PostgreSQL."
        )


def exact_text(value: str) -> ColumnElement[str]:
    """Bind a text."""
    return literal(value, ExactText())


def operate(
    left: ColumnElement[Any], name: str, right: Any, type_: TypeEngine[Any] | None = None
) -> ColumnElement[Any]:
    """Combine two values by an operator of PostgreSQL's own, which compares unless it has a type."""
    operator = f"OPERATOR(pg_catalog.{name})"
    combined: ColumnElement[Any] = left.op(operator, is_comparison=type_ is None, return_type=type_)(right)
    return combined


def equal(left: ColumnElement[Any], right: Any, type_: TypeEngine[Any]) -> ColumnElement[bool]:
    """Compare two values of a type of the application, by its own operator if it has one."""
    return left == right if is_extended(type_) else operate(left, "=", right)


def plain(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that a domain is made of, whose values are the same and are not checked."""
    while isinstance(type_, DOMAIN):
        type_ = type_.data_type
    return type_


def is_named(type_: TypeEngine[Any]) -> bool:
    """Return whether a type may be one that the application created, with casts of its own."""
    type_ = undecorated(type_)
    return isinstance(type_, Enum) or is_extended(type_)


def is_extended(type_: TypeEngine[Any]) -> bool:
    """Return whether a type may come with operators of its own."""
    return isinstance(undecorated(type_), (UserDefinedType, CITEXT, NullType))


def undecorated(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that PostgreSQL stores, without what the application or a domain makes of it."""
    # That of SQLAlchemy's intervals is what other databases have instead.
    while isinstance(type_, (TypeDecorator, DOMAIN)) and not isinstance(type_, Interval):
        type_ = type_.impl_instance if isinstance(type_, TypeDecorator) else type_.data_type
    return type_
