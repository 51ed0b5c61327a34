"""What was changed without being recorded is found, whoever did it, and nothing else is reported."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from audit_core import AuditLog, Finding, HistoryError
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    event,
    select,
)
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.core_only import test_many_rows, test_order

NewDatabase = Callable[..., AbstractContextManager[URL]]

METADATA = MetaData()
LOG = AuditLog(METADATA)
AUDITED: dict[str, Any] = {"info": {"versioned": {}}}

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
    "line", METADATA, *(Column(name, Integer, primary_key=True) for name in ("a", "b")), Column("v", Integer), **AUDITED
)
Table(
    "parts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("v", Integer),
    postgresql_partition_by="RANGE (id)",
    **AUDITED,
)
Table("keyless", METADATA, Column("v", Integer), **AUDITED)

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


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase) -> Iterator[URL]:
    """A database to be copied: tables that were empty when their recording began, with some rows."""
    with new_database() as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            METADATA.create_all(connection)
            run(
                connection,
                "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
                "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (1000)",
            )
            LOG.install(connection)
        run(engine, *FILL)
        yield url


@pytest.fixture
def bank(new_database: NewDatabase, filled: URL) -> Iterator[Engine]:
    """An engine on a copy of these tables and their trail."""
    with new_database(template=filled) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


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


def test_a_finding_names_record_column_and_activities(bank: Engine) -> None:
    as_replica(bank, "UPDATE account SET amount = 0 WHERE id = 4")
    run(bank, "UPDATE account SET name = 'y' WHERE id = 4")
    with Session(bank) as session:
        after, before, _ = (each.id for each in session.scalars(LOG.history(METADATA.tables["account"], 4)).all())
        session.commit()
        (found,) = LOG.verify(session, [METADATA.tables["account"]])
    assert (found.before, found.after) == (before, after)
    assert str(found) == (
        f"account 4: activity {after} (update) begins with other values of 'amount' than activity {before} "
        "(update) left."
    )


def test_what_the_trail_owns_up_to_is_no_failure(bank: Engine) -> None:
    """A bypass, and a time in which recording was ended as it should be."""
    run(
        bank,
        "SET audit_logger.enabled = off; UPDATE account SET amount = 0 WHERE id = 4; RESET audit_logger.enabled",
        "SELECT audit_logger_drop_triggers('line')",
        "INSERT INTO line VALUES (7, 7, 7)",
        "UPDATE line SET v = 9 WHERE a = 1",
    )
    with bank.begin() as connection:
        LOG.install(connection)
    run(bank, "UPDATE line SET v = 10 WHERE a IN (1, 7)", "UPDATE account SET amount = 1 WHERE id = 4")
    found = [each for each in findings(bank) if each.kind != "not compared"]
    assert summary(found) == [
        ("unrecorded", "account", "4", ("amount",)),
        ("unrecorded", "line", "[1, 1]", ("v",)),
        ("unrecorded", "line", "[7, 7]", ()),
    ]
    assert "says that changes of the table bypassed the trail" in str(found[0])
    assert "the table was not recorded from " in str(found[1])
    # What is done after that is found.
    as_replica(bank, "UPDATE account SET amount = 0 WHERE id = 4", "UPDATE line SET v = 9 WHERE a IN (1, 7)")
    assert summary(failures(bank)) == [
        ("changed", "account", "4", ("amount",)),
        ("changed", "line", "[1, 1]", ("v",)),
        ("changed", "line", "[7, 7]", ("v",)),
    ]


def test_triggers_that_were_dropped_by_hand_excuse_nothing(bank: Engine) -> None:
    run(bank, "DROP TRIGGER audit_logger_update ON account", "UPDATE account SET amount = 0 WHERE id = 4")
    with bank.begin() as connection:
        LOG.install(connection)
    (found,) = failures(bank)
    assert found.kind == "changed"
    assert "its triggers were not as installed" in str(found)


def test_a_truncate_ends_rows(bank: Engine) -> None:
    run(
        bank,
        "TRUNCATE account",
        "TRUNCATE parts_high",
        "INSERT INTO account VALUES (4)",
        "INSERT INTO parts VALUES (10, 0)",
    )
    assert failures(bank) == []
    run(bank, "TRUNCATE parts, account")
    assert failures(bank) == []
    as_replica(bank, "INSERT INTO parts VALUES (8, 1)", "INSERT INTO account VALUES (1)")
    assert summary(failures(bank)) == [("appeared", "account", "1", ()), ("appeared", "parts", "8", ())]


def test_rows_may_have_one_key_within_a_transaction(engine: Engine) -> None:
    """A key that is deferrable can be given away before it is free."""
    metadata = MetaData()
    log = AuditLog(metadata)
    Table("seat", metadata, Column("id", Integer, primary_key=True), Column("who", String), **AUDITED)
    with engine.begin() as connection:
        metadata.create_all(connection)
        run(connection, "ALTER TABLE seat DROP CONSTRAINT seat_pkey, ADD PRIMARY KEY (id) INITIALLY DEFERRED")
        log.install(connection)
    run(engine, "INSERT INTO seat VALUES (1, 'a'), (2, 'b'), (3, 'c')", "UPDATE seat SET id = 1 + mod(id, 3)")
    with engine.begin() as connection:
        run(connection, "INSERT INTO seat VALUES (1, 'd')", "DELETE FROM seat WHERE who = 'c'")
    with engine.connect() as connection:
        assert list(log.verify(connection)) == []


def test_columns_come_and_go(bank: Engine) -> None:
    run(
        bank,
        "ALTER TABLE account ADD COLUMN more int DEFAULT 5, DROP COLUMN name",
        "ALTER TABLE account ALTER COLUMN amount TYPE text",
        "UPDATE account SET more = 6 WHERE id = 1",
        "ALTER TABLE line RENAME COLUMN v TO w",
        "ALTER TABLE line ALTER COLUMN w TYPE bigint",
    )
    assert failures(bank) == []
    as_replica(bank, "UPDATE account SET more = 7, amount = '0' WHERE id = 1")
    assert summary(failures(bank)) == [("changed", "account", "1", ("amount", "more"))]


def test_rows_that_are_older_than_the_trail(engine: Engine) -> None:
    with engine.begin() as connection:
        METADATA.create_all(connection)
        run(connection, *FILL[:2])
        LOG.install(connection)
    run(engine, "UPDATE account SET name = 'x' WHERE id < 3", "DELETE FROM account WHERE id = 1")
    found = findings(engine, tables=["account", "line"])
    assert summary(found) == [("no beginning", "account", None, ()), ("no beginning", "line", None, ())]
    assert not any(each.is_failure for each in found)
    assert str(found[0]).startswith("account: of 5 rows the trail has no beginning")
    # Of what is recorded, the rest fits all the same.
    as_replica(engine, "UPDATE account SET name = 'y' WHERE id = 2")
    assert summary(failures(engine)) == [("changed", "account", "2", ("name",))]
    # Each has a beginning from here on.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run(connection, "CALL audit_logger_snapshot('account', 1)")
    as_replica(engine, "UPDATE account SET name = 'z' WHERE id = 5")
    assert ("changed", "account", "5", ("name",)) in summary(failures(engine))


def test_since(bank: Engine) -> None:
    as_replica(bank, "UPDATE account SET amount = 0 WHERE id = 4")
    run(bank, "UPDATE account SET name = 'y' WHERE id = 4")
    with bank.connect() as connection:
        when = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    assert len(failures(bank)) == 1
    assert failures(bank, since=when) == []
    as_replica(bank, "UPDATE account SET amount = 1 WHERE id = 3")
    run(bank, "UPDATE account SET name = 'y' WHERE id = 3")
    as_replica(bank, "UPDATE line SET v = 1 WHERE a = 1")
    assert summary(failures(bank, since=when)) == [
        ("break", "account", "3", ("amount",)),
        ("changed", "line", "[1, 1]", ("v",)),
    ]
    with pytest.raises(HistoryError, match="no time zone"):
        findings(bank, since=when.replace(tzinfo=None))


def test_a_writer_between_two_statements_does_not_disturb(bank: Engine) -> None:
    """Each of its transactions is seen as a whole, or not at all."""
    other = create_engine(bank.url)
    written = 0

    def write(*args: Any) -> None:
        nonlocal written
        written += 1
        run(
            other,
            f"UPDATE account SET amount = {written}; UPDATE parts SET v = {written}; DELETE FROM line",
            f"INSERT INTO line SELECT i, {written}, 0 FROM generate_series(1, 3) AS i",
        )

    event.listen(bank, "before_cursor_execute", write)
    try:
        assert failures(bank) == []
        assert written > 10
        as_replica(other, "UPDATE account SET name = '' WHERE id = 3")
        assert summary(failures(bank)) == [("break", "account", "3", ("name",))]
    finally:
        event.remove(bank, "before_cursor_execute", write)
        other.dispose()


def test_a_truncate_after_the_snapshot_is_told(bank: Engine) -> None:
    """Every snapshot sees it at once, before the activity that tells of it."""
    for statement in ("TRUNCATE line", "TRUNCATE parts_low"):
        with bank.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            run(connection, "SELECT 1 FROM activity")
            run(bank, statement)
            with pytest.raises(HistoryError, match="was truncated or rewritten since the transaction"):
                list(LOG.verify(connection))
    assert failures(bank) == []


def test_writers_at_the_same_time(bank: Engine) -> None:
    other = create_engine(bank.url)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            run(other, *FILL[3:5], "DELETE FROM account WHERE id = 5", "INSERT INTO account VALUES (5)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            assert failures(bank) == []
    finally:
        is_over.set()
        writer.join()
        other.dispose()


def test_where_a_writer_could_disturb_it_is_refused(bank: Engine) -> None:
    with bank.connect() as connection:
        run(connection, "SELECT 1")
        with pytest.raises(HistoryError, match="READ COMMITTED, so that a writer could come between"):
            next(LOG.verify(connection))
    with (
        bank.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(HistoryError, match="commits each statement"),
    ):
        next(LOG.verify(connection))
    with bank.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        run(connection, "SELECT 1")
        assert [each.kind for each in LOG.verify(connection)] == ["not compared"]
        assert connection.in_transaction()


def test_what_was_there_before_is_there_afterwards(bank: Engine) -> None:
    """The transaction that it began is over; in one of the caller, settings are what they were."""
    with bank.connect() as connection:
        any(LOG.verify(connection))
        assert not connection.in_transaction()
        run(connection, "INSERT INTO account VALUES (9)")
    with Session(bank) as session:
        any(LOG.verify(session))
        assert not session.in_transaction()
    with bank.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        run(connection, "SET TimeZone = 'Asia/Tokyo'")
        any(LOG.verify(connection))
        assert connection.exec_driver_sql("SHOW TimeZone").scalar() == "Asia/Tokyo"


def test_values_are_compared_whatever_the_session_shows(bank: Engine) -> None:
    metadata = MetaData()
    log = AuditLog(metadata, schema="other")
    Table("moment", metadata, Column("id", Integer, primary_key=True), **AUDITED)
    with bank.begin() as connection:
        run(
            connection,
            "CREATE TABLE moment (id int PRIMARY KEY, t timestamptz, d date, i interval, b bytea, f float8, m money)",
        )
        log.install(connection)
    run(bank, r"INSERT INTO moment VALUES (1, now(), '2026-02-01', '-1 day 2:03', '\x00ff', 0.1::float8 * 3, 1.5)")
    with bank.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        run(
            connection,
            "SET TimeZone = 'Asia/Tokyo'",
            "SET DateStyle = 'SQL, DMY'",
            "SET IntervalStyle = sql_standard",
            "SET bytea_output = escape",
            "SET extra_float_digits = -15",
        )
        assert list(log.verify(connection)) == []


@pytest.mark.parametrize("rows", [2, 150])
def test_values_of_all_kinds(engine: Engine, rows: int) -> None:
    metadata = MetaData()
    log = AuditLog(metadata)
    Table("many", metadata, Column("id", Integer, primary_key=True), **AUDITED)
    with engine.begin() as connection:
        test_many_rows.run(connection, f"CREATE TABLE many ({test_many_rows.COLUMNS})")
        log.install(connection)
        test_many_rows.run(connection, test_many_rows.FILL.format(table="many", rows=rows))
        for change in test_many_rows.CHANGES:
            test_many_rows.run(connection, f"UPDATE many SET {change}")
    with engine.connect() as connection:
        assert list(log.verify(connection)) == []
    as_replica(engine, "UPDATE many SET jsonb_ = '0' WHERE id = 1002")
    with engine.connect() as connection:
        assert summary(list(log.verify(connection))) == [("changed", "many", "1002", ("jsonb_",))]


def test_renamed_tables_and_forgotten_ones(bank: Engine) -> None:
    metadata = MetaData()
    log = AuditLog(metadata)
    Table("konto", metadata, Column("id", Integer, primary_key=True), **AUDITED)
    with pytest.raises(HistoryError, match="'konto' is not in schema 'public'"), bank.connect() as connection:
        list(log.verify(connection))
    run(bank, "ALTER TABLE account RENAME TO konto", "UPDATE konto SET name = 'x' WHERE id = 4")
    with bank.connect() as connection:
        assert list(log.verify(connection)) == []
    with bank.connect() as connection, pytest.raises(HistoryError, match="No table 'nothing' is audited"):
        log.verify(connection, ["nothing"])
    with bank.connect() as connection, pytest.raises(HistoryError, match="of another MetaData"):
        log.verify(connection, [METADATA.tables["line"]])
    with bank.connect() as connection, pytest.raises(HistoryError, match="make it a list"):
        log.verify(connection, "konto")


def test_a_role_that_does_not_see_all_rows_is_refused(bank: Engine) -> None:
    role = f"reader_{bank.url.database}"
    run(bank, f"CREATE ROLE {role}", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    run(bank, f"REVOKE ALL ON account FROM {role}")
    try:
        for statements, message in (
            ((), "may not read table 'account'. Grant it SELECT"),
            (
                (f"GRANT SELECT ON account TO {role}", "ALTER TABLE account ENABLE ROW LEVEL SECURITY"),
                "Row level security hides rows of table 'account'",
            ),
            (("CREATE POLICY p ON account USING (true)", "ALTER TABLE account DISABLE ROW LEVEL SECURITY"), None),
        ):
            run(bank, *statements)
            with bank.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
                run(connection, f"SET LOCAL ROLE {role}")
                if message is None:
                    assert list(LOG.verify(connection, ["account"])) == []
                    continue
                with pytest.raises(HistoryError, match=message):
                    list(LOG.verify(connection, ["account"]))
    finally:
        run(bank, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_it_runs_no_cast_of_others(bank: Engine) -> None:
    """The function of a cast to json would run with the rights of whoever verifies."""
    role = f"owner_{bank.url.database}"
    run(
        bank,
        "CREATE TYPE mood AS ENUM ('good')",
        "ALTER TABLE line ADD COLUMN mood mood DEFAULT 'good'",
        "UPDATE line SET v = 1",
        f"CREATE ROLE {role}",
        "CREATE FUNCTION steal(mood) RETURNS json LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'stolen'; END$$",
        f"ALTER FUNCTION steal(mood) OWNER TO {role}",
        "CREATE CAST (mood AS json) WITH FUNCTION steal(mood)",
    )
    try:
        (found,) = findings(bank, tables=["line"])
        assert (found.kind, found.columns) == ("not compared", ("mood",))
        assert f"steal(mood) of role {role}" in str(found)
    finally:
        run(bank, "DROP CAST (mood AS json)", f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.fixture(scope="module")
def order(new_database: NewDatabase) -> Iterator[URL]:
    """A database to be copied: the tables of test_order and their trail."""
    with new_database() as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            test_order.METADATA.create_all(connection)
            run(connection, "CREATE TABLE parts_all PARTITION OF parts DEFAULT")
            test_order.LOG.install(connection)
        yield url


@pytest.mark.parametrize("table", ["plain", "parts"])
@pytest.mark.parametrize("name", test_order.TRIGGERS)
def test_what_triggers_of_the_application_do_fits(new_database: NewDatabase, order: URL, name: str, table: str) -> None:
    when, body, statements = test_order.TRIGGERS[name]
    with (
        new_database(template=order) as url,
        create_engine(url, poolclass=NullPool).connect() as connection,
    ):
        run(connection, *test_order.trigger(table, when, body.format(t=table)))
        run(connection, *(statement.format(t=table) for statement in statements))
        connection.commit()
        assert list(test_order.LOG.verify(connection, [table])) == []


def test_as_of_says_where_the_chain_is_torn(bank: Engine) -> None:
    account = METADATA.tables["account"]
    run(bank, "UPDATE account SET id = id + 10", "UPDATE account SET secret = 'other' WHERE id < 13")
    as_replica(bank, "UPDATE account SET amount = 0 WHERE id = 14")
    run(bank, "UPDATE account SET name = 'y' WHERE id = 14", "UPDATE account SET id = 4 WHERE id = 13")
    with bank.connect() as connection:
        rows = LOG.as_of(account, connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one())
        notes = {row.id: row.audit_notes for row in connection.execute(select(rows.c.id, rows.c.audit_notes))}
    torn = "what was recorded of it before does not lead to it, so something was not recorded; see verify()"
    assert {key for key, said in notes.items() if torn in said} == {14}
    assert set(notes) == {4, 11, 12, 14, 15}
