"""``activity.id`` orders the changes of a record: each begins where the one before ended, whatever made them.

Triggers of statements fire when the statement is over, so that what the application's own triggers, referential
actions and functions did in the meantime would be recorded first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    create_engine,
    func,
    select,
)
from sqlalchemy.orm import Session

pytestmark = pytest.mark.each_server

METADATA = MetaData()
LOG = AuditLog(METADATA)
AUDITED: dict[str, Any] = {"info": {"versioned": {}}}


def _numbers(name: str, **options: Any) -> Table:
    columns = [Column("id", Integer, primary_key=True), Column("v", Integer), Column("w", Integer)]
    return Table(name, METADATA, *columns, **AUDITED, **options)


def _reference(name: str, target: str, ondelete: str) -> Column[Any]:
    return Column(name, Integer, ForeignKey(target, ondelete=ondelete, onupdate="CASCADE"))


_numbers("plain")
_numbers("parts", postgresql_partition_by="RANGE (id)")
Table("users", METADATA, Column("id", Integer, primary_key=True), **AUDITED)
for _name, _first, _second in (("message", "SET NULL", "CASCADE"), ("letter", "CASCADE", "SET NULL")):
    Table(
        _name,
        METADATA,
        Column("id", Integer, primary_key=True),
        _reference("a", "users.id", _first),
        _reference("b", "users.id", _second),
        **AUDITED,
    )
Table(
    "node",
    METADATA,
    Column("id", Integer, primary_key=True),
    _reference("parent", "node.id", "CASCADE"),
    Column("v", Integer),
    **AUDITED,
)
Table(
    "pair",
    METADATA,
    _reference("a", "users.id", "CASCADE"),
    _reference("b", "users.id", "CASCADE"),
    PrimaryKeyConstraint("a", "b"),
    **AUDITED,
)
for _name, _options in (("seat", {}), ("place", {"postgresql_partition_by": "RANGE (id)"})):
    _numbers(_name, **_options)
    METADATA.tables[_name].primary_key.deferrable = True


@pytest.fixture(scope="module")
def installed(module_database: URL) -> Iterator[Engine]:
    engine = create_engine(module_database)
    with engine.begin() as connection:
        METADATA.create_all(connection)
        run(
            connection,
            "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (1000)",
            "CREATE TABLE place_low PARTITION OF place FOR VALUES FROM (0) TO (4)",
            "CREATE TABLE place_high PARTITION OF place FOR VALUES FROM (4) TO (1000)",
        )
        LOG.install(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def trail(installed: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back."""
    with installed.connect() as connection:
        yield connection


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def trigger(table: str, when: str, body: str, name: str = "app", level: str = "ROW") -> list[str]:
    """The statements that make a trigger of the application."""
    return [
        f'CREATE FUNCTION "{name}_{table}"() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$',
        f'CREATE TRIGGER "{name}" {when} ON {table} FOR EACH {level} EXECUTE FUNCTION "{name}_{table}"()',
    ]


