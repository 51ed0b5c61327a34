"""Why a change is made, as far as Flask knows: the request, or the command."""

from __future__ import annotations

import re
import uuid
from typing import Any

import click
from flask import has_request_context, request

_REQUEST_ID = "audit_logger.request_id"
_REQUEST_ID_LENGTH = 128
#: So much of any other text of the client is stored with each transaction.
_LENGTH = 2000
# https://www.w3.org/TR/trace-context/#traceparent-header, where ff and nothing but zeros are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def current_meta() -> dict[str, Any]:
    """Describe the request (method, path, endpoint, request id, traceparent), or the ``flask`` command."""
    if has_request_context():
        meta = {
            "method": storable(request.method),
            "path": storable(request.path),
            "endpoint": request.endpoint and storable(request.endpoint),
            "request_id": _request_id(),
        }
        traceparent = request.headers.get("traceparent", "")
        if _TRACEPARENT.fullmatch(traceparent):
            meta["traceparent"] = traceparent
        return meta
    command = click.get_current_context(silent=True)
    return {} if command is None else {"command": storable(_command(command))}


def storable(text: str) -> str:
    """Return a text as PostgreSQL can store it: what a client sends must not stop the application's write."""
    text = text[:_LENGTH] + ("…" if len(text) > _LENGTH else "")
    # "%00" in an address is a NUL; half of a surrogate pair is what some servers make of bytes that are no UTF-8.
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _command(context: click.Context) -> str:
    """Return the name of a command without the program: that says nothing, and may be "flask" or "python -m flask"."""
    names = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))


def _request_id() -> str:
    """Return what the header X-Request-ID says, or an id that is the same during the request."""
    given = request.headers.get("X-Request-ID", "")
    if 0 < len(given) <= _REQUEST_ID_LENGTH and given.isprintable():
        return given
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made
