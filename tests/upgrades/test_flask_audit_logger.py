"""An application with flask-audit-logger 1.x or 2.x in production gets the version of today."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from sqlalchemy import URL, Engine, create_engine, inspect, text

from tests.contract.project import CommandError, Project

from .conftest import Old

HERE = Path(__file__).parent
NewDatabase: TypeAlias = Callable[..., AbstractContextManager[URL]]
BESIDE = ("alembic<1.18", "flask-migrate>=4.1", "flask-login", "psycopg[binary]", "sqlalchemy>=2,<2.1")


@pytest.fixture(params=["2.0.0", "1.0.6"])
def old(request: pytest.FixtureRequest, old_python: Callable[..., Path], tmp_path: Path, database: URL) -> Old:
    """The application with the trail of then, migrated, and used."""
    old = Old(old_python(f"flask-audit-logger=={request.param}", *BESIDE), tmp_path, database)
    old.environment["INFO_KEY"] = "versioned" if request.param.startswith("1") else "audit_logged"
    shutil.copy(HERE / "flask_app.py", tmp_path / "app.py")
    shutil.copy(HERE / "write.py", tmp_path)
    old.flask("db", "init")
    # The operations find the constraint and the extension that they need in this order only.
    old.flask("db", "migrate", "-m", "old trail")
    old.flask("db", "upgrade")
    old.run("write.py")
    return old


@pytest.fixture
def project(old: Old, database: URL) -> Project:
    """The same application with the packages of today."""
    project = Project(old.directory, database, "app")
    project.environment = dict(old.environment)
    return project


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = create_engine(database)
    yield engine
    engine.dispose()


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def write_with(old: Old) -> None:
    old.run("-c", "from app import *\nwith app.app_context():\n db.session.add(User(name='Eve'))\n db.session.commit()")


def test_upgrade(old: Old, project: Project, engine: Engine) -> None:
    recorded = rows(engine, "SELECT * FROM activity ORDER BY id")
    assert len(recorded) == 6
    for command in ("log", "check"):
        with pytest.raises(CommandError, match=r"has the trail of flask-audit-logger-[12] still. Write the migration"):
            project.flask("audit", command)
    printed = project.flask("db", "migrate", "-m", "new trail")
    migration = project.last_migration()
    source = "flask-audit-logger-1" if old.environment["INFO_KEY"] == "versioned" else "flask-audit-logger-2"
    into = "audit_1x" if source.endswith("1") else "audit_2x"
    assert f"Detected an audit trail of {source} in schema 'public'" in printed
    assert "drop_table" not in migration
    assert "drop_index" not in migration
    assert f"op.set_audit_trail_aside('{source}', schema='public', into='{into}'" in migration
    assert "('public', 'articles', ['views'])" in migration
    assert f"flask audit import --source {source} --schema {into}" in migration
    project.flask("db", "upgrade")
    assert rows(engine, f"SELECT * FROM {into}.activity ORDER BY id") == recorded
    assert "No changes in schema detected" in project.flask("db", "migrate")
    assert "flask audit" not in project.flask("audit", "check")

    printed = project.flask("audit", "import", "--source", source, "--schema", into)
    assert "Imported 6 changes in 4 transactions" in printed
    history = project.flask("audit", "history", "articles", "1", "--json")
    assert history.count('"verb": "update"') == 1
    assert history.count('"verb": "insert"') == 1
    assert history.count('"actor_id": 1') == 2
    assert "Hello" in project.flask("audit", "show", "--", "-2")

    project.flask("db", "downgrade")
    assert rows(engine, "SELECT * FROM public.activity ORDER BY id") == recorded
    assert into not in inspect(engine).get_schema_names()
    # The old version records again.
    write_with(old)
    assert len(rows(engine, "SELECT * FROM activity")) == 7
    project.flask("db", "upgrade")
    assert len(rows(engine, f"SELECT * FROM {into}.activity")) == 7


def test_the_migrations_of_then_run_from_scratch(old: Old, project: Project, new_database: NewDatabase) -> None:
    """A new database, such as that of a test run, goes through all migrations, and ends where the old one does."""
    project.flask("db", "migrate", "-m", "new trail")
    project.flask("db", "upgrade")
    with new_database() as url:
        fresh = Project(project.directory, url, "app")
        fresh.environment = {**project.environment, "DATABASE_URL": url.render_as_string(hide_password=False)}
        fresh.flask("db", "upgrade")
        assert "No changes in schema detected" in fresh.flask("db", "migrate")
        assert described(url) == described(project.url)
        fresh.run("write")
        assert fresh.flask("audit", "log", "--json").count('"table": "articles"') == 4
        fresh.flask("db", "downgrade", "base")
        engine = create_engine(url)
        assert inspect(engine).get_table_names() == ["alembic_version"]
        engine.dispose()


def described(url: URL) -> dict[str, list[str]]:
    """Return the columns of the tables of every schema, and the triggers."""
    engine = create_engine(url)
    found = inspect(engine)
    tables = {
        f"{schema}.{table}": [f"{each['name']} {each['type']}" for each in found.get_columns(table, schema)]
        for schema in found.get_schema_names()
        for table in found.get_table_names(schema)
        if schema != "information_schema"
    }
    tables["triggers"] = [
        str(row[0])
        for row in rows(engine, "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1")
    ]
    engine.dispose()
    return tables


def test_a_script_for_all_migrations(old: Old, project: Project, new_database: NewDatabase) -> None:
    project.flask("db", "migrate", "-m", "new trail")
    script = project.run("flask", "--app", "app", "db", "upgrade", "--sql", stderr=False)
    with new_database() as url:
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
            connection.execute(script.encode())
        assert "audit_logger_insert" in str(described(url)["triggers"])


def test_another_schema_leaves_the_old_one_where_it_is(old: Old, project: Project, engine: Engine) -> None:
    """The old version can go on running until the new one does: what it inserts for itself still is there."""
    project.environment["TRAIL_SCHEMA"] = "audit"
    printed = project.flask("db", "migrate", "-m", "new trail")
    migration = project.last_migration()
    assert "drop_table" not in migration
    assert "into=None" in migration
    project.flask("db", "upgrade")
    assert "No changes in schema detected" in project.flask("db", "migrate")
    assert len(rows(engine, "SELECT * FROM public.activity")) == 6
    write_with(old)
    assert len(rows(engine, "SELECT * FROM public.activity")) == 6
    assert len(rows(engine, "SELECT * FROM audit.activity WHERE verb = 'insert'")) == 1
    source = "flask-audit-logger-1" if old.environment["INFO_KEY"] == "versioned" else "flask-audit-logger-2"
    assert source in printed
    project.flask("audit", "import", "--source", source)
    assert len(rows(engine, "SELECT * FROM audit.activity WHERE id < 0")) == 6


def test_with_all_schemas_compared(old: Old, project: Project) -> None:
    env = project.directory / "migrations" / "env.py"
    metadata = "target_metadata=get_metadata(),"
    env.write_text(env.read_text().replace(metadata, f"{metadata} include_schemas=True,"))
    assert "include_schemas=True" in env.read_text()
    for _ in range(2):
        project.flask("db", "migrate", "-m", "new trail")
        project.flask("db", "upgrade")
    assert len(project.versions()) == 2
    assert "drop_table" not in project.last_migration()
