"""Migrations from the first to the last: what autogenerate writes, what it does, and the way back.

Each way of using the library runs these: its conftest.py has the fixture ``setup``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from audit_core.quoting import qualified, quote
from sqlalchemy import URL

from tests.contract.future_sql import REGISTER, write_version_2
from tests.contract.inventory import inventory
from tests.contract.setups import AlembicSetup, MigratedProject, write_env_py


def model(name: str, *columns: str, versioned: dict[str, Any] | None = None, table: str | None = None) -> str:
    """Write a model with an integer key; without ``versioned`` it is not audited."""
    info = "{}" if versioned is None else f"{{'info': {{'versioned': {versioned!r}}}}}"
    lines = [
        f"class {name}(Base):",
        f"__tablename__ = {table or f'{name.lower()}s'!r}",
        f"__table_args__ = {info}",
        "id: Mapped[int] = mapped_column(primary_key=True)",
        *columns,
    ]
    return "\n    ".join(lines) + "\n"


USER = model("User", "name: Mapped[str]")
ARTICLE_COLUMNS = ("title: Mapped[str]", "body: Mapped[str | None]")
ARTICLE = model("Article", *ARTICLE_COLUMNS, versioned={"exclude": ["body"]})
COMMENT = model("Comment", "text: Mapped[str]")
#: What the fixture ``installed`` begins with.
MODELS = USER + ARTICLE + COMMENT

INSERT_ARTICLE = "INSERT INTO articles (title, body) VALUES ('title', 'body')"


def test_the_first_migration_installs_everything(project: MigratedProject) -> None:
    review = model(
        "Review",
        "article_id: Mapped[int] = mapped_column(sa.ForeignKey('articles.id'))",
        "stars: Mapped[int] = mapped_column(index=True)",
        versioned={},
        table="a_reviews",
    )
    project.write_app(review + ARTICLE + USER)
    migration = project.must_migrate()
    created = migration.upgrade[1:-2]
    assert migration.upgrade == [
        f"init_audit_logger(schema={project.audit_schema!r}, actor_id_type='integer')",
        *created,
        "init_audit_logger_triggers('a_reviews')",
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
    ]
    # Alembic's own operations are there and in Alembic's order: what is referred to comes first.
    (index,) = (operation for operation in created if operation.startswith("create_index"))
    order = [created.index(f"create_table('{table}')") for table in ("articles", "a_reviews")]
    assert order == sorted(order)
    assert created.index(index) > created.index("create_table('a_reviews')")
    assert len(created) == 4
    assert migration.downgrade[:2] == [
        "remove_audit_logger_triggers('articles', excluded_columns=['body'])",
        "remove_audit_logger_triggers('a_reviews')",
    ]
    assert migration.downgrade[-1] == (f"remove_audit_logger(schema={project.audit_schema!r}, actor_id_type='integer')")
    project.check()
    assert project.migrate() is None

    project.execute(INSERT_ARTICLE)
    project.execute("INSERT INTO a_reviews (article_id, stars) VALUES (1, 5)")
    project.execute("UPDATE articles SET title = 'new', body = 'new'")
    project.execute("INSERT INTO users (name) VALUES ('not audited')")
    assert project.recorded("articles") == [("insert", {"id": 1, "title": "title"}), ("update", {"title": "new"})]
    assert project.recorded("a_reviews") == [("insert", {"id": 1, "article_id": 1, "stars": 5})]
    assert project.recorded("users") == []


def test_downgrade_to_the_start_leaves_nothing_and_upgrade_installs_it_again(project: MigratedProject) -> None:
    before = inventory(project.url)
    project.write_app(MODELS)
    project.must_migrate()
    after = inventory(project.url)
    project.downgrade(project.start)
    assert inventory(project.url) == before
    project.upgrade()
    assert inventory(project.url) == after
    project.check()
    project.execute(INSERT_ARTICLE)
    assert project.recorded("articles") == [("insert", {"id": 1, "title": "title"})]


def test_a_table_audited_later_is_recorded_from_then_on(installed: MigratedProject) -> None:
    installed.execute("INSERT INTO comments (text) VALUES ('before')")
    installed.write_app(USER + ARTICLE + model("Comment", "text: Mapped[str]", versioned={}))
    migration = installed.must_migrate()
    assert migration.upgrade == ["init_audit_logger_triggers('comments')"]
    assert migration.downgrade == ["remove_audit_logger_triggers('comments')"]
    installed.check()
    installed.execute("INSERT INTO comments (text) VALUES ('after')")
    installed.downgrade()
    installed.execute("INSERT INTO comments (text) VALUES ('downgraded')")
    assert installed.recorded("comments") == [("insert", {"id": 2, "text": "after"})]


def test_a_table_no_longer_audited_is_no_longer_recorded_and_keeps_its_trail(installed: MigratedProject) -> None:
    installed.execute(INSERT_ARTICLE)
    installed.write_app(USER + model("Article", *ARTICLE_COLUMNS) + COMMENT)
    migration = installed.must_migrate()
    assert migration.upgrade == ["remove_audit_logger_triggers('articles', excluded_columns=['body'])"]
    assert migration.downgrade == ["init_audit_logger_triggers('articles', excluded_columns=['body'])"]
    installed.check()
    installed.execute("UPDATE articles SET title = 'unseen'")
    installed.downgrade()
    installed.execute("UPDATE articles SET title = 'seen', body = 'excluded'")
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"}), ("update", {"title": "seen"})]


def test_a_dropped_table_loses_its_triggers_first_and_gets_them_back(installed: MigratedProject) -> None:
    installed.execute(INSERT_ARTICLE)
    installed.write_app(USER + COMMENT)
    migration = installed.must_migrate()
    assert migration.upgrade == [
        "remove_audit_logger_triggers('articles', excluded_columns=['body'])",
        "drop_table('articles')",
    ]
    assert migration.downgrade == [
        "create_table('articles')",
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
    ]
    installed.check()
    installed.downgrade()
    installed.execute(INSERT_ARTICLE)
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"})] * 2


def test_autogenerate_sees_a_renamed_table_as_a_dropped_and_a_new_one(installed: MigratedProject) -> None:
    installed.write_app(USER + model("Article", *ARTICLE_COLUMNS, versioned={}, table="posts") + COMMENT)
    migration = installed.must_migrate()
    assert migration.upgrade == [
        "remove_audit_logger_triggers('articles', excluded_columns=['body'])",
        "create_table('posts')",
        "drop_table('articles')",
        "init_audit_logger_triggers('posts')",
    ]
    assert migration.downgrade == [
        "remove_audit_logger_triggers('posts')",
        "create_table('articles')",
        "drop_table('posts')",
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
    ]
    installed.check()
    installed.execute("INSERT INTO posts (title, body) VALUES ('title', 'body')")
    assert installed.recorded("posts") == [("insert", {"id": 1, "title": "title", "body": "body"})]
    installed.downgrade()
    installed.execute(INSERT_ARTICLE)
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"})]


def test_history_follows_a_table_renamed_by_hand(installed: MigratedProject) -> None:
    installed.execute(INSERT_ARTICLE)
    installed.write_app(
        USER + model("Article", *ARTICLE_COLUMNS, versioned={"exclude": ["body"]}, table="posts") + COMMENT
    )
    audit_schema = installed.audit_schema
    installed.write_migration(
        f"op.rename_table('articles', 'posts')\n"
        f"op.rename_audited_table('articles', 'posts', audit_schema={audit_schema!r})",
        f"op.rename_audited_table('posts', 'articles', audit_schema={audit_schema!r})\n"
        f"op.rename_table('posts', 'articles')",
    )
    installed.upgrade()
    installed.check()
    assert installed.migrate() is None
    installed.execute("UPDATE posts SET title = 'renamed', body = 'excluded'")
    history = [("insert", {"id": 1, "title": "title"}), ("update", {"title": "renamed"})]
    assert installed.recorded("posts") == history
    installed.downgrade()
    assert installed.recorded("articles") == history


def test_changed_exclusions_are_put_into_force_and_a_downgrade_restores_the_old_ones(
    installed: MigratedProject,
) -> None:
    installed.write_app(USER + model("Article", *ARTICLE_COLUMNS, versioned={"exclude": ["title"]}) + COMMENT)
    migration = installed.must_migrate()
    assert migration.upgrade == ["init_audit_logger_triggers('articles', excluded_columns=['title'])"]
    assert migration.downgrade == ["init_audit_logger_triggers('articles', excluded_columns=['body'])"]
    installed.check()
    installed.execute(INSERT_ARTICLE)
    installed.execute("UPDATE articles SET title = 'unseen'")
    installed.downgrade()
    installed.execute("UPDATE articles SET title = 'seen', body = 'unseen'")
    assert installed.recorded("articles") == [("insert", {"id": 1, "body": "body"}), ("update", {"title": "seen"})]


def test_a_column_is_dropped_together_with_its_exclusion(installed: MigratedProject) -> None:
    installed.write_app(USER + model("Article", "title: Mapped[str]", versioned={}) + COMMENT)
    migration = installed.must_migrate()
    assert migration.upgrade == ["drop_column('articles')", "init_audit_logger_triggers('articles')"]
    assert migration.downgrade == [
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
        "add_column('articles')",
    ]
    installed.check()
    installed.execute("INSERT INTO articles (title) VALUES ('title')")
    installed.downgrade()
    installed.execute("UPDATE articles SET title = 'seen', body = 'unseen'")
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"}), ("update", {"title": "seen"})]


def test_association_tables_and_tables_declared_after_the_logger_are_recorded(installed: MigratedProject) -> None:
    readers = """
