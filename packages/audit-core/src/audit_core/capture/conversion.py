"""Who, from where and why, as the texts that the settings ``audit_logger.*`` hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..errors import ContextError

# What the trigger function takes: the column is indexed.
_ACTOR_ID_BYTES = 1000

_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Settings(NamedTuple):
    """The context of one transaction as the settings ``audit_logger.*``; empty where there is nothing to say."""

    actor_id: str = ""
    client_addr: str = ""
    meta: str = ""
    enabled: str = ""
    bypass_reason: str = ""


def actor_id_text(value: Any, actor_type: TypeEngine[Any], dialect: Dialect) -> str:
    """Check an actor's key against the type of the actor's primary key and write it as text.

    :raises ContextError: if it is of another type, or too long to be a key.
    """
    if isinstance(actor_type, TypeDecorator):
        value = actor_type.process_bind_param(value, dialect)
    elif not _is_of_type(value, actor_type):
        raise ContextError(
            f"actor_id is {value!r}, a {type(value).__name__}, and the actor's primary key is "
            f"{actor_type.compile(dialect=dialect)}. Give the value of that column."
        )
    text = _text("actor_id", value)
    if len(text.encode()) > _ACTOR_ID_BYTES:
        raise ContextError(
            f"actor_id is {text[:20]!r} and so on: more than {_ACTOR_ID_BYTES} bytes, and so no primary key. What else "
            "there is to say can stand in the meta data."
        )
    return text


def client_addr_text(value: Any) -> str:
    """Write a client address as text; whether it is one, the server decides."""
    return _text("client_addr", value)


def meta_text(meta: Mapping[str, Any]) -> str:
    """Write meta data as JSON that jsonb can hold.

    :raises ContextError: naming the key that cannot be stored.
    """
    try:
        return _json_text(meta)
    except (TypeError, ValueError, RecursionError):
        for key, value in meta.items():
            try:
                _json_text({key: value})
            except (TypeError, ValueError, RecursionError) as error:
                raise ContextError(f"meta {key!r} cannot be stored as JSON: {error}.") from error
        raise


def bypass_reason_text(reason: str | None) -> str:
    """Write the reason of a block of disable()."""
    return "" if reason is None else _text("reason", reason)


def _is_of_type(value: Any, actor_type: TypeEngine[Any]) -> bool:
    try:
        python_type = actor_type.python_type
    except NotImplementedError:
        return True
    if python_type is str:
        # Text is what an actor_id is when nothing is known of the actor.
        return isinstance(value, (str, int, UUID)) and not isinstance(value, bool)
    return isinstance(value, python_type) and not isinstance(value, bool)


def _json_text(meta: Mapping[str, Any]) -> str:
    text = _JSON.encode(meta)
    text.encode()  # half a surrogate pair is an error here, and not in the middle of a statement
    # A backslash that the text itself holds is doubled, so an odd number of them begins an escape.
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise ValueError("it holds a NUL character, which PostgreSQL cannot store")
    return text


def _json_value(value: Any) -> str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    raise TypeError(f"it is a {type(value).__name__}")


_JSON = json.JSONEncoder(default=_json_value, allow_nan=False, ensure_ascii=False)


def _text(name: str, value: Any) -> str:
    try:
        text = str(value)
        text.encode()
    except ValueError as error:
        raise ContextError(f"{name} cannot be written as text: {error}.") from error
    if "\x00" in text:
        raise ContextError(f"{name} is {text!r}: PostgreSQL cannot store a NUL character.")
    return text