def assert_continuous(connection: Connection) -> None:
    """Replay the trail: each change begins where the one before ended, and the last one left the rows of today."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for activity in connection.execute(select(LOG.activity_cls).order_by(LOG.activity_cls.id)).mappings():
        key = (activity["table_name"], activity["row_key"])
        left = (activity["table_name"], activity["old_row_key"] or activity["row_key"])
        before = rows.pop(left, None)
        assert before == (None if activity["verb"] == "insert" else activity["old_data"]), activity
        if activity["verb"] != "delete":
            assert key not in rows, activity
            rows[key] = {**activity["old_data"], **activity["changed_data"]}
    for table in METADATA.sorted_tables:
        found = {str(row["id"]): dict(row) for row in connection.execute(select(table)).mappings()}
        assert {key: row for (name, key), row in rows.items() if name == table.name} == found


NUMBERS = "INSERT INTO {t} SELECT i, 0, 0 FROM generate_series(8, 11) AS i"
BOTH = ("UPDATE {t} SET v = 1 WHERE id = 8", "UPDATE {t} SET v = 2")

#: The body of a trigger on UPDATE, or of another one, and what is done then.
TRIGGERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "updates its row": (
        "AFTER UPDATE",
        "IF NEW.w < 2 THEN UPDATE {t} SET w = w + 1 WHERE id = NEW.id; END IF; RETURN NULL;",
        (NUMBERS, *BOTH),
    ),
    "updates its row at insert": (
        "AFTER INSERT",
        "UPDATE {t} SET w = w + 1 WHERE id = NEW.id; RETURN NULL;",
        (NUMBERS, "INSERT INTO {t} VALUES (20, 1, 0)"),
    ),
    "deletes its row": ("AFTER UPDATE", "DELETE FROM {t} WHERE id = NEW.id; RETURN NULL;", (NUMBERS, *BOTH)),
    "brings its row back": (
        "AFTER DELETE",
        "INSERT INTO {t} VALUES (OLD.id, OLD.v, OLD.w + 1); RETURN NULL;",
        (NUMBERS, "DELETE FROM {t} WHERE id = 8", "DELETE FROM {t}"),
    ),
    "puts its row back as it was": (
        "AFTER UPDATE",
        "IF NEW.w = 1 THEN UPDATE {t} SET w = 0 WHERE id = NEW.id; END IF; RETURN NULL;",
        (NUMBERS, "UPDATE {t} SET w = 1 WHERE id = 8", "UPDATE {t} SET w = 1"),
    ),
    "changes the key": (
        "AFTER UPDATE",
        "IF NEW.id < 20 THEN UPDATE {t} SET id = id + 20 WHERE id = NEW.id; END IF; RETURN NULL;",
        (NUMBERS, *BOTH),
    ),
    "changes the key at insert": (
        "AFTER INSERT",
        "IF NEW.id < 20 THEN UPDATE {t} SET id = id + 20 WHERE id = NEW.id; END IF; RETURN NULL;",
        ("INSERT INTO {t} VALUES (7, 1, 1)", NUMBERS),
    ),
    "updates all rows": (
        "AFTER UPDATE",
        "IF pg_trigger_depth() < 2 THEN UPDATE {t} SET w = w + 1; END IF; RETURN NULL;",
        (NUMBERS, *BOTH),
    ),
    "updates rows before": (
        "BEFORE UPDATE",
        "IF pg_trigger_depth() < 2 THEN UPDATE {t} SET w = w + 1 WHERE id < NEW.id; END IF; RETURN NEW;",
        (NUMBERS, "UPDATE {t} SET v = 1 WHERE id = 11", "UPDATE {t} SET v = 2 WHERE id IN (8, 10)"),
    ),
    "replaces a row": (
        "BEFORE INSERT",
        "DELETE FROM {t} WHERE id = NEW.id; RETURN NEW;",
        (NUMBERS, "INSERT INTO {t} VALUES (9, 5, 5)", NUMBERS.replace("0, 0", "7, 7")),
    ),
    "does a lot": (
        "AFTER UPDATE",
        "IF NEW.w < 1 THEN UPDATE {t} SET w = w + 1 WHERE id = NEW.id; UPDATE {t} SET v = v + 100 WHERE id = NEW.id; "
        "UPDATE {t} SET v = v + 100 WHERE id <> NEW.id; END IF; RETURN NULL;",
        (NUMBERS, *BOTH),
    ),
}


@pytest.mark.parametrize("table", ["plain", "parts"])
@pytest.mark.parametrize("name", ["!first", "app", "zzz"])
@pytest.mark.parametrize("what", TRIGGERS)
def test_triggers_of_the_application(trail: Connection, table: str, name: str, what: str) -> None:
    when, body, statements = TRIGGERS[what]
    run(trail, *trigger(table, when, body.format(t=table), name), *(each.format(t=table) for each in statements))
    assert_continuous(trail)


@pytest.mark.parametrize("table", ["plain", "parts"])
@pytest.mark.parametrize("name", ["!first", "zzz"])
def test_triggers_of_a_statement(trail: Connection, table: str, name: str) -> None:
    body = f"UPDATE {table} SET w = w + 1; UPDATE {table} SET w = w + 1 WHERE id = 9;"
    body = f"IF pg_trigger_depth() < 2 THEN {body} END IF; RETURN NULL;"
    run(trail, *trigger(table, "AFTER UPDATE", body, name, "STATEMENT"))
    run(trail, *(each.format(t=table) for each in (NUMBERS, *BOTH)))
    assert_continuous(trail)


#: Statements that do several things at once.
STATEMENTS: dict[str, tuple[str, ...]] = {
    "a function": ("UPDATE {t} SET v = bump(id)",),
    "a function at insert": ("INSERT INTO {t} SELECT i, bump(i), 0 FROM generate_series(3, 7) AS i",),
    "a part that is left for the end": (
        "WITH d AS (DELETE FROM {t} WHERE id IN (8, 9) RETURNING *) INSERT INTO {t} SELECT id, 9, 9 FROM d LIMIT 1",
    ),
    "several parts": (
        "WITH d AS (DELETE FROM {t} WHERE id = 8 RETURNING id), u AS (UPDATE {t} SET v = 3 WHERE id = 9), "
        "i AS (INSERT INTO {t} SELECT id, 4, 4 FROM d) SELECT 1",
    ),
    "a loop": (
        "DO $$BEGIN FOR i IN 1..3 LOOP UPDATE {t} SET v = 1 - v; UPDATE {t} SET v = 1 - v WHERE id = 8; END LOOP; "
        "DELETE FROM {t} WHERE id = 8; INSERT INTO {t} VALUES (8, 0, 0); UPDATE {t} SET id = 18 WHERE id = 8; "
        "INSERT INTO {t} VALUES (8, 0, 0); END$$",
    ),
    "moves": (
        "UPDATE {t} SET id = id + 4",
        "DO $$BEGIN UPDATE {t} SET id = 5 WHERE id = 14; UPDATE {t} SET id = 14 WHERE id = 5; "
        "UPDATE {t} SET id = 5 WHERE id = 14; END$$",
    ),
    "a merge": (
        "MERGE INTO {t} USING (VALUES (8, 1), (9, 2), (30, 4)) AS s (id, x) ON s.id = {t}.id "
        "WHEN MATCHED AND x = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET v = x "
        "WHEN NOT MATCHED THEN INSERT VALUES (s.id, x, x)",
        "MERGE INTO {t} USING (VALUES (9, 1), (29, 2)) AS s (id, x) ON s.id = {t}.id "
        "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (9, x, x)",
    ),
}


@pytest.mark.parametrize("table", ["plain", "parts"])
@pytest.mark.parametrize("what", STATEMENTS)
def test_statements_that_do_several_things(trail: Connection, table: str, what: str) -> None:
    run(
        trail,
        "CREATE FUNCTION bump(k integer) RETURNS integer LANGUAGE plpgsql AS "
        f"$$BEGIN UPDATE {table} SET w = w + 1 WHERE id < k; RETURN 5; END$$",
        NUMBERS.format(t=table),
        *(each.format(t=table) for each in STATEMENTS[what]),
    )
    assert_continuous(trail)


@pytest.mark.parametrize("table", ["message", "letter"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM users WHERE id IN (1, 2, 3)",
        "DELETE FROM users WHERE id = 1",
        "UPDATE users SET id = id + 10",
        "UPDATE users SET id = 20 WHERE id = 1",
    ],
)
def test_referential_actions(trail: Connection, table: str, statement: str) -> None:
    run(
        trail,
        "INSERT INTO users SELECT generate_series(1, 4)",
        f"INSERT INTO {table} VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 2)",
        statement,
    )
    assert_continuous(trail)


def test_a_table_that_references_itself(trail: Connection) -> None:
    run(
        trail,
        "INSERT INTO node VALUES (1, 1, 0), (2, 1, 0), (3, 2, 0)",
        "UPDATE node SET id = id + 10 WHERE id IN (1, 2)",
        "UPDATE node SET id = 50 WHERE id = 11",
        "DELETE FROM node WHERE id = 50",
    )
    assert_continuous(trail)


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_a_trigger_of_a_table_that_referential_actions_change(trail: Connection, when: str) -> None:
    body = "IF NEW.a IS NULL AND NEW.b <> 4 THEN UPDATE message SET b = 4 WHERE id = NEW.id; END IF; RETURN NULL;"
    if when == "BEFORE":
        body = "IF NEW.a IS NULL THEN NEW.b := 4; END IF; RETURN NEW;"
    run(
        trail,
        *trigger("message", f"{when} UPDATE", body),
        *trigger("users", "AFTER DELETE", "UPDATE message SET b = 4 WHERE a IS NULL; RETURN NULL;"),
        "INSERT INTO users SELECT generate_series(1, 4)",
        "INSERT INTO message VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 2)",
        "DELETE FROM users WHERE id IN (1, 3)",
    )
    assert_continuous(trail)


def test_settings_do_not_switch_the_order_off(trail: Connection) -> None:
    """Whoever changes a row in the middle of a statement may set anything, and make the session forget sequences."""
    settings = "".join(
        f"PERFORM set_config('audit_logger.{name}', '', true);"
        for name in ("transaction_row", "transaction_context", "recorded_at", "deleted_from", "maintenance")
    )
    run(
        trail,
        "CREATE FUNCTION hide(k integer) RETURNS integer LANGUAGE plpgsql AS "
        f"$$BEGIN UPDATE plain SET w = w + 1 WHERE id < k; {settings} DISCARD SEQUENCES; RETURN 5; END$$",
        NUMBERS.format(t="plain"),
        "UPDATE plain SET v = hide(id)",
        "UPDATE plain SET v = hide(id) + 1 WHERE id IN (8, 11)",
    )
    assert_continuous(trail)


def test_a_history_of_one_row_has_times_in_the_same_order(trail: Connection) -> None:
    run(trail, *trigger("plain", "AFTER UPDATE", "DELETE FROM plain WHERE id = NEW.id; RETURN NULL;"))
    run(trail, NUMBERS.format(t="plain"), "UPDATE plain SET v = 1 WHERE id = 8")
    activity = LOG.activity_cls
    query = select(activity.verb, activity.issued_at).where(activity.row_key == "8").order_by(activity.id)
    verbs, times = zip(*trail.execute(query).all(), strict=True)
    assert verbs == ("insert", "update", "delete")
    assert list(times) == sorted(set(times))


def assert_told(connection: Connection, name: str, has_histories: bool = True) -> None:
    """The table as it is now, and a history for each row: of all its changes, and of no other row's."""
    table = METADATA.tables[name]
    now = connection.scalar(select(func.clock_timestamp()))
    assert now is not None
    rows = connection.execute(select(table)).mappings().all()
    told = LOG.as_of(table, now)
    found = connection.execute(select(*(told.c[column.key] for column in table.columns))).mappings()
    assert sorted(map(tuple, (row.items() for row in found))) == sorted(map(tuple, (row.items() for row in rows)))
    recorded = list(Session(connection).scalars(LOG.activities(table=table)))
    for row in rows if has_histories else ():
        key = tuple(row[column.key] for column in table.primary_key)
        history = list(Session(connection).scalars(LOG.history(table, key)))
        own = [each.id for each in recorded if {**each.old_data, **each.changed_data}["v"] == row["v"]]
        assert [each.id for each in history] == own
        for later, earlier in pairwise(history):
            assert later.old_data == {**earlier.old_data, **earlier.changed_data}


