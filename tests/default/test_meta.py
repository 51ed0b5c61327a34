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


@pytest.mark.parametrize("given", [None, "", "x" * 129])
def test_a_request_without_an_id_gets_one_for_all_its_transactions(trail: Trail, app: Flask, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    for _ in range(2):
        app.test_client().post("/articles/twice", headers=headers)
    ids = [activity.transaction.meta["request_id"] for activity in trail.activities()]  # type: ignore[index]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert len(ids[0]) == 32


def test_what_is_no_traceparent_is_left_out(trail: Trail, app: Flask) -> None:
    app.test_client().post("/articles", data={"title": "x"}, headers={"traceparent": "<script>"})
    assert "traceparent" not in trail.activities()[0].transaction.meta  # type: ignore[operator]


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
