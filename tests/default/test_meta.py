"""Requests and commands say what they are."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from audit_core import audit_context
from flask import Flask

from tests.contract.subject import Subject, Trail
from tests.default.app import Article, create_app, db

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def app(subject: Subject) -> Iterator[Flask]:
    app = create_app(subject.engine.url)
    yield app
    with app.app_context():
        db.engine.dispose()


def test_a_request_says_what_it_is(trail: Trail, app: Flask) -> None:
    headers = {"X-Request-ID": "r-17", "traceparent": TRACEPARENT}
    app.test_client().post("/articles?secret=1", data={"title": "x"}, headers=headers)
    assert trail.activities()[0].transaction.meta == {
        "method": "POST",
        "path": "/articles",
        "endpoint": "add_article",
        "request_id": "r-17",
        "traceparent": TRACEPARENT,
    }


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a\0b", "a\x1b[31m"])
def test_a_request_without_an_id_gets_one_for_all_its_transactions(trail: Trail, app: Flask, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    for _ in range(2):
        app.test_client().post("/articles/twice", headers=headers)
    ids = [activity.transaction.meta["request_id"] for activity in trail.activities()]  # type: ignore[index]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert len(ids[0]) == 32


@pytest.mark.parametrize(
    "sent",
    [
        "<script>",
        f"{TRACEPARENT}-{'x' * 100_000}",
        f"{TRACEPARENT}-",
        f"ff{TRACEPARENT[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        TRACEPARENT.upper(),
    ],
)
def test_what_is_no_traceparent_is_left_out(trail: Trail, app: Flask, sent: str) -> None:
    app.test_client().post("/articles", data={"title": "x"}, headers={"traceparent": sent})
    assert "traceparent" not in trail.activities()[0].transaction.meta  # type: ignore[operator]


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("/any/a%00b", "/any/a\ufffdb"),
        ("/any/%ff%ed%a0%80", "/any/\ufffd\ufffd\ufffd\ufffd"),
        ("/any/" + "x" * 5000, "/any/" + "x" * 1995 + "…"),
    ],
)
def test_no_address_stops_a_write(trail: Trail, app: Flask, path: str, stored: str) -> None:
    @app.post("/any/<path:rest>")
    def write(rest: str) -> str:
        db.session.add(Article(title="x"))
        db.session.commit()
        return ""

    assert app.test_client().post(path).status_code == 200
    assert trail.activities()[0].transaction.meta["path"] == stored  # type: ignore[index]


@pytest.mark.parametrize(
    ("method", "address"), [("a\0b", "a\0b"), ("\ud800", "unknown"), ("x" * 100_000, "x" * 100_000)]
)
def test_no_method_and_no_address_of_a_client_stops_a_write(
    trail: Trail, app: Flask, method: str, address: str
) -> None:
    """As a server in front, and its header, may give them."""

    @app.before_request
    def write() -> str:
        db.session.add(Article(title="x"))
        db.session.commit()
        return ""

    overrides = {"REQUEST_METHOD": method, "REMOTE_ADDR": address}
    assert app.test_client().get("/", environ_overrides=overrides).status_code == 200
    (activity,) = trail.activities()
    assert activity.transaction.client_addr is None
    assert len(activity.transaction.meta["method"]) < 3000  # type: ignore[index]
    assert len(str(activity.transaction.meta)) < 6000


def test_a_command_says_its_name(trail: Trail, app: Flask) -> None:
    @app.cli.group("articles")
    def articles() -> None:
        pass

    @articles.command("add")
    @click.argument("title")
    def add(title: str) -> None:
        db.session.add(Article(title=title))
        db.session.commit()

    result = app.test_cli_runner().invoke(args=["articles", "add", "secret title"])
    assert result.exit_code == 0, result.output
    assert trail.activities()[0].transaction.meta == {"command": "articles add"}


def test_the_context_adds_to_it(subject: Subject, trail: Trail, app: Flask) -> None:
    admin, user = subject.add_actor("admin"), subject.add_actor("user")
    with audit_context(actor_id=admin, on_behalf_of=user):
        app.test_client().post("/articles", data={"title": "x"})
    transaction = trail.activities()[0].transaction
    assert transaction.actor_id == admin
    assert transaction.meta["on_behalf_of"] == user  # type: ignore[index]
    assert transaction.meta["endpoint"] == "add_article"  # type: ignore[index]
