"""What was changed without being recorded is found, whoever did it, and nothing else is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from audit_core import AuditLog, Finding
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
)

METADATA = MetaData()
LOG = AuditLog(METADATA)
TRACKED: dict[str, Any] = {"info": {"versioned": {}}}

Table(
    "account",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("amount", Numeric),
    Column("secret", String),
    Column("hidden", String),
    info={"versioned": {"mask": ["secret"], "exclude": ["hidden"]}},
)
Table(
    "line", METADATA, *(Column(name, Integer, primary_key=True) for name in ("a", "b")), Column("v", Integer), **TRACKED
)
Table(
    "parts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("v", Integer),
    postgresql_partition_by="RANGE (id)",
    **TRACKED,
)
Table("keyless", METADATA, Column("v", Integer), **TRACKED)

FILL = (
    "INSERT INTO account SELECT i, 'n' || i, i / 3.0, 's', 'h' FROM generate_series(1, 5) AS i",
    "INSERT INTO line SELECT i, i, 0 FROM generate_series(1, 5) AS i",
    "INSERT INTO parts SELECT i, 0 FROM generate_series(8, 11) AS i",
    "UPDATE account SET amount = amount + 1 WHERE id > 2",
    "UPDATE parts SET v = 1",
    "INSERT INTO keyless VALUES (1), (1)",
)


def run(target: Engine | Connection, *statements: str) -> None:
    """Run each statement in a transaction of its own."""
    if isinstance(target, Connection):
        for statement in statements:
            target.exec_driver_sql(statement)
        return
    for statement in statements:
        with target.begin() as connection:
            connection.exec_driver_sql(statement)


def failures(engine: Engine, **options: Any) -> list[Finding]:
    return [each for each in findings(engine, **options) if each.is_failure]


def findings(engine: Engine, **options: Any) -> list[Finding]:
    with engine.connect() as connection:
        return list(LOG.verify(connection, **options))


def summary(found: list[Finding]) -> list[tuple[Any, ...]]:
    return sorted((each.kind, each.table, each.row_key, each.columns) for each in found)


@pytest.fixture
def bank(engine: Engine) -> Engine:
    """Tables that were empty when their recording began, with some rows."""
    with engine.begin() as connection:
        METADATA.create_all(connection)
        run(
            connection,
            "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (1000)",
        )
        LOG.install(connection)
    run(engine, *FILL)
    return engine


def as_replica(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        run(connection, "SET LOCAL session_replication_role = replica", *statements)


def in_trail(engine: Engine, *statements: str) -> None:
    """Change what was recorded, as an owner can who means to."""
    with engine.begin() as connection:
        run(connection, "SET LOCAL audit_logger.maintenance = on", *statements)


def test_whatever_is_recorded_fits(bank: Engine) -> None:
    run(
        bank,
        "UPDATE account SET id = id + 100 WHERE id = 1",
        "UPDATE account SET secret = 'other', hidden = 'other' WHERE id < 4",
        "DELETE FROM account WHERE id = 2",
        "INSERT INTO account VALUES (2, 'again', 0, 's', 'h'), (1, 'new', 'NaN', 's', 'h')",
        "UPDATE line SET a = a + 10",
        "UPDATE parts SET id = id + 5 WHERE id < 10",
        "DELETE FROM parts WHERE id = 14",
    )
    assert [each.kind for each in findings(bank)] == ["not compared"]  # the table without a key


def test_a_table_without_a_key_is_counted(bank: Engine) -> None:
    (found,) = findings(bank, tables=["keyless"])
    assert str(found) == (
        "keyless: it has no primary key, so its rows cannot be told apart: recorded is 2 insert, and it has 2 rows."
    )


#: An attack, and what is found: kind, table, key, columns.
ATTACKS: dict[str, tuple[Callable[[Engine], None], list[tuple[Any, ...]]]] = {
    "update as replica": (
        lambda engine: as_replica(engine, "UPDATE account SET amount = 0, name = 'x' WHERE id = 4"),
        [("changed", "account", "4", ("amount", "name"))],
    ),
    "insert as replica": (
        lambda engine: as_replica(engine, "INSERT INTO line VALUES (7, 7, 7)"),
        [("appeared", "line", "[7, 7]", ())],
    ),
    "delete as replica": (
        lambda engine: as_replica(engine, "DELETE FROM parts WHERE id = 9"),
        [("vanished", "parts", "9", ())],
    ),
    "key changed as replica": (
        lambda engine: as_replica(engine, "UPDATE account SET id = 40 WHERE id = 4"),
        [("appeared", "account", "40", ()), ("vanished", "account", "4", ())],
    ),
    "then changed again": (
        lambda engine: (
            as_replica(engine, "UPDATE account SET amount = 0 WHERE id = 4"),
            run(engine, "UPDATE account SET name = 'y' WHERE id = 4"),
        )[0],
        [("break", "account", "4", ("amount",))],
    ),
    "then deleted": (
        lambda engine: (
            as_replica(engine, "UPDATE line SET v = 5 WHERE a = 4"),
            run(engine, "DELETE FROM line WHERE a = 4"),
        )[0],
        [("break", "line", "[4, 4]", ("v",))],
    ),
    "deleted and inserted again": (
        lambda engine: (
            as_replica(engine, "DELETE FROM account WHERE id = 4"),
            run(engine, "INSERT INTO account VALUES (4)"),
        )[0],
        [("break", "account", "4", ())],
    ),
    "brought back, then deleted": (
        lambda engine: (
            run(engine, "DELETE FROM account WHERE id = 4"),
            as_replica(engine, "INSERT INTO account VALUES (4)"),
            run(engine, "DELETE FROM account WHERE id = 4"),
        )[0],
        [("break", "account", "4", ())],
    ),
    "a row that was not recorded takes a key": (
        lambda engine: (
            as_replica(engine, "DELETE FROM account WHERE id = 4"),
            run(engine, "UPDATE account SET id = 4 WHERE id = 5"),
        )[0],
        [("break", "account", "4", ())],
    ),
    "disabled trigger": (
        lambda engine: run(
            engine,
            "ALTER TABLE account DISABLE TRIGGER USER",
            "UPDATE account SET name = NULL WHERE id = 1",
            "ALTER TABLE account ENABLE TRIGGER USER",
        ),
        [("changed", "account", "1", ("name",))],
    ),
    "truncate as replica": (
        lambda engine: as_replica(engine, "TRUNCATE parts"),
        [("vanished", "parts", str(key), ()) for key in (10, 11, 8, 9)],
    ),
    "activity deleted": (
        lambda engine: in_trail(engine, "DELETE FROM activity WHERE table_name = 'account' AND verb = 'update'"),
        [("changed", "account", str(key), ("amount",)) for key in (3, 4, 5)],
    ),
    "first activity deleted": (
        lambda engine: in_trail(engine, "DELETE FROM activity WHERE table_name = 'account' AND id IN (3)"),
        [("break", "account", "3", ())],
    ),
    "all of a row deleted": (
        lambda engine: in_trail(engine, "DELETE FROM activity WHERE table_name = 'account' AND row_key = '3'"),
        [("appeared", "account", "3", ())],
    ),
    "activity altered": (
        lambda engine: in_trail(
            engine, """UPDATE activity SET changed_data = changed_data || '{"name": "x"}' WHERE id = 4"""
        ),
        [("break", "account", "4", ("name",))],
    ),
    "last activity altered": (
        lambda engine: in_trail(
            engine,
            """UPDATE activity SET changed_data = '{"amount": 9}'
               WHERE table_name = 'account' AND verb = 'update' AND row_key = '4'""",
        ),
        [("changed", "account", "4", ("amount",))],
    ),
    "two activities change places": (
        lambda engine: in_trail(
            engine,
            "UPDATE activity SET id = id + 100000 WHERE table_name = 'account' AND verb = 'insert' AND row_key = '4'",
        ),
        [
            ("break", "account", "4", ()),
            ("break", "account", "4", ()),
            ("changed", "account", "4", ("amount",)),
        ],
    ),
    "insert of somebody": (
        lambda engine: in_trail(
            engine,
            """INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
                                     row_key, old_data, changed_data)
               VALUES (1, now(), 1, 'account'::regclass, 'public', 'account', 'insert', '77', '{}', '{"id": 77}')""",
        ),
        [("vanished", "account", "77", ())],
    ),
    "true is not 1": (
        lambda engine: (
            run(engine, "CREATE TYPE pair AS (a json, b int)", "ALTER TABLE line ADD COLUMN j jsonb DEFAULT '[1]'"),
            run(engine, "UPDATE line SET v = 1 WHERE a = 4"),
            as_replica(engine, "UPDATE line SET j = '[true]' WHERE a = 4"),
        )[0],
        [("changed", "line", "[4, 4]", ("j",))],
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found(bank: Engine, name: str) -> None:
    attack, expected = ATTACKS[name]
    attack(bank)
    assert summary(failures(bank)) == sorted(expected)
