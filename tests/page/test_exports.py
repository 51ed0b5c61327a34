"""What the page shows, as a file."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import tracemalloc
from typing import Any

import pytest
from audit_core import audit_context
from audit_core.cli.standalone import audit_log as audit_log_command
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from flask_audit_logger._page import exports
from sqlalchemy import URL, event, text

from tests.page.app import Article, Comment, User, create_app, db
from tests.page.conftest import KEY, dispose, fill
from tests.page.test_page import TABLE, body


def lines(client: FlaskClient, view: str = "export", **asked: str) -> list[dict[str, Any]]:
    response = client.get(f"/audit/{view}.jsonl", query_string=asked)
    assert response.status_code == 200, response.text
    return [json.loads(each) for each in response.text.splitlines()]


def test_a_file_has_what_the_log_selects_oldest_first(client: FlaskClient) -> None:
    found = lines(client)
    assert [each["transaction_id"] for each in found] == [1, 2, 3]
    assert (found[0]["actor_id"], found[0]["actor"], found[0]["client_addr"]) == (1, "Ann", "192.0.2.7")
    assert (found[1]["actor_id"], found[1]["actor"]) == (2, None)
    assert found[1]["changed_data"]["details"] == {"a": {"b": [1, 2, 4]}, "c": "same"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"actor": "1"}, [1]),
        ({"actor": "nn"}, [1]),
        ({"nobody": "1"}, [3]),
        ({"verb": "update"}, [2]),
        ({"text": "hunter"}, []),
        ({"text": "shade"}, [2]),
        ({"request_id": "req-2"}, [2]),
        ({"transaction": "3"}, [3]),
        ({"table": TABLE, "column": "price"}, [1, 2, 3]),
        ({"until": "2020-01-01T00:00"}, []),
        ({"verb": "delete"}, []),
    ],
)
def test_the_filters_are_those_of_the_log(client: FlaskClient, asked: dict[str, str], expected: list[int]) -> None:
    assert [each["transaction_id"] for each in lines(client, **asked)] == expected
    page: Any = client.get("/audit/log.json", query_string=asked).json
    assert sorted(each["transaction_id"] for each in page["entries"]) == expected


def test_a_file_is_that_of_the_command(database: URL, client: FlaskClient) -> None:
    given = ["--url", database.render_as_string(hide_password=False), "--metadata", "tests.page.app:db.metadata"]
    written = CliRunner().invoke(audit_log_command, [*given, "export", "--format", "csv"])
    assert written.exit_code == 0, written.output
    response = client.get("/audit/export.csv")
    assert response.data == written.stdout_bytes
    assert response.mimetype == "text/csv"
    assert response.headers["Content-Disposition"] == "attachment; filename=audit-log.csv"


def test_no_cell_is_a_formula(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add(Article(key="=1+1"))
        db.session.commit()
    *_, row = csv.DictReader(io.StringIO(client.get("/audit/export.csv").text))
    assert row["row_key"] == "'=1+1"


def test_a_record_is_there_under_each_of_its_keys(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        quoted = TABLE.replace('"', '""')
        connection.execute(text(f"""UPDATE "{quoted}" SET key = 'new' WHERE key = 'one'"""))
    assert [each["verb"] for each in lines(client, "record/export", table=TABLE, key="new")] == [
        "insert",
        "update",
        "update",
    ]
    assert [each["row_key"] for each in lines(client, "record/export", table=TABLE, key=KEY)] == [KEY]


def test_who_looked_is_in_it_when_asked_for(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    client = app.test_client()
    assert {each["verb"] for each in lines(client)} == {"insert", "update"}
    *_, first, second = lines(client, reads="1")
    # The second was recorded before it was read.
    assert [each["changed_data"]["view"] for each in (first, second)] == ["audit_logger.export"] * 2
    assert second["changed_data"] == {"view": "audit_logger.export", "format": "jsonl", "reads": "1"}
    lines(client, "record/export", table=TABLE, key="one")
    *_, last = lines(client, "record/export", table=TABLE, key="one", reads="1")[:-1]
    assert (last["verb"], last["row_key"]) == ("read", "one")
    dispose(app)


def test_the_page_links_to_its_file(client: FlaskClient) -> None:
    assert 'href="/audit/export.csv?actor=1&amp;verb=insert">CSV</a>' in body(client, "", actor="1", verb="insert")
    assert 'href="/audit/export.jsonl?actor=1">JSON lines</a>' in body(client, "actor", id="1")
    record = body(client, "record", table=TABLE, key="one")
    assert 'href="/audit/record/export.csv?table=odd+%22name%22/%C3%A4&amp;key=one">CSV</a>' in record
    assert "As a file" not in body(client, "", verb="delete")


def test_a_transaction_says_what_it_did_and_has_a_file(client: FlaskClient) -> None:
    shown = body(client, "transaction/2")
    assert re.search(r"<h2>changed title, details and price of <a href=[^>]+>article one, The quick red fox", shown)
    assert 'href="/audit/export.csv?transaction=2&amp;reads=1"' in shown
    assert [each["transaction_id"] for each in lines(client, transaction="2", reads="1")] == [2]


@pytest.mark.parametrize("view", ["export.csv", f"record/export.jsonl?table={TABLE}&key=one"])
def test_who_may_not_see_the_page_gets_no_file(app: Flask, client: FlaskClient, view: str) -> None:
    app.config["MAY"]["read"] = False
    assert client.get(f"/audit/{view}").status_code == 403


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("export.csv?since=x", "is not a time"),
        ("export.csv?actor=nobody-of-that-name", "no actor has such a name"),
        ("export.csv?actor=nn", "There are several actors &#39;nn&#39;: Ann (1), Hannah (2). Give the key of one."),
        ("export.jsonl?table=x", ""),
        ("record/export.csv?table=x&key=1", "x"),
        ("record/export.csv?table=comment&key=x", "is not a primary key"),
    ],
)
def test_what_cannot_be_understood_is_a_page(app: Flask, client: FlaskClient, view: str, said: str) -> None:
    with app.app_context():
        db.session.add(User(id=2, name="Hannah"))
        db.session.commit()
    response = client.get(f"/audit/{view}")
    assert (response.status_code, said in response.text) == (400 if said else 200, True)


def test_a_file_is_not_larger_than_there_is_time_for(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "LIMIT", 2)
    response = client.get("/audit/export.csv")
    assert response.status_code == 400
    assert "That is more than 2 changes." in response.text
    assert len(lines(client, actor="1")) == 1


def many(app: Flask, count: int) -> None:
    with app.app_context(), audit_context(actor_id=1):
        db.session.add_all(Article(key=f"n{number}") for number in range(count))
        db.session.commit()


def test_a_file_is_complete_before_it_is_sent(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_BATCH", 10)
    monkeypatch.setattr(exports, "_IN_MEMORY", 1000)
    many(app, 95)
    response = client.get("/audit/export.jsonl", buffered=False)
    # Who loads it slowly, or goes away, holds no connection.
    assert_given_back(app)
    assert response.content_length == len(response.data)
    assert response.data.count(b"\n") == 98
    response.close()
    head = client.head("/audit/export.jsonl")
    assert head.content_length == response.content_length
    head.close()


def test_an_error_in_the_middle_is_not_the_end_of_a_file(database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_BATCH", 10)
    app = create_app(database, statement_timeout=dt.timedelta(milliseconds=200))
    fill(app)
    with app.app_context():
        db.session.add_all(Comment(id=number) for number in range(25))
        db.session.commit()
        with audit_context(actor_id=1):
            db.session.add(Comment(id=25))
            db.session.commit()
        with db.engine.connect() as blocker:
            # The first batches have no actor, and what the last one's is called cannot be read.
            blocker.execute(text('LOCK TABLE "user" IN ACCESS EXCLUSIVE MODE'))
            address, headers = "/audit/export.jsonl?table=comment", {"Accept": "application/json"}
            with audit_context(actor_id=1):
                response = app.test_client().get(address, headers=headers)
                said = response.text
    assert response.status_code == 503
    assert "did not answer within 0.2 seconds" in said
    assert_given_back(app)
    dispose(app)


def assert_given_back(app: Flask) -> None:
    with app.app_context():
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_search_that_takes_too_long_is_a_page(database: URL) -> None:
    app = create_app(database)
    fill(app)
    with app.app_context():

        def cancel(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
            if "strpos" in statement:
                cursor.execute("SET LOCAL statement_timeout = 1")
                cursor.execute("SELECT pg_sleep(10)")

        event.listen(db.engine, "before_cursor_execute", cancel)
    response = app.test_client().get("/audit/export.csv?text=x")
    assert (response.status_code, "That takes too long" in response.text) == (503, True)
    dispose(app)


def test_a_file_has_not_more_bytes_than_there_is_room_for(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LARGEST", 1000)
    response = client.get("/audit/export.csv")
    assert (response.status_code, "That is more than 0 MB." in response.text) == (400, True)


def test_wide_rows_are_not_in_memory_together(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        quoted = TABLE.replace('"', '""')
        connection.execute(
            text(f"""INSERT INTO "{quoted}" SELECT 'w' || n, repeat('x', 100000) FROM generate_series(1, 500) n""")
        )
    tracemalloc.start()
    try:
        response = client.get("/audit/export.csv", query_string={"transaction": "4"}, buffered=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert response.content_length is not None
    assert peak < 50_000_000 < response.content_length
    response.close()
