"""What an ``env.py`` may look like."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager

import audit_alembic  # noqa: F401 - registers the comparators
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from audit_core import AuditError, AuditLog, ConfigurationError
from sqlalchemy import URL, Column, Engine, Integer, MetaData, Table

from tests.contract.inventory import inventory
from tests.contract.migrations import ARTICLE, INSERT_ARTICLE, MODELS, USER
from tests.contract.setups import AlembicSetup, MigratedProject, Setup, write_env_py

METADATA = "import audit_alembic\nfrom app import Base\ntarget_metadata = Base.metadata\n"
HOOK = "process_revision_directives=audit_alembic.process_revision_directives"


@pytest.fixture(scope="module")
def setup() -> Setup:
    return AlembicSetup()


@pytest.fixture
def new_env_py(project: MigratedProject) -> Callable[..., MigratedProject]:
    """Write another env.py, with new migrations."""

    def write(metadata: str = METADATA, configure: str = "", template: str = "generic") -> MigratedProject:
        shutil.rmtree(project.directory / "migrations")
        (project.directory / "alembic.ini").unlink()
        project.tool("init", "-t", template, "migrations")
        write_env_py(project.directory, metadata, configure)
        return project

    return write


def test_registering_again_is_once(new_env_py: Callable[..., MigratedProject]) -> None:
    project = new_env_py(METADATA + "audit_alembic.register()\naudit_alembic.register()\n")
    project.write_app(MODELS)
    operations = project.must_migrate().upgrade
    assert operations.count("init_audit_logger_triggers('articles', excluded_columns=['body'])") == 1
    project.check()


def test_with_the_hook_a_migrate_without_changes_writes_no_file(
    new_env_py: Callable[..., MigratedProject],
) -> None:
    project = new_env_py(configure=HOOK)
    project.write_app(MODELS)
    project.must_migrate()
    files = project.versions()
    project.tool("revision", "--autogenerate", "-m", "nothing")
    assert "No changes in schema detected" in project.printed
    assert project.versions() == files
    project.check()
    project.write_migration("op.execute('SELECT 1')")
    assert len(project.versions()) == len(files) + 1


TWO_TRAILS = """
class Other(DeclarativeBase):
    pass

sa.Table("orders", Other.metadata, sa.Column("id", sa.Integer, primary_key=True), info={"versioned": {}})
sa.Table("unheard", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), info={"versioned": {}})
other_log = AuditLog(Other, schema="other trail")
"""


def test_several_metadata_each_with_its_trail(new_env_py: Callable[..., MigratedProject]) -> None:
    project = new_env_py(
        METADATA.replace("import Base", "import Base, Other").replace(
            "Base.metadata", "[Base.metadata, Other.metadata]"
        )
    )
    before = inventory(project.url)
    project.write_app(USER + ARTICLE, TWO_TRAILS)
    migration = project.must_migrate()
    assert [operation for operation in migration.upgrade if "audit" in operation] == [
        "init_audit_logger(schema='public', actor_id_type='integer')",
        "init_audit_logger(schema='other trail', actor_id_type='text')",
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
        "init_audit_logger_triggers('orders')",
    ]
    project.check()
    assert project.migrate() is None
    project.execute(INSERT_ARTICLE)
    project.execute("INSERT INTO orders DEFAULT VALUES")
    assert project.recorded("articles") == [("insert", {"id": 1, "title": "title"})]
    assert project.recorded("orders") == []
    project.audit_schema = "other trail"
    assert project.recorded("orders") == [("insert", {"id": 1})]
    project.downgrade("base")
    assert inventory(project.url) == before


def test_filters_of_the_user_still_hold(new_env_py: Callable[..., MigratedProject]) -> None:
    project = new_env_py(
        METADATA + "def not_articles(object, name, *args):\n    return name != 'articles'\n",
        "include_object=not_articles",
    )
    project.execute("CREATE TABLE articles (id int PRIMARY KEY)")
    project.write_app(USER)
    migration = project.must_migrate()
    assert [operation for operation in migration.upgrade if "audit" not in operation] == ["create_table('users')"]
    project.check()


def test_a_search_path_that_begins_elsewhere(project: MigratedProject) -> None:
    """Tables without a schema are in the first one of the search path; the trail is in public all the same."""
    project.execute("CREATE SCHEMA app; CREATE TABLE public.articles (id int)")
    project.url = project.url.update_query_dict({"options": "-csearch_path=app"})
    project.write_app(MODELS)
    project.must_migrate()
    project.check()
    assert project.migrate() is None
    project.execute("INSERT INTO app.articles (title) VALUES ('title')")
    assert project.recorded("articles") == [("insert", {"id": 1, "title": "title"})]
    project.execute("ALTER TABLE app.articles DISABLE TRIGGER audit_logger_insert")
    assert project.must_migrate().upgrade == ["init_audit_logger_triggers('articles', excluded_columns=['body'])"]
    project.downgrade("base")


def test_the_asynchronous_template(new_env_py: Callable[..., MigratedProject]) -> None:
    project = new_env_py(template="async")
    project.write_app(MODELS)
    project.must_migrate()
    project.check()
    project.execute(INSERT_ARTICLE)
    assert project.recorded("articles") == [("insert", {"id": 1, "title": "title"})]
    project.downgrade("base")


def test_each_migration_in_a_transaction_of_its_own(new_env_py: Callable[..., MigratedProject]) -> None:
    project = new_env_py(configure="transaction_per_migration=True")
    project.write_app(USER)
    project.must_migrate()
    project.write_app(MODELS)
    project.must_migrate()
    project.downgrade("base")
    project.upgrade()
    project.check()


OTHER_DATABASE = """
class Other(DeclarativeBase):
    pass

