"""A database of many tables: what is asked and sent does not grow faster than it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from audit_core import AuditLog
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, event, func, insert, select, text

FEW, MANY = 2, 60

# What a look at one table must not read as a whole.
GROWING = ("pg_catalog.pg_trigger", "pg_catalog.pg_class", "pg_catalog.pg_inherits", "activity_coverage")


@pytest.fixture
def statements(connection: Connection) -> Iterator[Callable[..., int]]:
    """Count the statements that a call sends."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *others: Any) -> None:
        sent.append(statement)

    def count(call: Callable[[Connection], object]) -> int:
        del sent[:]
        call(connection)
        return len(sent)

    event.listen(connection, "before_cursor_execute", note)
    yield count
    event.remove(connection, "before_cursor_execute", note)


@contextmanager
def created(connection: Connection, tables: int) -> Iterator[AuditLog]:
    metadata = MetaData()
    for number in range(tables):
        Table(f"t{number}", metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    with connection.begin_nested() as transaction:
        metadata.create_all(connection)
        yield AuditLog(metadata)
        transaction.rollback()


def test_installing_sends_few_statements_for_many_tables(
    connection: Connection, statements: Callable[..., int]
) -> None:
    sent, sent_again, removed = {}, {}, {}
    for tables in (FEW, MANY):
        with created(connection, tables) as log:
            sent[tables] = statements(log.install)
            sent_again[tables] = statements(log.install)
            recorded = select(func.count()).select_from(log.activity_cls)
            for table in log.metadata.tables.values():
                connection.execute(insert(table))
            assert connection.scalar(recorded) == tables
            removed[tables] = statements(log.uninstall)
    assert sent[MANY] - sent[FEW] < (MANY - FEW) / 10
    assert sent_again[MANY] == sent_again[FEW]
    assert removed[MANY] - removed[FEW] < (MANY - FEW) / 10


def test_a_check_asks_the_same_number_of_questions_whatever_the_number_of_tables(
    connection: Connection, statements: Callable[..., int]
) -> None:
    asked = {}
    for tables in (FEW, MANY):
        with created(connection, tables) as log:
            log.install(connection)
            connection.exec_driver_sql("CREATE TABLE child () INHERITS (t1)")
            connection.exec_driver_sql("CREATE RULE quiet AS ON DELETE TO t0 DO INSTEAD NOTHING")
            assert len(log.check(connection)) == 2
            asked[tables] = statements(log.check)
    assert asked[MANY] == asked[FEW] <= 30


def test_the_triggers_of_one_table_are_made_and_dropped_without_reading_all_others(
    connection: Connection,
) -> None:
    counted = ", ".join(f"pg_stat_get_xact_numscans('{name}'::regclass)" for name in GROWING)

    def scans() -> Any:
        return connection.exec_driver_sql(f"SELECT {counted}").one()

    with created(connection, FEW) as log:
        log.install(connection)
        before = scans()
        for call in (
            "SELECT audit_logger_write_coverage('t0'::regclass, 'before')",
            "SELECT audit_logger_copy_triggers('t0'::regclass, ARRAY['audit_logger_insert'])",
            "SELECT audit_logger_drop_triggers('t0'::regclass)",
        ):
            connection.exec_driver_sql(call)
            assert scans() == before, call


def test_an_empty_table_is_counted_without_a_lock_on_its_indexes(engine: Engine) -> None:
    metadata = MetaData()
    columns = [Column("id", Integer, primary_key=True), Column("n", Integer, index=True)]
    Table("t", metadata, *columns, info={"versioned": {}})
    log = AuditLog(metadata)
    with engine.begin() as connection:
        metadata.create_all(connection)
    with engine.begin() as connection:
        log.install(connection)
        (count,) = connection.execute(select(log.coverage("t").subquery().c["row_count", "row_count_is_exact"]))
        assert count == (0, True)
        locked = "SELECT count(*) FROM pg_locks WHERE relation IN ('t_pkey'::regclass, 'ix_t_n'::regclass)"
        assert connection.scalar(text(locked)) == 0


def test_the_rows_of_a_child_count(connection: Connection) -> None:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
    log = AuditLog(metadata)
    metadata.create_all(connection)
    connection.exec_driver_sql("CREATE TABLE child () INHERITS (t)")
    connection.exec_driver_sql("INSERT INTO child VALUES (1)")
    log.install(connection)
    (count,) = connection.execute(select(log.coverage("t").subquery().c["row_count", "row_count_is_exact"]))
    assert count == (1, True)
