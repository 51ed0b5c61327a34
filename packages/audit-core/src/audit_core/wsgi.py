"""Who makes the changes of a request, in applications of WSGI. Flask has :class:`flask_audit_logger.AuditLogger`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any

from .capture.context import UNSET, Context, ask_from_now_on
from .request import forwarded_for, request_id_of, request_meta, storable

Environ = dict[str, Any]

__all__ = ["AuditContextMiddleware"]


class AuditContextMiddleware:
    """Say for each request who makes its changes, from where and why.

    ``transaction.meta`` gets method, path and id of the request, the header X-Request-ID or a new id, and a valid
    ``traceparent``. The actor is asked for when something is written, so ``get_actor_id`` sees what the application has
    put into the environ by then. What :class:`audit_context` says inside wins.

    :param app: the application of WSGI.
    :param get_actor_id: returns the primary key of the actor from the environ of the request, or None for nobody.
    :param proxies: how many proxies in front append to X-Forwarded-For. 0 means to take ``REMOTE_ADDR``.
    """

    def __init__(
        self,
        app: Callable[[Environ, Any], Iterable[bytes]],
        get_actor_id: Callable[[Environ], Any] | None = None,
        *,
        proxies: int = 0,
    ) -> None:
        self.app = app
        self.get_actor_id = get_actor_id
        self.proxies = proxies

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Run the application within the context of the request."""
        # A server may do other work in this thread before the response is read to its end.
        context = copy_context()
        request_id = request_id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        context.run(ask_from_now_on, lambda: self._context(environ, request_id))
        return _Response(context, context.run(self.app, environ, start_response))

    def _context(self, environ: Environ, request_id: str) -> Context:
        client_addr = forwarded_for(environ.get("HTTP_X_FORWARDED_FOR", ""), self.proxies) or environ.get("REMOTE_ADDR")
        return Context(
            UNSET if self.get_actor_id is None else self.get_actor_id(environ),
            storable(client_addr) if client_addr else UNSET,
            request_meta(
                method=environ["REQUEST_METHOD"],
                path=environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
                endpoint=None,
                request_id=request_id,
                traceparent=environ.get("HTTP_TRACEPARENT", ""),
            ),
        )


class _Response(Iterator[bytes]):
    """A response each part of which is made in the context of its request."""

    def __init__(self, context: Any, response: Iterable[bytes]) -> None:
        self._context = context
        self._response = response
        self._parts = context.run(iter, response)

    def __next__(self) -> bytes:
        part: bytes = self._context.run(next, self._parts)
        return part

    def close(self) -> None:
        """End the request, also one that was not read to its end."""
        close = getattr(self._response, "close", None)
        if close is not None:
            self._context.run(close)
