"""What was recorded follows a change of the tables, where a migration says so."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import MetaData, create_engine

from tests.contract.project import CommandError
from tests.contract.setups import AlembicSetup, MigratedProject, Setup


@pytest.fixture(scope="module")
def setup() -> Setup:
    return AlembicSetup(audit_schema="Audit Logs")


@pytest.fixture
def recorded(installed: MigratedProject) -> MigratedProject:
    """An article was written, changed and deleted; so was something of the same shape in other tables."""
    installed.execute(
        "CREATE SCHEMA other; CREATE TABLE other.articles (LIKE public.articles INCLUDING ALL);"
        "CREATE TABLE notes (LIKE public.articles INCLUDING ALL)"
    )
    installed.write_migration(
        "op.init_audit_logger_triggers('articles', schema='other', audit_schema='Audit Logs')\n"
        "op.init_audit_logger_triggers('notes', audit_schema='Audit Logs')"
    )
    installed.upgrade()
    for table in ("articles", "other.articles", "notes"):
        installed.execute(
            f"INSERT INTO {table} (id, title) VALUES (1, 'first');"
            f"UPDATE {table} SET title = 'second' WHERE id = 1;"
            f"DELETE FROM {table}"
        )
    return installed


def history(project: MigratedProject, schema: str = "public", table: str = "articles") -> list[tuple[Any, ...]]:
    """Return verb, old and new data of what is recorded of a table."""
    query = (
        'SELECT verb, old_data, changed_data FROM "Audit Logs".activity'
        f" WHERE schema = '{schema}' AND table_name = '{table}' AND verb <> 'maintenance' ORDER BY id"
    )
    with project.connect() as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def others(project: MigratedProject) -> list[tuple[Any, ...]]:
    return [*history(project, "other"), *history(project, table="notes")]


def rewrite(project: MigratedProject, upgrade: str, downgrade: str = "pass") -> list[tuple[Any, ...]]:
    """Run a rewrite of the articles of the default schema; it leaves all else alone."""
    before = others(project)
    project.write_migration(upgrade, downgrade)
    project.upgrade()
    assert others(project) == before
    return history(project)


def test_a_renamed_column(recorded: MigratedProject) -> None:
    before = history(recorded)
    after = rewrite(
        recorded,
        "op.rename_audited_column('articles', 'title', 'head: \"%s\\'', audit_schema='Audit Logs')",
        "op.rename_audited_column('articles', 'head: \"%s\\'', 'title', audit_schema='Audit Logs')",
    )
    name = "head: \"%s'"
    assert after == [
        ("insert", {}, {"id": 1, name: "first"}),
        ("update", {"id": 1, name: "first"}, {name: "second"}),
        ("delete", {"id": 1, name: "second"}, {}),
    ]
    recorded.downgrade()
    assert history(recorded) == before


def test_a_removed_column_is_gone_and_the_activities_stay(recorded: MigratedProject) -> None:
    assert rewrite(recorded, "op.remove_audited_column('articles', 'title', audit_schema='Audit Logs')") == [
        ("insert", {}, {"id": 1}),
        ("update", {"id": 1}, {}),
        ("delete", {"id": 1}, {}),
    ]


def test_an_added_column_has_its_default_in_every_row_and_in_no_change(recorded: MigratedProject) -> None:
    before = history(recorded)
    after = rewrite(
        recorded,
        "op.add_audited_column('articles', 'tags', ['a: %', \"b'\"], audit_schema='Audit Logs')",
        "op.remove_audited_column('articles', 'tags', audit_schema='Audit Logs')",
    )
    tags = ["a: %", "b'"]
    assert after == [
        ("insert", {}, {"id": 1, "title": "first", "tags": tags}),
        ("update", {"id": 1, "title": "first", "tags": tags}, {"title": "second"}),
        ("delete", {"id": 1, "title": "second", "tags": tags}, {}),
    ]
    recorded.downgrade()
    assert history(recorded) == before


def test_an_added_column_is_not_added_to_what_leaves_out_others(recorded: MigratedProject) -> None:
    recorded.execute(
        "SET audit_logger.maintenance = 'on'; "
        "UPDATE \"Audit Logs\".activity SET delta_depth = 1, old_data = old_data - 'id' WHERE table_name = 'articles' "
        "AND schema = 'public' AND verb = 'update'"
    )
    after = rewrite(recorded, "op.add_audited_column('articles', 'n', 1, audit_schema='Audit Logs')")
    assert after[:2] == [
        ("insert", {}, {"id": 1, "title": "first", "n": 1}),
        ("update", {"title": "first"}, {"title": "second"}),
    ]


def test_an_added_column_does_not_replace_what_was_recorded(recorded: MigratedProject) -> None:
    before = history(recorded)
    assert rewrite(recorded, "op.add_audited_column('articles', 'title', 'x', audit_schema='Audit Logs')") == before


def test_a_retyped_column(recorded: MigratedProject) -> None:
    after = rewrite(
        recorded,
        "op.alter_audited_column('articles', 'id', \"to_jsonb(value #>> '{}')\", audit_schema='Audit Logs')",
        "op.alter_audited_column('articles', 'id', \"to_jsonb((value #>> '{}')::int)\", audit_schema='Audit Logs')",
    )
    assert [(old.get("id"), new.get("id")) for _, old, new in after] == [(None, "1"), ("1", None), ("1", None)]
    recorded.downgrade()
    assert [(old.get("id"), new.get("id")) for _, old, new in history(recorded)] == [(None, 1), (1, None), (1, None)]


def test_a_retyped_column_keeps_its_nulls(recorded: MigratedProject) -> None:
    recorded.execute("INSERT INTO notes (id, title, body) VALUES (2, 'x', NULL)")
    recorded.write_migration(
        "op.alter_audited_column('notes', 'body', \"to_jsonb((value #>> '{}')::int)\", audit_schema='Audit Logs')"
    )
    recorded.execute("DELETE FROM notes; INSERT INTO notes (id, title, body) VALUES (3, 'x', '42')")
    recorded.upgrade()
    bodies = [new["body"] for verb, _, new in history(recorded, table="notes") if verb == "insert"]
    assert bodies == [None, None, 42]


@pytest.mark.parametrize(("table", "schema"), [("articles", "other"), ("notes", "public")])
def test_another_schema_or_table_is_rewritten_alone(recorded: MigratedProject, table: str, schema: str) -> None:
    before = history(recorded)
    recorded.write_migration(
        f"op.remove_audited_column({table!r}, 'title', schema={schema!r}, audit_schema='Audit Logs')"
    )
    recorded.upgrade()
    assert history(recorded) == before
    assert all("title" not in {**old, **new} for _, old, new in history(recorded, schema, table))


def test_a_renamed_table_in_another_schema(recorded: MigratedProject) -> None:
    before = history(recorded, "other")
    recorded.write_migration(
        "op.rename_audited_table('articles', 'posts', schema='other', audit_schema='Audit Logs')",
        "op.rename_audited_table('posts', 'articles', schema='other', audit_schema='Audit Logs')",
    )
    recorded.upgrade()
    assert (history(recorded, "other"), history(recorded, "other", "posts")) == ([], before)
    recorded.downgrade()
    assert history(recorded, "other") == before


def test_a_script_rewrites_the_same(recorded: MigratedProject) -> None:
    operations = (
        "op.rename_audited_column('articles', 'title', 'a:b %s', audit_schema='Audit Logs')",
        "op.add_audited_column('articles', 'c', {':x': '%(y)s'}, audit_schema='Audit Logs')",
        "op.alter_audited_column('articles', 'id', \"to_jsonb('%: ' || (value #>> '{}'))\", audit_schema='Audit Logs')",
        "op.remove_audited_column('articles', 'body', audit_schema='Audit Logs')",
    )
    start = recorded.current()
    recorded.write_migration("\n".join(operations))
    recorded.execute(recorded.script("upgrade", f"{start}:head"))
    row = {"id": "%: 1", "a:b %s": "first", "c": {":x": "%(y)s"}}
    assert history(recorded)[0] == ("insert", {}, row)


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("op.rename_audited_column('notes', 'title', 'body', audit_schema='Audit Logs')", "column 'body'"),
        # An earlier column, which no row has together with the one that gets its name.
        ("op.rename_audited_column('notes', 'title', 'was', audit_schema='Audit Logs')", "column 'was'"),
        ("op.rename_audited_table('articles', 'notes', audit_schema='Audit Logs')", "table 'notes'"),
    ],
)
def test_a_name_that_history_has_already_is_refused(recorded: MigratedProject, operation: str, name: str) -> None:
    recorded.execute("INSERT INTO notes (title, body) VALUES ('x', 'y')")
    recorded.write_migration(
        "op.remove_audited_column('notes', 'title', audit_schema='Audit Logs')\n"
        "op.rename_audited_column('notes', 'body', 'was', audit_schema='Audit Logs')"
        if "was" in name
        else "pass"
    )
    recorded.upgrade()
    recorded.execute("INSERT INTO notes (title, body) VALUES ('x', 'y'), ('z', NULL)")
    before = history(recorded), history(recorded, table="notes")
    recorded.write_migration(operation)
    with pytest.raises(CommandError, match=rf"another {name} already"):
        recorded.upgrade()
    assert (history(recorded), history(recorded, table="notes")) == before


def test_a_migration_that_comes_late_finds_the_new_name(recorded: MigratedProject) -> None:
    recorded.execute(
        "ALTER TABLE articles RENAME title TO head; INSERT INTO articles (head) VALUES ('x');"
        "ALTER TABLE notes RENAME TO memos; INSERT INTO memos (title) VALUES ('y')"
    )
    recorded.write_migration(
        "op.rename_audited_column('articles', 'title', 'head', audit_schema='Audit Logs')\n"
        "op.rename_audited_table('notes', 'memos', audit_schema='Audit Logs')"
    )
    recorded.upgrade()
    assert [(old | new)["head"] for _, old, new in history(recorded)] == ["first", "second", "second", "x"]
    assert [(old | new)["title"] for _, old, new in history(recorded, table="memos")][-2:] == ["second", "y"]


def seal(project: MigratedProject) -> AuditLog:
    log = AuditLog(MetaData(), schema="Audit Logs")
    engine = create_engine(project.url)
    log.seal(engine)
    engine.dispose()
    return log


def seal_findings(project: MigratedProject) -> set[tuple[str, bool]]:
    """Return what verifying the seals finds: kind, and whether it counts."""
    log = AuditLog(MetaData(), schema="Audit Logs")
    engine = create_engine(project.url)
    with engine.connect() as connection:
        found = {(each.kind, each.is_failure) for each in log.verify_seals(connection) if each.kind != "unsealed"}
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("op.rename_audited_column('articles', 'title', 'head', audit_schema='Audit Logs')", set()),
        ("op.rename_audited_table('articles', 'texts', audit_schema='Audit Logs')", set()),
        ("op.add_audited_column('articles', 'views', 0, audit_schema='Audit Logs')", set()),
        ("op.remove_audited_column('articles', 'title', audit_schema='Audit Logs')", {("erased", False)}),
        ("op.erase_audited_values('articles', ['title'], 'policy 12', audit_schema='Audit Logs')", {("erased", False)}),
        (
            "op.alter_audited_column('articles', 'title', \"to_jsonb(length(value #>> '{}'))\","
            " audit_schema='Audit Logs')",
            {("rewritten", False)},
        ),
        (
            "op.rename_audited_column('articles', 'title', 'head', audit_schema='Audit Logs')\n"
            "op.rename_audited_table('articles', 'texts', audit_schema='Audit Logs')\n"
            "op.erase_audited_values('texts', ['head'], 'policy 12', audit_schema='Audit Logs')",
            {("erased", False)},
        ),
    ],
)
def test_what_a_migration_rewrites_stays_proved(
    recorded: MigratedProject, operation: str, expected: set[tuple[str, bool]]
) -> None:
    seal(recorded)
    recorded.write_migration(operation, "pass")
    recorded.upgrade()
    assert seal_findings(recorded) == expected
    seal(recorded)
    assert seal_findings(recorded) == expected
    with recorded.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE \"Audit Logs\".activity SET verb = 'snapshot' WHERE verb = 'delete'")
    assert ("altered", True) in seal_findings(recorded)
