"""Why a change is made, as far as Flask knows: the request, or the command."""

from __future__ import annotations

from typing import Any

import click
from audit_core.siblings import request_id_of, request_meta, storable
from flask import has_request_context, request

_REQUEST_ID = "audit_logger.request_id"


def current_meta() -> dict[str, Any]:
    """Describe the request (method, path, endpoint, request id, traceparent), or the ``flask`` command."""
    if has_request_context():
        return request_meta(
            method=request.method,
            path=request.path,
            endpoint=request.endpoint,
            request_id=_request_id(),
            traceparent=request.headers.get("traceparent", ""),
        )
    command = click.get_current_context(silent=True)
    return {} if command is None else {"command": storable(_command(command))}


def _command(context: click.Context) -> str:
    """Return the name of a command without the program: that says nothing, and may be "flask" or "python -m flask"."""
    names = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))


def _request_id() -> str:
    """Return what the header X-Request-ID says, or an id that is the same during the request."""
    if _REQUEST_ID not in request.environ:
        request.environ[_REQUEST_ID] = request_id_of(request.headers.get("X-Request-ID", ""))
    known: str = request.environ[_REQUEST_ID]
    return known
