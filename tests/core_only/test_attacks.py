"""Somebody who may write to the tables, and create what he likes beside them, cannot make the trail lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, audit_context
from audit_core.installation.catalog import read
from audit_core.siblings import differences, scope_of
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, create_engine, select, text
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.each_server

AUDITED: dict[str, Any] = {"info": {"versioned": {}}}


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def sqlstate(error: pytest.ExceptionInfo[DBAPIError]) -> Any:
    return getattr(error.value.orig, "sqlstate", None)


@pytest.fixture
def log(connection: Connection) -> AuditLog:
    """A plain table, and one of the same columns that is partitioned and has no key."""
    log = AuditLog(MetaData())
    columns = ("id", "v")
    Table("orders", log.metadata, Column("id", Integer, primary_key=True), Column("v", Integer), **AUDITED)
    Table(
        "archive", log.metadata, *(Column(c, Integer) for c in columns), postgresql_partition_by="RANGE (v)", **AUDITED
    )
    log.metadata.create_all(connection)
    for table in ("archive",):
        run(
            connection,
            f"CREATE TABLE {table}_1 PARTITION OF {table} FOR VALUES FROM (0) TO (10)",
            f"CREATE TABLE {table}_2 PARTITION OF {table} FOR VALUES FROM (10) TO (20)",
        )
    log.install(connection)
    return log


def recorded(connection: Connection, log: AuditLog) -> list[tuple[Any, ...]]:
    activity = log.activity_cls
    query = select(activity.verb, activity.table_name, activity.old_data, activity.changed_data)
    return [tuple(row) for row in connection.execute(query.order_by(activity.id))]


def test_a_row_that_moves_takes_no_change_of_another_table(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "INSERT INTO orders VALUES (1, 5)",
        "DO $$BEGIN DELETE FROM orders; INSERT INTO archive VALUES (1, 5); UPDATE archive SET v = 15; END$$",
    )
    assert recorded(connection, log)[1:] == [
        ("delete", "orders", {"id": 1, "v": 5}, {}),
        ("insert", "archive", {}, {"id": 1, "v": 5}),
        ("update", "archive", {"id": 1, "v": 5}, {"v": 15}),
    ]


def test_rows_that_look_alike_move_one_by_one(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "INSERT INTO archive VALUES (1, 5), (1, 5), (1, 5)",
        "DO $$BEGIN DELETE FROM archive WHERE ctid = (SELECT min(ctid) FROM archive); UPDATE archive SET v = 15; END$$",
    )
    assert [verb for verb, *_ in recorded(connection, log)] == ["insert"] * 3 + ["delete", "update", "update"]


@pytest.mark.parametrize(
    "statement", ["INSERT INTO archive SELECT 9, 9 FROM generate_series(1, 10)", "DELETE FROM archive"]
)
def test_switching_recording_on_and_off_within_a_statement_hides_nothing(
    connection: Connection, log: AuditLog, statement: str
) -> None:
    """Row triggers of the application run between ours, and can set what they like."""
    run(
        connection,
        "INSERT INTO archive SELECT i, i FROM generate_series(1, 10) AS i WHERE i < 10",
        "CREATE FUNCTION toggle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "PERFORM set_config('audit_logger.enabled', CASE TG_LEVEL WHEN 'ROW' THEN 'off' ELSE 'on' END, true); "
        "RETURN NULL; END$$",
        "CREATE TRIGGER a_row AFTER INSERT OR DELETE ON archive FOR EACH ROW EXECUTE FUNCTION toggle()",
        "CREATE TRIGGER a_statement AFTER INSERT OR DELETE ON archive FOR EACH STATEMENT EXECUTE FUNCTION toggle()",
    )
    before = len(recorded(connection, log))
    affected = connection.exec_driver_sql(statement).rowcount
    counted = sum(
        changed["rows"] if verb == "bypass" else 1 for verb, _, _, changed in recorded(connection, log)[before:]
    )
    assert counted == affected


def test_a_function_that_is_called_like_ours_counts_for_nothing(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "CREATE SCHEMA other",
        *(
            f"CREATE FUNCTION other.audit_logger_record_{name}() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN RETURN NULL; END'"
            for name in ("partitioned_statement", "truncate")
        ),
        "CREATE TABLE archive_3 PARTITION OF archive FOR VALUES FROM (20) TO (30)",
        "CREATE TRIGGER x AFTER DELETE ON archive_3 "
        "FOR EACH STATEMENT EXECUTE FUNCTION other.audit_logger_record_partitioned_statement()",
        "CREATE TRIGGER y BEFORE TRUNCATE ON archive_3 "
        "FOR EACH STATEMENT EXECUTE FUNCTION other.audit_logger_record_truncate()",
        "INSERT INTO archive_3 VALUES (1, 20), (2, 20)",
        "SET LOCAL audit_logger.enabled = off",
        "DELETE FROM archive_3 WHERE id = 1",
        "SET LOCAL audit_logger.enabled = on",
        "TRUNCATE archive",
    )
    found = [(verb, changed.get("rows")) for verb, _, _, changed in recorded(connection, log)[2:]]
    assert ("bypass", 1) in found
    assert ("truncate", 1) in found


def test_a_truncate_under_row_level_security(engine: Engine) -> None:
    """The owner of the trail does not see the rows either."""
    role = f"owner_{engine.url.database}"
    with engine.begin() as connection:
        run(
            connection,
            f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
            f"GRANT CREATE ON SCHEMA public TO {role}",
            f"GRANT CREATE ON DATABASE {engine.url.database} TO {role}",
        )
    owner = create_engine(engine.url.set(username=role, password="secret"))
    try:
        log = AuditLog(MetaData(), schema="audit")
        for name, options in (("counted", {}), ("kept", {"truncate": "rows"})):
            Table(name, log.metadata, Column("id", Integer, primary_key=True), info={"versioned": options})
        with owner.begin() as connection:
            log.metadata.create_all(connection)
            log.install(connection)
            run(connection, "INSERT INTO counted VALUES (1), (2)", "INSERT INTO kept VALUES (1), (2)")
            for name in ("counted", "kept"):
                run(
                    connection,
                    f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
                    f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
                )
            run(connection, "TRUNCATE counted")
            assert recorded(connection, log)[-1] == ("truncate", "counted", {}, {"rows": None})
        with owner.connect() as connection, pytest.raises(DBAPIError) as error:
            run(connection, "TRUNCATE kept")
        assert sqlstate(error) == "AU009"
        with engine.begin() as connection:
            run(connection, f"ALTER ROLE {role} BYPASSRLS")
        with owner.begin() as connection:
            run(connection, "TRUNCATE kept", "TRUNCATE counted")
            assert [changed.get("rows") for verb, _, _, changed in recorded(connection, log) if verb == "truncate"] == [
                None,
                2,
                0,
            ]
    finally:
        owner.dispose()
        with engine.begin() as connection:
            run(connection, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


def test_a_partitioned_table_that_is_not_declared_as_one(connection: Connection) -> None:
    log = AuditLog(MetaData())
    Table("t", log.metadata, Column("id", Integer, primary_key=True), Column("v", Integer), **AUDITED)
    run(
        connection,
        "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)",
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
    )
    log.install(connection)
    assert differences(scope_of(log), read(connection, "public")) == []
    assert log.check(connection) == []
    run(connection, "INSERT INTO t_1 VALUES (1, 1)", "UPDATE t SET v = 2", "TRUNCATE t_1")
    assert [verb for verb, *_ in recorded(connection, log)] == ["insert", "update", "truncate"]


def test_a_partition_is_not_audited_beside_its_table(connection: Connection) -> None:
    log = AuditLog(MetaData())
    for name in ("t", "t_1"):
        Table(name, log.metadata, Column("id", Integer, primary_key=True), **AUDITED)
    run(
        connection,
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
    )
    with pytest.raises(ConfigurationError, match=r"'t_1' is a partition of 'public\.t'"):
        log.install(connection)


@pytest.fixture
def attached(engine: Engine) -> Iterator[tuple[Engine, AuditLog]]:
    log = AuditLog(MetaData())
    Table("t", log.metadata, Column("id", Integer, primary_key=True), **AUDITED)
    with engine.begin() as connection:
        log.metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    yield engine, log
    log.detach(engine)


def actors(connection: Connection, log: AuditLog) -> dict[str, str | None]:
    activity, transaction = log.activity_cls, log.transaction_cls
    found = connection.execute(select(activity.row_key, transaction.actor_id).join(activity.transaction))
    return {row.row_key: row.actor_id for row in found}


def test_a_text_that_goes_back_to_a_savepoint_leaves_the_actor(attached: tuple[Engine, AuditLog]) -> None:
    engine, log = attached
    with audit_context(actor_id="ann"), engine.begin() as connection:
        run(connection, "INSERT INTO t VALUES (1)", "SAVEPOINT a")
        with audit_context(actor_id="ben"):
            run(connection, "INSERT INTO t VALUES (2); ROLLBACK TO SAVEPOINT a", "INSERT INTO t VALUES (3)")
        run(connection, "SAVEPOINT b; INSERT INTO t VALUES (4); ROLLBACK TO SAVEPOINT b", "INSERT INTO t VALUES (5)")
    with engine.connect() as connection:
        assert actors(connection, log) == {"1": "ann", "3": "ben", "5": "ann"}


def test_code_in_autocommit_has_its_actor_unless_it_commits(attached: tuple[Engine, AuditLog]) -> None:
    engine, log = attached
    with engine.begin() as connection:
        run(
            connection,
            "CREATE PROCEDURE stays(n int) LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES (n); END$$",
            "CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS "
            "$$BEGIN INSERT INTO t VALUES (n); COMMIT; INSERT INTO t VALUES (n + 1); END$$",
        )
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with audit_context(actor_id="ann"), autocommit.connect() as connection:
        run(connection, "DO $$BEGIN INSERT INTO t VALUES (1); END$$", "CALL stays(2)", "CALL commits(3)")
        connection.execute(text("CALL stays(:n)"), {"n": 5})
        run(connection, "DO $$BEGIN INSERT INTO t VALUES (6); COMMIT; END$$", "INSERT INTO t VALUES (7)")
    with engine.connect() as connection:
        assert actors(connection, log) == {
            "1": "ann", "2": "ann", "3": None, "4": None, "5": "ann", "6": None, "7": "ann",
        }  # fmt: skip


@pytest.fixture
def attacker(connection: Connection, engine: Engine) -> Iterator[str]:
    """A role that owns tables and types, and may create in the schema of the trail."""
    role = f"attacker_{engine.url.database}"
    run(connection, f"CREATE ROLE {role}", f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
    yield role
    run(connection, "RESET ROLE", f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


CAPTURE = "LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('attack.as', current_user, false); RETURN {result}; END$$"


@pytest.mark.parametrize(
    "column",
    ["mood", "mood[]", "mood_domain", "mood_pair"],
)
@pytest.mark.parametrize("partitioned", [False, True])
@pytest.mark.filterwarnings("ignore::audit_core.errors.ProtectionWarning")
def test_no_cast_of_others_runs_with_the_rights_of_the_trails_owner(
    connection: Connection, attacker: str, column: str, partitioned: bool
) -> None:
    log = AuditLog(MetaData())
    Table("t", log.metadata, Column("id", Integer, primary_key=True), Column("m", Text), **AUDITED)
    run(
        connection,
        f"SET LOCAL ROLE {attacker}",
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN mood_domain AS mood",
        "CREATE TYPE mood_pair AS (a mood, b int)",
        f"CREATE TABLE t (id int PRIMARY KEY, m {column})" + (" PARTITION BY RANGE (id)" if partitioned else ""),
        *(["CREATE TABLE t_1 PARTITION OF t DEFAULT"] if partitioned else []),
        "RESET ROLE",
    )
    log.install(connection)
    run(
        connection,
        f"SET LOCAL ROLE {attacker}",
        "CREATE FUNCTION public.evil(mood) RETURNS json " + CAPTURE.format(result="'1'::json"),
        "CREATE CAST (mood AS json) WITH FUNCTION public.evil(mood)",
    )
    for statement in ("INSERT INTO t (id) VALUES (1)", "INSERT INTO t (id) VALUES (1), (2)"):
        with pytest.raises(DBAPIError) as error, connection.begin_nested():
            run(connection, statement)
        assert sqlstate(error) == "AU008"
        assert "mood" in str(error.value.orig)
    assert connection.exec_driver_sql("SELECT current_setting('attack.as', true)").scalar() in (None, "")
    run(connection, "DROP CAST (mood AS json)", "INSERT INTO t (id) VALUES (1)")


def test_casts_of_a_superuser_may_run(connection: Connection) -> None:
    """Extensions such as hstore and PostGIS have them."""
    log = AuditLog(MetaData())
    Table("t", log.metadata, Column("id", Integer, primary_key=True), Column("m", Text), **AUDITED)
    run(
        connection,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE TABLE t (id int PRIMARY KEY, m mood)",
        "CREATE FUNCTION as_json(mood) RETURNS json LANGUAGE sql AS $$SELECT '{\"a\": 1}'::json$$",
        "CREATE CAST (mood AS json) WITH FUNCTION as_json(mood)",
    )
    log.install(connection)
    run(connection, "INSERT INTO t VALUES (1, 'ok')")
    assert recorded(connection, log) == [("insert", "t", {}, {"id": 1, "m": {"a": 1}})]


@pytest.mark.filterwarnings("ignore::audit_core.errors.ProtectionWarning")
def test_no_function_of_others_is_called_for_ours(connection: Connection, log: AuditLog, attacker: str) -> None:
    run(connection, f"SET LOCAL ROLE {attacker}")
    overloads = {
        "audit_logger_to_jsonb": [
            ("record", "jsonb"),
            ("orders", "jsonb"),
            ("archive", "jsonb"),
            ("anyelement", "jsonb"),
        ],
        "audit_logger_apply_policy": [("oid, name, name, text, bigint, text[]", "boolean")],
        "audit_logger_has_trigger": [("oid, unknown, text", "boolean"), ("oid, name, text", "boolean")],
        "audit_logger_key_columns": [("regclass", "text[]")],
        "audit_logger_row_key": [("jsonb, name[]", "text")],
        "audit_logger_mask": [("jsonb, name[]", "jsonb")],
        "audit_logger_read_options": [("regclass, text[]", "boolean")],
        "audit_logger_reorder_activities": [("integer, integer", "void"), ("bigint, integer", "void")],
        "audit_logger_build_binary_comparison": [("oid, text[], name", "text")],
        "audit_logger_write_coverage": [("oid, text", "void"), ("regclass, name", "void")],
        "audit_logger_copy_triggers": [("regclass", "void"), ("text, text[]", "void"), ("regclass, name[]", "void")],
        "audit_logger_drop_triggers": [("text", "void"), ("name", "void"), ("oid", "void")],
        "audit_logger_to_inet": [("name", "inet")],
    }
    for name, signatures in overloads.items():
        for arguments, result in signatures:
            value = {"void": "", "jsonb": "'{}'::jsonb", "boolean": "true"}.get(result, "NULL")
            body = CAPTURE.format(result=value)
            with connection.begin_nested() as savepoint:
                try:
                    run(connection, f"CREATE FUNCTION public.{name}({arguments}) RETURNS {result} {body}")
                except DBAPIError:
                    savepoint.rollback()  # ours has this signature
    run(
        connection,
        "RESET ROLE",
        "SET LOCAL audit_logger.client_addr = 'unix'",
        "INSERT INTO orders VALUES (1, 1), (2, 2)",
        "UPDATE orders SET v = 3",
        "UPDATE orders SET v = 4 WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
        "INSERT INTO archive VALUES (1, 1), (1, 1)",
        "UPDATE archive SET v = 11",
        "TRUNCATE orders, archive",
        "SET LOCAL audit_logger.enabled = off",
        "INSERT INTO orders VALUES (9, 9)",
        "INSERT INTO archive VALUES (9, 9)",
    )
    log.install(connection)
    log.uninstall(connection)
    assert connection.exec_driver_sql("SELECT current_setting('attack.as', true)").scalar() in (None, "")


@pytest.mark.parametrize("meta", ["[1]", "1", '"a"', "null"])
def test_meta_data_are_an_object(connection: Connection, log: AuditLog, meta: str) -> None:
    run(connection, f"SET LOCAL audit_logger.meta = '{meta}'")
    with pytest.raises(DBAPIError) as error, connection.begin_nested():
        run(connection, "INSERT INTO orders VALUES (1, 1)")
    assert sqlstate(error) == "AU002"


def test_what_readers_say_is_checked(connection: Connection, log: AuditLog) -> None:
    call = "SELECT audit_logger_record_read({})"
    run(connection, call.format("'public', 'orders', '1', '{}'"), call.format('NULL, NULL, NULL, \'{"table": "x"}\''))
    for arguments in (
        "'public', 'made_up', '1', '{}'",
        "'public', 'orders', '1', '[1]'",
        "'public', 'orders', repeat('x', 2000), '{}'",
        "NULL, NULL, NULL, jsonb_build_object('x', repeat('x', 200000))",
    ):
        with pytest.raises(DBAPIError) as error, connection.begin_nested():
            run(connection, call.format(arguments))
        assert sqlstate(error) == "AU010"
    assert len(recorded(connection, log)) == 2
