"""The history of another trail comes with a migration."""

from __future__ import annotations

import pytest

from tests.contract.migrations import MODELS
from tests.contract.project import CommandError
from tests.contract.setups import AlembicSetup, MigratedProject, Setup

OLD = """
CREATE SCHEMA audit_old;
CREATE TABLE audit_old.transaction (id bigint PRIMARY KEY, native_transaction_id bigint, issued_at timestamp,
    client_addr inet, actor_id integer);
CREATE TABLE audit_old.activity (id bigint PRIMARY KEY, schema text, table_name text, relid integer,
    issued_at timestamp, native_transaction_id bigint, verb text, old_data jsonb,
    changed_data jsonb, transaction_id bigint);
INSERT INTO audit_old.transaction VALUES (1, 5, '2020-01-01', NULL, 3);
INSERT INTO audit_old.activity VALUES
    (1, 'public', 'articles', 0, '2020-01-01', 5, 'insert', '{}', '{"id": 1, "title": "old"}', 1)
"""
IMPORT = 'op.import_audit_trail("flask-audit-logger-2", schema="audit_old")'


@pytest.fixture(scope="module")
def setup() -> Setup:
    """The trail in its default schema, since the calls below do not name another one."""
    return AlembicSetup()


def test_a_migration_imports_the_history(installed: MigratedProject) -> None:
    installed.write_app(MODELS)
    installed.execute(OLD)
    installed.write_migration(IMPORT)
    assert "Imported 1 changes in 1 transactions of flask-audit-logger-2" in installed.alembic("upgrade", "head")
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "old"})]
    installed.downgrade()
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "old"})]
    with pytest.raises(CommandError, match="was imported already"):
        installed.upgrade()


def test_a_migration_that_fails_imports_nothing(installed: MigratedProject) -> None:
    installed.execute(OLD)
    installed.write_migration(f"{IMPORT}\nop.execute('SELECT 1 / 0')")
    with pytest.raises(CommandError, match="division by zero"):
        installed.upgrade()
    assert installed.recorded("articles") == []


def test_it_cannot_be_written_into_a_script(installed: MigratedProject) -> None:
    installed.write_migration(IMPORT)
    with pytest.raises(CommandError, match=r"op.import_audit_trail\(\) depends on what is in the database"):
        installed.alembic("upgrade", "head", "--sql")
