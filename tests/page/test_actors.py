"""What an actor did, when and how much."""

from __future__ import annotations

import datetime as dt
from typing import Any

from audit_core import audit_context
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, text

from tests.page.app import Article, User, audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.page.test_json import asked
from tests.page.test_page import TABLE, body


def article(verb: str, count: int) -> dict[str, Any]:
    return {"schema": "public", "table": TABLE, "verb": verb, "count": count}


def add(app: Flask, count: int) -> None:
    with app.app_context(), audit_context(actor_id=1):
        db.session.add_all(Article(key=f"n{number}") for number in range(count))
        db.session.commit()


def test_what_when_and_how_much(app: Flask, client: FlaskClient) -> None:
    add(app, 2)
    summary = asked(client, "actor", id="1")["summary"]
    assert summary["counts"] == [article("insert", 3)]
    assert summary["is_counted"] is True
    own = asked(client, "", actor="1")
    assert own["summary"] == summary
    newest, oldest = own["entries"]
    assert (summary["first_at"], summary["last_at"]) == (oldest["issued_at"], newest["issued_at"])
    assert len(summary["days"]) == 30
    # Two transactions, on one day or around midnight.
    assert sum(each["count"] for each in summary["days"][-2:]) == 2
    assert all(each["is_exact"] for each in summary["days"])
    for view in ("actor?id=1", "?actor=1"):
        shown = client.get(f"/audit/{view}").text
        assert "What Ann did" in shown
        assert "Transactions of the last 30 days" in shown
        assert "In all" in shown
        assert "3 articles" in shown


def test_a_day_leads_to_what_the_actor_did_on_it(app: Flask, client: FlaskClient) -> None:
    days = asked(client, "actor", id="2")["summary"]["days"]
    (day,) = (each["day"] for each in days if each["count"])
    link = f"/audit/?since={day}T00:00&amp;until={day}T23:59:59.999999&amp;actor=2&amp;reads=1"
    assert f'href="{link}"' in body(client, "actor", id="2")
    found = client.get(link.replace("&amp;", "&"), headers={"Accept": "application/json"}).json
    assert [each["transaction_id"] for each in found["entries"]] == [2]  # type: ignore[index]


def test_the_days_do_not_mix_up_what_was_imported_in_another_order(app: Flask, client: FlaskClient) -> None:
    """They leave it out: its ids do not tell when it was."""
    now = dt.datetime.now(dt.timezone.utc)
    with app.app_context():
        for number in (3, 20, 2, 1, 25):
            row = {"table": TABLE, "verb": "insert", "changed_data": {"key": str(number)}, "actor_id": 1}
            when = (now - dt.timedelta(days=number)).isoformat()
            audit_logger.import_rows(db.engine, [{**row, "issued_at": when}], source=str(number))
    days = asked(client, "actor", id="1")["summary"]["days"]
    # That of the application, today or yesterday if it is midnight.
    assert [each["count"] for each in days if each["count"]] == [1]
    assert days[-1]["count"] + days[-2]["count"] == 1


def test_other_filters_ask_something_else(client: FlaskClient) -> None:
    for view in ("?actor=1&verb=insert", "?nobody=1", "", "actor?id=1&after=99", "?actor=1&after=99"):
        assert "What Ann did" not in client.get(f"/audit/{view}").text
        assert "summary" not in asked(client, view)
    assert "summary" not in asked(client, "actor", id="77")


def test_more_are_not_counted_and_that_is_said(app: Flask, client: FlaskClient) -> None:
    add(app, 1000)
    summary = asked(client, "actor", id="1")["summary"]
    assert summary["counts"] == [article("insert", 1000)]
    assert summary["is_counted"] is False
    assert "The last 1,000" in body(client, "actor", id="1")


def test_more_transactions_than_are_looked_at(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO transaction (native_transaction_id, issued_at, actor_id) "
                "SELECT 0, CAST(:when AS timestamptz), 2 FROM generate_series(1, 1001)"
            ),
            {"when": dt.datetime.now(dt.timezone.utc)},
        )
    # None of them has a change: what had one may be gone, and the changes before them are not looked at.
    summary = asked(client, "actor", id="2")["summary"]
    assert summary["counts"] == []
    assert summary["is_counted"] is False
    (day,) = (each for each in summary["days"] if each["count"] == 1000)
    assert day["is_exact"] is False
    assert f"{day['day']}: more than 1,000 transactions" in body(client, "actor", id="2")


def test_the_days_are_those_of_the_reader(database: URL) -> None:
    app = create_app(database, timezone="Pacific/Kiritimati")
    fill(app)
    today = dt.datetime.now(dt.timezone(dt.timedelta(hours=14))).date()
    last = asked(app.test_client(), "actor", id="1")["summary"]["days"][-1]["day"]
    assert dt.date.fromisoformat(last) - today in (dt.timedelta(0), dt.timedelta(-1))
    dispose(app)


def test_who_only_looked_did_look(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    with app.app_context():
        db.session.add(User(id=3, name="Cid"))
        db.session.commit()
        with audit_context(actor_id=3):
            app.test_client().get("/audit/transaction/1")
    # The view is recorded as well, with the one who is logged in.
    found = asked(app.test_client(), "actor", id="1")["summary"]
    assert [each["verb"] for each in found["counts"]] == ["read", "insert"]
    dispose(app)


def test_an_actor_leads_to_the_log_with_filters(client: FlaskClient) -> None:
    assert 'href="/audit/?actor=1">The same in the log, with filters</a>' in body(client, "actor", id="1")
