"""What a foreign key refers to is called by its name."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_audit_logger._page import naming
from flask_audit_logger._page.naming import Names, Naming
from flask_audit_logger._page.referring import Named
from sqlalchemy import URL, Column, Integer, MetaData, Table, delete, event, text, update

from tests.page.app import Article, Topic, User, Vote, audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.page.test_json import asked
from tests.page.test_page import TABLE, body

ACTOR = '<a href="/audit/actor?id={key}">{text}</a>'
ONE = '<a href="/audit/record?table=odd+%22name%22/%C3%A4&amp;key={key}">{text}</a>'


@pytest.fixture
def app(app: Flask) -> Flask:
    """A vote of Ann, without a topic, for article a."""
    with app.app_context():
        db.session.add_all([User(id=2, name="Ben"), User(id=3, name="Ann"), Topic(id=7, title="Trees")])
        db.session.add_all([Article(key="a", title="Apples"), Article(key="b", title="Pears")])
        db.session.commit()
        db.session.add(Vote(id=1, article_key="a", voter_id=1))
        db.session.commit()
    return app


def change(app: Flask, **values: Any) -> None:
    with app.app_context():
        db.session.execute(update(Vote).where(Vote.id == 1).values(**values))
        db.session.commit()


def what(client: FlaskClient) -> str:
    said: str = asked(client, "")["entries"][0]["what"]
    return said


def test_a_sentence_says_the_names(app: Flask, client: FlaskClient) -> None:
    change(app, voter_id=2)
    assert what(client) == "changed voter of vote 1: Ann → Ben"
    change(app, article_key="b")
    assert what(client) == "changed article_key of vote 1: Apples → Pears"
    change(app, topic_id=7)
    assert what(client) == "changed topic of vote 1: nothing → Trees"


def test_two_of_the_same_name_are_told_apart(app: Flask, client: FlaskClient) -> None:
    change(app, voter_id=3)
    assert what(client) == "changed voter of vote 1: Ann (1) → Ann (3)"


def test_the_values_have_names_and_lead_to_records(app: Flask, client: FlaskClient) -> None:
    change(app, voter_id=2, article_key="b", topic_id=7)
    before, after = ONE.format(key="a", text="Apples (a)"), ONE.format(key="b", text="Pears (b)")
    for view in ("", "transaction/6", "record?table=vote&key=1"):
        shown = client.get(f"/audit/{view}").text
        assert f"old: </span>{before}</del>" in shown
        assert f"new: </span>{after}</ins>" in shown
        # Their table is not audited, and they have pages as actors.
        assert f"old: </span>{ACTOR.format(key='1', text='Ann (1)')}</del>" in shown
        assert f"new: </span>{ACTOR.format(key='2', text='Ben (2)')}</ins>" in shown
        # No page shows this one.
        assert "new: </span>Trees (7)</ins>" in shown
    newest, oldest = asked(client, "record", table="vote", key="1")["activities"]
    assert oldest["names"] == {"article_key": {"a": "Apples"}, "voter_id": {"1": "Ann"}}
    assert newest["names"]["voter_id"] == {"1": "Ann", "2": "Ben"}
    assert newest["changed_data"] == {"voter_id": 2, "article_key": "b", "topic_id": 7}
    compared = body(client, "record/compare", table="vote", key="1", a=str(oldest["id"]), b="now")
    assert f"<del>{before}</del>" in compared
    assert f"<ins>{after}</ins>" in compared
    then = body(client, "record/as-of", table="vote", key="1", when=oldest["issued_at"])
    assert f'<td class="value">{before}</td>' in then
    assert f'<td class="value">{ACTOR.format(key="1", text="Ann (1)")}</td>' in then


def test_what_is_gone_keeps_its_name(app: Flask, client: FlaskClient) -> None:
    change(app, article_key="b")
    with app.app_context():
        db.session.execute(delete(Article).where(Article.key == "a"))
        db.session.commit()
    assert "changed article_key of vote 1: Apples → Pears" in [each["what"] for each in asked(client, "")["entries"]]


def test_the_names_that_the_application_gives(database: URL) -> None:
    app = create_app(
        database, actor_name=lambda user: f"@{user.name}", record_name=lambda obj: getattr(obj, "title", "?")[:3]
    )
    fill(app)
    with app.app_context():
        db.session.add(Topic(id=7, title="Trees"))
        db.session.commit()
        db.session.add(Vote(id=1, voter_id=1, topic_id=7))
        db.session.commit()
    shown = body(app.test_client(), "")
    assert ">@Ann (1)</a></ins>" in shown
    assert "new: </span>Tre (7)</ins>" in shown
    dispose(app)


def test_a_table_that_cannot_be_read_leaves_the_key(app: Flask, client: FlaskClient) -> None:
    change(app, topic_id=7)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE topic CASCADE"))
    assert what(client) == "changed topic_id of vote 1: nothing → 7"
    assert "new: </span>7</ins>" in body(client, "")


def test_a_table_that_is_gone_leaves_the_names_that_the_trail_knows(app: Flask, client: FlaskClient) -> None:
    change(app, article_key="b")
    with app.app_context(), db.engine.begin() as connection:
        quoted = TABLE.replace('"', '""')
        connection.execute(text(f'DROP TABLE "{quoted}" CASCADE'))
    assert what(client) == "changed article_key of vote 1: Apples → Pears"
    assert "article a, Apples" in body(client, "", table=TABLE, verb="insert", transaction="4")


def test_a_value_that_is_hidden_has_no_name(app: Flask, client: FlaskClient) -> None:
    change(app, voter_id=2)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("SET LOCAL audit_logger.maintenance = 'on'"))
        connection.execute(text("UPDATE activity SET masked = '{voter_id}' WHERE table_name = 'vote'"))
    assert what(client) == "changed voter_id of vote 1: 1 → 2"
    assert "Ben" not in body(client, "transaction/6")


def test_the_names_take_one_query_for_each_table(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for number in range(20):
            db.session.add_all([User(id=100 + number, name=f"N{number}"), Topic(id=100 + number, title=f"P{number}")])
            db.session.add(Article(key=f"k{number}", title=f"T{number}"))
        db.session.commit()
        for number in range(20):
            own = {"article_key": f"k{number}", "voter_id": 100 + number, "topic_id": 100 + number}
            db.session.add(Vote(id=100 + number, **own))
            db.session.commit()
        engine = db.engine
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, cursor, statement, *_: said.append(statement))
    shown = body(client, "")
    assert all(f"{name}19 (" in shown for name in ("N", "T", "P"))
    named = [each for each in said if "activity" not in each and "FROM" in each]
    assert len([each for each in named if TABLE.replace('"', '""') in each]) == 1
    assert len([each for each in named if "topic" in each]) == 1
    # One for the names of the page, one for who is signed in, one for those that the field offers.
    assert len([each for each in named if '"user"' in each]) <= 3


def test_a_value_that_no_key_can_be_costs_the_others_no_name(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        for column in ("topic_id", "voter_id"):
            connection.execute(text(f"ALTER TABLE vote DROP CONSTRAINT vote_{column}_fkey"))
            connection.execute(text(f"ALTER TABLE vote ALTER {column} TYPE numeric"))
        connection.execute(text("INSERT INTO vote (id, voter_id, topic_id) VALUES (2, 99999999999, 99999999999)"))
        connection.execute(text("INSERT INTO vote (id, voter_id, topic_id) VALUES (3, 2, 7)"))
    shown = body(client, "")
    assert shown.count(">99999999999</") == 2
    assert ">Ben (2)</a></ins>" in shown
    assert "new: </span>Trees (7)</ins>" in shown


def test_a_column_is_called_as_in_the_sentence(app: Flask, client: FlaskClient) -> None:
    change(app, voter_id=2, article_key="b", topic_id=7)
    assert what(client) == "changed article_key, voter and topic of vote 1"
    oldest = asked(client, "record", table="vote", key="1")["activities"][-1]
    heading = '<th scope="row" title="voter_id">voter</th>'
    for view in ("", "transaction/6", "record?table=vote&key=1"):
        assert client.get(f"/audit/{view}").text.count(heading) >= 1
    assert ">changed article_key, voter and topic of <a" in body(client, "transaction/6")
    assert heading in body(client, "record/compare", table="vote", key="1", a=str(oldest["id"]), b="now")
    then = body(client, "record/as-of", table="vote", key="1", when=oldest["issued_at"])
    assert heading in then
    # There was none.
    assert '<th scope="row">topic_<wbr>id</th>' in then


def test_a_column_keeps_its_name_where_that_is_shown_or_another_has_the_shorter_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names, ann = Names(audit_logger, Naming(), lambda: None), Named("Ann", "1", None, True)
    table = Table("own", MetaData(), Column("a_id", Integer), Column("b_id", Integer), Column("b", Integer))
    monkeypatch.setattr(naming, "table_of", lambda *_: table)
    assert names.column("public", "own", "a_id", [None, ann]) == "a"
    assert names.column("public", "own", "a_id", [None, Named(None, "1", None, True)]) == "a_id"
    assert names.column("public", "own", "b_id", [ann]) == "b_id"
