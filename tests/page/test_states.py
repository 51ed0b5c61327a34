"""Two states of a record, side by side."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, text

from tests.page.app import Article, Comment, audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.page.test_page import TABLE, body

ARTICLE = {"table": TABLE, "key": "one"}
COMMENT = {"table": "comment", "key": "1"}


def changes(client: FlaskClient, **record: str) -> list[int]:
    """Return the ids of a record's activities, oldest first."""
    page: Any = client.get("/audit/record.json", query_string=record).json
    return [each["id"] for each in page["activities"]][::-1]


def compared(client: FlaskClient, a: object, b: object, **record: str) -> Any:
    response = client.get("/audit/record/compare.json", query_string={**record, "a": a, "b": b})
    assert response.status_code == 200, response.text
    return response.json


def visible(shown: str) -> str:
    """Return the page without what is folded."""
    return re.sub(r"(?s)<details.*?</details>", "", shown)


def store(app: Flask, *objects: Any) -> None:
    with app.app_context():
        for each in objects:
            db.session.merge(each)
            db.session.commit()


def test_a_record_offers_its_changes_and_now(client: FlaskClient) -> None:
    shown = body(client, "record", **ARTICLE)
    first, second = changes(client, **ARTICLE)
    for name in ("a", "b"):
        offered = re.findall(rf'<input type="radio" name="{name}" value="([^"]*)"', shown)
        assert offered == ["now", str(second), str(first)]
    (action,) = re.findall(r'<form [^>]*id="compare"[^>]*action="([^"]*)"', shown)
    assert client.get(action, query_string={**ARTICLE, "a": first, "b": second}).status_code == 200
    assert "radio" not in body(client, "record", table=TABLE, key="never")


def test_what_differs_is_marked_and_what_is_the_same_is_folded(client: FlaskClient) -> None:
    first, second = changes(client, **ARTICLE)
    shown = body(client, "record/compare", **ARTICLE, a=first, b=second)
    for piece in ("brown</del>", "red</ins>", "details $.a.b[2]", "3</del>", "4</ins>", "67890.10</ins>"):
        assert piece in visible(shown)
    assert "1 column is the same" in shown
    assert ">one<" in shown
    assert ">one<" not in visible(shown).partition("<table")[2]
    # Nobody knows whether it is the same.
    assert visible(shown).count(">masked<") == 2
    assert "hunter" not in shown
    assert "***" not in shown


def test_the_order_of_the_choice_does_not_matter(client: FlaskClient) -> None:
    first, second = changes(client, **ARTICLE)
    one, other = (compared(client, *pair, **ARTICLE) for pair in ((first, second), (second, first)))
    assert one == other
    assert one["before"]["activity_id"] == first
    assert (one["before"]["row"]["price"], one["after"]["row"]["details"]["a"]["b"]) == (1.1, [1, 2, 4])
    assert one["differing"] == ["title", "details", "price"]
    assert one["same"] == ["key"]
    assert one["unknown"] == ["secret"]
    assert any("masked" in note for note in one["before"]["notes"])


def test_now_is_what_the_last_change_left(client: FlaskClient) -> None:
    first, second = changes(client, **ARTICLE)
    found = compared(client, "now", first, **ARTICLE)
    assert found["after"]["activity_id"] == second
    assert found["differing"] == ["title", "details", "price"]
    assert compared(client, second, "now", **ARTICLE)["differing"] == []
    assert "Nothing that is known differs" in body(client, "record/compare", **ARTICLE, a=second, b="now")


