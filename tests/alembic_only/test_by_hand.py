"""Operations in migrations written by hand."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import signature
from io import StringIO

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from audit_alembic import ops
from audit_core.installation.objects import TableTriggers
from audit_core.options import TableOptions

from tests.contract.inventory import inventory
from tests.contract.migrations import COMMENT, INSERT_ARTICLE, MODELS, USER, model
from tests.contract.project import CommandError
from tests.contract.setups import AlembicSetup, MigratedProject, Setup


@pytest.fixture(scope="module")
def setup() -> Setup:
    """The trail in its default schema, since the calls below do not name another one."""
    return AlembicSetup()


def test_a_whole_installation_equals_the_generated_one(project: MigratedProject, installed: MigratedProject) -> None:
    before = inventory(project.url)
    project.write_app(MODELS)
    project.execute(
        "CREATE TABLE users (id serial PRIMARY KEY, name varchar NOT NULL);"
        "CREATE TABLE articles (id serial PRIMARY KEY, title varchar NOT NULL, body varchar);"
        "CREATE TABLE comments (id serial PRIMARY KEY, text varchar NOT NULL)"
    )
    project.write_migration(
        'op.init_audit_logger(actor_id_type="integer")\n'
        'op.init_audit_logger_triggers("articles", key_columns=["id"], excluded_columns=("body",))',
        'op.remove_audit_logger_triggers("articles")\nop.remove_audit_logger()',
    )
    project.upgrade()
    project.check()
    assert inventory(project.url) == inventory(installed.url)
    project.downgrade()
    project.execute("DROP TABLE users, articles, comments")
    assert inventory(project.url) == before


def test_a_trail_is_not_removed_while_it_is_in_use(installed: MigratedProject) -> None:
    """Nothing is dropped by way of CASCADE."""
    installed.execute(INSERT_ARTICLE)
    before = inventory(installed.url)
    installed.write_migration("op.remove_audit_logger()")
    with pytest.raises(CommandError, match="other objects depend on it"):
        installed.upgrade()
    assert inventory(installed.url) == before
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"})]


def test_a_name_that_cannot_be_quoted_is_refused(installed: MigratedProject) -> None:
    installed.write_migration(f'op.init_audit_logger_triggers("{"x" * 64}")')
    with pytest.raises(CommandError, match=r"The name 'x+' has 64 bytes"):
        installed.upgrade()


def test_what_ends_a_block_of_ours_is_refused_in_a_value(installed: MigratedProject) -> None:
    installed.write_migration('op.add_audited_column("users", "color", "$audit_logger$")')
    with pytest.raises(CommandError, match=r"op\.add_audited_column\(\) cannot take '\$audit_logger\$'"):
        installed.upgrade()


def test_a_version_that_the_library_does_not_have_is_refused(installed: MigratedProject) -> None:
    installed.write_migration('op.init_audit_logger_triggers("users", version=99)')
    with pytest.raises(CommandError, match="Version 99 of the audit SQL is not known"):
        installed.upgrade()


def test_autogenerate_takes_what_was_done_by_hand_as_done(installed: MigratedProject) -> None:
    installed.write_app(USER + model("Article", "title: Mapped[str]", "body: Mapped[str | None]") + COMMENT)
    installed.write_migration('op.remove_audit_logger_triggers("articles")')
    installed.upgrade()
    installed.check()
    assert installed.migrate() is None


def test_a_script_keeps_a_tab_in_a_name() -> None:
    script = StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": script})
    ops.InitAuditLoggerTriggersOp.init_audit_logger_triggers(Operations(context), "a\tb", excluded_columns=["c\td"])
    assert 'ON "a\tb"\n' in script.getvalue()
    assert "'exclude=c\td'" in script.getvalue()


def test_who_may_create_functions_beside_ours_is_said_before_and_after(project: MigratedProject) -> None:
    """As in the schema public of a database that was made before PostgreSQL 15."""
    project.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    project.write_app(MODELS)
    project.migrate()
    said = "PUBLIC may create functions in schema 'public'.*Run: REVOKE CREATE ON SCHEMA \"public\" FROM PUBLIC"
    assert re.search(said, project.printed)
    project.upgrade()
    assert re.search(said, project.printed)
    project.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    project.downgrade()
    project.upgrade()
    assert "may create functions" not in project.printed


def test_the_operation_has_each_option_of_a_table_with_its_default() -> None:
    """A migration leaves out what is a default, so the two must not part."""
    parameters = signature(ops.InitAuditLoggerTriggersOp.init_audit_logger_triggers).parameters
    for option in fields(TableOptions):
        if not option.metadata.get("is_recorded", True):
            continue  # it is read from the models
        default = parameters[option.metadata.get("parameter", option.name)].default
        assert (() if default is None else default) == option.default
    triggers = TableTriggers("articles")
    for name in ("schema", "audit_schema", "key_columns", "partitioned"):
        default = parameters[name].default
        assert (default or ()) == (getattr(triggers, name) or ()), name


def test_the_trail_is_split_in_a_migration(installed: MigratedProject) -> None:
    installed.execute(INSERT_ARTICLE)
    installed.write_migration("op.split_audit_logger(at_once=True)")
    installed.upgrade()
    installed.upgrade()
    names = "SELECT relname FROM pg_class WHERE relname ~ '^activity_(p[0-9]+|open)$' ORDER BY 1"
    with installed.connect() as connection:
        assert [row[0] for row in connection.execute(names)] == ["activity_open", "activity_p0001"]
    installed.execute(INSERT_ARTICLE)
    assert len(installed.recorded("articles")) == 2
    installed.check()
