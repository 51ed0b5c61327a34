"""What the page calls actors, records and tables, and what templates of the application can show."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import ConfigurationError, HistoryError, audit_context
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from markupsafe import escape
from sqlalchemy import URL, event, text
from sqlalchemy.orm import object_session

from tests.page.app import Article, User, audit_logger, create_app, db
from tests.page.conftest import HOSTILE, OLD, dispose, fill
from tests.page.test_json import asked
from tests.page.test_page import TABLE, body


def test_an_entry_says_who_did_what_and_why(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), audit_context(actor_id=1, reason="the price was wrong", request_id="req-9"):
        db.session.get_one(Article, "one").price = 13
        db.session.commit()
    what = client.get("/audit/log.json").json["entries"][0]["what"]  # type: ignore[index]
    assert what.startswith("changed price of article one, The quick red fox")
    assert what.endswith(": 12345678901234567890.10 → 13")
    shown = body(client, "")
    assert '<p class="reason">the price was wrong</p>' in shown
    assert 'href="/audit/?request_id=req-9&amp;since=' in shown
    assert ">just now</time>" in shown


def test_the_names_take_one_query_for_each_table(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for number in range(20):
            with audit_context(actor_id=1):
                db.session.add(Article(key=f"k{number}", title=f"Title {number}"))
                db.session.commit()
        engine = db.engine
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, cursor, statement, *_: said.append(statement))
    shown = body(client, "")
    assert "article k19, Title 19" in shown
    named = [each for each in said if " IN (" not in each and "activity" not in each and "FROM" in each]
    assert len([each for each in named if "odd" in each]) == 1
    # One for the names of the page, and one for those that the field offers.
    assert len([each for each in named if '"user"' in each]) <= 3


def test_a_deleted_record_keeps_the_name_that_the_trail_knows(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add(Article(key="gone", title="A name of then"))
        db.session.commit()
        db.session.delete(db.session.get_one(Article, "gone"))
        db.session.commit()
    shown = body(client, "")
    assert "deleted <a" in shown
    assert shown.count("article gone, A name of then") >= 2


def test_the_functions_of_the_application_name_things(database: URL) -> None:
    app = create_app(
        database,
        actor_name=lambda user: user.name.upper(),
        record_name=lambda obj: f"«{obj.key}»" if isinstance(obj, Article) else None,
        table_name=lambda name: "Artikel" if name == TABLE else None,
    )
    fill(app)
    shown = body(app.test_client(), "")
    assert ">ANN</a>" in shown
    assert "Artikel one, «one»" in shown
    assert app.test_client().get("/audit/transaction/1").text.count("ANN (1)") == 1
    dispose(app)


def test_a_table_has_a_name_for_one_row_and_one_for_several(database: URL) -> None:
    app = create_app(database, table_name=lambda name: ("entry", "entries") if name == TABLE else None)
    fill(app)
    with app.app_context():
        db.session.add_all([Article(key="a"), Article(key="b")])
        db.session.commit()
    client = app.test_client()
    said = [each["what"] for each in asked(client, "")["entries"]]
    assert said[0] == "added 2 entries"
    assert said[-1].startswith("added entry one")
    shown = body(client, "", table=TABLE)
    assert f">entries ({escape(TABLE)})</option>" in shown
    assert f"table: entries ({escape(TABLE)}) <" in shown
    assert ">comment</option>" in shown
    dispose(app)


def test_a_name_that_fails_leaves_the_key(database: URL) -> None:
    app = create_app(database, record_name=lambda obj: obj.nothing, actor_name=lambda user: None)
    fill(app)
    client = app.test_client()
    assert "article one" in body(client, "")
    assert '<a class="who" href="/audit/actor?id=1">1</a>' in body(client, "")
    dispose(app)


@pytest.mark.parametrize("name", ["actor_name", "record_name", "table_name"])
def test_a_name_is_a_function(app: Flask, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is 'x'"):
        audit_logger.init_page(Flask("other"), access=lambda: True, **{name: "x"})  # type: ignore[arg-type]


def test_a_masked_column_names_nothing(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Article.__table__.info, "versioned", {"mask": ["secret", "title"]})
    assert OLD[:20] not in body(client, "transaction/3")
    assert "onerror" not in body(client, "record", table=TABLE, key="one").partition("<ol")[0]
    assert "article one</a>" in body(client, "")


def test_an_actor_is_found_by_name(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.add_all([User(id=2, name="Hannah"), User(id=3, name="Zoe")])
        db.session.commit()
    which = body(client, "", actor="nn")
    assert "Which nn?" in which
    assert 'href="/audit/?actor=2"' in which
    found = client.get("/audit/log.json?actor=hannah").json
    assert found is not None
    assert [each["transaction_id"] for each in found["entries"]] == [2]
    assert 'value="3">Zoe</option>' in body(client, "")


def test_who_is_nobody_is_named_by_the_server(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("SET LOCAL application_name = 'nepal.py'"))
        connection.execute(text(f"""DELETE FROM "{TABLE.replace('"', '""')}" WHERE key = 'one'"""))
        user = connection.scalar(text("SELECT session_user"))
    assert f"{user} from nepal.py" in body(client, "")