@pytest.mark.parametrize("has_trigger", [False, True])
@pytest.mark.parametrize("table", ["seat", "place"])
@pytest.mark.parametrize(
    "key",
    ["3 - id WHERE id < 3", "9 - id", "mod(id, 8) + 1", "id + 1", "9 - id WHERE id IN (4, 5)", "id + 1 WHERE id > 5"],
)
def test_rows_that_change_places(trail: Connection, table: str, key: str, has_trigger: bool) -> None:
    """The key is compared at the end of the statement. Activities with the same time happened at once."""
    if has_trigger:
        body = f"IF NEW.w < 2 THEN UPDATE {table} SET w = w + 1 WHERE id = NEW.id; END IF; RETURN NULL;"
        run(trail, *trigger(table, "AFTER UPDATE", body))
    run(trail, f"INSERT INTO {table} SELECT i, i * 10, 0 FROM generate_series(1, 8) AS i")
    for _ in range(2):
        run(trail, f"UPDATE {table} SET id = {key}")
        # Where a trigger interferes, the halves of a row that moves between partitions may stay apart.
        assert_told(trail, table, has_histories=not has_trigger or table == "seat")
    if not has_trigger:
        verbs = select(LOG.activity_cls.verb).where(LOG.activity_cls.table_name == table).distinct()
        assert set(trail.scalars(verbs)) == {"insert", "update"}


