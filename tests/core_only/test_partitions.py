"""Partitions and children: no write escapes, whichever table it names."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import AuditLog
from audit_core.installation.catalog import read
from audit_core.siblings import differences, scope_of
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, cast, select
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.each_server


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


@pytest.fixture
def log(connection: Connection) -> AuditLog:
    """A table with two partitions, of which one is partitioned itself."""
    return partitioned(connection)


def partitioned(connection: Connection, **options: Any) -> AuditLog:
    log = AuditLog(MetaData())
    Table(
        "events",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("year", Integer, primary_key=True),
        Column("note", String),
        postgresql_partition_by="RANGE (year)",
        info={"versioned": options},
    )
    log.metadata.create_all(connection)
    run(
        connection,
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (2)",
        "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (2) TO (3) PARTITION BY LIST (id)",
        "CREATE TABLE events_2_odd PARTITION OF events_2 FOR VALUES IN (1, 3, 5)",
        "CREATE TABLE events_2_even PARTITION OF events_2 FOR VALUES IN (2, 4, 6)",
    )
    log.install(connection)
    assert differences(scope_of(log), read(connection, "public")) == []
    assert log.check(connection) == []
    return log


def recorded(connection: Connection, log: AuditLog) -> list[tuple[Any, ...]]:
    activity = log.activity_cls
    query = select(activity.verb, activity.table_name, activity.row_key, activity.old_data, activity.changed_data)
    return [tuple(row) for row in connection.execute(query.order_by(activity.id))]


def row(key: int, year: int, note: str) -> dict[str, Any]:
    return {"id": key, "year": year, "note": note}


def test_writes_to_the_table_and_to_its_partitions_are_recorded(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "INSERT INTO events VALUES (1, 1, 'a'), (2, 2, 'b')",
        "INSERT INTO events_2_odd VALUES (3, 2, 'c')",
        "UPDATE events SET note = note || '!' WHERE id = 2",
        "UPDATE events_2 SET note = 'd' WHERE id = 3",
        "DELETE FROM events_1",
    )
    assert recorded(connection, log) == [
        ("insert", "events", "[1, 1]", {}, row(1, 1, "a")),
        ("insert", "events", "[2, 2]", {}, row(2, 2, "b")),
        ("insert", "events", "[3, 2]", {}, row(3, 2, "c")),
        ("update", "events", "[2, 2]", row(2, 2, "b"), {"note": "b!"}),
        ("update", "events", "[3, 2]", row(3, 2, "c"), {"note": "d"}),
        ("delete", "events", "[1, 1]", row(1, 1, "a"), {}),
    ]


def test_writes_to_a_partition_that_was_attached_later_are_recorded(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "CREATE TABLE events_3 (note varchar, year int NOT NULL, id int NOT NULL, PRIMARY KEY (id, year))",
        "INSERT INTO events_3 VALUES ('before', 3, 1)",
        "ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM (3) TO (4)",
        "INSERT INTO events_3 VALUES ('after', 3, 2)",
        "UPDATE events SET note = 'x' WHERE year = 3 AND id = 1",
        "DELETE FROM events_3 WHERE id = 2",
    )
    assert recorded(connection, log) == [
        ("insert", "events", "[2, 3]", {}, row(2, 3, "after")),
        ("update", "events", "[1, 3]", row(1, 3, "before"), {"note": "x"}),
        ("delete", "events", "[2, 3]", row(2, 3, "after"), {}),
    ]


def test_an_audited_table_cannot_be_attached_and_recorded_twice(connection: Connection, log: AuditLog) -> None:
    """Its triggers have the names of those that the partitioned table would give it, and have to be dropped first."""
    run(connection, "CREATE TABLE events_3 (id int NOT NULL, year int NOT NULL, note varchar, PRIMARY KEY (id, year))")
    other = AuditLog(MetaData())
    Table("events_3", other.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    other.install(connection)
    attach = "ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM (3) TO (4)"
    with pytest.raises(DBAPIError, match="already exists"), connection.begin_nested():
        run(connection, attach)
    run(connection, "SELECT audit_logger_drop_triggers('events_3')", attach, "INSERT INTO events_3 VALUES (1, 3, 'a')")
    assert recorded(connection, log) == [("insert", "events", "[1, 3]", {}, row(1, 3, "a"))]


def test_a_row_that_moves_to_another_partition_is_updated(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "INSERT INTO events VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 1, 'c')",
        "UPDATE events SET year = 2, note = note || '!' WHERE id < 3",
        "UPDATE events_2 SET id = 4 WHERE id = 1",
    )
    assert recorded(connection, log)[3:] == [
        ("update", "events", "[1, 2]", row(1, 1, "a"), {"year": 2, "note": "a!"}),
        ("update", "events", "[2, 2]", row(2, 1, "b"), {"year": 2, "note": "b!"}),
        ("update", "events", "[4, 2]", row(1, 2, "a!"), {"id": 4}),
    ]


def test_a_row_that_vanishes_on_its_way_is_deleted_and_no_other_takes_its_change(
    connection: Connection, log: AuditLog
) -> None:
    """PostgreSQL's transition tables are out of step then."""
    run(
        connection,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RETURN CASE WHEN NEW.note = 'a!' THEN NULL ELSE NEW END; END$$",
        "CREATE TRIGGER refuse BEFORE INSERT ON events_2_odd FOR EACH ROW EXECUTE FUNCTION refuse()",
        "INSERT INTO events VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 1, 'c')",
        "UPDATE events SET year = CASE WHEN id = 3 THEN 1 ELSE 2 END, note = note || '!'",
    )
    changes = recorded(connection, log)[3:]
    assert ("delete", "events", "[1, 1]", row(1, 1, "a"), {}) in changes
    assert ("delete", "events", "[2, 1]", row(2, 1, "b"), {}) in changes
    assert ("insert", "events", "[2, 2]", {}, row(2, 2, "b!")) in changes
    assert ("update", "events", "[3, 1]", row(3, 1, "c"), {"note": "c!"}) in changes
    assert len(changes) == 4