sa.Table(
    "readers",
    Base.metadata,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("article_id", sa.ForeignKey("articles.id"), primary_key=True),
    info={"versioned": {}},
)
"""
    installed.write_app(MODELS, later=readers + model("Late", versioned={}))
    migration = installed.must_migrate()
    assert sorted(migration.upgrade[:2]) == ["create_table('lates')", "create_table('readers')"]
    assert migration.upgrade[2:] == [
        "init_audit_logger_triggers('lates')",
        "init_audit_logger_triggers('readers', key_columns=['user_id', 'article_id'])",
    ]
    installed.check()
    installed.execute(INSERT_ARTICLE)
    installed.execute("INSERT INTO users (name) VALUES ('reader')")
    installed.execute("INSERT INTO readers VALUES (1, 1)")
    installed.execute("INSERT INTO lates DEFAULT VALUES")
    assert installed.recorded("readers") == [("insert", {"user_id": 1, "article_id": 1})]
    assert installed.recorded("lates") == [("insert", {"id": 1})]


def test_tables_in_other_schemas_are_recorded(project: MigratedProject) -> None:
    """Two tables of one name are two tables."""
    project.execute('CREATE SCHEMA "Sales % 1"')
    orders = [
        f"sa.Table('orders', Base.metadata, sa.Column('id', sa.Integer, primary_key=True), {options})\n"
        for options in ("info={'versioned': {}}", "schema='Sales % 1', info={'versioned': {}}", "schema='plain'")
    ]
    project.execute('CREATE SCHEMA "plain"')
    project.write_app(USER + "".join(orders))
    migration = project.must_migrate()
    assert migration.upgrade[-2:] == [
        "init_audit_logger_triggers('orders', schema='Sales % 1')",
        "init_audit_logger_triggers('orders')",
    ]
    if project.setup.include_schemas:
        # Without it Alembic does not look into other schemas, and creates the tables there each time.
        project.check()
        assert project.migrate() is None
    project.execute('INSERT INTO "Sales % 1".orders DEFAULT VALUES')
    project.execute("INSERT INTO plain.orders DEFAULT VALUES")
    assert project.recorded("orders") == [("insert", {"id": 1})]
    project.downgrade(project.start)


def test_names_with_quotes_commas_and_semicolons(project: MigratedProject) -> None:
    order = r"""
