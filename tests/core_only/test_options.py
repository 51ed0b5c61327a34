"""What is recorded can be tuned for each table."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import AuditLog, audit_context
from audit_core.installation.catalog import read
from audit_core.siblings import differences, scope_of
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, select, text
from sqlalchemy.exc import DBAPIError


def audited(connection: Connection, **options: Any) -> AuditLog:
    log = AuditLog(MetaData())
    Table(
        "people",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("ssn", String),
        info={"versioned": options},
    )
    log.metadata.create_all(connection)
    log.install(connection)
    assert differences(scope_of(log), read(connection, "public")) == []
    return log


def recorded(connection: Connection, log: AuditLog) -> list[tuple[Any, ...]]:
    activity = log.activity_cls
    query = select(activity.verb, activity.row_key, activity.old_data, activity.changed_data)
    return [tuple(row) for row in connection.execute(query.order_by(activity.id))]


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def fails(connection: Connection, statement: str, *, sqlstate: str, message: str) -> None:
    with pytest.raises(DBAPIError, match=message) as failure, connection.begin_nested():
        connection.exec_driver_sql(statement)
    assert failure.value.orig.sqlstate == sqlstate  # type: ignore[union-attr]


def test_only_the_included_columns_are_recorded(connection: Connection) -> None:
    log = audited(connection, include=["name"])
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', '123')",
        "UPDATE people SET ssn = '456'",
        "ALTER TABLE people ADD COLUMN added text DEFAULT 'new'",
        "UPDATE people SET name = 'Anna', ssn = '789'",
    )
    assert recorded(connection, log) == [
        ("insert", "1", {}, {"id": 1, "name": "Ann"}),
        ("update", "1", {"id": 1, "name": "Ann"}, {"name": "Anna"}),
    ]


def test_of_masked_columns_only_is_recorded_that_they_changed(connection: Connection) -> None:
    log = audited(connection, mask=["ssn"], truncate="rows")
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', '123')",
        "UPDATE people SET ssn = '456'",
        "UPDATE people SET ssn = '456', name = 'Anna'",
        "UPDATE people SET ssn = NULL",
        "DELETE FROM people",
        "INSERT INTO people VALUES (2, 'Ben', '789')",
        "TRUNCATE people",
    )
    assert recorded(connection, log) == [
        ("insert", "1", {}, {"id": 1, "name": "Ann", "ssn": "***"}),
        ("update", "1", {"id": 1, "name": "Ann", "ssn": "***"}, {"ssn": "***"}),
        ("update", "1", {"id": 1, "name": "Ann", "ssn": "***"}, {"name": "Anna"}),
        ("update", "1", {"id": 1, "name": "Anna", "ssn": "***"}, {"ssn": "***"}),
        ("delete", "1", {"id": 1, "name": "Anna", "ssn": "***"}, {}),
        ("insert", "2", {}, {"id": 2, "name": "Ben", "ssn": "***"}),
        ("delete", "2", {"id": 2, "name": "Ben", "ssn": "***"}, {}),
        ("truncate", None, {}, {"rows": 1}),
    ]


def test_the_rows_of_a_truncate_can_be_kept(connection: Connection) -> None:
    log = audited(connection, truncate="rows", exclude=["ssn"])
    run(connection, "INSERT INTO people VALUES (1, 'Ann', 'x'), (2, 'Ben', 'y')", "TRUNCATE people")
    assert recorded(connection, log)[2:] == [
        ("delete", "1", {"id": 1, "name": "Ann"}, {}),
        ("delete", "2", {"id": 2, "name": "Ben"}, {}),
        ("truncate", None, {}, {"rows": 2}),
    ]


@pytest.mark.parametrize("operation", ["insert", "update", "delete", "truncate"])
def test_only_the_chosen_operations_are_recorded(connection: Connection, operation: str) -> None:
    log = audited(connection, operations=[operation])
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', 'x'), (2, 'Ben', 'y')",
        "UPDATE people SET name = 'Anna' WHERE id = 1",
        "DELETE FROM people WHERE id = 1",
        "TRUNCATE people",
    )
    assert {verb for verb, *_ in recorded(connection, log)} == {operation}


def test_the_choice_of_operations_can_be_changed(connection: Connection) -> None:
    log = audited(connection, operations=["insert"])
    people = log.metadata.tables["people"]
    for options, expected in (({}, ["insert", "update"]), ({"operations": ["update"]}, ["update"])):
        people.info["versioned"] = options
        log.install(connection)
        before = len(recorded(connection, log))
        run(connection, "DELETE FROM people", "INSERT INTO people VALUES (1, 'a', 'b')", "UPDATE people SET name = 'c'")
        assert [verb for verb, *_ in recorded(connection, log)[before:] if verb != "delete"] == expected


def test_a_write_without_an_actor_can_be_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        log = audited(connection, require_actor="reject")
    log.attach(engine)
    with engine.begin() as connection:
        for statement in ("INSERT INTO people VALUES (1)", "TRUNCATE people"):
            fails(connection, statement, sqlstate="AU003", message=r"of public\.people needs an actor")
        with audit_context(actor_id="ann"):
            run(connection, "INSERT INTO people VALUES (1)")
        for statement in ("UPDATE people SET name = 'x'", "DELETE FROM people"):
            fails(connection, statement, sqlstate="AU003", message="needs an actor")
        run(connection, "UPDATE people SET name = 'x' WHERE false")
        with log.disable(connection):
            fails(connection, "DELETE FROM people", sqlstate="AU003", message="needs an actor")
    with engine.begin() as connection:
        assert [verb for verb, *_ in recorded(connection, log)] == ["insert"]


def test_a_write_that_is_kept_out_of_the_trail_can_be_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        log = audited(connection, bypass="reject")
    log.attach(engine)
    with engine.begin() as connection:
        run(connection, "INSERT INTO people VALUES (1)")
        with log.disable(connection):
            for statement in (
                "INSERT INTO people VALUES (2)",
                "UPDATE people SET name = 'x'",
                "DELETE FROM people",
                "TRUNCATE people",
            ):
                fails(connection, statement, sqlstate="AU004", message="cannot bypass the audit trail")
        assert [verb for verb, *_ in recorded(connection, log)] == ["insert"]


def test_a_table_that_everybody_may_write_to_names_no_actor(connection: Connection) -> None:
    log = audited(connection)
    run(connection, "INSERT INTO people VALUES (1)")
    assert connection.scalar(select(log.transaction_cls.actor_id)) is None
    assert connection.scalar(text("SELECT count(*) FROM transaction")) == 1