def by_relation(connection: Connection, log: AuditLog, verb: str) -> list[tuple[str, dict[str, Any]]]:
    """The activities of one kind that were recorded last, each with the relation that it is about."""
    activity = log.activity_cls
    query = select(cast(cast(activity.relid, REGCLASS), Text), activity.changed_data).where(activity.verb == verb)
    return [(relation, data) for relation, data in connection.execute(query.order_by(activity.id))]


def test_a_truncate_is_recorded_for_each_partition(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "INSERT INTO events VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 2, 'c')",
        "TRUNCATE events_2_odd",
        "TRUNCATE events",
        "INSERT INTO events VALUES (1, 1, 'a')",
        "TRUNCATE events_1",
    )
    assert by_relation(connection, log, "truncate") == [
        ("events_2_odd", {"rows": 1}),
        ("events_1", {"rows": 1}),
        ("events_2_odd", {"rows": 0}),
        ("events_2_even", {"rows": 1}),
        ("events_1", {"rows": 1}),
    ]


def test_a_truncate_of_the_table_counts_partitions_that_were_attached_later(
    connection: Connection, log: AuditLog
) -> None:
    run(
        connection,
        "CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (3) TO (4)",
        "CREATE TABLE events_2_more PARTITION OF events_2 FOR VALUES IN (7, 9)",
        "INSERT INTO events VALUES (1, 3, 'a'), (2, 3, 'b'), (7, 2, 'c')",
        "TRUNCATE events",
    )
    assert sorted(each for each in by_relation(connection, log, "truncate") if each[1] != {"rows": 0}) == [
        ("events_2_more", {"rows": 1}),
        ("events_3", {"rows": 2}),
    ]


def test_no_setting_hides_a_truncate(connection: Connection, log: AuditLog) -> None:
    """What the triggers tell each other must not be something that anybody can say."""
    run(
        connection,
        "INSERT INTO events VALUES (1, 1, 'a')",
        "SELECT set_config('audit_logger.truncating', ARRAY['events'::regclass::oid]::text, true)",
        "TRUNCATE events_1",
    )
    assert by_relation(connection, log, "truncate") == [("events_1", {"rows": 1})]


def test_what_is_kept_out_leaves_one_activity_for_each_statement(connection: Connection, log: AuditLog) -> None:
    run(
        connection,
        "SET LOCAL audit_logger.enabled = off",
        "INSERT INTO events VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 2, 'c')",
        "UPDATE events SET note = 'x'",
        "UPDATE events SET year = 2 WHERE year = 1",
        "UPDATE events_2 SET note = 'y'",
        "DELETE FROM events_2_odd",
        "DELETE FROM events WHERE id = 9",
        "SET LOCAL audit_logger.enabled = on",
    )
    assert [
        (relation, data["operation"], data["rows"]) for relation, data in by_relation(connection, log, "bypass")
    ] == [
        ("events", "insert", 3),
        ("events", "update", 3),
        # To the partitions, a row that moves is a delete and an insert.
        ("events", "delete", 1),
        ("events", "insert", 1),
        ("events_2", "update", 3),
        ("events_2_odd", "delete", 2),
    ]
    assert {table for _, table, *_ in recorded(connection, log)} == {"events"}


