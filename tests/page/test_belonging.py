"""The rows that belong to a record by a foreign key."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_audit_logger._page.belonging import foreign_keys, key_text
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, text

from tests.page.app import Article, Comment, Line, Part, Visit, Vote, db
from tests.page.conftest import role_without
from tests.page.test_page import TABLE, body
from tests.page.test_plans import explained, looked_at, within

MANY = 20_000
INFO: dict[str, Any] = {"versioned": {}}


@pytest.fixture
def belonging(app: Flask) -> Flask:
    with app.app_context():
        for objects in (
            [Comment(id=1, article_key="one", title="First!"), Line(article_key="one", number=7)],
            [Comment(id=2, article_key="one", parent_id=1), Vote(id=1, article_key="one")],
            [Comment(id=3), Part(id=5, article_key="one", line=7), Visit(id=1, article_key="one")],
        ):
            db.session.add_all(objects)
            db.session.commit()
    return app


def record(client: FlaskClient, table: str, key: str, **more: Any) -> Any:
    response = client.get("/audit/record.json", query_string={"table": table, "key": key, **more})
    assert response.status_code == 200, response.text
    return response.json


def found(side: list[Any]) -> dict[tuple[str, ...], tuple[int | None, list[str]]]:
    return {
        (each["table"], *each["columns"]): (each["count"], [row["row_key"] for row in each["rows"]]) for each in side
    }


def test_those_that_refer_to_a_record(belonging: Flask) -> None:
    client = belonging.test_client()
    answer = record(client, TABLE, "one")
    assert answer["refers_to"] == []
    assert found(answer["referred_to_by"]) == {
        ("comment", "article_key"): (2, ["1", "2"]),
        ("line", "article_key"): (1, ['["one", 7]']),
        # No index finds them, and a table that is not audited is not shown.
        ("vote", "article_key"): (None, []),
    }
    shown = body(client, "record", table=TABLE, key="one")
    assert "2 comments" in shown
    assert "1, First!</a>" in shown
    assert "no index of vote begins with article_key" in shown
    assert "visit" not in shown.lower()
    for link in re.findall(r'href="(/audit/record\?[^"]*)"', shown.partition("belong to it")[2].partition("<form")[0]):
        linked = client.get(link.replace("&amp;", "&"))
        assert linked.status_code == 200
        assert "insert" in linked.text


def test_a_record_that_refers_to_itself_and_others(belonging: Flask) -> None:
    client = belonging.test_client()
    answer = record(client, "comment", "2")
    assert found(answer["refers_to"]) == {
        ("comment", "parent_id"): (1, ["1"]),
        (TABLE, "article_key"): (1, ["one"]),
    }
    assert answer["refers_to"][1]["rows"][0]["name"] == "First!"
    assert found(answer["referred_to_by"]) == {("comment", "parent_id"): (0, [])}
    assert found(record(client, "comment", "1")["referred_to_by"]) == {("comment", "parent_id"): (1, ["2"])}
    assert found(record(client, "comment", "3")["refers_to"])[(TABLE, "article_key")] == (0, [])


def test_keys_of_several_columns(belonging: Flask) -> None:
    client = belonging.test_client()
    line = record(client, "line", '["one", 7]')
    assert found(line["referred_to_by"]) == {("part", "article_key", "line"): (1, ["5"])}
    assert found(line["refers_to"]) == {(TABLE, "article_key"): (1, ["one"])}
    assert found(record(client, "part", "5")["refers_to"]) == {("line", "article_key", "line"): (1, ['["one", 7]'])}
    assert found(record(client, "line", '["one", 8]')["referred_to_by"]) == {("part", "article_key", "line"): (0, [])}


def test_a_deleted_record_refers_to_what_it_did(belonging: Flask) -> None:
    with belonging.app_context():
        for obj in (db.session.get_one(Comment, 2), db.session.get_one(Part, 5)):
            db.session.delete(obj)
        db.session.commit()
    client = belonging.test_client()
    assert found(record(client, "comment", "2", reads=1)["refers_to"])[(TABLE, "article_key")] == (1, ["one"])
    assert found(record(client, "part", "5")["refers_to"]) == {("line", "article_key", "line"): (1, ['["one", 7]'])}
    assert found(record(client, TABLE, "one")["referred_to_by"])[("comment", "article_key")] == (1, ["1"])


def test_changes_are_counted(belonging: Flask) -> None:
    with belonging.app_context():
        for number in range(105):
            with db.engine.begin() as connection:
                connection.execute(text("UPDATE comment SET title = :title WHERE id = 1"), {"title": str(number)})
    client = belonging.test_client()
    (comments,) = (each for each in record(client, TABLE, "one")["referred_to_by"] if each["table"] == "comment")
    counts = {each["row_key"]: (each["changes"], each["are_changes_counted"]) for each in comments["rows"]}
    assert counts == {"1": (100, False), "2": (1, True)}
    shown = body(client, "record", table=TABLE, key="one")
    assert "more than 100 changes" in shown
    # They stand on the first page only.
    later = record(client, "comment", "1", after=record(client, "comment", "1")["after"])
    assert (later["refers_to"], later["referred_to_by"]) == ([], [])


def test_a_record_that_has_another_key_now(belonging: Flask) -> None:
    with belonging.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE comment SET id = 20 WHERE id = 2"))
    assert found(record(belonging.test_client(), "comment", "2")["refers_to"])[("comment", "parent_id")] == (1, ["1"])


def test_many_rows_are_counted_to_a_limit_along_an_index(belonging: Flask) -> None:
    with belonging.app_context():
        with db.engine.begin() as connection:
            many = "INSERT INTO {} (id, article_key) SELECT n, 'one' FROM generate_series(100, :size) AS n"
            for table in ("comment", "vote"):
                connection.execute(text(many.format(table)), {"size": MANY})
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    address = "/audit/record?table=odd+%22name%22/%C3%A4&key=one"
    shown = belonging.test_client().get(address).text
    assert "more than 100 comments" in shown
    assert "and others" in shown
    nodes = [node for plan in explained(belonging, address) for node in within(plan)]
    reads = [node for node in nodes if node.get("Relation Name") in ("comment", "vote", "line")]
    assert "ix_comment_article_key" in {node.get("Index Name") for node in nodes}
    assert {node["Node Type"] for node in reads} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    assert "vote" not in {node["Relation Name"] for node in reads}
    assert sum(map(looked_at, reads)) < 500
    trail = [node for node in nodes if node.get("Relation Name", "").startswith("activity_p")]
    assert sum(map(looked_at, trail)) < 500
    assert any(str(node.get("Index Name")).endswith("table_name_row_key_id_idx") for node in nodes)


def test_a_table_that_may_not_be_read_is_left_out(belonging: Flask) -> None:
    with role_without(belonging, "line"):
        tables = found(record(belonging.test_client(), TABLE, "one")["referred_to_by"])
    assert {name for name, *_ in tables} == {"comment", "vote"}


def test_a_table_that_is_not_there_is_left_out_and_a_partial_index_finds_nothing(belonging: Flask) -> None:
    with belonging.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE vote"))
        connection.execute(text("DROP INDEX ix_comment_article_key"))
        connection.execute(text("CREATE INDEX partly ON comment (article_key) WHERE id > 5"))
    tables = found(record(belonging.test_client(), TABLE, "one")["referred_to_by"])
    assert set(tables) == {("comment", "article_key"), ("line", "article_key")}
    assert tables[("comment", "article_key")] == (None, [])


def test_no_more_foreign_keys_are_followed_than_there_is_time_for(
    belonging: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_audit_logger._page.belonging.FOLLOWED", 1)
    assert len(record(belonging.test_client(), TABLE, "one")["referred_to_by"]) == 1


def test_foreign_keys_to_elsewhere_are_not_followed() -> None:
    here, elsewhere = MetaData(), MetaData()
    other = Table("other", elsewhere, Column("id", Integer, primary_key=True), info=INFO)
    own = Table("own", here, Column("id", Integer, primary_key=True), info=INFO)
    Table("unknown", here, Column("id", ForeignKey("nowhere.id"), primary_key=True), info=INFO)
    Table("unknown_column", here, Column("id", ForeignKey("own.nothing"), primary_key=True), info=INFO)
    Table("keyless", here, Column("id", ForeignKey("own.id")), info=INFO)
    Table("plain", here, Column("id", ForeignKey("own.id"), primary_key=True))
    away = Table("away", here, Column("id", ForeignKey(other.c.id), primary_key=True), info=INFO)
    child = Table("child", here, Column("id", ForeignKey("own.id"), primary_key=True), info=INFO)
    assert [(each.table, is_own) for each, is_own in foreign_keys(here, own)] == [(child, False)]
    assert [(each.table, is_own) for each, is_own in foreign_keys(here, child)] == [(child, True)]
    assert list(foreign_keys(here, away)) == []


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (("a",), "a"),
        ((5,), "5"),
        ((True,), "true"),
        (("a", 5), '["a", 5]'),
        ((b"\x01\xff",), "\\x01ff"),
        ((Decimal("1.10"),), "1.10"),
        ((uuid.UUID(int=1),), "00000000-0000-0000-0000-000000000001"),
        ((dt.date(2026, 1, 2),), "2026-01-02"),
        ((dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))),), "2026-01-02T01:00:00+00:00"),
    ],
)
def test_a_key_is_written_as_in_the_trail(values: tuple[Any, ...], written: str) -> None:
    assert key_text(values) == written


def test_a_key_with_any_characters(app: Flask, client: FlaskClient) -> None:
    key = 'a/b%2F ü"<b>'
    with app.app_context():
        db.session.add(Comment(id=1, article_key=key))
        db.session.add(Article(key="unused"))
        db.session.commit()
    assert found(record(client, TABLE, key)["referred_to_by"])[("comment", "article_key")] == (1, ["1"])
    assert found(record(client, "comment", "1")["refers_to"])[(TABLE, "article_key")] == (1, [key])
