"""What is recorded of a row does not depend on how many rows its statement changes."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, PrimaryKeyConstraint, String, Table, select

pytestmark = pytest.mark.each_server

COLUMNS = """
    id int PRIMARY KEY, "o" int, "n" text, "place" numeric, "Before %s" text, "a:b" text[], json_ json, jsonb_ jsonb,
    amount numeric(12, 2), real_ double precision, moment timestamptz, period tstzrange, point_ point, bits bit(4),
    flag boolean, secret text, hidden int, "it's" text, doubled int GENERATED ALWAYS AS (id * 2) STORED
"""
FILL = """
    INSERT INTO {table} (id, o, n, place, "Before %s", "a:b", json_, jsonb_, amount, real_, moment, period, point_,
        bits, flag, secret, hidden, "it's")
    SELECT i, i, nullif('n' || i % 3, 'n0'), i, 'b', ARRAY['x', NULL, 'y'], '{{"a":  1}}', '{{"a": [1, null]}}',
        i / 3.0, 'NaN', 'infinity', '[2026-01-01,2026-02-01)', '(1,2)', '0101', i % 2 = 0, 's' || i, 0, 'q'
    FROM generate_series(1, {rows}) AS i
"""
CHANGES = """
    n = CASE WHEN id % 2 = 0 THEN NULL ELSE n || 'x' END, amount = CASE WHEN id % 5 = 0 THEN amount + 1 ELSE amount END
    "a:b" = array_append("a:b", id::text), json_ = '{"a": 2}', point_ = point(id, 1), bits = (id % 16)::bit(4)
    secret = CASE WHEN id % 3 = 0 THEN 'new' ELSE secret END, hidden = hidden + 1
    hidden = hidden + 1
    id = id + 1000
    json_ = '{"nul": "\\u0000"}', place = 1e400::numeric, real_ = '-Infinity', "it's" = NULL
    moment = '2026-11-24 12:00+02', period = 'empty', jsonb_ = NULL, flag = NOT flag, "Before %s" = ''
""".strip().splitlines()


@pytest.fixture(params=[2, 100, 101, 250], ids="{} rows".format)
def rows(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def run(connection: Connection, sql: str) -> None:
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def make(connection: Connection, rows: int, options: dict[str, Any]) -> AuditLog:
    metadata = MetaData()
    for table in ("together", "one_by_one"):
        run(connection, f"CREATE TABLE {table} ({COLUMNS})")
        columns = [Column(name, String) for name in ("n", "json_", "secret", "hidden")]
        Table(table, metadata, Column("id", Integer, primary_key=True), *columns, info={"versioned": options})
        run(connection, FILL.format(table=table, rows=rows))
    log = AuditLog(metadata)
    log.install(connection)
    return log


def recorded(connection: Connection, log: AuditLog, table: str) -> list[Any]:
    activity = log.activity_cls
    query = (
        select(activity.verb, activity.row_key, activity.old_row_key, activity.old_data, activity.changed_data)
        .where(activity.table_name == table)
        .order_by(activity.id)
    )
    return sorted(map(repr, connection.execute(query)))


@pytest.mark.parametrize("options", [{"exclude": ["hidden"], "mask": ["secret"]}, {"include": ["n", "json_", "id"]}])
def test_an_update_of_many_rows_says_what_updates_of_each_row_would_say(
    connection: Connection, rows: int, options: dict[str, Any]
) -> None:
    log = make(connection, rows, options)
    for change in CHANGES:
        run(connection, f"UPDATE together SET {change}")
        run(
            connection,
            "DO $do$ DECLARE i int; BEGIN FOR i IN SELECT id FROM one_by_one LOOP "
            f"UPDATE one_by_one SET {change} WHERE id = i; END LOOP; END $do$",
        )
    together = recorded(connection, log, "together")
    assert len(together) >= rows
    assert together == recorded(connection, log, "one_by_one")


def test_inserts_and_deletes_of_many_rows_too(connection: Connection, rows: int) -> None:
    log = make(connection, 0, {"exclude": ["hidden"], "mask": ["secret"]})
    run(connection, FILL.format(table="together", rows=rows))
    for number in range(1, rows + 1):
        run(connection, FILL.format(table="one_by_one", rows=rows) + f" WHERE i = {number}")
    run(connection, "DELETE FROM together")
    for number in range(1, rows + 1):
        run(connection, f"DELETE FROM one_by_one WHERE id = {number}")
    together = recorded(connection, log, "together")
    assert len(together) == 2 * rows
    assert together == recorded(connection, log, "one_by_one")


def test_a_column_that_was_dropped_or_renamed_without_a_migration_stops_no_write(
    connection: Connection, rows: int
) -> None:
    log = make(connection, rows, {"exclude": ["hidden"]})
    run(connection, "ALTER TABLE together DROP COLUMN hidden")
    run(connection, "ALTER TABLE together RENAME COLUMN id TO number")
    run(connection, "ALTER TABLE together ADD COLUMN added json")
    run(connection, 'UPDATE together SET added = \'{"nul": "\\u0000"}\'')
    run(connection, "UPDATE together SET o = 7 WHERE number = 1")
    activity = log.activity_cls
    keys = connection.scalars(select(activity.row_key).order_by(activity.id)).all()
    assert sorted(keys) == sorted([*map(str, range(1, rows + 1)), "1"])
    assert connection.scalar(select(activity.changed_data).where(activity.row_key == "2")) == {
        "added": {"$unstorable": '{"nul": "\\u0000"}'}
    }


LIVE = """
    INSERT INTO {table} VALUES (5001, 'a')
    INSERT INTO {table} VALUES (5002, 'a'), (5003, 'b'), (7001, 'c')
    UPDATE {table} SET name = name || 'x' WHERE id = 5001
    UPDATE {table} SET name = name || 'x' WHERE id BETWEEN 5001 AND 5003
    UPDATE {table} SET name = name
    UPDATE {table} SET id = id + 10 WHERE id = 5001
    UPDATE {table} SET id = id + 2000 WHERE id BETWEEN 5002 AND 5003
    WITH gone AS (DELETE FROM {table} WHERE id = 1 RETURNING id) INSERT INTO {table} SELECT id, 'again' FROM gone
    DELETE FROM {table} WHERE id = 2
    DELETE FROM {table} WHERE id BETWEEN 3 AND 5
    SET audit_logger.enabled = 'off'
    DELETE FROM {table} WHERE id BETWEEN 6 AND 8
