"""Who is at work: what the context says, and where it says nothing, what the resolvers of the trail answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Dialect

from ..actor import ActorClass
from .context import NOTHING_SAID, UNSET, Context, current_context
from .conversion import Settings, actor_id_text, client_addr_text, meta_text


class Resolvers(NamedTuple):
    """The functions that are asked for what no context says."""

    get_actor_id: Callable[[], Any] | None = None
    get_client_addr: Callable[[], str | None] | None = None
    get_meta: Callable[[], Mapping[str, Any] | None] | None = None


def known_context(resolvers: Resolvers) -> Context:
    """Return what the context says at this moment, and where it says nothing, what the resolvers answer."""
    return _answered(resolvers, current_context().known())


def _answered(resolvers: Resolvers, context: Context) -> Context:
    get_actor_id, get_client_addr, get_meta = resolvers
    return Context(
        _said_or_answered(context.actor_id, get_actor_id),
        _said_or_answered(context.client_addr, get_client_addr),
        {**((get_meta and get_meta()) or {}), **context.meta},
    )


def _said_or_answered(said: Any, ask: Callable[[], Any] | None) -> Any:
    answer = ask() if said is UNSET and ask is not None else said
    # A resolver that knows nobody leaves it open, where the context may say that there is nobody.
    return UNSET if answer is None and said is UNSET else answer


class SettingsSource:
    """The settings of one trail, as they should be at this moment.

    :param find_resolvers: returns whom to ask on the engine of a dialect.
    """

    def __init__(self, find_resolvers: Callable[[Dialect], Resolvers], actor: ActorClass) -> None:
        self._find_resolvers = find_resolvers
        self._actor = actor

    def __call__(self, dialect: Dialect) -> Settings:
        """Ask the context, then the resolvers.

        :raises ContextError: if something that was said cannot be stored.
        """
        resolvers = self._find_resolvers(dialect)
        context = current_context()
        if any(resolvers) or context.ask is not None:
            return self._written(resolvers, context.known(), dialect)
        if context is NOTHING_SAID:
            return Settings()
        settings = context.settings.get(dialect)
        if settings is None:
            settings = context.settings[dialect] = self._written(resolvers, context, dialect)
        return settings

    def _written(self, resolvers: Resolvers, context: Context, dialect: Dialect) -> Settings:
        known = _answered(resolvers, context)
        return Settings(
            "" if _is_open(known.actor_id) else actor_id_text(known.actor_id, self._actor.key_type(), dialect),
            "" if _is_open(known.client_addr) else client_addr_text(known.client_addr),
            meta_text(known.meta) if known.meta else "",
        )


def _is_open(value: Any) -> bool:
    return value is None or value is UNSET
