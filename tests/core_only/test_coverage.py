"""What is recorded since when, and what is not known because it was not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, audit_context
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, select
from sqlalchemy.exc import DBAPIError

TORN = "what was recorded of it before does not lead to it, so something was not recorded; see verify()"
LOSS = "its table was not recorded all the time since, so it may be otherwise"


def run(connection: Connection, *statements: str) -> dt.datetime:
    """Run statements, and return the time after them."""
    for statement in statements:
        connection.exec_driver_sql(statement)
    now: dt.datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return now


def make(connection: Connection, **options: Any) -> tuple[AuditLog, Table]:
    log = AuditLog(MetaData())
    table = Table(
        "t",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("v", Integer),
        info={"versioned": options},
    )
    log.metadata.create_all(connection)
    return log, table


def events(connection: Connection, log: AuditLog) -> list[tuple[str, Any, Any]]:
    found = connection.execute(log.coverage("t")).all()
    return [(row.event, row.row_count, row.arguments) for row in reversed(found)]


def state(connection: Connection, log: AuditLog, table: Table, when: dt.datetime) -> list[tuple[Any, ...]]:
    rows = log.as_of(table, when)
    return [
        tuple(row) for row in connection.execute(select(rows.c.id, rows.c.v, rows.c.audit_notes).order_by(rows.c.id))
    ]


def test_begin_change_and_end(connection: Connection) -> None:
    log, table = make(connection)
    run(connection, "INSERT INTO t VALUES (1, 1), (2, 2)", "SET LOCAL audit_logger.actor_id = 'ann'")
    log.install(connection)
    log.install(connection)
    table.info["versioned"] = {"exclude": ["v"]}
    log.install(connection)
    log.uninstall(connection)
    assert events(connection, log) == [
        ("begin", 2, ["key=id"]),
        ("change", 2, ["exclude=v", "key=id"]),
        ("end", 2, ["exclude=v", "key=id"]),
    ]
    last = connection.execute(log.coverage(table)).first()
    assert last is not None
    assert (last.actor_id, last.db_user, last.sql_version, last.row_count_is_exact) == ("ann", "postgres", 1, True)
    assert last.operations == ["delete", "insert", "truncate", "update"]


def test_a_table_that_was_empty_is_answered_for(connection: Connection) -> None:
    log, table = make(connection)
    log.install(connection)
    begun = run(connection)
    later = run(connection, "INSERT INTO t VALUES (1, 1)")
    assert state(connection, log, table, begun) == []
    assert log.get_as_of(connection, table, 1, begun) is None
    assert log.get_as_of(connection, table, 2, later) is None
    assert state(connection, log, table, later) == [(1, 1, [])]


def test_a_table_that_had_rows_is_not_answered_for(connection: Connection) -> None:
    log, table = make(connection)
    run(connection, "INSERT INTO t VALUES (1, 1)")
    log.install(connection)
    begun = run(connection)
    with pytest.raises(DBAPIError, match="begins at"), connection.begin_nested():
        state(connection, log, table, begun)
    with pytest.raises(HistoryError, match="Nothing is recorded"):
        log.get_as_of(connection, table, 1, begun)


def test_an_end_leaves_a_note(connection: Connection) -> None:
    log, table = make(connection)
    log.install(connection)
    before = run(connection, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)", "DELETE FROM t WHERE id = 3")
    log.uninstall(connection)
    within = run(connection, "UPDATE t SET v = 7")
    log.install(connection)
    after = run(connection, "UPDATE t SET v = 8 WHERE id = 1")
    assert state(connection, log, table, before) == [(1, 1, []), (2, 2, [])]
    assert state(connection, log, table, within) == [(1, 1, [LOSS]), (2, 2, [LOSS])]
    assert state(connection, log, table, after) == [(1, 8, [TORN]), (2, 2, [LOSS])]
    assert LOSS in log.diff(connection, table, 2, before, within).notes
    assert [event for event, *_ in events(connection, log)] == ["begin", "end", "begin"]


@pytest.mark.parametrize(
    ("break_", "mend"),
    [
        ("ALTER TABLE t DISABLE TRIGGER ALL", "install"),
        ("DROP TRIGGER audit_logger_update ON t", "install"),
        ("ALTER TABLE t DISABLE TRIGGER audit_logger_update", "install"),
    ],
)
def test_triggers_that_were_found_broken_leave_a_gap(connection: Connection, break_: str, mend: str) -> None:
    log, table = make(connection)
    log.install(connection)
    before = run(connection, "INSERT INTO t VALUES (1, 1), (2, 2)")
    within = run(connection, break_, "UPDATE t SET v = 7")
    log.install(connection)
    after = run(connection, "UPDATE t SET v = 8 WHERE id = 1")
    assert [event for event, *_ in events(connection, log)] == ["begin", "gap", "begin"]
    assert [row[:2] for row in state(connection, log, table, before)] == [(1, 1), (2, 2)]
    assert state(connection, log, table, within) == [(1, 1, [LOSS]), (2, 2, [LOSS])]
    assert state(connection, log, table, after) == [(1, 8, [TORN]), (2, 2, [LOSS])]


def test_operations_that_were_not_recorded_for_a_time_leave_a_note(connection: Connection) -> None:
    log, table = make(connection, operations=["insert", "delete"])
    log.install(connection)
    run(connection, "INSERT INTO t VALUES (1, 1)", "UPDATE t SET v = 2")
    table.info["versioned"] = {}
    log.install(connection)
    now = run(connection, "INSERT INTO t VALUES (2, 2)")
    assert state(connection, log, table, now) == [(1, 1, [LOSS]), (2, 2, [])]


def test_nothing_is_restored_from_a_time_without_records(engine: Engine) -> None:
    with engine.begin() as connection:
        log, table = make(connection)
        log.install(connection)
        run(connection, "INSERT INTO t VALUES (1, 1)")
        log.uninstall(connection)
        within = run(connection, "UPDATE t SET v = 7")
    log.attach(engine)
    with engine.begin() as connection:
        log.install(connection)
        with audit_context(actor_id="ann"), pytest.raises(HistoryError, match="was not recorded from"):
            log.restore(connection, table, 1, within)


def test_coverage_is_protected_and_written_by_nobody_else(engine: Engine) -> None:
    role = f"writer_{engine.url.database}"
    with engine.begin() as connection:
        log, _ = make(connection)
        log.install(connection)
        run(connection, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'", f"GRANT ALL ON t TO {role}")
    other = create_engine(engine.url.set(username=role, password="secret"))
    statements = (
        "SELECT * FROM activity_coverage",
        "INSERT INTO activity_coverage (event) VALUES ('end')",
        "SELECT audit_logger_write_coverage('t', 'end')",
    )
    try:
        for statement in statements:
            with other.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
                run(connection, statement)
        for statement in (
            "DELETE FROM activity_coverage",
            "UPDATE activity_coverage SET event = 'x'",
            "TRUNCATE activity_coverage",
        ):
            with engine.connect() as connection, pytest.raises(DBAPIError, match="it is an audit trail"):
                run(connection, statement)
    finally:
        other.dispose()
        with engine.begin() as connection:
            run(connection, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
