"""Rows that a transaction added or deleted one after the other stand in one table."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_audit_logger._page import presentation, rows
from sqlalchemy import delete, func, update

from tests.page.app import Article, Comment, Vote, db
from tests.page.test_page import body

LONG = "long " * 30


def tables_of(shown: str) -> list[list[list[str]]]:
    """Return the tables of a page, line by line, as texts."""
    return [
        [[plain(cell) for cell in re.findall(r"<t[hd]\b.*?</t[hd]>", line, re.DOTALL)] for line in lines]
        for lines in (
            re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
            for table in re.findall(r"<table.*?</table>", shown, re.DOTALL)
        )
    ]


def plain(html: str) -> str:
    spoken = re.sub(r'<span class="(?:spoken|narrow)">.*?</span>', "", html, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", "", spoken).strip()


@pytest.fixture
def many(app: Flask) -> Flask:
    """Transaction 4 adds comments of article one, the third with more to say; 5 deletes them."""
    with app.app_context():
        extras: list[Any] = [None, 1, {"a": LONG}, None]
        for number, extra in enumerate(extras, 1):
            db.session.add(Comment(id=number, article_key="one", title=f"No. {number}", extra=extra))
        db.session.commit()
        db.session.execute(delete(Comment))
        db.session.commit()
    return app


@pytest.mark.parametrize(("number", "verb"), [(4, "added"), (5, "deleted")])
@pytest.mark.parametrize("view", ["transaction/{}", "?transaction={}"])
def test_equal_rows_are_lines_of_a_table(many: Flask, client: FlaskClient, view: str, number: int, verb: str) -> None:
    shown = client.get(f"/audit/{view.format(number)}").text
    assert f">{verb} comments</" in shown
    common, beside = tables_of(shown)
    (column, article), *others = common[1:]
    assert column == "article_key"
    assert re.fullmatch(r"The quick red fox .* \(one\)", article)
    assert others == [["parent_id", "null"]]
    assert [line[:3] for line in beside[:3]] == [
        ["Record", "title", "extra"],
        ["1, No. 1", "No. 1", "null"],
        ["2, No. 2", "No. 2", "1"],
    ]
    # Nothing of it is lost.
    assert LONG.strip() in beside[3][2]
    assert "<details><summary>" in shown
    assert shown.count('href="/audit/record?table=comment&amp;key=3"') == 1
    assert shown.count('href="/audit/record?table=odd+%22name%22/%C3%A4&amp;key=one"') == 1


def test_columns_that_have_no_room_stand_behind(
    many: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_COLUMNS", 1)
    _, beside = tables_of(body(client, "transaction/4"))
    assert beside[0] == ["Record", "title", "Others"]
    assert beside[2] == ["2, No. 2", "No. 2", "1 moreextra1"]


def test_rows_that_differ_in_their_keys_only_are_named_in_a_row(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add_all(Comment(id=number, article_key="one", title="same") for number in range(1, 4))
        db.session.commit()
    shown = body(client, "transaction/4")
    (common,) = tables_of(shown)
    assert ["title", "same"] in common
    (named,) = re.findall(r'(?s)<ul class="keys">.*?</ul>', shown)
    assert re.findall(r'href="([^"]*)">([^<]*)<', named) == [
        (f"/audit/record?table=comment&amp;key={number}", f"{number}, same") for number in range(1, 4)
    ]


def test_what_is_hidden_and_what_differs_in_kind(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add_all(Article(key=f"k{number}", secret="hunter3") for number in range(3))
        db.session.add_all([Vote(id=1), Vote(id=2)])
        db.session.commit()
    shown = body(client, "transaction/4")
    assert "hunter3" not in shown
    tables = tables_of(shown)
    assert ["secret", "***"] in tables[0]
    assert re.findall(r">(k\d)</a>", shown) == ["k0", "k1", "k2"]
    # Two votes are not worth a table.
    assert [each[1] for each in tables[1:]] == [["id", "1"], ["id", "2"]]


def test_equal_updates_are_lines_of_a_table(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add_all(Comment(id=number, title=f"No. {number}") for number in range(1, 4))
        db.session.commit()
        renamed = {"title": func.concat(Comment.title, "!"), "article_key": "one"}
        db.session.execute(update(Comment).values(renamed))
        db.session.commit()
    shown = body(client, "transaction/5")
    assert ">changed article_key and title of comments</h2>" in shown
    common, beside = tables_of(shown)
    assert [line[0] for line in common[1:]] == ["article_key"]
    assert beside == [
        ["Record", "title"],
        ["1, No. 1!", "No. 1 → No. 1!"],
        ["2, No. 2!", "No. 2 → No. 2!"],
        ["3, No. 3!", "No. 3 → No. 3!"],
    ]
    assert '<del><span class="spoken">old: </span>No. 2</del>' in shown


def test_updates_that_need_room_stand_one_below_the_other(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        comments = [Comment(id=number, title="a", extra={"a": 1}) for number in range(1, 4)]
        db.session.add_all(comments)
        db.session.commit()
        for number, comment in enumerate(comments):
            # One by word, at two places, and another column.
            comment.title = LONG + str(number)
        db.session.commit()
        for comment in comments[:2]:
            comment.extra = {"a": 2, "b": 3}
        comments[2].title = "b"
        db.session.commit()
    counted: list[Any] = []
    compare = presentation.differences
    monkeypatch.setattr(presentation, "differences", lambda *given: counted.append(given) or compare(*given))
    assert len(tables_of(body(client, "transaction/5"))) == 3
    # Each takes steps of those that there are for the page.
    assert len(counted) == 3
    assert len(tables_of(body(client, "transaction/6"))) == 3