""".strip().splitlines()


@pytest.mark.parametrize("table", ["plain", "parts"])
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "SERIALIZABLE"])
def test_a_change_reads_the_trail_by_its_indexes_alone(engine: Engine, table: str, isolation: Any) -> None:
    """However long the trail is, a change must not take longer: the server counts what it reads from end to end."""
    metadata = MetaData()
    columns = [Column("id", Integer), Column("name", String)]
    partitioned = {"postgresql_partition_by": "RANGE (id)"} if table == "parts" else {}
    Table(table, metadata, *columns, PrimaryKeyConstraint("id"), info={"versioned": {}}, **partitioned)
    with engine.begin() as connection:
        metadata.create_all(connection)
        if partitioned:
            run(connection, "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (6000)")
            run(connection, "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (6000) TO (9000)")
        AuditLog(metadata).install(connection)
        for start in (1, 1001):  # so many transactions, too, that a scan of them would be chosen if it could
            run(connection, f"INSERT INTO {table} SELECT i, 'n' FROM generate_series({start}, {start + 999}) AS i")
        run(
            connection,
            "INSERT INTO transaction (native_transaction_id, issued_at) "
            "SELECT i, now() FROM generate_series(1, 2000) AS i",
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run(connection, "ANALYZE")
    engine.dispose()  # a session counts all that it has done
    with engine.connect().execution_options(isolation_level=isolation) as connection:
        for statement in LIVE:
            run(connection, statement.strip().format(table=table))
            scans = connection.exec_driver_sql(
                "SELECT relname::text, seq_scan FROM pg_stat_xact_user_tables "
                "WHERE relname IN ('activity', 'activity_open', 'transaction') AND seq_scan > 0"
            )
            assert scans.all() == [], statement


def test_an_update_that_changes_nothing_is_the_first_of_a_session(engine: Engine) -> None:
    metadata = MetaData()
    Table(
        "parts",
        metadata,
        *(Column("id", Integer), Column("name", String), Column("views", Integer), PrimaryKeyConstraint("id")),
        info={"versioned": {"exclude": ["views"]}},
        postgresql_partition_by="RANGE (id)",
    )
    with engine.begin() as connection:
        metadata.create_all(connection)
        run(connection, "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (6000)")
        AuditLog(metadata).install(connection)
        run(connection, "INSERT INTO parts VALUES (1, 'a', 0), (2, 'b', 0)")
    engine.dispose()
    with engine.begin() as connection:
        run(connection, "UPDATE parts SET views = views + 1")
        assert connection.exec_driver_sql("SELECT count(*) FROM activity").scalar() == 2
