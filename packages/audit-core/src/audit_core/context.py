"""Who, from where and why: said by the application, carried by a ContextVar."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from functools import cached_property
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeVar, cast
from uuid import UUID

from sqlalchemy import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from .errors import ConfigurationError, ContextError

# What the trigger function takes: the column is indexed.
_ACTOR_ID_BYTES = 1000

_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

_F = TypeVar("_F", bound=Callable[..., Any])


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


@dataclass(frozen=True)
class Context:
    """What :class:`audit_context` has said so far; what is unset is left to the resolvers."""

    actor_id: Any = UNSET
    client_addr: Any = UNSET
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> dict[Dialect, Settings]:
        """The settings that say this, kept for each dialect: every statement that may write asks for them."""
        return {}

    def merge(self, other: Context) -> Context:
        """Combine with a context further inside, which wins."""
        return Context(
            self.actor_id if other.actor_id is UNSET else other.actor_id,
            self.client_addr if other.client_addr is UNSET else other.client_addr,
            {**self.meta, **other.meta},
        )


NOTHING_SAID = Context()
_current: ContextVar[Context] = ContextVar("audit_context", default=NOTHING_SAID)


def current_context() -> Context:
    """Return what the enclosing :class:`audit_context` blocks say together."""
    return _current.get()


class audit_context:  # noqa: N801 - in lower case like the context managers of contextlib
    """Say who makes the changes within a block or a function, and why.

    Blocks nest: what an inner one leaves out comes from the outer one, and from the resolvers where none
    says it. ``actor_id=None`` says that there is no actor. Works in threads and in asyncio tasks, and
    decorates functions and coroutine functions.

    :param actor_id: the primary key of the actor.
    :param client_addr: an IP address as text.
    :param meta: anything else, stored in ``transaction.meta``; must be JSON, and stay as it is.
    :raises ConfigurationError: for ``actor=``, which would be kept as something said beside.
    """

    def __init__(self, /, *, actor_id: Any = UNSET, client_addr: Any = UNSET, **meta: Any) -> None:
        if "actor" in meta:
            raise ConfigurationError(
                f"audit_context(actor={meta['actor']!r}) names no actor. Write actor_id= and give the primary key."
            )
        self._context = Context(actor_id, client_addr, meta)
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> None:
        self._tokens.append(_current.set(_current.get().merge(self._context)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._tokens.pop())

    def __call__(self, function: _F) -> _F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"audit_context cannot decorate the generator {function.__qualname__!r}: its caller's code would "
                "run inside. Use a with block in it."
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def in_context(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def in_context(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return function(*args, **kwargs)

        return cast(_F, in_context)

    def _again(self) -> audit_context:
        """Copy, since calls of a decorated function may run at the same time."""
        return audit_context(
            actor_id=self._context.actor_id, client_addr=self._context.client_addr, **self._context.meta
        )


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
