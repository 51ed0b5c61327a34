"""Where a stream goes: the standard output, or a program that is called by HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import sys
import time
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import Any, Protocol

import click

from .errors import CommandError
from .output import printable

_TIMEOUT = 30
#: Seconds between two attempts, at most; and at most so many where the server says how long.
_LONGEST_PAUSE, _LONGEST_DEMAND = 60.0, 3600.0
#: Statuses that may be others later, beside 500 and above.
_PASSING = (408, 425, 429)


class Sink(Protocol):
    """Takes events; when ``send`` returns, they are acknowledged."""

    def send(self, message_id: str, body: bytes, content_type: str) -> None:
        """Hand on a batch."""


class Output:
    """The standard output."""

    def send(self, message_id: str, body: bytes, content_type: str) -> None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


class Http:
    """A POST for each batch, until it is taken."""

    def __init__(self, url: str, secret: str | None, attempts: int | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"--to is {url!r}; write https://host/path.")
        self._url = url
        self._key = None if secret is None else signing_key(secret)
        self._attempts = attempts
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, message_id: str, body: bytes, content_type: str) -> None:
        attempt = 1
        while True:
            refusal, pause = self._post(message_id, body, content_type, attempt)
            if refusal is None:
                return
            said = f"{self._url} does not take {message_id}: {refusal}"
            if attempt == self._attempts:
                raise CommandError(f"{said}; attempt {attempt} was the last.")
            click.echo(f"{said}; next attempt in {pause:.1f} s.", err=True)
            time.sleep(pause)
            attempt += 1

    def _post(self, message_id: str, body: bytes, content_type: str, attempt: int) -> tuple[str | None, float]:
        """Send once; return why it was not taken, if so, and how long to wait."""
        headers = {"Content-Type": content_type, "User-Agent": "audit-log", "webhook-id": message_id}
        headers["webhook-timestamp"] = timestamp = str(int(time.time()))
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, message_id, timestamp, body)
        # A little less or more, so that those who failed together do not come back together.
        pause = min(_LONGEST_PAUSE, 2.0 ** min(attempt, 10) / 4) * random.uniform(0.8, 1.2)
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT):
                return None, 0.0
        except urllib.error.HTTPError as error:
            with error:
                reason = f"{error.code} {printable(str(error.reason))}"
                if error.code < 500 and error.code not in _PASSING:
                    raise CommandError(f"{self._url} refuses {message_id}: {reason}.") from None
                return reason, max(pause, _demanded(error.headers))
        except urllib.error.URLError as error:
            return printable(str(error.reason)), pause
        except (OSError, HTTPException) as error:
            return printable(str(error) or type(error).__name__), pause


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever answers must not send the activities elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def signing_key(secret: str) -> bytes:
    """Read a secret; one that begins with ``whsec_`` is Base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise CommandError("AUDIT_STREAM_SECRET begins with whsec_ and is not Base64.") from None


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Sign a request as https://www.standardwebhooks.com has it."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _demanded(headers: Message) -> float:
    """Return how long the server wants us to wait."""
    seconds = headers.get("Retry-After", "")
    return min(float(seconds), _LONGEST_DEMAND) if seconds.isdecimal() else 0.0