other_log = AuditLog(Other)
sa.Table("orders", Other.metadata, sa.Column("id", sa.Integer, primary_key=True), info={"versioned": {}})
"""
TARGETS = """\
import functools
import audit_alembic
from app import Base, Other
target_metadata = {"engine1": Base.metadata, "engine2": Other.metadata}
"""


@pytest.mark.parametrize(
    ("hook", "files"),
    [
        ("audit_alembic.process_revision_directives", 3),
        ("functools.partial(audit_alembic.process_revision_directives, engines=2)", 2),
    ],
    ids=["number not known", "number known"],
)
def test_several_databases(
    project: MigratedProject, new_database: Callable[..., AbstractContextManager[URL]], hook: str, files: int
) -> None:
    """A change of the last one alone is not skipped together with the others; nothing is, if nobody says how many."""
    shutil.rmtree(project.directory / "migrations")
    (project.directory / "alembic.ini").unlink()
    project.tool("init", "-t", "multidb", "migrations")
    with new_database() as other:
        ini, env_py = project.directory / "alembic.ini", project.directory / "migrations" / "env.py"
        text = ini.read_text()
        for name, url in (("dbname2", other), ("dbname", project.url)):
            text = text.replace(f"driver://user:pass@localhost/{name}", url.render_as_string(hide_password=False))
        ini.write_text(text)
        text = env_py.read_text().replace("\ntarget_metadata = {}\n", f"\n{TARGETS}\n")
        before, target, after = text.rpartition("target_metadata=target_metadata.get(name),")
        env_py.write_text(f"{before}{target} process_revision_directives={hook},{after}")

        project.write_app(USER, OTHER_DATABASE)
        project.must_migrate()
        project.write_app(USER, OTHER_DATABASE + OTHER_DATABASE.splitlines()[-1].replace("orders", "parcels"))
        assert project.must_migrate().upgrade == ["create_table('parcels')", "init_audit_logger_triggers('parcels')"]
        project.tool("revision", "--autogenerate", "-m", "nothing")
        assert len(project.versions()) == files


COMPARE = """
import os

import app
import audit_alembic
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

with create_engine(os.environ["DATABASE_URL"]).begin() as connection:
    for difference in compare_metadata(MigrationContext.configure(connection), app.Base.metadata):
        print(difference)
    app.Base.metadata.create_all(connection)
    app.audit_log.install(connection)
    print(compare_metadata(MigrationContext.configure(connection), app.Base.metadata))
"""


def test_a_program_that_compares(project: MigratedProject) -> None:
    """Alembic has a function for what its command ``check`` does."""
    project.write_app(USER + ARTICLE)
    (project.directory / "compare.py").write_text(COMPARE)
    init, *tables, triggers, nothing = project.run("compare", stderr=False).splitlines()
    assert init == "('init_audit_logger', {'schema': 'public', 'actor_id_type': 'integer', 'version': 1})"
    assert [table.partition(",")[0] for table in tables] == ["('add_table'"] * 2
    assert triggers == (
        "('init_audit_logger_triggers', 'articles', "
        "{'key_columns': ['id'], 'excluded_columns': ['body'], 'version': 1})"
    )
    assert nothing == "[]"


def test_a_program_catches_our_errors(engine: Engine) -> None:
    log = AuditLog(MetaData())
    options = {"versioned": {"exclude": ["nmae"]}}
    Table("users", log.metadata, Column("id", Integer, primary_key=True), info=options)
    with engine.connect() as connection, pytest.raises(AuditError, match=r"'users'.*'nmae'") as refused:
        compare_metadata(MigrationContext.configure(connection), log.metadata)
    assert isinstance(refused.value, CommandError)
    assert isinstance(refused.value.__cause__, ConfigurationError)


def test_the_catalog_of_an_archive_is_left_alone(database: URL, engine: Engine) -> None:
    """With schemas it is compared, and nobody declared it."""
    metadata = MetaData()
    Table("items", metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    audit_log = AuditLog(metadata)
    with engine.begin() as connection:
        metadata.create_all(connection)
        audit_log.install(connection)
        connection.exec_driver_sql("CREATE SCHEMA audit_archive")
        for name in ("iceberg_tables", "iceberg_namespace_properties"):
            connection.exec_driver_sql(f"CREATE TABLE audit_archive.{name} (catalog_name text)")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": True})
        assert compare_metadata(context, metadata) == []