def test_one_that_was_not_there_yet_or_any_more(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.delete(db.session.get_one(Article, "one"))
        db.session.commit()
    first, _, gone = changes(client, **ARTICLE)
    shown = body(client, "record/compare", **ARTICLE, a=first, b=gone)
    assert "It was not there" in shown
    assert ">one</del>" in shown
    assert compared(client, gone, first, **ARTICLE)["after"]["row"] is None
    assert "It was there at neither" in body(client, "record/compare", **ARTICLE, a=gone, b="now")


def test_a_record_that_had_another_key(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.get_one(Article, "one").key = "two"
        db.session.commit()
    first, _, moved = changes(client, table=TABLE, key="two")
    found = compared(client, first, moved, table=TABLE, key="two")
    assert (found["before"]["row"]["key"], found["after"]["row"]["key"]) == ("one", "two")
    assert compared(client, first, "now", table=TABLE, key="one")["after"]["row"]["key"] == "two"


def test_changes_at_the_same_time_are_said(app: Flask, client: FlaskClient) -> None:
    row = {"issued_at": "2020-01-01T12:00:00Z", "table": TABLE, "transaction_id": "a"}
    rows = [
        {**row, "verb": "insert", "changed_data": {"key": "old", "title": "First"}},
        {**row, "verb": "update", "old_data": {"key": "old", "title": "First"}, "changed_data": {"title": "Second"}},
    ]
    with app.app_context():
        audit_logger.import_rows(db.engine, rows, source="elsewhere")
    a, b = sorted(changes(client, table=TABLE, key="old"))
    found = compared(client, a, b, table=TABLE, key="old")
    assert found["differing"] == []
    assert found["is_same_moment"] is True
    assert "have the same time" in body(client, "record/compare", table=TABLE, key="old", a=a, b=b)


@pytest.mark.parametrize(
    ("a", "b", "status", "message"),
    [
        ("{first}", "{other}", 404, "is not a change of this record"),
        ("{first}", "999999", 404, "is not a change of this record"),
        ("{first}", "-5", 404, "is not a change of this record"),
        ("{first}", "{first}", 400, "Choose two different ones"),
        ("now", "now", 400, "Choose two different ones"),
        ("{first}", "", 400, "missing"),
        ("{first}", "x", 400, "not an id"),
        ("{first}", "9" * 6000, 400, "not an id"),
        ("{first}", "9223372036854775808", 400, "not an id"),
    ],
)
def test_what_cannot_be_compared_is_said(client: FlaskClient, a: str, b: str, status: int, message: str) -> None:
    first = changes(client, **ARTICLE)[0]
    log: Any = client.get("/audit/log.json").json
    other = log["entries"][0]["last_activity_id"]
    asked = {name: value.format(first=first, other=other) for name, value in (("a", a), ("b", b)) if value}
    assert message in body(client, "record/compare", status, **ARTICLE, **asked)
    response = client.get("/audit/record/compare.json", query_string={**ARTICLE, **asked})
    assert (response.status_code, message in response.json["error"]) == (status, True)  # type: ignore[index]


def test_a_record_of_which_nothing_is_recorded_has_no_now(client: FlaskClient) -> None:
    assert "Nothing is recorded" in body(client, "record/compare", 404, table=TABLE, key="never", a="now", b="1")


def test_excluded_erased_and_unstorable_values_say_so(app: Flask, client: FlaskClient) -> None:
    store(app, Comment(id=1, title="Ann was here", draft="d", extra={"nul": "\0"}))
    store(app, Comment(id=1, title="gone", draft="e", extra={"nul": "\0", "more": 1}))
    with app.app_context(), db.engine.begin() as connection:
        audit_logger.erase(connection, Comment, 1, columns=["title"], reason="asked for")
    first, second = changes(client, **COMMENT)[:2]
    found = compared(client, first, second, **COMMENT)
    assert found["unknown"] == ["title", "draft"]
    assert found["differing"] == ["extra"]
    shown = visible(body(client, "record/compare", **COMMENT, a=first, b=second))
    assert shown.count(">erased<") == 2
    assert shown.count(">not recorded<") == 2
    assert "Ann" not in shown
    assert "could not be stored" in shown
    assert "more" in shown


def test_json_that_python_takes_for_equal_differs(app: Flask, client: FlaskClient) -> None:
    digits = "0.12345678901234567890"
    store(app, Comment(id=1, title="same"))
    with app.app_context(), db.engine.begin() as connection:
        for number in (f"{digits}1", f"{digits}2"):
            connection.execute(text("UPDATE comment SET extra = CAST(:extra AS json)"), {"extra": f"[{number}, 1]"})
    _, second, third = changes(client, **COMMENT)
    assert f"{digits}2</ins>" in body(client, "record/compare", **COMMENT, a=second, b=third)


def test_a_huge_value_is_cut_and_a_larger_one_is_not_loaded(app: Flask, client: FlaskClient) -> None:
    huge = "word " * 500_000
    store(app, Comment(id=1, title=huge), Comment(id=1, title=f"{huge}new"))
    first, second = changes(client, **COMMENT)
    shown = body(client, "record/compare", **COMMENT, a=first, b=second)
    assert "new</ins>" in shown
    assert len(shown) < 20_000
    with app.app_context(), db.engine.begin() as connection:
        # What cannot be compressed.
        digits = "SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 20000)"
        connection.execute(text(f"UPDATE comment SET title = ({digits})"))
    last = changes(client, **COMMENT)[-1]
    shown = body(client, "record/compare", **COMMENT, a=first, b=last)
    assert "too long to be shown" in shown
    assert compared(client, first, last, **COMMENT)["after"]["is_too_long"] is True


def test_a_change_that_is_gone_is_not_of_the_record(app: Flask, client: FlaskClient) -> None:
    first, second = changes(client, **ARTICLE)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("SET LOCAL audit_logger.maintenance = 'on'"))
        connection.execute(text("DELETE FROM activity WHERE id = :id"), {"id": first})
    assert "not a change of this record" in body(client, "record/compare", 404, **ARTICLE, a=first, b=second)


def test_who_may_not_see_it_sees_nothing(app: Flask, client: FlaskClient) -> None:
    first, second = changes(client, **ARTICLE)
    app.config["MAY"]["read"] = False
    assert "brown" not in body(client, "record/compare", 403, **ARTICLE, a=first, b=second)


def test_who_compares_is_recorded_with_what_was_asked_for(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    client = app.test_client()
    first, _ = changes(client, **ARTICLE)
    compared(client, first, "now", **ARTICLE)
    log: Any = client.get("/audit/log.json", query_string={"reads": 1}).json
    (read,) = (each for entry in log["entries"] for each in entry["activities"] if "a" in (each["changed_data"] or {}))
    assert (read["verb"], read["table"], read["row_key"]) == ("read", TABLE, "one")
    assert (read["changed_data"]["a"], read["changed_data"]["b"]) == (first, "now")
    assert "radio" in client.get("/audit/record", query_string={**ARTICLE, "reads": 1}).text
    dispose(app)


def test_a_state_at_a_time_has_all_digits_of_json(app: Flask, client: FlaskClient) -> None:
    digits = "0.1234567890123456789012345"
    with app.app_context(), db.engine.begin() as connection:
        quoted = TABLE.replace('"', '""')
        connection.execute(text(f"""UPDATE "{quoted}" SET details = '[{digits}]' WHERE key = 'one'"""))
    record = {"table": TABLE, "key": "one"}
    shown: Any = client.get("/audit/record.json", query_string=record).json
    asked = {**record, "when": shown["activities"][0]["issued_at"]}
    assert digits in client.get("/audit/record/as-of", query_string=asked).text
    assert digits in client.get("/audit/record/as-of.json", query_string=asked).text


def test_a_state_and_a_comparison_say_whose_they_are(app: Flask, client: FlaskClient) -> None:
    record = {"table": TABLE, "key": "one"}
    link = ">article one, The quick red fox jumps"
    assert link in body(client, "record/compare", **record, a="1", b="2")
    shown: Any = client.get("/audit/record.json", query_string=record).json
    assert link in body(client, "record/as-of", **record, when=shown["activities"][0]["issued_at"])
