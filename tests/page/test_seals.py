"""The page says of a transaction in which seal it is, of an event what happened, and of a value that it was erased."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.page.app import Article, Comment, User, audit_logger, db


def test_a_transaction_is_sealed_and_its_digest_kept(app: Flask, client: FlaskClient) -> None:
    assert client.get("/audit/transaction/1.json").json["sealed"] is None
    assert "Sealed" not in client.get("/audit/transaction/1").text
    with app.app_context():
        audit_logger.seal(db.engine)
    assert client.get("/audit/transaction/1.json").json["sealed"]["number"] == 1
    page = client.get("/audit/transaction/1").text
    assert "in seal 1" in page
    assert "kept elsewhere" not in page
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        connection.exec_driver_sql("UPDATE activity_seal_leaf SET anchored_at = now()")
    assert "kept elsewhere" in client.get("/audit/transaction/1").text


def test_an_event_is_in_the_log(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        article = db.session.get_one(Article, "one")
        audit_logger.record_event(db.session, "invoice.sent", target=article, data={"to": "<b>"})
        db.session.commit()
    newest = client.get("/audit/log.json?verb=event").json["entries"]
    assert [each["what"] for each in newest] == [f"invoice.sent ({Article.__tablename__} one)"]
    assert client.get("/audit/transaction/4").status_code == 200


def test_an_event_leads_to_what_it_is_about(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        article = db.session.get_one(Article, "one")
        audit_logger.record_event(db.session, "invoice.sent", target=article, data={"to": "ann"})
        audit_logger.record_event(db.session, "logged.in", target=db.session.get_one(User, 1))
        db.session.commit()
    link = 'About <a href="/audit/record?table=odd+%22name%22/%C3%A4&amp;key=one">'
    for view in ("transaction/4", "?verb=event"):
        shown = client.get(f"/audit/{view}").text
        assert shown.count("About ") == 1
        assert link in shown
        # What the sentence says is not said again.
        assert '<p class="muted value">{&#34;data&#34;: {&#34;to&#34;: &#34;ann&#34;}}</p>' in shown
        assert "&#34;event&#34;" not in shown


def test_a_truncate_says_how_many_rows_are_gone(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add_all([Comment(id=1), Comment(id=2)])
        db.session.commit()
        db.session.execute(text("TRUNCATE comment"))
        db.session.commit()
    assert client.get("/audit/log.json").json["entries"][0]["what"] == "emptied comments (2 rows)"
    assert "&#34;rows&#34;" not in client.get("/audit/transaction/5").text


def test_what_is_erased_is_not_shown(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        audit_logger.erase(db.session, Article, "one", columns=["title"], reason="request 7")
        db.session.commit()
    assert "(erased)" in client.get("/audit/transaction/1").text
    assert client.get("/audit/transaction/1.json").json["activities"][0]["erased"] == ["title"]
    for view in ("", "transaction/1", "transaction/2", f"record?table={Article.__tablename__}&key=one"):
        assert client.get(f"/audit/{view}").status_code == 200
