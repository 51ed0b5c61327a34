"""A browser of the standard library: cookies, forms, and an address of one's own."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import partial
from html import unescape
from http.client import HTTPConnection, HTTPResponse
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import (
    HTTPCookieProcessor,
    HTTPHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)


@dataclass(frozen=True)
class Page:
    """What the server answered."""

    status: int
    text: str


class _HandlerFrom(HTTPHandler):
    """Connects from a given address."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(partial(HTTPConnection, source_address=(self.address, 0)), request)


class Browser:
    """One user's browser.

    :param site: the URL of the application.
    :param address: the loopback address to come from; 127.0.0.1 where the machine does not have it.
    """

    def __init__(self, site: str, address: str = "127.0.0.1") -> None:
        self.site = site
        self.address = address if _is_ours(address) else "127.0.0.1"
        self._opener: OpenerDirector = build_opener(
            ProxyHandler({}), _HandlerFrom(self.address), HTTPCookieProcessor(CookieJar())
        )

    def get(self, path: str) -> Page:
        """Fetch a page."""
        return self._open(Request(self.site + path))

    def submit(self, form_path: str, fields: dict[str, str | list[str]], action: str | None = None) -> Page:
        """Open a page, fill in its form and send it, to ``action`` if that is another path."""
        page = self.get(form_path)
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        token = unescape(found[1]) if found else ""
        body = urlencode({**fields, "csrf_token": token}, doseq=True).encode()
        return self._open(Request(self.site + (action or form_path), data=body, method="POST"))

    def _open(self, request: Request) -> Page:
        try:
            with self._opener.open(request, timeout=30) as response:
                return Page(response.status, response.read().decode())
        except HTTPError as error:
            with error:
                return Page(error.code, error.read().decode())


def _is_ours(address: str) -> bool:
    """Return whether this machine can use the address; macOS has 127.0.0.1 only."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
