"""What a request says about a change: who, from where and why. For servers of ASGI and WSGI, and for Flask."""

from __future__ import annotations

import re
import uuid
from typing import Any

_REQUEST_ID_LENGTH = 128
#: So much of any other text of the client is stored with each transaction.
_LENGTH = 2000
# https://www.w3.org/TR/trace-context/#traceparent-header, where ff and nothing but zeros are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_meta(
    *, method: str | None, path: str, endpoint: str | None, request_id: str, traceparent: str
) -> dict[str, Any]:
    """Describe a request as ``transaction.meta`` has it.

    :param traceparent: the header; it is left out if it is not valid.
    """
    said = {
        "method": method and storable(method),
        "path": storable(path),
        "endpoint": endpoint and storable(endpoint),
        "request_id": request_id,
    }
    if _TRACEPARENT.fullmatch(traceparent):
        said["traceparent"] = traceparent
    return said


def request_id_of(header: str) -> str:
    """Return what the header X-Request-ID says if it can be used, or a new id."""
    return header if 0 < len(header) <= _REQUEST_ID_LENGTH and header.isprintable() else uuid.uuid4().hex


def forwarded_for(header: str, proxies: int) -> str | None:
    """Return the address that the outermost of so many proxies saw, from the header X-Forwarded-For.

    Each proxy appends whom it heard from, and what stands before that anybody could have sent.
    """
    hops = [each.strip() for each in header.split(",")]
    return (storable(hops[-proxies]) or None) if 0 < proxies <= len(hops) else None


def storable(text: str) -> str:
    """Return a text as PostgreSQL can store it: what a client sends must not stop the application's write."""
    text = text[:_LENGTH] + ("…" if len(text) > _LENGTH else "")
    # "%00" in an address is a NUL; half of a surrogate pair is what some servers make of bytes that are no UTF-8.
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
