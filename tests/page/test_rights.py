"""The page for a role that may not read all tables of the application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.page.conftest import role_without
from tests.page.test_json import asked
from tests.page.test_page import body


@pytest.fixture
def without_actors(app: Flask) -> Iterator[Flask]:
    """The app, whose role may not read the table of the actors."""
    # Who logs in is known from elsewhere.
    app.login_manager.request_loader(lambda request: None)  # type: ignore[attr-defined]
    with role_without(app, "user"):
        yield app


def test_actors_who_may_not_be_read_are_keys(without_actors: Flask) -> None:
    client = without_actors.test_client()
    shown = body(client, "")
    assert '<a class="who" href="/audit/actor?id=1">1</a>' in shown
    assert '<datalist id="actors"></datalist>' in shown
    assert [each["transaction_id"] for each in asked(client, "", actor="1")["entries"]] == [1]
    assert "no actor has such a name" in body(client, "", 400, actor="Ann")
    assert "Actor 1" in body(client, "actor", id="1")
