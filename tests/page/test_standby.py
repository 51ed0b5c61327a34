"""A hot standby, which writes nothing, is read like the server that it follows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core.cli.standalone import audit_log as audit_log_command
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import make_url, select, text
from sqlalchemy.orm import Session

from dev.postgres import throwaway_server
from tests.conftest import VERSION
from tests.page.app import Article, audit_logger, create_app, db
from tests.page.conftest import OLD, dispose, fill
from tests.page.test_page import rehearsal
from tests.replication import wait_for

TABLE = Article.__tablename__
Apps = tuple[Flask, Flask]


@pytest.fixture(scope="module")
def apps() -> Iterator[Apps]:
    """The application on a server, and on its standby."""
    with throwaway_server(VERSION, in_memory=True) as primary:
        first = create_app(make_url(primary.url).set(drivername="postgresql+psycopg"))
        fill(first)
        with first.app_context():
            audit_logger.seal(db.engine)
        with throwaway_server(VERSION, in_memory=True, standby_of=primary.url) as standby:
            second = create_app(make_url(standby.url).set(drivername="postgresql+psycopg"))
            with second.app_context():
                wait_for(lambda: db.session.scalar(text("SELECT pg_is_in_recovery()")) is True)
                db.session.remove()
            yield first, second
            dispose(second)
        dispose(first)


def answers(app: Flask) -> dict[str, Any]:
    """What is asked in Python."""
    with app.app_context(), db.engine.connect() as connection:
        continuity = [str(each) for each in audit_logger.verify(connection)]
    with app.app_context(), Session(db.engine) as session:
        activity = audit_logger.activity_cls
        times = sorted(session.scalars(select(activity.issued_at)))
        before = times[0] - dt.timedelta(microseconds=1)
        difference = audit_logger.diff(session, Article, "one", times[0], times[-1])
        return {
            "verify": continuity,
            "history": [each.id for each in session.scalars(audit_logger.history(Article, "one"))],
            "as_of": [
                sorted(row.key for row in session.execute(select(audit_logger.as_of(Article, each).c.key)))
                for each in (times[0], times[-1])
            ],
            "get_as_of": audit_logger.get_as_of(session, Article, "one", times[0]).title,
            "before": audit_logger.get_as_of(session, Article, "one", before),
            "diff": str(difference),
            "seals": [str(each) for each in audit_logger.verify_seals(session)],
            "proof": audit_logger.prove(session, 1),
            "check": [str(each) for each in audit_logger.check(session)],
            "subject": [(role, each.id) for role, each in audit_logger.subject(session, Article, "one")],
        }


def test_the_api_answers_the_same(apps: Apps) -> None:
    first, second = map(answers, apps)
    assert first == second
    assert first["history"]


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        url = db.engine.url.render_as_string(hide_password=False)
    given = ["--url", url, "--metadata", "tests.page.app:db.metadata"]
    return CliRunner().invoke(audit_log_command, [*given, *arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ("log", "--json"),
        ("log", "--by-transaction"),
        ("show", "1"),
        ("history", TABLE, "one"),
        ("who", TABLE, "one"),
        ("as-of", TABLE, "one", "1s"),
        ("export", "--format", "jsonl"),
        ("stats",),
        ("verify", "--all"),
        ("check",),
        ("partitions",),
        ("coverage",),
        ("hold", "list"),
    ],
)
def test_commands_answer_the_same(apps: Apps, arguments: tuple[str, ...]) -> None:
    first, second = (run(app, *arguments) for app in apps)
    assert (second.exit_code, second.output) == (first.exit_code, first.output)
    assert first.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("seal",),
        ("undo", "2", "--dry-run"),
        ("undo", "2", "--yes"),
        ("partitions", "--split", "--at-once"),
        ("hold", "add", "--table", TABLE, "--reason", "case 1"),
        ("erase", TABLE, "one", "--columns", "title", "--reason", "request 1", "--yes"),
    ],
)
def test_a_command_that_writes_says_that_it_cannot(apps: Apps, arguments: tuple[str, ...]) -> None:
    result = run(apps[1], *arguments)
    assert result.exit_code in (1, 2)
    assert "read-only" in result.stderr or "recovery" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "view",
    [
        "/audit/",
        "/audit/log.json",
        "/audit/transaction/2",
        "/audit/transaction/2.json",
        f"/audit/record?table={TABLE}&key=one",
        f"/audit/record/compare?table={TABLE}&key=one&a=1&b=now",
    ],
)
def test_the_page_answers_the_same(apps: Apps, view: str) -> None:
    first, second = (app.test_client().get(view) for app in apps)
    assert second.status_code == first.status_code == 200
    if view.endswith(".json"):
        assert json.loads(second.text) == json.loads(first.text)


def test_what_has_to_write_says_that_it_cannot(apps: Apps) -> None:
    assert "The database is read-only here" in rehearsal(apps[1].test_client(), 2, status=503)


def test_a_page_that_records_what_is_read_shows_nothing_unrecorded(apps: Apps) -> None:
    with apps[1].app_context():
        url = db.engine.url
    app = create_app(url, log_reads=True)
    answer = app.test_client().get("/audit/transaction/2")
    dispose(app)
    assert (answer.status_code, "The database is read-only here" in answer.text) == (503, True)
    assert OLD not in answer.text
