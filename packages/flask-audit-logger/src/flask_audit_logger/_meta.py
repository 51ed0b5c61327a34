"""Why a change is made, as far as Flask knows: the request, or the command."""

from __future__ import annotations

import re
import uuid
from typing import Any

import click
from flask import has_request_context, request

_REQUEST_ID = "audit_logger.request_id"
_REQUEST_ID_LENGTH = 128
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def current_meta() -> dict[str, Any]:
    """Describe the request (method, path, endpoint, request id, traceparent), or the ``flask`` command."""
    if has_request_context():
        meta = {
            "method": request.method,
            "path": request.path,
            "endpoint": request.endpoint,
            "request_id": _request_id(),
        }
        traceparent = request.headers.get("traceparent", "")
        if _TRACEPARENT.fullmatch(traceparent):
            meta["traceparent"] = traceparent
        return meta
    command = click.get_current_context(silent=True)
    return {} if command is None else {"command": _command(command)}


def _command(context: click.Context) -> str:
    """Name a command without the program: that says nothing, and may be "flask" or "python -m flask"."""
    names = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))


def _request_id() -> str:
    """Return what the header X-Request-ID says, or an id that is the same during the request."""
    given = request.headers.get("X-Request-ID", "")
    if 0 < len(given) <= _REQUEST_ID_LENGTH:
        return given
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made
