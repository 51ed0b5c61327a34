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
        get_actor_id, get_client_addr, get_meta = resolvers
        actor_id = context.actor_id
        if actor_id is UNSET:
            actor_id = get_actor_id and get_actor_id()
        client_addr = context.client_addr
        if client_addr is UNSET:
            client_addr = get_client_addr and get_client_addr()
        meta = {**((get_meta and get_meta()) or {}), **context.meta}
        return Settings(
            "" if actor_id is None else actor_id_text(actor_id, self._actor.key_type(), dialect),
            "" if client_addr is None else client_addr_text(client_addr),
            meta_text(meta) if meta else "",
        )
