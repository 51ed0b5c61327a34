"""Who, from where and why: said by the application, carried by a ContextVar."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Dialect

from ..errors import ConfigurationError, ContextError
from .conversion import Settings

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
    #: Says the rest at the moment of a write, such as what a request has become known to be.
    ask: Callable[[], Context] | None = None

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
            other.ask or self.ask,
        )

    def known(self) -> Context:
        """Return what is known at this moment."""
        return self if self.ask is None else replace(self.ask().merge(self), ask=None)


NOTHING_SAID = Context()
_current: ContextVar[Context] = ContextVar("audit_context", default=NOTHING_SAID)


def current_context() -> Context:
    """Return what the enclosing :class:`audit_context` blocks say together."""
    return _current.get()


def ask_from_now_on(ask: Callable[[], Context]) -> Token[Context]:
    """Let a function say what no :class:`audit_context` further inside says; it is asked at each write."""
    return _current.set(_current.get().merge(Context(ask=ask)))


def replace_context(context: Context) -> None:
    """Let nothing hold but a context, from now on; for what begins and ends a task of a worker."""
    _current.set(context)


@contextmanager
def asking(ask: Callable[[], Context]) -> Iterator[None]:
    """Let a function be asked within a block."""
    token = ask_from_now_on(ask)
    try:
        yield
    finally:
        _current.reset(token)


class audit_context:  # noqa: N801 - in lower case like the context managers of contextlib
    """Set who makes the changes within a block or a function, and why.

    Blocks nest: what an inner one leaves out comes from the outer one, and from the resolvers where none
    says it. ``actor_id=None`` records no actor. Works in threads and in asyncio tasks, and
    decorates functions and coroutine functions.

    :param actor_id: the primary key of the actor.
    :param client_addr: an IP address as text.
    :param meta: anything else, stored in ``transaction.meta``; must be serializable as JSON, and not change within the
        block.
    :raises ConfigurationError: for ``actor=``, which would otherwise end up in ``meta``.
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
        try:
            _current.reset(self._tokens.pop())
        except ValueError:
            raise ContextError(
                "audit_context was left in another context than it was entered in, so what was written in between has "
                "no actor. A dependency of FastAPI that yields runs like that unless it is an async def: write async "
                "def, or use audit_core.asgi.AuditContextMiddleware."
            ) from error

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
