"""What a migrate refuses, before it has written a file or anything to the database."""

from __future__ import annotations

import re

import pytest
from audit_core.quoting import qualified, quote

from tests.contract.inventory import inventory
from tests.contract.migrations import ARTICLE, COMMENT, INSERT_ARTICLE, MODELS, USER, model
from tests.contract.project import CommandError
from tests.contract.setups import MigratedProject

COMPOSITE = """
class Member(Base):
    __tablename__ = "members"
    club: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
"""


def refused(project: MigratedProject) -> str:
    """Return what a migrate says that fails and leaves everything as it was."""
    files, before = project.versions(), inventory(project.url)
    with pytest.raises(CommandError) as failure:
        project.migrate()
    assert project.versions() == files
    assert inventory(project.url) == before
    return " ".join(str(failure.value).split())


def refused_in_one_line(project: MigratedProject) -> str:
    """The same, of what a user can read without a traceback."""
    message = refused(project)
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("versioned", "message"),
    [
        ({"exclude": ["bdoy"]}, r"'articles'.*'bdoy'.*its columns are 'id', 'title', 'body'"),
        ({"exclude": ["id"]}, r"'articles'.*'id'.*primary key"),
        ({"exclude": "body"}, r"'articles'.*'exclude' is 'body'; make it a list"),
        ({"excluded": ["body"]}, r"'articles'.*'excluded' is not an option.*'exclude'"),
    ],
)
def test_options_that_a_table_cannot_have(
    installed: MigratedProject, versioned: dict[str, object], message: str
) -> None:
    article = model("Article", "title: Mapped[str]", "body: Mapped[str | None]", versioned=versioned)
    installed.write_app(USER + article + COMMENT)
    assert re.search(message, refused_in_one_line(installed))


@pytest.mark.parametrize(
    ("actor_cls", "message"),
    [
        ("Nobody", "actor_cls is 'Nobody' and there is no model of that name"),
        ("Member", r"actor_cls 'Member' has a composite primary key \('club', 'number'\)"),
    ],
)
def test_an_actor_class_that_cannot_be_used(project: MigratedProject, actor_cls: str, message: str) -> None:
    project.write_app(MODELS + COMPOSITE, actor_cls=actor_cls)
    assert re.search(message, refused_in_one_line(project))


@pytest.mark.parametrize("place", ["models", "later"], ids=["before the logger", "after the logger"])
@pytest.mark.parametrize("name", ["activity", "transaction"])
def test_a_table_of_the_application_with_a_name_of_the_trail(installed: MigratedProject, name: str, place: str) -> None:
    schema = None if installed.audit_schema == "public" else installed.audit_schema
    table = f"sa.Table({name!r}, Base.metadata, sa.Column('id', sa.Integer, primary_key=True), schema={schema!r})\n"
    texts = {"models": MODELS, "later": ""}
    texts[place] += table
    installed.write_app(**texts)
    assert re.search(rf"{name}'.*schema='audit'", refused(installed))


def test_a_table_of_the_database_with_a_name_of_the_trail(project: MigratedProject) -> None:
    """As flask-audit-logger 2.x leaves one."""
    project.execute(
        f"CREATE SCHEMA IF NOT EXISTS {quote(project.audit_schema)};"
        f"CREATE TABLE {qualified('activity', project.audit_schema)}"
        " (id bigserial PRIMARY KEY, transaction_id bigint, verb text, old_data jsonb, changed_data jsonb)"
    )
    project.write_app(MODELS)
    message = rf"{project.audit_schema}\.activity.*schema='audit'"
    assert re.search(message, refused_in_one_line(project))
    project.write_app(MODELS, schema="audit")
    project.must_migrate()
    project.execute(INSERT_ARTICLE)
    assert project.recorded("articles") == [("insert", {"id": 1, "title": "title"})]


def test_a_second_logger(installed: MigratedProject) -> None:
    installed.write_app(MODELS)
    app = installed.directory / "app.py"
    app.write_text(re.sub("^(audit_log.* = .*)$", r"\1; second = \1", app.read_text(), flags=re.MULTILINE))
    assert "ConfigurationError: MetaData() has an AuditLog already" in refused(installed)


def test_another_database_than_postgresql(project: MigratedProject) -> None:
    project.environment["DATABASE_URL"] = f"sqlite:///{project.directory / 'app.db'}"
    project.write_app(MODELS)
    message = refused_in_one_line(project)
    assert "The audit trail needs PostgreSQL 14 or later; this database is 'sqlite'" in message
    migration = project.write_migration("op.init_audit_logger()")
    with pytest.raises(CommandError, match="this database is 'sqlite'"):
        project.upgrade(migration.revision)


def test_an_audited_table_without_a_logger_is_warned_of(project: MigratedProject) -> None:
    project.write_app(ARTICLE)
    app = project.directory / "app.py"
    app.write_text(re.sub("^audit_log.* = .*$", "", app.read_text(), flags=re.MULTILINE))
    migration = project.must_migrate()
    assert migration.upgrade == ["create_table('articles')"]
    project.migrate()
    assert "WARN" in project.printed
    assert "Table 'articles' is declared 'versioned', and no AuditLog has been made" in project.printed
