"""The actor comes from the function that the application gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, g

from tests.contract.subject import Subject, Trail
from tests.custom_actor.app import Article, Employee, create_app, db


@pytest.fixture
def app(subject: Subject) -> Iterator[Flask]:
    app = create_app(subject.engine.url)
    yield app
    with app.app_context():
        db.engine.dispose()


def test_the_resolver_of_the_application_is_asked(subject: Subject, trail: Trail, app: Flask) -> None:
    eve = subject.add_actor("Eve")
    with app.test_request_context():
        g.employee_id = eve
        db.session.add(Article(title="x"))
        db.session.commit()
    transaction = trail.activities()[0].transaction
    assert transaction.actor_id == eve
    assert isinstance(transaction.actor, Employee)


def test_without_an_answer_there_is_no_actor(subject: Subject, trail: Trail, app: Flask) -> None:
    with app.app_context():
        db.session.add(Article(title="x"))
        db.session.commit()
    assert trail.actors() == [None]