def test_a_key_that_changes_twice(trail: Connection) -> None:
    """Both times with one trigger: referential actions have it once for each verb."""
    run(
        trail,
        "INSERT INTO users VALUES (1), (2)",
        "INSERT INTO pair VALUES (1, 1), (1, 2), (2, 1)",
        "UPDATE users SET id = id + 10",
    )
    table = METADATA.tables["pair"]
    now = trail.scalar(select(func.clock_timestamp()))
    assert now is not None
    rows = LOG.as_of(table, now)
    assert set(trail.execute(select(rows.c.a, rows.c.b))) == {(11, 11), (11, 12), (12, 11)}
    verbs = [each.verb for each in Session(trail).scalars(LOG.history(table, (11, 12)))]
    assert verbs == ["update", "update", "insert"]


@pytest.mark.parametrize("table", ["plain", "parts"])
def test_a_row_that_left_a_key_takes_its_history_along(trail: Connection, table: str) -> None:
    run(
        trail,
        f"INSERT INTO {table} VALUES (8, 1, 0)",
        f"UPDATE {table} SET w = 1",
        f"UPDATE {table} SET id = 12",
        f"INSERT INTO {table} VALUES (8, 2, 0)",
    )
    assert_told(trail, table)
    run(trail, f"UPDATE {table} SET id = 13 WHERE id = 8", f"INSERT INTO {table} VALUES (8, 3, 0)")
    assert_told(trail, table)