sa.Table(
    "Order; --",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a,b'c\"d", sa.Text),
    sa.Column("{e\\f}", sa.Text),
    sa.Column("seen", sa.Text),
    info={"versioned": {"exclude": ["a,b'c\"d", "{e\\f}"]}},
)
"""
    before = inventory(project.url)
    project.write_app(USER + order, schema='Audit "Logs"')
    project.must_migrate()
    project.check()
    assert project.migrate() is None
    project.execute("""INSERT INTO "Order; --" VALUES (1, 'excluded', 'excluded', 'seen')""")
    project.execute("""UPDATE "Order; --" SET "a,b'c""d" = 'unseen', "{e\\f}" = 'unseen' """)
    assert project.recorded("Order; --") == [("insert", {"id": 1, "seen": "seen"})]
    project.downgrade(project.start)
    assert inventory(project.url) == before


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE articles DISABLE TRIGGER USER",
        "DROP TRIGGER audit_logger_insert ON articles",
        "CREATE OR REPLACE TRIGGER audit_logger_insert AFTER INSERT ON articles REFERENCING NEW TABLE AS new_table"
        " FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_logger_record_statement('title')",
    ],
)
def test_altered_triggers_are_repaired_and_a_downgrade_does_not_alter_them_again(
    installed: MigratedProject, damage: str
) -> None:
    installed.execute(damage.format(schema=quote(installed.audit_schema)))
    migration = installed.must_migrate()
    repair = "init_audit_logger_triggers('articles', excluded_columns=['body'])"
    assert (migration.upgrade, migration.downgrade) == ([repair], [repair])
    installed.check()
    installed.downgrade()
    installed.upgrade()
    installed.execute(INSERT_ARTICLE)
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"})]


def test_an_altered_function_is_refreshed(installed: MigratedProject) -> None:
    record = qualified("audit_logger_record_statement", installed.audit_schema)
    released = inventory(installed.url)
    installed.execute(f"CREATE OR REPLACE FUNCTION {record}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
    migration = installed.must_migrate()
    refresh = f"refresh_audit_logger(schema={installed.audit_schema!r})"
    assert (migration.upgrade, migration.downgrade) == ([refresh], [refresh])
    assert inventory(installed.url) == released
    installed.check()
    installed.downgrade()
    assert inventory(installed.url) == released


def test_a_trail_newer_than_the_library_is_left_alone(installed: MigratedProject) -> None:
    installed.execute(
        f"COMMENT ON TABLE {qualified('activity', installed.audit_schema)} IS 'audit trail: (SQL version 99)'"
    )
    installed.write_app(USER + model("Article", *ARTICLE_COLUMNS) + model("Comment", "text: Mapped[str]", versioned={}))
    assert installed.migrate() is None
    assert "has SQL version 99, and this library knows 1. Upgrade audit-core." in installed.printed
    assert "Upgrade audit-core" in installed.printed
    installed.check()


def test_what_else_is_in_the_database_is_left_alone(installed: MigratedProject) -> None:
    """Functions and triggers of the user, also on audited tables, and what stands in the schema of the trail."""
    schema = quote(installed.audit_schema)
    installed.execute(
        f"CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        f"CREATE FUNCTION {schema}.audit_report() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE TRIGGER stamp BEFORE INSERT ON articles FOR EACH ROW EXECUTE FUNCTION public.stamp();"
        "CREATE TRIGGER audit_logger_insert BEFORE INSERT ON comments"
        "  FOR EACH ROW EXECUTE FUNCTION public.stamp();"
        f"CREATE VIEW {schema}.latest AS SELECT * FROM {schema}.activity;"
        f"CREATE INDEX mine ON {schema}.activity (verb)"
    )
    before = inventory(installed.url)
    assert installed.migrate() is None
    installed.check()
    installed.write_app(USER + model("Article", *ARTICLE_COLUMNS) + COMMENT)
    installed.must_migrate()
    gone = before - inventory(installed.url)
    assert {row[3] for row in gone} == {f"audit_logger_{event}" for event in ("insert", "update", "delete", "truncate")}
    assert {row[:3] for row in gone} == {("trigger", "public", "articles")}
    installed.downgrade()
    assert inventory(installed.url) == before


def test_the_script_makes_the_same_as_the_command(
    project: MigratedProject, new_database: Callable[..., AbstractContextManager[URL]]
) -> None:
    """Offline, Alembic runs nothing and prints SQL; names hold what formatting could take for its own."""
    things = r"""