def test_what_is_kept_out_of_a_partition_that_was_attached_later_is_counted(
    connection: Connection, log: AuditLog
) -> None:
    run(
        connection,
        "CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (3) TO (4)",
        "SET LOCAL audit_logger.enabled = off",
        "INSERT INTO events_3 VALUES (1, 3, 'a'), (2, 3, 'b')",
    )
    assert [(relation, data["rows"]) for relation, data in by_relation(connection, log, "bypass")] == [
        ("events_3", 1),
        ("events_3", 1),
    ]


@pytest.mark.parametrize(
    ("option", "statement", "sqlstate"),
    [
        ({"bypass": "reject"}, "SET LOCAL audit_logger.enabled = off", "AU004"),
        ({"require_actor": "reject"}, "SELECT 1", "AU003"),
    ],
)
def test_partitions_refuse_what_their_table_refuses(
    connection: Connection, option: dict[str, Any], statement: str, sqlstate: str
) -> None:
    partitioned(connection, **option)
    run(connection, "CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (3) TO (4)", statement)
    for write in ("INSERT INTO events VALUES (1, 1, 'a')", "INSERT INTO events_3 VALUES (1, 3, 'a')"):
        with pytest.raises(DBAPIError) as refused, connection.begin_nested():
            run(connection, write)
        assert getattr(refused.value.orig, "sqlstate", None) == sqlstate


def test_options_hold_for_partitions(connection: Connection) -> None:
    log = partitioned(connection, exclude=["note"], truncate="rows")
    run(
        connection,
        "INSERT INTO events_1 VALUES (1, 1, 'secret')",
        "UPDATE events SET note = 'other'",
        "UPDATE events SET year = 2",
        "TRUNCATE events_2_odd",
    )
    assert [(verb, old, new) for verb, _, _, old, new in recorded(connection, log)] == [
        ("insert", {}, {"id": 1, "year": 1}),
        ("update", {"id": 1, "year": 1}, {"year": 2}),
        ("delete", {"id": 1, "year": 2}, {}),
        ("truncate", {}, {"rows": 1}),
    ]


def test_changed_options_reach_the_partitions(connection: Connection, log: AuditLog) -> None:
    log.metadata.tables["events"].info["versioned"] = {"exclude": ["note"], "truncate": "rows"}
    log.install(connection)
    run(connection, "INSERT INTO events_1 VALUES (1, 1, 'secret')", "TRUNCATE events_1")
    assert [(verb, old, new) for verb, _, _, old, new in recorded(connection, log)] == [
        ("insert", {}, {"id": 1, "year": 1}),
        ("delete", {"id": 1, "year": 1}, {}),
        ("truncate", {}, {"rows": 1}),
    ]
    assert log.check(connection) == []


def test_a_table_that_is_no_longer_audited_leaves_no_trigger_behind(connection: Connection, log: AuditLog) -> None:
    del log.metadata.tables["events"].info["versioned"]
    log.install(connection)
    left = (
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'audit_logger%%' AND tgrelid::regclass::text LIKE 'event%%'"
    )
    assert connection.exec_driver_sql(left).scalar() == 0


def test_a_partition_whose_truncate_would_escape_is_reported_and_can_get_its_trigger(
    connection: Connection, log: AuditLog
) -> None:
    run(connection, "CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (3) TO (4)")
    (problem,) = log.check(connection)
    assert problem.table == "events"
    assert "TRUNCATE of partition public.events_3" in problem.message
    connection.exec_driver_sql(problem.message.partition("Run: ")[2])
    assert log.check(connection) == []
    run(connection, "INSERT INTO events_3 VALUES (1, 3, 'a')", "TRUNCATE events_3")
    assert [verb for verb, *_ in recorded(connection, log)] == ["insert", "truncate"]


def test_children_of_a_table_are_recorded(connection: Connection) -> None:
    log = AuditLog(MetaData())
    Table("parents", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    log.metadata.create_all(connection)
    run(connection, "CREATE TABLE children (more text) INHERITS (parents)")
    log.install(connection)
    assert log.check(connection) == []
    run(
        connection,
        "INSERT INTO parents VALUES (1)",
        "INSERT INTO children VALUES (2, 'x')",
        "UPDATE parents SET id = id + 10",
        "DELETE FROM children",
        "INSERT INTO children VALUES (3, 'y')",
        "TRUNCATE parents",
    )
    assert [(verb, table, new) for verb, table, _, _, new in recorded(connection, log)] == [
        ("insert", "parents", {"id": 1}),
        ("insert", "children", {"id": 2, "more": "x"}),
        ("update", "parents", {"id": 11}),
        ("update", "parents", {"id": 12}),
        ("delete", "children", {}),
        ("insert", "children", {"id": 3, "more": "y"}),
        ("truncate", "parents", {"rows": 1}),
        ("truncate", "children", {"rows": 1}),
    ]
    run(connection, "CREATE TABLE late () INHERITS (parents)")
    (problem,) = log.check(connection)
    assert "Writes to the child table public.late" in problem.message
