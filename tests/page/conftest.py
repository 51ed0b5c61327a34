from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from audit_core import audit_context
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, event, text

from tests.page.app import Article, User, audit_logger, create_app, db

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}'
KEY = 'a/b%2F ü"<b>'
OLD = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun for a while."


@pytest.fixture
def app(database: URL) -> Iterator[Flask]:
    app = create_app(database)
    fill(app)
    yield app
    dispose(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def fill(app: Flask) -> None:
    """Transaction 1 makes an article, 2 changes it, 3 makes one under a hostile key."""
    with app.app_context():
        db.create_all()
        with db.engine.begin() as connection:
            audit_logger.install(connection)
        db.session.add(User(id=1, name="Ann"))
        db.session.commit()
        with audit_context(actor_id=1, client_addr="192.0.2.7", request_id="req-1"):
            article = Article(
                key="one", title=OLD, details={"a": {"b": [1, 2, 3]}, "c": "same"}, price="1.10", secret="hunter2"
            )
            db.session.add(article)
            db.session.commit()
        with audit_context(actor_id=2, request_id="req-2"):
            article.title = OLD.replace("brown", "red").replace("sun", "shade")
            article.details = {"a": {"b": [1, 2, 4]}, "c": "same"}
            article.price = "12345678901234567890.10"
            db.session.commit()
        db.session.add(Article(key=KEY, title=HOSTILE))
        db.session.commit()


@contextmanager
def role_without(app: Flask, table: str) -> Iterator[None]:
    """Have the app work as a role that may read all tables but one."""
    role, quoted = f"audit_test_{uuid.uuid4().hex}", table.replace('"', '""')
    with app.app_context():
        engine = db.engine
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f'REVOKE ALL ON "{quoted}" FROM {role}'))

    def become(connection: Any) -> None:
        connection.exec_driver_sql(f"SET LOCAL ROLE {role}")

    event.listen(engine, "begin", become)
    try:
        yield
    finally:
        event.remove(engine, "begin", become)
        with engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))


def dispose(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