sa.Table(
    "50%:off",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a%(b)s:c\\:d%%", sa.Text),
    info={"versioned": {"exclude": ["a%(b)s:c\\:d%%"]}},
)
"""
    create = r'CREATE TABLE "50%:off" (id int PRIMARY KEY, "a%(b)s:c\:d%%" text)'
    project.execute(create)
    project.write_app(things, schema=project.setup.odd_schema, actor_cls=None)
    with new_database(template=project.url) as other:
        project.must_migrate()
        project.check()
        online = inventory(project.url)
        project.execute("""INSERT INTO "50%:off" VALUES (1, 'excluded')""")
        assert project.recorded("50%:off") == [("insert", {"id": 1})]

        project.url = other
        before = inventory(project.url)
        project.execute(project.script("upgrade", f"{project.start}:head"))
        assert inventory(project.url) == online
        project.check()
        project.execute(project.script("downgrade", f"head:{project.start}"))
        assert inventory(project.url) == before


def test_a_new_version_of_the_sql_comes_with_a_migration(installed: MigratedProject) -> None:
    before = inventory(installed.url)
    write_version_2(installed.directory)
    installed.write_app(REGISTER + MODELS)
    migration = installed.must_migrate()
    assert migration.upgrade == [
        f"upgrade_audit_logger(schema={installed.audit_schema!r}, from_version=1, to_version=2)",
        "init_audit_logger_triggers('articles', excluded_columns=['body'], version=2)",
    ]
    installed.check()
    assert installed.migrate() is None
    after = inventory(installed.url)
    installed.execute(INSERT_ARTICLE)
    installed.execute("DELETE FROM articles")
    row = {"id": 1, "title": "title"}
    assert installed.recorded("articles") == [("insert 2", row), ("delete 2", row)]

    installed.downgrade()
    assert inventory(installed.url) == before
    installed.execute(INSERT_ARTICLE)
    installed.execute("DELETE FROM articles")
    row = {"id": 2, "title": "title"}
    assert installed.recorded("articles")[2:] == [("insert", row), ("delete", row)]
    installed.upgrade()
    assert inventory(installed.url) == after


def test_altered_triggers_are_repaired_together_with_a_new_version(installed: MigratedProject) -> None:
    """A downgrade does not alter them again, but leads them to the version of before."""
    before = inventory(installed.url)
    write_version_2(installed.directory)
    installed.execute("ALTER TABLE articles DISABLE TRIGGER audit_logger_delete")
    installed.write_app(REGISTER + MODELS)
    installed.must_migrate()
    installed.check()
    installed.downgrade()
    assert inventory(installed.url) == before


def test_altered_triggers_of_an_earlier_version_are_removed(installed: MigratedProject) -> None:
    write_version_2(installed.directory)
    installed.execute("ALTER TABLE articles DISABLE TRIGGER audit_logger_delete")
    installed.write_app(REGISTER + USER + model("Article", *ARTICLE_COLUMNS) + COMMENT)
    installed.must_migrate()
    installed.check()
    assert not [row for row in inventory(installed.url) if row[0] == "trigger" and row[2] == "articles"]
    installed.downgrade()
    installed.upgrade()


def test_a_trail_can_move_to_another_schema(installed: MigratedProject) -> None:
    """What was recorded stays where it is; nothing drops it."""
    before = installed.audit_schema
    installed.execute(INSERT_ARTICLE)
    installed.write_app(MODELS, schema="moved")
    migration = installed.must_migrate()
    assert migration.upgrade == [
        "init_audit_logger(schema='moved', actor_id_type='integer')",
        "init_audit_logger_triggers('articles', excluded_columns=['body'])",
    ]
    installed.check()
    installed.execute("UPDATE articles SET title = 'moved'")
    assert installed.recorded("articles") == [("update", {"title": "moved"})]
    installed.downgrade()
    installed.execute("UPDATE articles SET title = 'back'")
    installed.audit_schema = before
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "title"}), ("update", {"title": "back"})]


def test_a_new_installation_begins_with_the_latest_version(project: MigratedProject) -> None:
    before = inventory(project.url)
    write_version_2(project.directory)
    project.write_app(REGISTER + MODELS)
    migration = project.must_migrate()
    assert migration.upgrade[0].endswith("version=2)")
    project.check()
    project.execute(INSERT_ARTICLE)
    assert project.recorded("articles") == [("insert 2", {"id": 1, "title": "title"})]
    project.downgrade(project.start)
    assert inventory(project.url) == before


def test_a_migration_needs_nothing_of_the_application(
    installed: MigratedProject, new_database: Callable[..., AbstractContextManager[URL]]
) -> None:
    """It runs where only its file is, and Alembic and audit_alembic are installed."""
    with new_database() as url:
        empty = inventory(url)
        elsewhere = MigratedProject(installed.directory / "elsewhere", url, AlembicSetup())
        elsewhere.imports = ()  # its env.py imports nothing of ours
        elsewhere.directory.mkdir()
        elsewhere.tool("init", "migrations")
        write_env_py(elsewhere.directory)
        for path in installed.versions():
            shutil.copy(path, elsewhere.directory / "migrations" / "versions")
        elsewhere.upgrade()
        assert inventory(url) == inventory(installed.url)
        elsewhere.downgrade("base")
        assert inventory(url) == empty
