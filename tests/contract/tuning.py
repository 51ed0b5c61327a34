"""Options of tables in migrations: written, detected when they change, restored by a downgrade."""

from __future__ import annotations

import psycopg
import pytest

from tests.contract.migrations import USER, model
from tests.contract.project import CommandError
from tests.contract.setups import MigratedProject

COLUMNS = ("name: Mapped[str]", "ssn: Mapped[str | None]")


def test_options_are_part_of_the_migration_and_restored_by_a_downgrade(project: MigratedProject) -> None:
    plain = USER + model("Person", *COLUMNS, versioned={}, table="people")
    project.write_app(plain)
    project.must_migrate()
    options = {
        "mask": ["ssn"],
        "operations": ["update", "insert", "truncate"],
        "truncate": "rows",
        "bypass": "reject",
        "store": "changes",
    }
    project.write_app(USER + model("Person", *COLUMNS, versioned=options, table="people"))
    migration = project.must_migrate()
    assert migration.upgrade == [
        "init_audit_logger_triggers('people', masked_columns=['ssn'], "
        "recorded_operations=['insert', 'update', 'truncate'], truncate='rows', bypass='reject', store='changes')"
    ]
    assert migration.downgrade == ["init_audit_logger_triggers('people')"]
    project.check()
    write = "INSERT INTO people (name, ssn) VALUES ('Ann', '1'); DELETE FROM people"
    project.execute(write)
    assert [verb for verb, _ in project.recorded("people")] == ["insert"]
    assert project.recorded("people")[0][1]["ssn"] == "***"
    with project.connect() as connection:
        connection.execute("SET audit_logger.enabled = 'off'")
        with pytest.raises(psycopg.Error, match="cannot bypass"):
            connection.execute("DELETE FROM people; UPDATE people SET name = 'x'; TRUNCATE people")
    project.downgrade()
    project.execute(write)
    assert [verb for verb, _ in project.recorded("people")[1:]] == ["insert", "delete"]
    assert project.recorded("people")[1][1]["ssn"] == "1"


def test_a_partitioned_table(project: MigratedProject) -> None:
    project.write_app(
        USER
        + """
class Event(Base):
    __tablename__ = "events"
    __table_args__ = {"postgresql_partition_by": "RANGE (year)", "info": {"versioned": {}}}

    id: Mapped[int] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True)
"""
    )
    migration = project.must_migrate()
    assert migration.upgrade[-1] == "init_audit_logger_triggers('events', key_columns=['id', 'year'], partitioned=True)"
    project.execute("CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (2)")
    project.execute("INSERT INTO events_1 VALUES (7, 1)")
    assert project.recorded("events") == [("insert", {"id": 7, "year": 1})]
    # The partition is not in the models, and Alembic would drop it if it compared it.
    project.downgrade("base")


def test_a_table_with_a_past_gets_a_baseline(installed: MigratedProject) -> None:
    installed.execute("ALTER TABLE articles DISABLE TRIGGER USER")
    installed.execute(
        "INSERT INTO articles (title, body) SELECT 'old ' || n, repeat('x', 500) FROM generate_series(1, 100) AS n"
    )
    installed.execute("ALTER TABLE articles ENABLE TRIGGER USER")
    installed.execute("UPDATE articles SET title = 'changed' WHERE id = 7")
    audit_schema = installed.setup.audit_schema
    installed.write_migration(f"op.snapshot_audited_table('articles', audit_schema={audit_schema!r}, pages=2)")
    installed.upgrade()
    snapshots = [data for verb, data in installed.recorded("articles") if verb == "snapshot"]
    assert sorted(data["id"] for data in snapshots) == [key for key in range(1, 101) if key != 7]
    assert snapshots[0] == {"id": 1, "title": "old 1"}
    # Run again, it finds nothing that has no activity yet.
    installed.downgrade()
    installed.upgrade()
    assert len(installed.recorded("articles")) == 100


def test_a_baseline_needs_triggers(installed: MigratedProject) -> None:
    audit_schema = installed.setup.audit_schema
    installed.write_migration(f"op.snapshot_audited_table('comments', audit_schema={audit_schema!r})")
    with pytest.raises(CommandError, match="comments has no audit triggers"):
        installed.upgrade()


def test_maintenance_says_so(installed: MigratedProject) -> None:
    installed.execute("INSERT INTO articles (title) VALUES ('x')")
    schema = installed.setup.audit_schema
    installed.write_migration(f"op.rename_audited_column('articles', 'title', 'heading', audit_schema={schema!r})")
    installed.upgrade()
    assert installed.recorded("articles")[0][1]["heading"] == "x"
    with installed.connect() as connection:
        query = f"""SELECT changed_data FROM "{schema}".activity WHERE verb = 'maintenance'"""
        assert connection.execute(query).fetchall() == [  # type: ignore[call-overload]
            ({"operation": "rename_audited_column", "arguments": ["articles", "title", "heading"], "rows": 1},)
        ]
        with pytest.raises(psycopg.Error, match="audit trail"):
            connection.execute(f"""UPDATE "{schema}".activity SET verb = 'x'""")  # type: ignore[call-overload]
