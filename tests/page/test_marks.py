"""What an entry of the log did is told at a glance."""

from __future__ import annotations

import re

from audit_core.reading.activities import VERBS
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, text

from tests.page.app import Article, Comment, audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.page.test_page import TABLE, body

MARK = re.compile(r'<svg class="mark (\w+)" viewBox="0 0 16 16" aria-hidden="true"><path d="([^"]+)"></path></svg>')


def test_each_verb_has_an_outline_of_its_own(app: Flask) -> None:
    with app.test_request_context():
        module = app.jinja_env.get_template("audit_logger/parts.html").make_module()
        found = [MARK.fullmatch(str(module.mark(verb))) for verb in VERBS]  # type: ignore[attr-defined]
    marks = [each.groups() for each in found if each is not None]
    assert [verb for verb, _ in marks] == list(VERBS)
    assert len({outline for _, outline in marks}) == len(VERBS)


def test_an_entry_has_the_marks_of_its_verbs(database: URL) -> None:
    app = create_app(database, log_reads=True)
    fill(app)
    quoted = TABLE.replace('"', '""')
    with app.app_context():
        with db.engine.begin() as connection:
            audit_logger.record_event(connection, "exported")
        with db.engine.begin() as connection, audit_logger.disable(connection):
            connection.execute(text(f"""INSERT INTO "{quoted}" (key) VALUES ('unseen')"""))
        db.session.delete(db.session.get_one(Article, "one"))
        db.session.add(Comment(id=1))
        db.session.commit()
        with db.engine.begin() as connection:
            connection.execute(text("TRUNCATE comment"))
    assert marks(app.test_client(), reads="1") == [
        ["read"],
        ["truncate"],
        ["delete", "insert"],
        ["bypass"],
        ["event"],
        ["insert"],
        ["update"],
        ["insert"],
    ]
    dispose(app)


def test_a_record_and_a_transaction_have_none(client: FlaskClient) -> None:
    assert marks(client) == [["insert"], ["update"], ["insert"]]
    assert MARK.search(body(client, "transaction/1")) is None


def marks(client: FlaskClient, **asked: str) -> list[list[str]]:
    """Return the verbs that the entries of the log are marked with."""
    entries = body(client, "", **asked).split('<li class="entry">')[1:]
    return [[verb for verb, _ in MARK.findall(each)] for each in entries]
