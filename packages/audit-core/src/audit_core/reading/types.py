"""The type that a recorded value has, without the limits that its column has now."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from .exact import plain

_LIMITED = re.compile(
    r"(?P<name>VARCHAR|NUMERIC|DECIMAL|FLOAT|TIMESTAMP|TIME|BIT VARYING|CHAR|BIT)\((?P<limit>[0-9, -]+)\)"
)
# Without a length these would be those of one character or bit.
_UNLIMITED = {"CHAR": "BPCHAR", "BIT": "BIT VARYING"}


class StoredType(UserDefinedType[Any]):
    """A type as DDL has it, wide enough for what a column held before it was altered.

    :param keep_scale: keep what gives a value its form, such as the 2 of ``numeric(10, 2)``, and drop only
        what would cut it.
    """

    cache_ok = True

    def __init__(self, stored: TypeEngine[Any], keep_scale: bool = False) -> None:
        self.stored = stored
        self.keep_scale = keep_scale


@compiles(StoredType)
def _compile_stored_type(type_: StoredType, compiler: Any, **kw: Any) -> str:
    stored = plain(type_.stored)
    if isinstance(stored, NullType):
        return "TEXT"
    ddl: str = compiler.process(stored, **kw)
    match = _LIMITED.match(ddl)
    if match is None or (type_.keep_scale and match["name"] != "VARCHAR"):
        return ddl
    return _UNLIMITED.get(match["name"], match["name"]) + ddl[match.end() :]


class RowType(UserDefinedType[Any]):
    """The type of the rows of a table."""

    cache_ok = True

    def __init__(self, name: str, schema: str | None) -> None:
        self.name = name
        self.schema = schema


@compiles(RowType)
def _compile_row_type(type_: RowType, compiler: Any, **kw: Any) -> str:
    name: str = compiler.dialect.identifier_preparer.format_table(table(type_.name, schema=type_.schema))
    return name
