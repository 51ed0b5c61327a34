"""That somebody read the trail can stand in it, and changes nothing else."""

from __future__ import annotations

import datetime as dt

import pytest
from audit_core import AuditLog, HistoryError
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select, text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from tests.contract.forged import META, forge

READ = text("""SELECT audit_logger_record_read('public', 'things', '1', '{"view": "record"}')""")


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
