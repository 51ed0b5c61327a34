"""Migrations of several databases, with the ``env.py`` of ``flask db init --multidb``, unedited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from tests.contract.inventory import inventory
from tests.contract.migrations import ARTICLE, USER
from tests.contract.setups import FLASK_APP, FlaskSetup, MigratedProject

APP = FLASK_APP.replace(
    "    db.init_app(app)\n",
    '    app.config["SQLALCHEMY_BINDS"] = {{"reports": os.environ["REPORTS_URL"], "plain": os.environ["PLAIN_URL"]}}\n'
    "    db.init_app(app)\n",
)
HOOK = "process_revision_directives=audit_logger.process_revision_directives"


def bound(name: str, bind: str, versioned: str = "{}") -> str:
    """Write a model of another database."""
    return (
        f"class {name}(Base):\n"
        f"    __bind_key__ = {bind!r}\n"
        f"    __table_args__ = {{'info': {versioned}}}\n"
        f"    __tablename__ = {name.lower() + 's'!r}\n"
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )


MARKED = "{'versioned': {}}"
REPORT = bound("Report", "reports", MARKED)
VISIT = bound("Visit", "plain")
REPORTS_LOGGER = "reports_logger = AuditLogger(db, bind_key='reports', schema='Audit Logs', actor_cls=None)\n"


class MultiBindSetup(FlaskSetup):
    app = APP

    def initialize(self, project: MigratedProject) -> None:
        project.write_app(USER + VISIT + REPORT)
        project.tool("init", "--multidb")


@pytest.fixture
def urls(new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[list[URL]]:
    """The databases: the default one, reports and plain."""
    with ExitStack() as stack:
        yield [stack.enter_context(new_database()) for _ in range(3)]


@pytest.fixture(params=["", HOOK], ids=["stock", "hook"])
def project(urls: list[URL], tmp_path: Path, request: pytest.FixtureRequest) -> MigratedProject:
    project = MigratedProject(tmp_path, urls[0], MultiBindSetup(configure=request.param))
    use(project, urls)
    project.setup.initialize(project)
    return project


def use(project: MigratedProject, urls: list[URL]) -> None:
    project.url = urls[0]
    for name, url in zip(("REPORTS_URL", "PLAIN_URL"), urls[1:], strict=True):
        project.environment[name] = url.render_as_string(hide_password=False)


def inventories(urls: list[URL]) -> list[set[tuple[object, ...]]]:
    return [inventory(url) for url in urls]


def test_every_database_gets_what_its_models_want(project: MigratedProject, urls: list[URL]) -> None:
    before = inventories(urls)
    project.write_app(USER + ARTICLE + VISIT + REPORT, REPORTS_LOGGER)
    migration = project.must_migrate()
    assert [operation for operation in migration.upgrade if "audit" in operation] == [
        "init_audit_logger(schema='public', actor_id_type='integer')",
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
        "init_audit_logger(schema='Audit Logs', actor_id_type='text')",
        "init_audit_logger_triggers('reports')",
    ]
    project.check()
    assert project.migrate() is None
    after = inventories(urls)
    project.downgrade("base")
    assert inventories(urls) == before
    project.upgrade()
    assert inventories(urls) == after


@pytest.mark.parametrize("bind", ["default", "plain", "reports"])
def test_a_change_of_one_database_alone_is_generated(project: MigratedProject, bind: str) -> None:
    """With Flask-Migrate, one that follows others that have no change must not be skipped."""
    project.write_app(USER + VISIT + REPORT, REPORTS_LOGGER)
    project.must_migrate()
    changed = {
        "default": ARTICLE,
        "plain": bound("Later", "plain"),
        "reports": bound("Later", "reports", MARKED),
    }[bind]
    expected = {
        "default": ["create_table('articles')", "init_audit_logger_triggers('articles', excluded_columns=['body'])"],
        "plain": ["create_table('laters')"],
        "reports": ["create_table('laters')", "init_audit_logger_triggers('laters')"],
    }[bind]
    project.write_app(USER + VISIT + REPORT + changed, REPORTS_LOGGER)
    assert project.must_migrate().upgrade == expected
    project.check()


def test_an_audited_model_of_a_database_without_a_logger_is_warned_of(project: MigratedProject) -> None:
    project.write_app(USER + VISIT + REPORT)
    migration = project.must_migrate()
    assert "init_audit_logger_triggers('reports')" not in migration.upgrade
    assert project.migrate() is None
    assert "Table 'reports' is declared 'versioned', and no AuditLog has been made" in project.printed
    assert "'users'" not in project.printed


def test_the_scripts_make_the_same_as_the_command(
    project: MigratedProject, urls: list[URL], new_database: Callable[..., AbstractContextManager[URL]]
) -> None:
    project.write_app(USER + ARTICLE + VISIT + REPORT, REPORTS_LOGGER)
    project.must_migrate()
    with ExitStack() as stack:
        others = [stack.enter_context(new_database()) for _ in urls]
        use(project, others)
        project.tool("upgrade", "--sql", "head")
        for url, name in zip(others, ("", "reports", "plain"), strict=True):
            run_script(url, (project.directory / f"{name}.sql").read_text())
        assert inventories(others) == inventories(urls)
        project.check()


def run_script(url: URL, script: str) -> None:
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(script)  # type: ignore[call-overload]
