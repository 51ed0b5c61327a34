"""check() lists what would let somebody keep a change out of the trail, or alter what it says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import pytest
from audit_core import AuditLog, ProtectionWarning
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, event

OTHER = "audit_test_other"


@pytest.fixture
def log(connection: Connection) -> Iterator[AuditLog]:
    """A trail, and a role that is not its owner; roles are those of all databases, so that it is taken back."""
    changes = connection.begin_nested()
    connection.exec_driver_sql(f"CREATE ROLE {OTHER}")
    log = AuditLog(MetaData(), schema="audit")
    Table("users", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    Table("events", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    log.metadata.create_all(connection)
    log.install(connection)
    connection.exec_driver_sql(
        "CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    yield log
    changes.rollback()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "CREATE TRIGGER meddle BEFORE INSERT ON audit.activity FOR EACH ROW EXECUTE FUNCTION meddle()",
            "Trigger 'meddle' on audit.activity is not of the audit trail",
        ),
        (
            "CREATE TRIGGER meddle AFTER INSERT ON audit.transaction FOR EACH ROW EXECUTE FUNCTION meddle()",
            "Trigger 'meddle' on audit.transaction is not of the audit trail",
        ),
        (
            "CREATE TRIGGER meddle BEFORE INSERT ON {partition} FOR EACH ROW EXECUTE FUNCTION meddle()",
            "Trigger 'meddle' on {partition} is not of the audit trail",
        ),
        (
            "CREATE TRIGGER silent BEFORE INSERT ON audit.activity"
            " FOR EACH ROW EXECUTE FUNCTION audit.audit_logger_protect()",
            "Trigger 'silent' on audit.activity is not of the audit trail",
        ),
        (
            "CREATE RULE quiet AS ON INSERT TO audit.activity WHERE new.verb = 'delete' DO INSTEAD NOTHING",
            "Rule 'quiet' on audit.activity can keep changes out",
        ),
        ("CREATE RULE quiet AS ON INSERT TO audit.transaction DO INSTEAD NOTHING", "Rule 'quiet' on audit.transaction"),
        ("CREATE RULE quiet AS ON INSERT TO {partition} DO INSTEAD NOTHING", "Rule 'quiet' on {partition}"),
        ("ALTER TABLE audit.activity ENABLE ROW LEVEL SECURITY", "audit.activity has row level security"),
        ("ALTER TABLE audit.transaction FORCE ROW LEVEL SECURITY", "audit.transaction has row level security"),
        ("ALTER TABLE {partition} ENABLE ROW LEVEL SECURITY", "{partition} has row level security"),
        (
            "ALTER TABLE audit.transaction ALTER db_user SET DEFAULT 'ann'",
            "Column 'db_user' of audit.transaction has the default 'ann'",
        ),
        (
            "ALTER TABLE audit.transaction ALTER application_name SET DEFAULT ''",
            "Column 'application_name' of audit.transaction has the default ''",
        ),
        (
            "CREATE SEQUENCE mine; ALTER TABLE audit.activity ALTER id SET DEFAULT nextval('mine')",
            "Column 'id' of audit.activity has the default nextval('public.mine'",
        ),
        (
            "ALTER TABLE audit.activity ALTER old_row_key SET DEFAULT '1'",
            "Column 'old_row_key' of audit.activity has the default '1'",
        ),
        (
            "ALTER TABLE {partition} ALTER verb SET DEFAULT 'insert'",
            "Column 'verb' of {partition} has the default 'insert'",
        ),
        ("ALTER TABLE {partition} OWNER TO {other}", "{partition} belongs to {other}, and audit.activity to"),
        ("ALTER TABLE audit.transaction OWNER TO {other}", "audit.transaction belongs to {other}"),
        (
            "ALTER FUNCTION audit.audit_logger_record_statement() OWNER TO {other}",
            "audit.audit_logger_record_statement() belongs to {other}",
        ),
        ("ALTER TABLE {partition} SET UNLOGGED", "{partition} is UNLOGGED"),
        ("ALTER TABLE audit.transaction SET UNLOGGED", "audit.transaction is UNLOGGED"),
        ("ALTER SEQUENCE audit.activity_id_seq SET UNLOGGED", "audit.activity_id_seq is UNLOGGED"),
        (
            "CREATE FUNCTION audit.audit_logger_to_inet(varchar) RETURNS inet LANGUAGE sql RETURN NULL::inet;"
            "REVOKE ALL ON FUNCTION audit.audit_logger_to_inet(varchar) FROM PUBLIC",
            "audit.audit_logger_to_inet(character varying) has the name of a function of the audit trail",
        ),
        ("GRANT INSERT (verb) ON audit.activity TO {other}", "{other} may insert in column verb of audit.activity"),
        ("GRANT UPDATE (meta) ON audit.transaction TO PUBLIC", "PUBLIC may update in column meta of audit.transaction"),
        ("GRANT USAGE ON SEQUENCE audit.activity_id_seq TO {other}", "{other} may usage in audit.activity_id_seq"),
        (
            "GRANT EXECUTE ON FUNCTION audit.audit_logger_ensure_transaction() TO {other}",
            "{other} may execute in audit.audit_logger_ensure_transaction()",
        ),
        (
            "GRANT EXECUTE ON PROCEDURE audit.audit_logger_snapshot(regclass, integer) TO {other}",
            "{other} may execute in audit.audit_logger_snapshot(",
        ),
        ("GRANT CREATE ON SCHEMA audit TO {other}", "{other} may create functions in schema 'audit'"),
        ("GRANT ALL ON SCHEMA audit TO PUBLIC", "PUBLIC may create functions in schema 'audit'"),
        ("ALTER SCHEMA audit OWNER TO {other}", "{other} may create functions in schema 'audit'"),
        ("GRANT pg_write_all_data TO {other}", "{other} is a member of pg_write_all_data"),
        (
            "CREATE ROLE {other}_2; GRANT pg_write_all_data TO {other}_2; GRANT {other}_2 TO {other};"
            "ALTER ROLE {other}_2 SUPERUSER",
            '{other} is a member of pg_write_all_data, and .* REVOKE "{other}_2" FROM "{other}"',
        ),
        ("GRANT {owner} TO {other}", "{other} is a member of {owner}, and may do with the audit trail what its"),
        ("ALTER ROLE {other} SET audit_logger.enabled = off", "audit_logger.enabled is set to 'off' for role {other}"),
        (
            "ALTER ROLE {other} IN DATABASE {database} SET audit_logger.maintenance = on",
            "audit_logger.maintenance is set to 'on' for role {other} in database {database}",
        ),
        (
            "ALTER DATABASE {database} SET audit_logger.actor_id = 7",
            "audit_logger.actor_id is set to '7' for database {database}",
        ),
        (
            "ALTER ROLE {other} SET session_replication_role = replica",
            "session_replication_role is set to 'replica' for role {other}",
        ),
        ("ALTER ROLE ALL SET audit_logger.enabled = off", "audit_logger.enabled is set to 'off' for all roles"),
        ("CREATE RULE quiet AS ON DELETE TO users DO INSTEAD NOTHING", "Rule 'quiet' on public.users puts"),
        (
            "CREATE TABLE users_2 () INHERITS (users); SELECT audit.audit_logger_copy_triggers('users', NULL);"
            "CREATE RULE quiet AS ON DELETE TO users_2 DO ALSO SELECT 1",
            "Rule 'quiet' on public.users_2 puts",
        ),
    ],
)
def test_what_is_wrong_is_said(connection: Connection, log: AuditLog, damage: str, said: str) -> None:
    # The name of the partition is of no interest.
    partition = connection.exec_driver_sql(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_partition_tree('audit.activity') AS t"
        " JOIN pg_class AS c ON c.oid = t.relid JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE t.isleaf LIMIT 1"
    ).scalar()
    url = connection.engine.url
    names = {"other": OTHER, "partition": partition, "database": url.database, "owner": url.username}
    if "SEQUENCE" in damage and "UNLOGGED" in damage and connection.dialect.server_version_info < (15,):
        pytest.skip("sequences are always logged before PostgreSQL 15")
    connection.exec_driver_sql(damage.format(**names))
    (problem,) = log.check(connection)
    wanted = said.format(**names)
    assert wanted in problem.message or re.search(wanted, problem.message)


def test_what_is_said_helps(connection: Connection, log: AuditLog) -> None:
    """Each message ends with the statement that puts things right."""
    for damage in (
        "CREATE TRIGGER meddle BEFORE INSERT ON audit.activity FOR EACH ROW EXECUTE FUNCTION meddle()",
        "CREATE RULE quiet AS ON INSERT TO audit.activity WHERE new.verb = 'delete' DO INSTEAD NOTHING",
        "ALTER TABLE audit.activity ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit.transaction ALTER db_user SET DEFAULT 'ann'",
        "CREATE SEQUENCE mine; ALTER TABLE audit.activity ALTER id SET DEFAULT nextval('mine')",
        "ALTER TABLE audit.activity ALTER old_row_key SET DEFAULT '1'",
        f"ALTER FUNCTION audit.audit_logger_record_statement() OWNER TO {OTHER}",
        f"ALTER TABLE audit.transaction OWNER TO {OTHER}",
        "ALTER TABLE audit.transaction SET UNLOGGED",
        "CREATE FUNCTION audit.audit_logger_to_inet(varchar) RETURNS inet LANGUAGE sql RETURN NULL::inet",
        f"GRANT INSERT (verb, row_key), UPDATE (verb) ON audit.activity TO {OTHER}",
        f"GRANT USAGE ON SEQUENCE audit.activity_id_seq TO {OTHER}",
        f"GRANT EXECUTE ON FUNCTION audit.audit_logger_row_key(jsonb, text[]) TO {OTHER}",
        f"GRANT EXECUTE ON PROCEDURE audit.audit_logger_snapshot(regclass, integer) TO {OTHER}",
        "GRANT CREATE ON SCHEMA audit TO PUBLIC",
        f"GRANT pg_write_all_data, {connection.engine.url.username} TO {OTHER}",
        f"ALTER ROLE {OTHER} SET audit_logger.enabled = off",
        f"ALTER ROLE {OTHER} IN DATABASE {connection.engine.url.database} SET audit_logger.actor_id = 7",
        "CREATE RULE quiet AS ON DELETE TO users DO INSTEAD NOTHING",
    ):
        connection.exec_driver_sql(damage)
    problems = log.check(connection)
    assert len(problems) >= 19
    for problem in problems:
        found = re.search(r"Run: (.*?)(, or put the trail into .*)?$", problem.message)
        assert found is not None, problem.message
        connection.exec_driver_sql(found[1].replace("%", "%%"))
    assert log.check(connection) == []


@pytest.mark.parametrize(
    "harmless",
    [
        "GRANT SELECT ON audit.activity, audit.transaction TO {other}; GRANT USAGE ON SCHEMA audit TO {other}",
        "GRANT SELECT (verb) ON audit.activity TO {other}; GRANT SELECT ON SEQUENCE audit.activity_id_seq TO {other}",
        "GRANT EXECUTE ON FUNCTION audit.audit_logger_record_read(text, text, text, jsonb) TO {other}",
        "ALTER ROLE {other} SUPERUSER; GRANT pg_write_all_data, {owner} TO {other};"
        "GRANT ALL ON audit.activity, audit.transaction TO {other}; GRANT CREATE ON SCHEMA audit TO {other};"
        "GRANT ALL ON ALL FUNCTIONS IN SCHEMA audit TO {other}",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY; ALTER TABLE users FORCE ROW LEVEL SECURITY",
        "ALTER ROLE {other} SET audit_logger.enabled = on; ALTER ROLE {other} SET work_mem = '8MB'",
        "CREATE ROLE {other}_2 ADMIN {other}; GRANT SELECT ON audit.activity TO {other}_2",
    ],
)
def test_what_does_no_harm_is_not_said(connection: Connection, log: AuditLog, harmless: str) -> None:
    connection.exec_driver_sql(harmless.format(other=OTHER, owner=connection.engine.url.username))
    assert log.check(connection) == []


def test_the_search_path_of_the_session_stays(connection: Connection, log: AuditLog) -> None:
    connection.exec_driver_sql("SET LOCAL search_path = audit, public")
    log.check(connection)
    log.install(connection)
    assert connection.exec_driver_sql("SHOW search_path").scalar() == "audit, public"


def test_a_connection_in_autocommit_can_be_checked(engine: Engine) -> None:
    log = AuditLog(MetaData())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        log.install(connection)
        assert log.check(connection) == []
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'


def test_as_many_queries_for_many_tables(connection: Connection) -> None:
    def queries(log: AuditLog) -> int:
        sent: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *args: sent.append(args[2]))
        log.check(connection)
        return len(sent)

    few, many = AuditLog(MetaData(), schema="few"), AuditLog(MetaData(), schema="many")
    for log, count in ((few, 1), (many, 20)):
        for number in range(count):
            name = f"{log.schema}_{number}"
            Table(name, log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
        log.metadata.create_all(connection)
        log.install(connection)
    assert queries(few) == queries(many) <= 30


def test_install_warns_where_others_may_create_functions(connection: Connection, log: AuditLog) -> None:
    connection.exec_driver_sql("GRANT CREATE ON SCHEMA audit TO PUBLIC")
    with pytest.warns(ProtectionWarning, match='REVOKE CREATE ON SCHEMA "audit" FROM PUBLIC') as warned:
        log.install(connection)
    assert warned[0].filename == __file__
    connection.exec_driver_sql("REVOKE CREATE ON SCHEMA audit FROM PUBLIC")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.install(connection)


def test_the_owner_of_the_database_may_create_in_public(connection: Connection, log: AuditLog) -> None:
    in_public = AuditLog(MetaData())
    in_public.install(connection)
    connection.exec_driver_sql(f"ALTER DATABASE {connection.engine.url.database} OWNER TO {OTHER}")
    if connection.dialect.server_version_info >= (15,):  # type: ignore[operator]
        (problem,) = in_public.check(connection)
        assert f"{OTHER} may create functions in schema 'public'" in problem.message
