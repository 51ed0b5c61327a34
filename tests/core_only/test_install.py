"""install() and uninstall(): doing it again does nothing, and what somebody altered is put right."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError
from audit_core.installation.catalog import audit_relations, read
from audit_core.installation.compare import InitTriggers, RefreshTrail
from audit_core.siblings import differences, scope_of
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeEngine


@pytest.fixture
def log() -> AuditLog:
    metadata = MetaData()
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("hair", String),
        info={"versioned": {"exclude": ["hair"]}},
    )
    return AuditLog(metadata)


@pytest.fixture
def users(log: AuditLog, connection: Connection) -> Table:
    log.metadata.create_all(connection)
    log.install(connection)
    return log.metadata.tables["users"]


def verbs(connection: Connection, log: AuditLog) -> list[str]:
    return list(connection.scalars(select(log.activity_cls.verb).order_by(log.activity_cls.id)))


def steps(connection: Connection, log: AuditLog) -> list[object]:
    return list(differences(scope_of(log), read(connection, log.schema)))


def test_installing_again_does_nothing(connection: Connection, log: AuditLog, users: Table) -> None:
    connection.execute(insert(users))
    assert steps(connection, log) == []
    log.install(connection)
    assert verbs(connection, log) == ["insert"]


def test_a_trail_of_a_later_version_is_not_touched(connection: Connection, log: AuditLog, users: Table) -> None:
    connection.exec_driver_sql("COMMENT ON TABLE activity IS 'audit trail: what changed (SQL version 99)'")
    connection.exec_driver_sql("ALTER FUNCTION audit_logger_record_statement() SET search_path = pg_catalog")
    with pytest.raises(ConfigurationError, match="SQL version 99"):
        log.install(connection)


def test_create_all_does_not_create_the_trail(connection: Connection, log: AuditLog) -> None:
    log.metadata.create_all(connection)
    assert inspect(connection).get_table_names() == ["users"]


def test_uninstall_keeps_the_trail(connection: Connection, log: AuditLog, users: Table) -> None:
    connection.execute(insert(users))
    log.uninstall(connection)
    connection.execute(insert(users))
    assert verbs(connection, log) == ["insert"]
    log.install(connection)
    connection.execute(insert(users))
    assert verbs(connection, log) == ["insert", "insert"]


def test_uninstall_can_drop_the_trail(connection: Connection, log: AuditLog, users: Table) -> None:
    log.uninstall(connection, drop_trail=True)
    assert inspect(connection).get_table_names() == ["users"]
    left = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'audit_logger%'"
    assert connection.scalar(text(left)) == 0


def test_uninstall_of_nothing_does_nothing(connection: Connection, log: AuditLog) -> None:
    log.uninstall(connection)
    log.uninstall(connection, drop_trail=True)


def test_changed_exclusions_are_installed(connection: Connection, log: AuditLog, users: Table) -> None:
    users.info["versioned"] = {"exclude": ["name"]}
    (step,) = steps(connection, log)
    assert isinstance(step, InitTriggers)
    assert step.replaces is not None
    assert step.replaces.options.exclude == ("hair",)
    log.install(connection)
    connection.execute(insert(users).values(name="n", hair="h"))
    assert connection.scalar(select(log.activity_cls.changed_data)) == {"id": 1, "hair": "h"}


def test_a_table_that_is_no_longer_audited_is_no_longer_recorded(
    connection: Connection, log: AuditLog, users: Table
) -> None:
    del users.info["versioned"]
    log.install(connection)
    connection.execute(insert(users))
    assert verbs(connection, log) == []


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE users DISABLE TRIGGER audit_logger_insert",
        "ALTER TABLE users ENABLE REPLICA TRIGGER audit_logger_update",
        "DROP TRIGGER audit_logger_truncate ON users",
        "CREATE OR REPLACE TRIGGER audit_logger_insert AFTER INSERT ON users REFERENCING NEW TABLE AS new_table"
        " FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION audit_logger_record_statement('exclude=hair')",
        "CREATE OR REPLACE TRIGGER audit_logger_delete AFTER DELETE ON users REFERENCING OLD TABLE AS old_table"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_logger_record_statement('exclude=hair', 'exclude=name')",
        "CREATE OR REPLACE TRIGGER audit_logger_insert AFTER INSERT ON users REFERENCING NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_logger_record_statement('exclude=hair')",
    ],
)
def test_altered_triggers_are_found_and_repaired(
    connection: Connection, log: AuditLog, users: Table, damage: str
) -> None:
    connection.exec_driver_sql(damage)
    (step,) = steps(connection, log)
    assert isinstance(step, InitTriggers)
    assert step.repairs
    log.install(connection)
    assert steps(connection, log) == []


@pytest.mark.parametrize(
    "damage",
    [
        "CREATE OR REPLACE FUNCTION audit_logger_to_inet(address text) RETURNS inet "
        "LANGUAGE sql AS 'SELECT NULL::inet'",
        "ALTER FUNCTION audit_logger_record_statement() SECURITY INVOKER",
        "ALTER FUNCTION audit_logger_record_statement() RESET search_path",
        "ALTER FUNCTION audit_logger_record_statement() SET search_path = public",
        "GRANT EXECUTE ON FUNCTION audit_logger_ensure_transaction() TO PUBLIC",
    ],
)
def test_altered_functions_are_found_and_repaired(
    connection: Connection, log: AuditLog, users: Table, damage: str
) -> None:
    connection.exec_driver_sql(damage)
    assert [type(step) for step in steps(connection, log)] == [RefreshTrail]
    log.install(connection)
    assert steps(connection, log) == []


def test_a_trigger_of_the_application_with_a_name_of_ours_is_not_replaced(
    connection: Connection, log: AuditLog
) -> None:
    log.metadata.create_all(connection)
    connection.exec_driver_sql(
        "CREATE TRIGGER audit_logger_insert BEFORE UPDATE ON users FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    with pytest.raises(ConfigurationError, match="'users' has a trigger 'audit_logger_insert' that is not"):
        log.install(connection)
    connection.exec_driver_sql("ALTER TRIGGER audit_logger_insert ON users RENAME TO keep_quiet")
    log.install(connection)
    connection.exec_driver_sql("INSERT INTO users VALUES (1, 'ann')")
    assert verbs(connection, log) == ["insert"]


def test_triggers_that_were_disabled_record_again_after_a_repair(
    connection: Connection, log: AuditLog, users: Table
) -> None:
    connection.exec_driver_sql("ALTER TABLE users DISABLE TRIGGER audit_logger_insert")
    log.install(connection)
    connection.execute(insert(users))
    assert verbs(connection, log) == ["insert"]


@pytest.mark.parametrize(("installed", "wanted"), [(Integer(), BigInteger()), (Text(), Integer()), (Integer(), Uuid())])
def test_a_changed_type_of_the_actor_is_said(
    connection: Connection, installed: TypeEngine[Any], wanted: TypeEngine[Any]
) -> None:
    def log(key_type: TypeEngine[Any]) -> AuditLog:
        mappings = registry()
        actor = type("Actor", (), {})
        mappings.map_imperatively(actor, Table("actors", mappings.metadata, Column("id", key_type, primary_key=True)))
        return AuditLog(mappings, actor_cls=actor)

    log(installed).install(connection)
    log(installed).install(connection)
    with pytest.raises(ConfigurationError, match="ALTER COLUMN actor_id TYPE"):
        log(wanted).install(connection)


@pytest.mark.parametrize("length", [8, None])
def test_the_length_of_a_text_key_does_not_matter(connection: Connection, length: int | None) -> None:
    mappings = registry()
    actor = type("Actor", (), {})
    key = Column("id", String(length), primary_key=True)
    mappings.map_imperatively(actor, Table("actors", mappings.metadata, key))
    log = AuditLog(mappings, actor_cls=actor)
    log.install(connection)
    log.install(connection)
    assert steps(connection, log) == []


def test_a_schema_is_made_and_taken_away(connection: Connection) -> None:
    log = AuditLog(MetaData(), schema='Audit "Logs"')
    log.install(connection)
    names = ["activity", "activity_commitment", "activity_coverage", "activity_hold", "activity_open"]
    names += ["activity_partition", "activity_retention", "activity_seal", "activity_seal_leaf", "activity_stream"]
    names += ["transaction"]
    assert sorted(inspect(connection).get_table_names(schema='Audit "Logs"')) == names
    assert audit_relations(connection) == {(log.schema, name) for name in names}
    log.uninstall(connection, drop_trail=True)
    assert not inspect(connection).has_schema('Audit "Logs"')


def test_a_schema_of_the_application_stays(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE SCHEMA audit")
    log = AuditLog(MetaData(), schema="audit")
    log.install(connection)
    log.uninstall(connection, drop_trail=True)
    assert inspect(connection).has_schema("audit")


def test_a_schema_that_holds_something_else_stays(connection: Connection) -> None:
    log = AuditLog(MetaData(), schema="audit")
    log.install(connection)
    connection.exec_driver_sql("CREATE TABLE audit.mine (id int)")
    log.uninstall(connection, drop_trail=True)
    assert inspect(connection).get_table_names(schema="audit") == ["mine"]


def test_the_application_needs_no_right_on_the_trail(
    engine: Engine, connection: Connection, log: AuditLog, users: Table
) -> None:
    role = f"writer_{engine.url.database}"
    connection.exec_driver_sql(f"CREATE ROLE {role}")
    connection.exec_driver_sql(f"GRANT INSERT, UPDATE, DELETE, TRUNCATE, SELECT ON users TO {role}")
    connection.exec_driver_sql(f"GRANT USAGE ON SEQUENCE users_id_seq TO {role}")
    connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
    connection.exec_driver_sql("INSERT INTO users (name) VALUES ('a')")
    connection.exec_driver_sql("UPDATE users SET name = 'b'")
    connection.exec_driver_sql("DELETE FROM users")
    connection.exec_driver_sql("TRUNCATE users")
    connection.exec_driver_sql("RESET ROLE")
    assert verbs(connection, log) == ["insert", "update", "delete", "truncate"]
    connection.exec_driver_sql(f"DROP OWNED BY {role}")
    connection.exec_driver_sql(f"DROP ROLE {role}")
