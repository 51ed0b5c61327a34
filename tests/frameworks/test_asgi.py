"""Requests to an application of FastAPI name their actor, wherever the work is done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from audit_core import ContextError, audit_context
from audit_core.asgi import AuditContextMiddleware
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from tests.frameworks.conftest import add, recorded

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Bearer(AuthenticationBackend):
    """The token is the name of the user."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        scheme, _, token = conn.headers.get("authorization", "").partition(" ")
        return (AuthCredentials(), SimpleUser(token)) if scheme == "Bearer" else None


def user_of(scope: Any) -> str | None:
    user = scope.get("user")
    return user.display_name if user is not None and user.is_authenticated else scope["state"].get("actor_id")


def create_app(engine: Engine, proxies: int = 0) -> FastAPI:
    app = FastAPI()
    # The last one that is added is the first one that sees a request: the user is known further inside.
    app.add_middleware(AuthenticationMiddleware, backend=Bearer())
    app.add_middleware(AuditContextMiddleware, get_actor_id=user_of, proxies=proxies)

    @app.post("/sync/{name}")
    def sync(name: str) -> None:
        add(engine, name)

    @app.post("/async/{name}")
    async def asynchronous(name: str) -> None:
        add(engine, name)

    @app.post("/why/{name}")
    def why(name: str) -> None:
        with audit_context(actor_id="job", reason="nightly"):
            add(engine, name)

    def log_in(request: Request) -> Iterator[None]:
        request.state.actor_id = "found by a dependency"
        yield

    @app.post("/dependency/{name}", dependencies=[Depends(log_in)])
    def dependency(name: str) -> None:
        add(engine, name)

    async def in_context() -> AsyncIterator[None]:
        with audit_context(actor_id="of an async dependency"):
            yield

    @app.post("/context/{name}", dependencies=[Depends(in_context)])
    def context(name: str) -> None:
        add(engine, name)

    def in_lost_context() -> Iterator[None]:
        with audit_context(actor_id="lost"):
            yield

    @app.post("/lost/{name}", dependencies=[Depends(in_lost_context)])
    def lost(name: str) -> None:
        add(engine, name)

    @app.get("/stream/{name}")
    def stream(name: str) -> StreamingResponse:
        def parts() -> Iterator[str]:
            yield "begin"
            add(engine, name)
            yield "end"

        return StreamingResponse(parts())

    @app.websocket("/socket/{name}")
    async def socket(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        add(engine, name)
        await websocket.close()

    return app


def test_who_from_where_and_why(engine: Engine) -> None:
    with TestClient(create_app(engine), client=("10.0.0.7", 1234)) as client:
        client.post(
            "/sync/one",
            headers={"Authorization": "Bearer ann", "X-Request-ID": "r1", "traceparent": TRACE},
        ).raise_for_status()
    actor, address, meta = recorded(engine)["one"]
    assert (actor, address) == ("ann", "10.0.0.7")
    assert meta == {
        "method": "POST",
        "path": "/sync/one",
        "endpoint": "create_app.<locals>.sync",
        "request_id": "r1",
        "traceparent": TRACE,
    }


@pytest.mark.parametrize("how", ["sync", "async"])
def test_wherever_it_runs_and_however_many_come_at_once(engine: Engine, how: str) -> None:
    with TestClient(create_app(engine)) as client, ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: client.post(
                    f"/{how}/{number}", headers={"Authorization": f"Bearer user{number}"} if number % 3 else {}
                ),
                range(40),
            )
        )
    found = recorded(engine)
    assert {name: each[0] for name, each in found.items()} == {
        str(number): f"user{number}" if number % 3 else None for number in range(40)
    }
    assert len({each[2]["request_id"] for each in found.values()}) == 40


def test_what_is_said_inside_wins_and_the_request_stays(engine: Engine) -> None:
    with TestClient(create_app(engine)) as client:
        client.post("/why/one", headers={"Authorization": "Bearer ann"})
        client.post("/context/two", headers={"Authorization": "Bearer ann"})
        client.post("/dependency/three")
        client.get("/stream/four", headers={"Authorization": "Bearer ann"})
        with client.websocket_connect("/socket/five", headers={"Authorization": "Bearer ann"}):
            pass
    found = recorded(engine)
    assert {name: each[0] for name, each in found.items()} == {
        "one": "job",
        "two": "of an async dependency",
        "three": "found by a dependency",
        "four": "ann",
        "five": "ann",
    }
    assert (found["one"][2]["reason"], found["one"][2]["path"]) == ("nightly", "/why/one")
    assert found["five"][2]["method"] == "WEBSOCKET"


def test_a_dependency_that_loses_the_context_is_an_error_that_says_what_to_do(engine: Engine) -> None:
    with TestClient(create_app(engine)) as client, pytest.raises(ContextError, match="write async def, or use"):
        client.post("/lost/one")


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, "203.0.113.9", "10.0.0.7"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.7"),
        (1, "no address \x80", None),
        (1, "", "10.0.0.7"),
    ],
)
def test_addresses_behind_proxies(engine: Engine, proxies: int, header: str, address: str | None) -> None:
    with TestClient(create_app(engine, proxies), client=("10.0.0.7", 1234)) as client:
        client.post("/sync/one", headers={"X-Forwarded-For": header.encode("latin-1")}).raise_for_status()
    assert recorded(engine)["one"][1] == address


def test_what_no_database_can_store_stops_no_write(engine: Engine) -> None:
    app = create_app(engine)

    @app.post("/any/{path:path}")
    def any_path(path: str) -> None:
        add(engine, "one")

    headers = {"X-Request-ID": "x" * 500, "traceparent": "00-forged-" + "0" * 3000, "X-Forwarded-For": "\x01"}
    with TestClient(app) as client:
        client.post("/any/%00/" + "long/" * 1000, headers=headers).raise_for_status()
    meta = recorded(engine)["one"][2]
    assert meta["path"].startswith("/any/\ufffd/long/")
    assert len(meta["path"]) == 2001
    assert len(meta["request_id"]) == 32
    assert "traceparent" not in meta
