"""What the page shows, and to whom."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

import pytest
from audit_core import ConfigurationError, audit_context
from flask import Flask
from flask.testing import FlaskClient
from flask_audit_logger._page import views
from sqlalchemy import URL

from tests.contract.forged import META, forge
from tests.page.app import Article, audit_logger, create_app, db
from tests.page.conftest import KEY, OLD, dispose, fill

TABLE = Article.__tablename__


def body(client: FlaskClient, view: str, status: int = 200, **arguments: object) -> str:
    response = client.get(f"/audit/{view}", query_string=arguments)
    assert response.status_code == status, response.text
    return response.text


def test_access_is_required(app: Flask) -> None:
    with pytest.raises(TypeError, match="access"):
        audit_logger.init_page(Flask("other"))  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="access is 'admin'"):
        audit_logger.init_page(Flask("other"), access="admin")  # type: ignore[arg-type]


def test_twice_in_an_app_is_refused_and_other_apps_are_free(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match="already"):
        audit_logger.init_page(app, "/other", access=lambda: True)
    audit_logger.init_page(Flask("other"), access=lambda: True)


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_a_refused_request_gets_403_and_is_logged(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    app.config["MAY"]["read"] = answer
    with caplog.at_level(logging.WARNING):
        assert "req-" not in body(client, "transaction/1", 403)
    assert "'/audit/transaction/1' refused to actor 1 from 127.0.0.1" in caplog.text


def test_an_access_that_fails_shows_nothing(app: Flask, client: FlaskClient) -> None:
    del app.config["MAY"]["read"]
    assert "one" not in body(client, "", 500)


def test_responses_are_hardened_and_only_ours(app: Flask, client: FlaskClient) -> None:
    headers = client.get("/audit/").headers
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Security-Policy" not in client.get("/elsewhere").headers


def test_everything_is_escaped(client: FlaskClient) -> None:
    for shown in (body(client, ""), body(client, "transaction/3"), body(client, "record", table=TABLE, key=KEY)):
        assert "<img" not in shown
        assert "<script" not in shown
        assert "<b>" not in shown
    assert "{{7*7}}" in body(client, "transaction/3")


def test_links_lead_to_records_with_any_key(client: FlaskClient) -> None:
    (link,) = set(re.findall(r'href="(/audit/record\?[^"]*%252F[^"]*)"', body(client, "")))
    shown = client.get(link.replace("&amp;", "&"))
    assert shown.status_code == 200
    assert "onerror" in shown.text


@pytest.mark.parametrize(
    ("arguments", "transactions"),
    [
        ({}, {"1", "2", "3"}),
        ({"actor": "2"}, {"2"}),
        ({"nobody": "1"}, {"3"}),
        ({"table": TABLE, "verb": "update"}, {"2"}),
        ({"request_id": "req-1"}, {"1"}),
        ({"transaction": "3"}, {"3"}),
        ({"column": "price", "verb": "update"}, {"2"}),
        ({"since": "2999-01-01T00:00"}, set()),
        ({"until": "2999-01-01T00:00", "since": "2020-01-01T00:00"}, {"1", "2", "3"}),
        ({"until": "2020-01-01T00:00"}, set()),
    ],
)
def test_filters(client: FlaskClient, arguments: dict[str, str], transactions: set[str]) -> None:
    assert set(re.findall(r"/audit/transaction/(\d+)", body(client, "", **arguments))) == transactions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actor": "x"}, "not a primary key of an actor"),
        ({"actor": "9" * 30}, "out of range"),
        ({"since": "yesterday"}, "which is not a time"),
        ({"verb": "drop"}, "not a verb of the trail"),
        ({"transaction": "9" * 19}, "which is not an id"),
        ({"after": "1e3"}, "which is not an id"),
        ({"actor": "x"}, "no actor has such a name"),
        ({"since": "0001-01-01T00:00"}, "give a year from 1900"),
        ({"until": "9999-12-31T23:59:59"}, "give a year from 1900"),
        ({"since": "2024-01-02T00:00", "until": "2024-01-01T00:00"}, "later than until"),
        ({"table": "a\0b"}, "NUL"),
    ],
)
def test_a_filter_that_cannot_be_is_said_beside_the_form(
    client: FlaskClient, arguments: dict[str, str], message: str
) -> None:
    assert message in body(client, "", 400, **arguments)


@pytest.mark.parametrize(
    ("view", "arguments", "status"),
    [
        ("transaction/99", {}, 404),
        ("transaction/99999999999999999999", {}, 400),
        ("transaction/99/undo", {}, 404),
        ("record", {"table": "none", "key": "1"}, 400),
        ("record", {"table": TABLE}, 400),
        ("record/as-of", {"table": TABLE, "key": "one", "when": "2999-01-01T00:00"}, 400),
        ("record/as-of", {"table": TABLE, "key": "one", "when": "2001-01-01T00:00"}, 400),
        ("actor", {"id": "x"}, 400),
    ],
)
def test_what_is_not_there_is_said(client: FlaskClient, view: str, arguments: dict[str, str], status: int) -> None:
    body(client, view, status, **arguments)


def test_a_timeline_shows_words_paths_exact_numbers_and_masks(client: FlaskClient) -> None:
    shown = body(client, "record", table=TABLE, key="one")
    for piece in ("brown</del>", "red</ins>", "shade</ins>", "details $.a.b[2]", "3</del>", "4</ins>"):
        assert piece in shown
    assert "12345678901234567890.10" in shown
    assert "***" in shown
    assert "hunter" not in shown


def test_a_huge_text_is_cut_around_its_change(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        huge = "word " * 500_000
        for title in (huge, huge + "new"):
            db.session.merge(Article(key="huge", title=title))
            db.session.commit()
    shown = body(client, "transaction/5")
    assert "new</ins>" in shown
    assert "2,500,000 characters before and 2,500,003 after" in shown
    assert len(shown) < 20_000


def test_a_transaction_says_who_from_where_and_why(client: FlaskClient) -> None:
    shown = body(client, "transaction/1")
    for said in ("Ann (1)", "192.0.2.7", "req-1"):
        assert said in shown


def test_an_actor_who_is_gone_has_a_page(client: FlaskClient) -> None:
    shown = body(client, "actor", id="2")
    assert "/audit/transaction/2" in shown
    assert "/audit/transaction/1" not in shown


def test_a_record_is_shown_as_it_was(client: FlaskClient) -> None:
    timeline = body(client, "record", table=TABLE, key="one")
    links = [
        link.replace("&amp;", "&") for link in re.findall(r'href="(/audit/record/as-of\?[^"]*when[^"]*)"', timeline)
    ]
    newer, older = (client.get(link).text for link in links)
    assert OLD in older
    assert OLD not in newer
    assert "is masked" in older.replace("&#34;", '"')
    # Not "null": it had a value.
    assert '<th scope="row">secret</th><td class="value"> <span class="muted">(masked)</span></td>' in older


def test_pages_follow_each_other(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for number in range(70):
            db.session.add(Article(key=str(number)))
            db.session.commit()
    seen: list[str] = []
    link: str | None = "/audit/?table=" + "odd %22name%22/ä"
    while link:
        shown = client.get(link.replace("&amp;", "&")).text
        seen += re.findall(r'<p class="what">[^\n]*key=(\d+)"', shown)
        found = re.search(r'rel="next" href="([^"]*)"', shown)
        link = found and found[1]
    assert sorted(map(int, seen)) == list(range(70))


def test_the_chart_counts_today(client: FlaskClient) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    shown = body(client, "")
    assert f"{today}: 3 changes" in shown
    (link,) = re.findall(rf'href="([^"]*since={today}T00:00&amp;until=[^"]*)"', shown)
    assert client.get(link.replace("&amp;", "&")).text.count('<li class="entry">') == 3


def rehearsal(client: FlaskClient, number: int, status: int = 200) -> str:
    response = client.post(f"/audit/transaction/{number}/rehearsal", data={"audit_csrf": token(client, number)})
    assert response.status_code == status, response.text
    return response.text


def token(client: FlaskClient, number: int) -> str:
    found = re.search(r'name="audit_csrf" value="(\w+)"', body(client, f"transaction/{number}/undo"))
    assert found is not None
    return found[1]


def test_undo_is_a_preview_and_then_a_post(app: Flask, client: FlaskClient) -> None:
    assert "price" in rehearsal(client, 2)
    sent = token(client, 2)
    assert len(audit(app)) == 3  # the rehearsal changed nothing
    response = client.post("/audit/transaction/2/undo", data={"audit_csrf": sent, "reason": "wrong article"})
    assert response.status_code == 303
    shown = client.get(response.location).text
    assert "Ann (1)" in shown
    assert "wrong article" in shown
    with app.app_context():
        assert db.session.get_one(Article, "one").title == OLD


def test_a_rehearsal_names_the_rows(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    link = 'href="/audit/record?table=odd+%22name%22/%C3%A4&amp;key=one">article one, The quick red fox jumps'
    assert link in rehearsal(client, 2)
    monkeypatch.setattr(views, "_NAMED", 0)
    shown = rehearsal(client, 2)
    assert link not in shown
    assert ">odd &#34;name&#34;/ä one<" in shown


def test_an_undo_leads_to_what_it_takes_back(client: FlaskClient) -> None:
    response = client.post("/audit/transaction/2/undo", data={"audit_csrf": token(client, 2)})
    number = response.location.rpartition("/")[2]
    assert '<a href="/audit/transaction/2">Undoes transaction 2</a>' in body(client, "", transaction=number)
    page = body(client, f"transaction/{number}")
    assert '<dd class="value"><a href="/audit/transaction/2">Transaction 2</a></dd>' in page


def test_what_was_undone_says_so_as_long_as_it_is(client: FlaskClient) -> None:
    sent = {"audit_csrf": token(client, 2)}
    assert "Undone by" not in body(client, "transaction/2")
    undo = client.post("/audit/transaction/2/undo", data=sent).location.rpartition("/")[2]
    page = body(client, "transaction/2")
    assert f'<dt>Undone by</dt><dd><a href="/audit/transaction/{undo}">Transaction {undo}</a></dd>' in page
    assert "Undo this transaction" not in page
    assert client.get("/audit/transaction/2.json").json["undone_by"] == int(undo)  # type: ignore[index]
    refused = body(client, "transaction/2/undo")
    assert "It was undone by" in refused
    assert "Rehearse the undo" not in refused
    client.post(f"/audit/transaction/{undo}/undo", data=sent)
    page = body(client, "transaction/2")
    assert "Undone by" not in page
    assert "Undo this transaction" in page


def test_what_is_only_said_to_be_undone_is_not(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), audit_context(meta={"undoes": 2}):
        db.session.add(Article(key="new"))
        db.session.commit()
    page = body(client, "transaction/2")
    assert "Undone by" not in page
    assert "Undo this transaction" in page


@pytest.mark.parametrize("said", [True, "2", -1, 2**63, 1.5, None, [2]])
def test_an_undo_that_is_only_said_to_be_one_leads_nowhere(app: Flask, client: FlaskClient, said: Any) -> None:
    with app.app_context(), audit_context(meta={"undoes": said}):
        db.session.add(Article(key="new"))
        db.session.commit()
    assert "Undoes transaction" not in body(client, "", transaction="4")
    assert ">Transaction 2</a>" not in body(client, "transaction/4")


def test_an_undo_in_conflict_changes_nothing(app: Flask, client: FlaskClient) -> None:
    sent = token(client, 2)
    with app.app_context():
        db.session.get_one(Article, "one").title = "changed again"
        db.session.commit()
    response = client.post("/audit/transaction/2/undo", data={"audit_csrf": sent})
    assert response.status_code == 409
    assert "changed" in response.text
    assert "Undo</button>" not in rehearsal(client, 2)


@pytest.mark.parametrize("sent", [None, "", "wrong", "ü"])
def test_undo_needs_the_token_of_the_form(app: Flask, client: FlaskClient, sent: str | None) -> None:
    token(client, 2)
    response = client.post("/audit/transaction/2/undo", data={} if sent is None else {"audit_csrf": sent})
    assert response.status_code == 400
    assert len(audit(app)) == 3


def test_a_form_that_has_expired_is_a_page(client: FlaskClient) -> None:
    response = client.post("/audit/transaction/2/undo")
    assert "<h1>Nothing was done</h1>" in response.text
    assert "The form has expired. Open it again." in response.text
    response = client.post("/audit/transaction/2/undo", headers={"Accept": "application/json"})
    assert response.json == {"error": "The form has expired. Open it again."}


def test_undo_works_beside_flask_wtf(app: Flask) -> None:
    pytest.importorskip("flask_wtf").CSRFProtect(app)
    client = app.test_client()
    ours = token(client, 2)
    theirs = re.search(r'name="csrf_token" value="([^"]+)"', body(client, "transaction/2/undo"))
    assert theirs is not None
    assert client.post("/audit/transaction/2/undo", data={"audit_csrf": ours}).status_code == 400
    # Over HTTPS it asks for the referrer, too, which our Referrer-Policy lets through.
    response = client.post(
        "/audit/transaction/2/undo",
        data={"audit_csrf": ours, "csrf_token": theirs[1]},
        base_url="https://localhost",
        headers={"Referer": "https://localhost/audit/transaction/2/undo"},
    )
    assert response.status_code == 303
    assert client.get("/audit/").headers["Referrer-Policy"] == "same-origin"


def test_who_may_not_undo_gets_403_and_no_link(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert "/undo" in body(client, "transaction/2")
    sent = token(client, 2)
    app.config["MAY"]["undo"] = False
    assert "/undo" not in body(client, "transaction/2")
    body(client, "transaction/2/undo", 403)
    assert client.post("/audit/transaction/2/undo", data={"audit_csrf": sent}).status_code == 403
    assert "POST of '/audit/transaction/2/undo' refused" in caplog.text
    assert len(audit(app)) == 3


def test_without_allow_undo_there_is_none(database: URL) -> None:
    app = create_app(database, with_undo=False)
    fill(app)
    client = app.test_client()
    assert "/undo" not in body(client, "transaction/2")
    body(client, "transaction/2/undo", 404)
    dispose(app)


def test_reading_is_recorded_if_asked(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    client = app.test_client()
    body(client, "", actor="2")
    body(client, "record", table=TABLE, key="one")
    log, record = audit(app)[3:]
    assert (log.verb, log.table_name, log.changed_data["actor"]) == ("read", "activity", "2")
    assert (record.verb, record.table_name, record.row_key) == ("read", TABLE, "one")
    with app.app_context():
        assert {each.transaction.actor_id for each in db.session.scalars(audit_logger.activities(verb="read"))} == {1}
    assert "read" in body(client, "record", table=TABLE, key="one")
    assert "Nothing." in rehearsal(client, 5)


def test_who_looked_says_at_what(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    client = app.test_client()
    for view, asked in (
        ("", {}),
        ("", {"transaction": "2"}),
        ("transaction/2", {}),
        ("transaction/2/undo", {}),
        ("actor", {"id": "2"}),
        ("coverage", {}),
        ("export.csv", {"verb": "delete"}),
        ("export.csv", {"transaction": "2"}),
    ):
        body(client, view, **asked)
    found: Any = client.get("/audit/log.json", query_string={"verb": "read"}).json
    # The newest is this one.
    assert [each["what"] for each in found["entries"]][:0:-1] == [
        "looked at the log",
        "looked at the log",
        "looked at transaction 2",
        "looked at transaction 2 (undo)",
        "looked at what actor 2 did",
        "looked at what is recorded",
        "looked at the log, as a file",
        "looked at transaction 2 (export)",
    ]
    dispose(app)


def test_a_filter_on_a_table_that_is_gone_is_recorded_too(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    body(app.test_client(), "", table="gone")
    read = audit(app)[-1]
    assert (read.verb, read.table_name, read.changed_data["table"]) == ("read", "activity", "gone")


@pytest.mark.parametrize("forged", META)
def test_forged_meta_and_filters_are_shown(app: Flask, client: FlaskClient, forged: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        id_ = forge(connection, forged, forged, TABLE, "one")
    assert f"transaction/{id_}" not in body(client, "")
    assert f"transaction/{id_}" in body(client, "", reads="1")
    assert "read" in body(client, f"transaction/{id_}")
    assert 'class="verb read"' in body(client, "record", table=TABLE, key="one", reads="1")
    assert f"transaction/{id_}" in body(client, "", verb="read")
    assert "Nothing." in rehearsal(client, id_)
    assert "update" in rehearsal(client, 2)
    for activity in audit(app):
        assert activity.data is not None
        assert activity.changes is not None


def test_conflicts_do_not_show_what_is_masked(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        name = audit_logger.metadata.tables[TABLE].name.replace('"', '""')
        with db.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE \"{name}\" ALTER secret SET DEFAULT 'hunter2'")
            connection.exec_driver_sql(f"DELETE FROM \"{name}\" WHERE key = 'one'")
            connection.exec_driver_sql(f'ALTER TABLE "{name}" ADD CONSTRAINT "no secret" CHECK (secret <> \'hunter2\')')
    last = audit(app)[-1].transaction_id
    shown = rehearsal(client, last)
    assert "the check constraint &#34;no secret&#34;" in shown
    assert "hunter2" not in shown
    sent = token(client, 3)
    refused = client.post(f"/audit/transaction/{last}/undo", data={"audit_csrf": sent})
    assert refused.status_code == 409
    assert "hunter2" not in refused.text


def audit(app: Flask) -> list[Any]:
    with app.app_context():
        return list(reversed(db.session.scalars(audit_logger.activities()).all()))


def test_what_is_recorded_since_when_is_shown(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        quoted = connection.dialect.identifier_preparer.quote(Article.__tablename__)
        connection.exec_driver_sql(f"ALTER TABLE {quoted} DISABLE TRIGGER ALL")
        audit_logger.install(connection)
    page = client.get("/audit/coverage", query_string={"table": Article.__tablename__}).text
    assert page.count("recording began") == 2
    assert "triggers found altered or missing" in page
    assert 'href="/audit/coverage"' in client.get("/audit/").text
    assert client.get("/audit/coverage?table=nothing").status_code == 400


def test_a_key_that_stands_in_the_trail_as_its_digest_is_no_link(app: Flask, client: FlaskClient) -> None:
    long = "k" * 1001
    with app.app_context():
        db.session.add(Article(key=long, title="Long"))
        db.session.commit()
    for view in ("", "transaction/4", "transaction/4/undo"):
        shown = body(client, view)
        assert "sha256:" in shown
        assert "key=sha256" not in shown
    # Who knows the key finds the record.
    shown = body(client, "record", table=TABLE, key=long)
    assert "Long" in shown
    activity = client.get("/audit/record.json", query_string={"table": TABLE, "key": long}).json["activities"][0]  # type: ignore[index]
    asked = {"table": TABLE, "key": long, "a": activity["id"], "b": "now"}
    states: Any = client.get("/audit/record/compare.json", query_string=asked).json
    assert states["after"]["row"]["title"] == "Long"
