"""The changes of one column of a record: who changed this price."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_audit_logger._page import queries

from tests.page.app import Article, db
from tests.page.test_exports import lines
from tests.page.test_json import asked
from tests.page.test_page import TABLE, body

ONE = {"table": TABLE, "key": "one"}


@pytest.fixture
def changed(app: Flask) -> Flask:
    """Transactions 4 to 8 change other columns of the article whose price transaction 2 has changed."""
    with app.app_context():
        article = db.session.get_one(Article, "one")
        for number in range(5):
            article.title = f"Title {number}"
            db.session.commit()
    return app


def test_a_record_has_the_changes_of_a_column(changed: Flask, client: FlaskClient) -> None:
    found = asked(client, "record", **ONE, column="price")
    assert [each["transaction_id"] for each in found["activities"]] == [2, 1]
    assert (found["next"], found["is_partial"]) == (None, False)
    assert [each["transaction_id"] for each in lines(client, "record/export", **ONE, column="price")] == [1, 2]
    shown = body(client, "record", **ONE, column="price")
    assert "<option selected>price</option>" in shown
    assert "Title 4" not in shown.partition("<ol")[2]
    assert "column=price" in shown.partition("As a file")[2]
    # The last of them does not say what it belongs to now.
    assert "Rows that belong to it" not in shown
    assert '<p class="called">Title 4</p>' in shown
    assert len(asked(client, "record", **ONE)["activities"]) == 7


def test_a_column_is_looked_for_in_a_part_of_a_history(
    changed: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_LOOKED_AT", 3)
    first = asked(client, "record", **ONE, column="price")
    assert (first["activities"], first["is_partial"]) == ([], True)
    shown = body(client, "record", **ONE, column="price")
    assert "No change of price is found in this part of its history." in shown
    assert '<p class="called">Title 4</p>' in shown
    assert ">Search further back</a>" in shown
    numbers, address = [], first["next"]
    while address:
        page = asked(client, address.removeprefix("/audit/"))
        numbers += [each["transaction_id"] for each in page["activities"]]
        address = page["next"]
    assert numbers == [2, 1]
    monkeypatch.setattr(queries, "_LOOKED_AT", 100)
    monkeypatch.setattr(queries, "PAGE", 1)
    first = asked(client, "record", **ONE, column="price")
    assert [each["transaction_id"] for each in first["activities"]] == [2]
    (last,) = asked(client, first["next"].removeprefix("/audit/"))["activities"]
    assert last["transaction_id"] == 1


def test_a_column_that_the_table_does_not_have_is_said(client: FlaskClient) -> None:
    assert "not a column" in body(client, "record", 400, **ONE, column="nothing")
    assert client.get("/audit/record/export.csv", query_string={**ONE, "column": "nothing"}).status_code == 400
