"""That somebody read the trail can stand in it, and changes nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, event, select, text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from tests.contract.forged import META, forge

READ = text("""SELECT audit_logger_record_read('public', 'things', '1', '{"view": "record"}')""")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction in a database of its own, since a test commits it."""
    with engine.begin() as connection:
        yield connection


@pytest.fixture
def things() -> Table:
    return Table(
        "things",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", String),
        info={"versioned": {}},
    )


@pytest.fixture
def log(connection: Connection, things: Table) -> AuditLog:
    """A trail that begins after the table has a row."""
    log = AuditLog(things.metadata)
    things.metadata.create_all(connection)
    connection.execute(things.insert(), {"id": 1, "name": "old"})
    log.install(connection)
    return log


def test_a_read_is_an_activity_of_the_record_with_its_reader(
    connection: Connection, log: AuditLog, things: Table
) -> None:
    connection.execute(text("SELECT set_config('audit_logger.actor_id', 'ann', true)"))
    connection.execute(READ)
    connection.execute(text("SELECT audit_logger_record_read(NULL, NULL, NULL, '{}')"))
    activity, transaction = log.activity_cls, log.transaction_cls
    query = select(activity.verb, activity.table_name, activity.row_key, activity.changed_data, transaction.actor_id)
    found = connection.execute(query.join(activity.transaction).order_by(activity.id))
    assert [tuple(row) for row in found] == [
        ("read", "things", "1", {"view": "record"}, "ann"),
        ("read", "activity", None, {}, "ann"),
    ]
    assert [row.verb for row in connection.execute(log.history(things, 1))] == ["read"]


def test_a_history_does_not_begin_with_a_read(connection: Connection, log: AuditLog, things: Table) -> None:
    connection.execute(READ)
    now = dt.datetime.now(dt.timezone.utc)
    with pytest.raises(HistoryError, match="Nothing is recorded of 'things' 1"):
        log.get_as_of(connection, things, 1, now)
    with pytest.raises(DataError, match="the history of things begins at no time yet"):
        connection.execute(select(log.as_of(things, now)))


def test_a_row_that_was_only_read_gets_its_snapshot(connection: Connection, log: AuditLog) -> None:
    connection.execute(READ)
    connection.commit()
    with connection.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as own:
        own.execute(text("CALL audit_logger_snapshot('things', 100)"))
        verbs = own.scalars(select(log.activity_cls.verb).order_by(log.activity_cls.id)).all()
    assert verbs == ["read", "snapshot"]


@pytest.mark.parametrize("forged", META)
def test_a_filter_of_any_kind_can_be_read(connection: Connection, log: AuditLog, things: Table, forged: str) -> None:
    activity = log.activity_cls
    id_ = forge(connection, forged, forged, "things", "1")
    connection.execute(things.update().values(name="new"))
    assert len(connection.execute(log.history(things, 1)).all()) == 2
    assert len(connection.execute(log.history(things, 1, related=True)).all()) == 2
    now = dt.datetime.now(dt.timezone.utc)
    assert connection.execute(select(log.as_of(things, now))).one().name == "new"
    session = Session(connection)
    read, update = session.scalars(log.activities().order_by(None).order_by(activity.id)).all()
    assert (read.changes, read.before, read.after) == ({}, None, None)
    assert isinstance(read.data, dict)
    assert repr(read.transaction.meta)
    assert connection.scalars(select(activity.data).order_by(activity.id)).all()[1] == update.data
    log.attach(connection.engine)
    assert log.plan_undo(session, id_).conflicts == []
    log.detach(connection.engine)


def test_names_that_were_only_read_cost_nothing(connection: Connection, log: AuditLog, things: Table) -> None:
    """Former names are found among thousands of names that somebody made up."""
    connection.execute(text("UPDATE things SET name = 'first'"))
    connection.execute(text("ALTER TABLE things RENAME TO mmm; UPDATE mmm SET name = 'second'"))
    connection.execute(text("ALTER TABLE mmm RENAME TO things; UPDATE things SET name = 'third'"))
    forge(connection, "{}", "{}", "mmm", "1")
    connection.execute(
        text(
            "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,"
            " row_key, old_data, changed_data) SELECT 1, now(), 1, 0, 'public', p || n, 'read', '1', '{}', '{}'"
            " FROM generate_series(1, 10000) AS n, (VALUES ('a'), ('mmm'), ('zz')) AS v (p)"
        )
    )
    connection.execute(text("ANALYZE activity"))
    now = dt.datetime.now(dt.timezone.utc)
    for query in (log.history(things, 1), select(log.as_of(things, now)), log.activities(table=things)):
        looks = [node for node in nodes(explained(connection, query)) if "activity" in node.get("Relation Name", "")]
        assert 0 < sum(node["Actual Loops"] for node in looks) < 1000
    assert [each.changed_data for each in connection.execute(log.history(things, 1)) if each.verb == "update"] == [
        {"name": "third"},
        {"name": "second"},
        {"name": "first"},
    ]


def explained(connection: Connection, query: Any) -> dict[str, Any]:
    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters

    event.listen(connection, "before_cursor_execute", explain, retval=True)
    with connection.execute(query) as result:
        plan: dict[str, Any] = result.cursor.fetchone()[0][0]["Plan"]  # type: ignore[union-attr]
    event.remove(connection, "before_cursor_execute", explain)
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)
