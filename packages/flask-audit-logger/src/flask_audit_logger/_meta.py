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
    # The name of the program says nothing, and differs between "flask" and "python -m flask".
    return {} if command is None else {"command": command.command_path.partition(" ")[2]}


def _request_id() -> str:
    """Return what the header X-Request-ID says, or an id that is the same during the request."""
    given = request.headers.get("X-Request-ID", "")
    if 0 < len(given) <= _REQUEST_ID_LENGTH:
        return given
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made
