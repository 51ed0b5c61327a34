"""Who and from where, as a Flask application knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import ContextError, audit_context
from flask import Flask
from sqlalchemy import event, insert, select
from sqlalchemy.orm import joinedload

from tests.contract.subject import Subject, Trail
from tests.default import app as module
from tests.default.app import Article, User, audit_logger, db


@pytest.fixture
def app(subject: Subject) -> Iterator[Flask]:
    """An app on the subject's database, as another process would make it."""
    app = module.create_app(subject.engine.url)
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def queries(subject: Subject, app: Flask) -> Iterator[list[str]]:
    """The statements that the application sends."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *args: Any) -> None:
        sent.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_the_actor_is_the_logged_in_user_and_the_address_is_the_client(
    subject: Subject, trail: Trail, app: Flask
) -> None:
    ann = subject.add_actor("Ann")
    client = app.test_client()
    client.post(f"/login/{ann}")
    client.post("/articles", data={"title": "by Ann"}, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    (activity,) = trail.activities()
    assert activity.transaction.actor_id == ann
    assert activity.transaction.actor.name == "Ann"
    assert str(activity.transaction.client_addr) == "192.0.2.7"


def test_each_request_has_its_own_actor(subject: Subject, trail: Trail, app: Flask) -> None:
    ann, ben = subject.add_actor("Ann"), subject.add_actor("Ben")
    first, second = app.test_client(), app.test_client()
    first.post(f"/login/{ann}")
    second.post(f"/login/{ben}")
    for client in (first, second, first):
        client.post("/articles", data={"title": "x"})
    first.post("/logout")
    first.post("/articles", data={"title": "x"})
    assert trail.actors() == [ann, ben, ann, None]


def test_anonymous_users_are_no_actors(subject: Subject, trail: Trail, app: Flask) -> None:
    app.test_client().post("/articles", data={"title": "x"})
    transaction = trail.activities()[0].transaction
    assert transaction.actor_id is None
    assert str(transaction.client_addr) == "127.0.0.1"


def test_outside_a_request_there_is_neither(subject: Subject, trail: Trail, app: Flask) -> None:
    with app.app_context():
        db.session.add(Article(title="from a job"))
        db.session.commit()
    transaction = trail.activities()[0].transaction
    assert (transaction.actor_id, transaction.client_addr) == (None, None)


def test_an_app_without_flask_login_has_no_actor(subject: Subject, trail: Trail, app: Flask) -> None:
    del app.login_manager  # type: ignore[attr-defined]
    with app.test_request_context():
        db.session.add(Article(title="x"))
        db.session.commit()
    assert trail.actors() == [None]


def test_a_job_says_who_it_works_for(subject: Subject, trail: Trail, app: Flask) -> None:
    ann = subject.add_actor("Ann")
    with app.app_context(), audit_context(actor_id=ann, job="cleanup"):
        db.session.add(Article(title="x"))
        db.session.commit()
    transaction = trail.activities()[0].transaction
    assert (transaction.actor_id, transaction.meta) == (ann, {"job": "cleanup"})


def test_the_context_wins_over_the_logged_in_user(subject: Subject, trail: Trail, app: Flask) -> None:
    ann, ben = subject.add_actor("Ann"), subject.add_actor("Ben")
    client = app.test_client()
    client.post(f"/login/{ann}")
    with audit_context(actor_id=ben):
        client.post("/articles", data={"title": "x"})
    assert trail.actors() == [ben]


def test_an_expired_current_user_costs_no_query(subject: Subject, trail: Trail, app: Flask, queries: list[str]) -> None:
    """The commit expires the user; asking for its id would load it again for each transaction."""
    ann = subject.add_actor("Ann")
    client = app.test_client()
    client.post(f"/login/{ann}")
    queries.clear()
    client.post("/articles/twice")
    assert trail.actors() == [ann, ann]
    # The user loader's own, once for the request, and the two inserts.
    assert [query.split()[0] for query in queries] == ["SELECT", "INSERT", "INSERT"] or [
        query.split()[0] for query in queries
    ] == ["INSERT", "SELECT", "INSERT"]


def test_the_user_is_loaded_in_the_middle_of_a_flush(subject: Subject, trail: Trail, app: Flask) -> None:
    """The first write of a request is what makes Flask-Login load the user, on the same session."""
    ann = subject.add_actor("Ann")
    client = app.test_client()
    client.post(f"/login/{ann}")
    with client:
        response = client.post("/articles", data={"title": "x"})
    assert response.status_code == 200
    assert trail.actors() == [ann]


def test_core_and_text_statements_have_an_actor(subject: Subject, trail: Trail, app: Flask) -> None:
    ann = subject.add_actor("Ann")

    @app.post("/core")
    def core() -> str:
        db.session.execute(insert(Article).values(title="core"))
        db.session.execute(db.text("UPDATE articles SET title = 'text' WHERE title = 'core'"))
        db.session.commit()
        with db.engine.begin() as connection:
            connection.execute(insert(Article).values(title="engine"))
        return ""

    client = app.test_client()
    client.post(f"/login/{ann}")
    client.post("/core")
    assert trail.actors() == [ann, ann, ann]


def test_a_user_can_delete_themselves(subject: Subject, trail: Trail, app: Flask) -> None:
    ann = subject.add_actor("Ann")

    @app.post("/resign")
    def resign() -> str:
        db.session.delete(db.session.get_one(User, ann))
        db.session.add(Article(title="farewell"))
        db.session.commit()
        return ""

    client = app.test_client()
    client.post(f"/login/{ann}")
    client.post("/resign")
    (activity,) = trail.activities()
    assert (activity.transaction.actor_id, activity.transaction.actor) == (ann, None)


def test_association_tables_and_cascades_are_recorded(subject: Subject, trail: Trail, app: Flask) -> None:
    ann = subject.add_actor("Ann")
    with app.app_context():
        article = Article(title="x")
        db.session.add(article)
        db.session.flush()
        db.session.execute(insert(module.readers).values(user_id=ann, article_id=article.id))
        db.session.execute(db.delete(Article).where(Article.id == article.id))
        db.session.commit()
    assert [(activity.verb, activity.row_key) for activity in trail.activities("readers")] == [
        ("insert", f"[{ann}, {article.id}]"),
        ("delete", f"[{ann}, {article.id}]"),
    ]


def test_a_context_of_the_wrong_type_fails_the_request_before_it_writes(
    subject: Subject, trail: Trail, app: Flask
) -> None:
    app.testing = True
    with audit_context(actor_id="Ann"), pytest.raises(ContextError, match="'Ann'"):
        app.test_client().post("/articles", data={"title": "x"})
    assert trail.activities() == []


def test_the_models_are_those_of_the_documentation(subject: Subject, trail: Trail, app: Flask) -> None:
    AuditLogActivity = audit_logger.activity_cls  # noqa: N806
    AuditLogTransaction = audit_logger.transaction_cls  # noqa: N806
    with app.app_context():
        db.session.add(Article(title="x"))
        db.session.commit()
        activity = db.session.scalar(
            select(AuditLogActivity)
            .options(joinedload(AuditLogActivity.transaction).joinedload(AuditLogTransaction.actor))
            .order_by(AuditLogActivity.id.desc())
            .limit(1)
        )
        assert activity is not None
        assert activity.table_name == "articles"
        assert activity.transaction.actor is None
        assert activity in activity.transaction.activities
