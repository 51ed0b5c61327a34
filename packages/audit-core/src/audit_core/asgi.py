"""Who makes the changes of a request, in applications of ASGI: FastAPI, Starlette, Litestar, Quart and others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .capture.context import UNSET, Context, asking
from .request import forwarded_for, request_id_of, request_meta, storable

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

__all__ = ["AuditContextMiddleware"]


class AuditContextMiddleware:
    """Say for each request who makes its changes, from where and why.

    ``transaction.meta`` gets method, path, endpoint and id of the request, the header X-Request-ID or a new id, and a
    valid ``traceparent``. All is asked for when something is written, so ``get_actor_id`` sees what the application has
    put into the scope by then, such as ``scope["user"]`` or ``scope["state"]``, whatever runs in threads. What
    :class:`audit_context` says inside wins.

    :param app: the application of ASGI.
    :param get_actor_id: returns the primary key of the actor from the scope of the request, or None for nobody.
    :param proxies: how many proxies in front append to X-Forwarded-For. 0 means to take the address from the server, as
        uvicorn's ``--proxy-headers`` puts it right.
    """

    def __init__(
        self, app: Application, get_actor_id: Callable[[Scope], Any] | None = None, *, proxies: int = 0
    ) -> None:
        self.app = app
        self.get_actor_id = get_actor_id
        self.proxies = proxies

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Run the application within the context of the request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = request_id_of(headers.get(b"x-request-id", ""))
        traceparent = headers.get(b"traceparent", "")
        client = scope.get("client")
        client_addr = forwarded_for(headers.get(b"x-forwarded-for", ""), self.proxies) or (client and client[0])

        def ask() -> Context:
            return Context(
                UNSET if self.get_actor_id is None else self.get_actor_id(scope),
                UNSET if client_addr is None else storable(client_addr),
                request_meta(
                    method=scope.get("method", scope["type"].upper()),
                    path=scope["path"],
                    endpoint=_name(scope.get("endpoint")),
                    request_id=request_id,
                    traceparent=traceparent,
                ),
            )

        with asking(ask):
            await self.app(scope, receive, send)


def _name(endpoint: Any) -> str | None:
    """Return what the router of Starlette has found."""
    return None if endpoint is None else getattr(endpoint, "__qualname__", type(endpoint).__qualname__)
