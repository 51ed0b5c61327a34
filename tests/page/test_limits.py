"""What cannot be asked is 400, and what takes too long is said."""

from __future__ import annotations

import datetime as dt

import pytest
from audit_core import ConfigurationError, HistoryError
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, text

from tests.page.app import Article, audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.page.test_page import TABLE, body, rehearsal

MANY = "9" * 6000


@pytest.mark.parametrize(
    "address",
    [
        "?_scheme=javascript",
        "?_method=POST",
        "?_external=1&_anchor=x",
        "record?table=user&key=1&_scheme=x",
        "?since=0001-01-01T00:00",
        "?until=9999-12-31T23:59",
        "?since=0001-01-01T00:00%2B14:00",
        "record/as-of?table=user&key=1&when=0001-01-01T00:00",
        "record/as-of?table=user&key=1&when=9999-12-31T23:59:59.999999",
        f"record?table=user&key={MANY}",
        f"record?table=user&key=-{MANY}",
        f"record/as-of?table=user&key={MANY}&when=2026-01-01T00:00",
        f"?actor={MANY}",
        f"actor?id={MANY}",
        f"?transaction={MANY}",
        f"?after={MANY}",
        f"?text={'x' * 10_001}",
        f"transaction/{MANY}",
        f"transaction/{MANY}/undo",
        "transaction/x",
        "transaction/1.5",
        "transaction/--1",
        "transaction/9223372036854775808",
        "?transaction=%D9%A3",
        "?nobody=%00",
        "record?table=user&key=1e400",
        "?column=title&table=user",
        "coverage?table=%22",
    ],
)
def test_what_cannot_be_asked_is_400(client: FlaskClient, address: str) -> None:
    assert client.get(f"/audit/{address}").status_code == 400
    assert client.get(f"/audit/{address}", headers={"Accept": "application/json"}).json["error"]  # type: ignore[index]


def test_a_statement_that_takes_too_long_is_said_on_a_page(database: URL) -> None:
    app = create_app(database, statement_timeout=dt.timedelta(milliseconds=200))
    fill(app)
    with app.app_context(), db.engine.connect() as blocker:
        # Whoever holds the table stops everybody, which is what a slow query looks like from here.
        blocker.execute(text("LOCK TABLE transaction IN ACCESS EXCLUSIVE MODE"))
        client = app.test_client()
        for view in ("", "transaction/1", "actor?id=1"):
            response = client.get(f"/audit/{view}")
            assert response.status_code == 503
            assert "did not answer within 0.2 seconds" in response.text
        assert "did not answer" in client.get("/audit/log.json").json["error"]  # type: ignore[index]
    assert client.get("/audit/").status_code == 200
    dispose(app)


def test_a_timeout_has_to_be_one(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match="statement_timeout"):
        audit_logger.init_page(Flask("other"), access=lambda: True, statement_timeout=dt.timedelta(0))


def test_other_errors_of_the_database_are_not_hidden(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE transaction RENAME client_addr TO elsewhere"))
    response = client.get("/audit/")
    assert response.status_code == 500, response.text


def test_a_large_undo_is_neither_rehearsed_nor_done(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add_all(Article(key=f"n{number}") for number in range(1001))
        db.session.commit()
    shown = body(client, "transaction/4/undo")
    assert "1,001" in shown
    assert "flask audit undo 4" in shown
    assert "Rehearse" not in shown
    assert "n49" in shown
    assert "n51" not in shown
    client.get("/audit/transaction/2/undo")
    with client.session_transaction() as session:
        session["audit_logger_csrf"] = "known"
    for view in ("undo", "rehearsal"):
        response = client.post(f"/audit/transaction/4/{view}", data={"audit_csrf": "known"})
        assert response.status_code == 400
        assert "more than 1,000 changes" in response.text
    with app.app_context():
        assert db.session.query(Article).count() == 1003


def test_a_limit_is_that_of_the_changes(app: Flask) -> None:
    with app.app_context():
        session = db.session()
        assert audit_logger.plan_undo(session, 2, limit=1).steps
        session.rollback()
        with pytest.raises(HistoryError, match="more than 0 changes"):
            audit_logger.plan_undo(session, 2, limit=0)
        for limit in (-1, True, 1.5):
            with pytest.raises(HistoryError, match="limit is"):
                audit_logger.plan_undo(session, 2, limit=limit)  # type: ignore[arg-type]


def test_the_preview_locks_nothing(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.connect() as other:
        other.execute(text(f"""SELECT * FROM "{TABLE.replace('"', '""')}" FOR UPDATE"""))
        assert client.get("/audit/transaction/2/undo").status_code == 200
    assert "update" in rehearsal(client, 2)
