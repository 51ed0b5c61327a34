"""Tests of an application as docs/testing.md sets them up, with the real packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import URL

from tests.frameworks.documentation import blocks

SHOP = """
from audit_core import AuditLog
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    __table_args__ = {"info": {"versioned": {}}}

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


audit_log = AuditLog(Base, actor_cls=User)
"""

TESTS = """
import os
import pytest
from audit_core import audit_context
from audit_core.testing import assert_changes, assert_unchanged, changes
from shop import User
from sqlalchemy import text
from sqlalchemy.orm import Session


@pytest.fixture(autouse=True)
def empty_tables(engine, audit_trail):
    yield
    audit_trail.truncate(engine)


@pytest.mark.parametrize("number", range(6))
def test_changes(engine, number):
    with Session(engine) as session, assert_changes(session, insert={User: 1}, by=7), audit_context(actor_id=7):
        session.add(User(name="Ann"))
        session.commit()
    with Session(engine) as session:
        assert [(each.verb, each.key) for each in changes(session)] == [("insert", "1")]
        print("database", session.scalar(text("SELECT current_database()")))


def test_a_failure(engine):
    with Session(engine) as session, assert_unchanged(session):
        session.add(User(name="Ben"))
"""


def conftest(*replaced: str) -> str:
    """Write conftest.py as the page has it, with these fixtures in the place of those of the same name."""
    text = blocks("testing")["file: url/conftest.py"]
    for mark in replaced:
        own = blocks("testing")[f"file: {mark}.py"]
        (name,) = re.findall(r"^def (\w+)\(", own, re.MULTILINE)[-1:]
        pattern = rf'@pytest\.fixture\(scope="session"\)\ndef {name}\(.*?(?=\n\n\n|\Z)'
        text, count = re.subn(pattern, lambda _, own=own: own.strip(), text.strip(), flags=re.DOTALL)
        assert count == 1
    imports = """
        from alembic import command
        from alembic.config import Config
        from sqlalchemy import URL, make_url, text
        try:
            from pytest_postgresql import factories
        except ImportError:
            factories = None
        """
    return dedent(imports) + text


def run_tests(directory: Path, database: URL, conftest: str, *options: str) -> str:
    for name, text in {"shop": SHOP, "test_shop": TESTS, "conftest": conftest}.items():
        (directory / f"{name}.py").write_text(text)
    url = database.render_as_string(hide_password=False)
    own = ("-v", "-rP", "-p", "no:cacheprovider", "-c", os.devnull)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *own, *options, str(directory)],
        cwd=directory,
        capture_output=True,
        text=True,
        env={**os.environ, "TEST_DATABASE_URL": url, "PYTHONPATH": str(directory)},
    )
    return done.stdout + done.stderr


def assert_done(output: str) -> None:
    assert re.search(r"1 failed, 6 passed", output), output
    assert "AssertionError: 1 unexpected: insert of 'users'" in output


def databases(output: str) -> set[str]:
    return set(re.findall(r"^database (\w+)", output, re.MULTILINE))


def test_a_url_is_enough(database: URL, tmp_path: Path) -> None:
    output = run_tests(tmp_path, database, conftest(), "-p", "no:xdist", "-p", "no:postgresql")
    assert_done(output)
    assert databases(output) == {database.database}


def test_each_worker_of_xdist_has_its_own_database(database: URL, tmp_path: Path) -> None:
    output = run_tests(tmp_path, database, conftest("xdist/database_url"), "-n", "2")
    assert_done(output)
    assert databases(output) == {f"{database.database}_gw0", f"{database.database}_gw1"}


def test_pytest_postgresql_makes_a_database_for_each_test(database: URL, tmp_path: Path) -> None:
    # The server of these tests, since root may not start one.
    text = conftest("postgresql/engine")
    assert "factories.postgresql_proc(load=[load])" in text
    text = text.replace("factories.postgresql_proc(load=[load])", "factories.postgresql_noproc(load=[load])")
    options = (
        f"--postgresql-host={database.host}",
        f"--postgresql-port={database.port}",
        f"--postgresql-user={database.username}",
        f"--postgresql-password={database.password}",
        f"--postgresql-dbname={database.database}_copy",
    )
    output = run_tests(tmp_path, database, text, *options, "-p", "no:xdist")
    assert_done(output)
    assert databases(output) == {f"{database.database}_copy"}


@pytest.fixture
def migrations(tmp_path: Path, database: URL) -> Path:
    """A folder of a project whose migrations create its tables and the trail."""
    (tmp_path / "shop.py").write_text(SHOP)
    alembic(tmp_path, "init", "migrations")
    env = tmp_path / "migrations" / "env.py"
    target = "import audit_alembic\nfrom shop import Base\ntarget_metadata = Base.metadata\n"
    env.write_text(env.read_text().replace("target_metadata = None\n", target))
    ini = tmp_path / "alembic.ini"
    url = database.render_as_string(hide_password=False)
    ini.write_text(re.sub(r"^sqlalchemy\.url = .*", f"sqlalchemy.url = {url}", ini.read_text(), flags=re.MULTILINE))
    alembic(tmp_path, "revision", "--autogenerate", "-m", "trail")
    return tmp_path


def alembic(directory: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(directory)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_database_made_by_migrations(migrations: Path, database: URL) -> None:
    assert_done(run_tests(migrations, database, conftest("migrations/engine"), "-p", "no:xdist"))


def test_a_migration_that_writes_rows(migrations: Path, database: URL) -> None:
    (migration,) = (migrations / "migrations" / "versions").glob("*.py")
    written = migration.read_text()
    row = "    op.execute(\"INSERT INTO users (name) VALUES ('root')\")\n"
    migration.write_text(written.replace("\n\n\ndef downgrade", f"\n{row}\n\ndef downgrade"))
    text = conftest("migrations/engine")
    output = run_tests(migrations, database, text, "-p", "no:xdist")
    assert "has a trail that is not empty, so it may be more than one of tests" in output
    text = text.replace("audit_trail.use(engine)", "audit_trail.use(engine, filled=True); audit_trail.truncate(engine)")
    assert_done(run_tests(migrations, database, text, "-p", "no:xdist"))


def test_a_migration_that_is_missing(migrations: Path, database: URL) -> None:
    (migration,) = (migrations / "migrations" / "versions").glob("*.py")
    text = migration.read_text()
    migration.write_text(re.sub(r"    op\.init_audit_logger_triggers\(.*?\)\n", "", text, flags=re.DOTALL))
    output = run_tests(migrations, database, conftest("migrations/engine"), "-p", "no:xdist")
    assert "do not make what the models want: table 'users' to be audited. Write one with autogenerate." in output