@pytest.mark.parametrize("table", ["place", "seat"])
@pytest.mark.parametrize("step", [-1, 1])
def test_many_keys_move_on(trail: Connection, table: str, step: int) -> None:
    """Each row comes to the key of the next one: their changes hang together, all of them."""
    order = "i" if step < 0 else "-i"
    run(
        trail,
        "SET LOCAL statement_timeout = '30s'",
        f"INSERT INTO {table} SELECT i, i, 0 FROM generate_series(11, 510) AS i ORDER BY {order}",
        f"UPDATE {table} SET id = id + {step}",
    )
    now = trail.scalar(select(func.clock_timestamp()))
    assert now is not None
    rows = LOG.as_of(METADATA.tables[table], now)
    found = trail.execute(select(rows.c.id, rows.c.v).order_by(rows.c.id))
    assert [tuple(row) for row in found] == [(v + step, v) for v in range(11, 511)]


@pytest.mark.parametrize(
    "forget",
    [
        "PERFORM set_config('audit_logger.' || name, '', true)"
        " FROM unnest(ARRAY['recorded_at', 'transaction_row']) AS s (name);",
        # Who may use the sequences of a schema may draw from them.
        "PERFORM nextval('activity_command_seq'); PERFORM nextval('activity_id_seq');",
    ],
    ids=["settings", "sequences"],
)
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "SERIALIZABLE"])
def test_nothing_hides_the_order(installed: Engine, isolation: Any, forget: str) -> None:
    """A trigger of the application that takes away what tells that something was recorded before it."""
    with installed.connect().execution_options(isolation_level=isolation) as connection:
        run(
            connection,
            "INSERT INTO plain VALUES (1, 0, 0)",
            *trigger(
                "plain",
                "AFTER UPDATE",
                f"IF NEW.w < 2 THEN UPDATE plain SET w = w + 1 WHERE id = NEW.id; END IF; {forget} RETURN NULL;",
            ),
            "UPDATE plain SET v = 1",
        )
        assert_continuous(connection)
