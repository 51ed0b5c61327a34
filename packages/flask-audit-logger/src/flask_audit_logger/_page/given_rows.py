"""Rows that are given, to be selected from as if they were of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ARRAY, FromClause, column, func, literal
from sqlalchemy.types import TypeEngine


def given_rows(name: str, rows: Iterable[Sequence[Any]], **types: TypeEngine[Any]) -> FromClause:
    """Name rows of values, which have a column for each of the types.

    SQLAlchemy compiles this once for any number of rows, and VALUES each time.
    """
    columns: Iterable[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(types)
    arrays = (literal(list(own), ARRAY(type_)) for own, type_ in zip(columns, types.values(), strict=True))
    # Of several arrays PostgreSQL only knows it without a schema, and takes its own then, whatever the search path has.
    found = func.unnest(*arrays).table_valued(*(column(each, type_) for each, type_ in types.items()), name=name)
    rendered: FromClause = found.render_derived()
    return rendered
