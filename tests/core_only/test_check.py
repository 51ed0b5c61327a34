"""check() lists what is not recorded, or not protected, as it should be."""

from __future__ import annotations

import pytest
from audit_core import AuditLog
from sqlalchemy import Column, Connection, Integer, MetaData, Table


@pytest.fixture
def log(connection: Connection) -> AuditLog:
    log = AuditLog(MetaData(), schema="audit")
    Table("users", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    log.metadata.create_all(connection)
    log.install(connection)
    return log


def test_nothing_is_wrong_after_install(connection: Connection, log: AuditLog) -> None:
    assert log.check(connection) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("ALTER TABLE users DISABLE TRIGGER audit_logger_insert", "altered audit triggers on table 'users'"),
        ("ALTER TABLE users DISABLE TRIGGER ALL", "altered audit triggers on table 'users'"),
        ("DROP TRIGGER audit_logger_delete ON users", "altered audit triggers on table 'users'"),
        ("SELECT audit.audit_logger_drop_triggers('users')", "table 'users' to be audited"),
        ("ALTER FUNCTION audit.audit_logger_record_statement() SECURITY INVOKER", "altered functions"),
        ("DROP FUNCTION audit.audit_logger_to_inet(text)", "altered functions"),
        ("ALTER TABLE audit.activity DISABLE TRIGGER audit_logger_protect_rows", "protection"),
        ("DROP TRIGGER audit_logger_protect_table ON audit.transaction", "protection"),
        ("GRANT EXECUTE ON FUNCTION audit.audit_logger_ensure_transaction() TO PUBLIC", "altered functions"),
        ("GRANT INSERT, DELETE ON audit.activity TO PUBLIC", "PUBLIC may delete, insert in audit.activity"),
        ("GRANT TRUNCATE ON audit.activity_open TO pg_monitor", "pg_monitor may truncate in audit.activity_open"),
        ("GRANT UPDATE ON audit.transaction TO pg_monitor", "pg_monitor may update in audit.transaction"),
        ("COMMENT ON TABLE audit.activity IS 'audit trail (SQL version 99)'", "SQL version 99.*Upgrade audit-core"),
    ],
)
def test_what_is_wrong_is_said(connection: Connection, log: AuditLog, damage: str, said: str) -> None:
    connection.exec_driver_sql(damage)
    (problem,) = log.check(connection)
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(str(problem))


def test_a_database_without_a_trail(connection: Connection) -> None:
    log = AuditLog(MetaData())
    Table("users", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    log.metadata.create_all(connection)
    assert [problem.table for problem in log.check(connection)] == [None, "users"]
