"""Requests to an application of WSGI name their actor, also while the response is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

from audit_core import audit_context
from audit_core.wsgi import AuditContextMiddleware
from sqlalchemy import Engine

from tests.frameworks.conftest import add, recorded


def test_who_from_where_and_why(engine: Engine) -> None:
    closed = []

    class Response(Iterator[bytes]):
        def __init__(self) -> None:
            self.parts = iter([b"first", b"second"])

        def __next__(self) -> bytes:
            part = next(self.parts)
            add(engine, part.decode())
            return part

        def close(self) -> None:
            add(engine, "close")
            closed.append(True)

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["user"] = environ["HTTP_USER"]
        add(engine, "call")
        with audit_context(reason="inside"):
            add(engine, "inside")
        start_response("200 OK", [])
        return Response()

    middleware = AuditContextMiddleware(application, lambda environ: environ.get("user"), proxies=1)

    def request(user: str) -> Any:
        environ: dict[str, Any] = {
            "PATH_INFO": "/a",
            "HTTP_USER": user,
            "HTTP_X_FORWARDED_FOR": "203.0.113.9",
            "HTTP_X_REQUEST_ID": f"r-{user}",
        }
        setup_testing_defaults(environ)
        return middleware(environ, lambda status, headers: None)

    response = request("ann")
    other = request("ben")
    assert [next(response), next(response)] == [b"first", b"second"]
    response.close()
    add(engine, "outside")
    other.close()
    assert closed == [True, True]
    found = recorded(engine)
    assert {name: each[0] for name, each in found.items() if name != "close"} == {
        "call": "ann",
        "inside": "ann",
        "first": "ann",
        "second": "ann",
        "outside": None,
    }
    assert found["first"][1] == "203.0.113.9"
    assert found["first"][2] == {"method": "GET", "path": "/a", "endpoint": None, "request_id": "r-ann"}
    assert found["inside"][2]["reason"] == "inside"
    assert found["outside"][2] == {}
