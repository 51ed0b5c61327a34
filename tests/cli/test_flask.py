"""``flask audit``: the commands of ``audit-log``, on the databases of the app."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session

from tests.cli import flask_shop
from tests.cli.conftest import program
from tests.contract.project import CommandError, Project

Run = Callable[..., str]


@pytest.fixture(scope="module")
def flask_environment(
    module_database: URL, new_database: Callable[..., AbstractContextManager[URL]]
) -> Iterator[dict[str, str]]:
    """Both databases of the Flask app, each with a change, and the variables that name them."""
    with new_database() as reports:
        for url, log, row in (
            (module_database, flask_shop.audit_logger, flask_shop.Article(id=1, title="Hello")),
            (reports, flask_shop.reports_logger, flask_shop.Report(id=1, title="Profit")),
        ):
            engine = create_engine(url)
            with engine.begin() as connection:
                log.metadata.create_all(connection)
                log.install(connection)
            with Session(engine) as session:
                session.add(row)
                session.flush()
                row.title = "Changed"
                session.commit()
            engine.dispose()
        yield {
            "DATABASE_URL": module_database.render_as_string(hide_password=False),
            "REPORTS_URL": reports.render_as_string(hide_password=False),
        }


@pytest.fixture(scope="module")
def flask(flask_environment: dict[str, str], module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command as a process of its own, and return what it prints; a CommandError if its exit code is not 0."""
    project = Project(tmp_path_factory.mktemp("project"), module_database)
    project.environment.update(flask_environment)
    return lambda *arguments: project.run("flask", "--app", "tests.cli.flask_shop", "audit", *arguments)


def test_flask_audit_runs_every_command(flask: Run) -> None:
    assert "Hello → Changed" in (flask("history", "articles", "1"))
    activities = [json.loads(line) for line in (flask("log", "--json")).splitlines()]
    assert [each["verb"] for each in activities] == ["update", "insert"]
    assert "Hello → Changed" in (flask("show", "1"))
    assert "Changed" in (flask("as-of", "articles", "1", activities[0]["issued_at"]))
    assert "articles" in (flask("stats"))
    assert "delete  articles" in (flask("undo", "1", "--dry-run"))
    assert len((flask("export", "--format", "csv")).splitlines()) == 3
    streamed = flask("stream", "c", "--once", "--start", "beginning").splitlines()
    assert [json.loads(line)["verb"] for line in streamed] == ["insert", "update"]
    assert (flask("check")) == "Everything is recorded as it should be.\n"
    assert json.loads(flask("check", "--json")) == {"problems": []}


def test_flask_audit_undo_records_actor_reason_and_command(flask: Run, flask_environment: dict[str, str]) -> None:
    engine = create_engine(flask_environment["DATABASE_URL"])
    with Session(engine) as session:
        session.add(flask_shop.Article(id=2, title="x"))
        session.commit()
        (activity,) = session.scalars(flask_shop.audit_logger.history(flask_shop.Article, 2))
        number = str(activity.transaction_id)
    engine.dispose()
    done = json.loads(flask("undo", number, "--yes", "--actor", "7", "--reason", "by mistake", "--json"))
    shown = json.loads(flask("show", str(done["undone_by"]), "--json"))
    assert shown["actor_id"] == 7
    assert shown["meta"] == {"undoes": int(number), "reason": "by mistake", "command": "audit undo"}
    assert [each["verb"] for each in shown["activities"]] == ["delete"]


def test_the_bind_says_which_trail_is_meant(flask: Run) -> None:
    assert "Profit → Changed" in (flask("--bind", "reports", "history", "reports", "1"))
    for bind in ("plain", "nix"):
        with pytest.raises(CommandError, match=f"Error: There is no bind '{bind}' with a trail; those with one are"):
            flask("--bind", bind, "log")


def test_flask_audit_says_what_is_missing(flask: Run, flask_environment: dict[str, str]) -> None:
    done = program("flask", "--app", "tests.cli.flask_shop:without_database", "audit", "log", **flask_environment)
    assert (done.returncode, done.stderr) == (
        2,
        "Error: The app 'bare' has no Flask-SQLAlchemy: call db.init_app(app).\n",
    )
    done = program("flask", "--app", "tests.cli.flask_shop", "audit", "history", "nix", "1", **flask_environment)
    assert (done.returncode, done.stderr) == (
        2,
        "Error: No table 'nix' is audited; the audited tables are 'articles'.\n",
    )
    with pytest.raises(CommandError, match="Error: 'x' is not a primary key of an actor"):
        flask("log", "--actor", "x")
