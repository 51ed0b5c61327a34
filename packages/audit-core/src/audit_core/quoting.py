"""The only place where quotes are put around anything."""

from __future__ import annotations

import re

from .errors import ConfigurationError

MAX_NAME_BYTES = 63

#: Stands around the bodies of functions and blocks.
BODY_TAG = "$audit_logger$"

# Words with an optional length, or a quoted name; either may be qualified.
_TYPE = re.compile(
    r"(?:(?:\w+|\"[^\"\0;$@]+\")\.)?(?:\"[^\"\0;$@]+\"|[A-Za-z_]\w*(?: \w+)*(?: ?\([0-9]+(?:, ?[0-9]+)?\))?(?: \w+)*)"
)


def quote(name: str) -> str:
    """Quote an identifier.

    :raises ConfigurationError: if PostgreSQL cannot hold the name as it is written.
    """
    if not name or "\x00" in name:
        raise ConfigurationError(f"{name!r} cannot be a name in PostgreSQL: it is empty or holds a NUL.")
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"The name {name!r} has {size} bytes and PostgreSQL cuts names at {MAX_NAME_BYTES}: use a shorter one."
        )
    return '"' + name.replace('"', '""') + '"'


def qualified(name: str, schema: str | None) -> str:
    """Quote a name together with its schema; without one, the search path decides."""
    return quote(name) if schema is None else f"{quote(schema)}.{quote(name)}"


def literal(text: str) -> str:
    """Quote a text as an SQL literal that reads the same under every server setting."""
    if "\x00" in text:
        raise ConfigurationError(f"{text!r} cannot be a text in PostgreSQL: it holds a NUL.")
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        return "E'" + quoted.replace("\\", "\\\\") + "'"
    return f"'{quoted}'"


def type_name(text: str) -> str:
    """Return the name of a type, which cannot be quoted, once it is known to be nothing else.

    :raises ConfigurationError: if the text is not the name of a type.
    """
    if not _TYPE.fullmatch(text):
        raise ConfigurationError(f"{text!r} is not the name of a PostgreSQL type, such as 'bigint' or 'uuid'.")
    return text
