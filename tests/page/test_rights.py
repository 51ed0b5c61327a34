"""The page for a role that may not read all tables of the application."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from tests.page.app import db
from tests.page.test_json import asked
from tests.page.test_page import body


@pytest.fixture
def without_actors(app: Flask) -> Iterator[Flask]:
    """The app, whose role may not read the table of the actors."""
    role = f"audit_test_{uuid.uuid4().hex}"
    with app.app_context():
        engine = db.engine
    # Who logs in is known from elsewhere.
    app.login_manager.request_loader(lambda request: None)  # type: ignore[attr-defined]
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f'REVOKE ALL ON "user" FROM {role}'))

    def become(connection: Any) -> None:
        connection.exec_driver_sql(f"SET LOCAL ROLE {role}")

    event.listen(engine, "begin", become)
    yield app
    event.remove(engine, "begin", become)
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


def test_actors_who_may_not_be_read_are_keys(without_actors: Flask) -> None:
    client = without_actors.test_client()
    shown = body(client, "")
    assert '<a class="who" href="/audit/actor?id=1">1</a>' in shown
    assert '<datalist id="actors"></datalist>' in shown
    assert [each["transaction_id"] for each in asked(client, "", actor="1")["entries"]] == [1]
    assert "no actor has such a name" in body(client, "", 400, actor="Ann")
    assert "Actor 1" in body(client, "actor", id="1")