def test_the_text_of_values_reasons_and_keys_is_searched(client: FlaskClient) -> None:
    def found(wanted: str) -> list[int]:
        page: Any = client.get("/audit/log.json", query_string={"text": wanted}).json
        return [each["transaction_id"] for each in page["entries"]]

    assert found("SHADE") == [2]
    assert found("lazy dog") == [2, 1]
    assert found("req-1") == [1]
    assert found("hunter2") == []


def test_presets_and_filters_are_links(client: FlaskClient) -> None:
    shown = body(client, "", actor="1", verb="insert")
    assert 'href="/audit/?verb=insert">actor: Ann' in shown
    assert 'href="/audit/?actor=1">verb: insert' in shown
    assert "Last 7 days</a>" in shown


def test_a_template_of_the_application_shows_a_history(app: Flask) -> None:
    with app.test_request_context():
        article = db.session.get_one(Article, "one")
        template = "{% for each in history_of(obj) %}{{ each.who }} {{ each.what }};{% endfor %}"
        lines = render_template_string(template, obj=article)
        assert lines.startswith("2 changed title, details and price of article one")
        assert "Ann added article one" in lines
        shown = render_template_string("{{ render_history(obj) }}", obj=article)
        assert '<ol class="audit-history">' in shown
        assert 'href="/audit/transaction/1"' in shown
        app.config["MAY"]["read"] = False
        assert "/audit/" not in render_template_string("{{ render_history(obj) }}", obj=article)
        article.title = HOSTILE
        db.session.commit()
        assert "<img" not in render_template_string("{{ render_history(obj) }}", obj=article)
        assert render_template_string("{{ history_of(obj, 1) | length }}", obj=article) == "1"
        with pytest.raises(HistoryError, match="not an object of a mapped class"):
            render_template_string("{{ history_of('x') }}")


def asks_for_what_is_not_there(obj: Any) -> None:
    object_session(obj).execute(text("SELECT * FROM gone"))  # type: ignore[union-attr]


@pytest.mark.parametrize("which", ["record_name", "actor_name"])
def test_a_name_that_the_database_refuses_costs_only_the_name(database: URL, which: str) -> None:
    app = create_app(database, **{which: asks_for_what_is_not_there})
    fill(app)
    shown = body(app.test_client(), "")
    assert "article one" in shown
    assert (">Ann</a>" in shown) is (which == "record_name")
    dispose(app)


@pytest.mark.parametrize("view", ["", "log.json", "export.csv", "export.jsonl"])
def test_a_name_breaks_no_page_and_turns_nothing_around(database: URL, view: str) -> None:
    app = create_app(database, actor_name=lambda user: "nn\u202e\ud800")
    fill(app)
    response = app.test_client().get(f"/audit/{view}")
    assert (response.status_code, "nn\ufffd\ufffd" in response.text) == (200, True)
    dispose(app)


def test_filters_are_folded_where_there_is_something_to_see(client: FlaskClient) -> None:
    assert '<details class="filtering">' in body(client, "", actor="1")
    assert '<details class="filtering" open>' in body(client, "", verb="truncate")
    assert '<details class="filtering" open>' in body(client, "", 400, since="yesterday")
