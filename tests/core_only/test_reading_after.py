"""Rows as activities left them are the rows that were there then, and what is said of them is the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog
from audit_core.siblings import row_as_of, rows_after, scope_of
from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.orm import Session

from tests.core_only.shop import Customer, Order, Person, audit_log, now, opened, partitioned, run


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def compared(
    log: AuditLog, session: Session, table: Any, key: Any, until: dt.datetime
) -> list[tuple[Any, tuple[str, ...]]]:
    """Ask after each activity of a record, and once more until an instant, in both ways."""
    table = getattr(table, "__table__", table)
    scope, activity = scope_of(log), log.activity_cls
    verbs = activity.verb.in_(("insert", "update", "delete", "snapshot"))
    newest_first = session.scalars(log.history(table, key).where(verbs)).all()
    asked = [(each, each.issued_at) for each in newest_first[::-1]]
    asked.append((newest_first[0], until))
    found = []
    for (one, when), left in zip(asked, rows_after(scope, session, table, asked), strict=True):
        assert left is not None
        row, said = left
        # The key that it had then.
        own = table.primary_key.columns
        values = [one.data[each.name] for each in own]
        wanted, notes = row_as_of(scope, session, table, tuple(values) if len(values) > 1 else values[0], when)
        assert sorted(said) == sorted(notes)
        if wanted is None:
            assert row is None
        else:
            assert wanted["audit_activity_id"] == one.id
            assert row == one.data
        found.append(left)
    return found


def rows(found: list[tuple[Any, tuple[str, ...]]], column: str) -> list[Any]:
    return [None if row is None else row[column] for row, _ in found]


def test_each_change_in_turn(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    run(session, "UPDATE customers SET name = 'Anna'", "UPDATE customers SET id = 2")
    when = run(session, "DELETE FROM customers")
    found = compared(audit_log, session, Customer, 2, when)
    assert rows(found, "name") == ["Ann", "Anna", "Anna", None, None]
    assert rows(found, "id") == [1, 1, 2, None, None]
    assert {said for _, said in found} == {()}


def test_deltas_are_complete(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO orders VALUES (1, 1, 10, 'OPEN')")
    run(session, "UPDATE orders SET total = 11")
    when = run(session, "UPDATE orders SET state = 'PAID'")
    found = compared(audit_log, session, Order, 1, when)
    assert rows(found, "state") == ["OPEN", "OPEN", "PAID", "PAID"]
    assert [int(each) for each in rows(found, "total")] == [10, 11, 11, 11]


def test_columns_that_are_not_known(session: Session) -> None:
    run(session, "INSERT INTO people VALUES (1, 'Ann', 'red', '123', 30)")
    when = run(session, "UPDATE people SET ssn = '456', age = 31, name = 'Anna'")
    found = compared(audit_log, session, Person, 1, when)
    assert {said for _, said in found} == {('"hair" was not recorded', '"age" is masked', '"ssn" is masked')}


def test_what_came_in_between(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')", "DELETE FROM customers WHERE id = 2")
    with audit_log.disable(session):
        run(session, "UPDATE customers SET name = 'hidden'")
    when = now(session)
    for key in (1, 2):
        *before, (_, after) = compared(audit_log, session, Customer, key, when)
        assert {said for _, said in before} == {()}
        assert ["bypassed" in note for note in after] == [True]
    run(session, "UPDATE customers SET name = 'seen'")
    first, update, last = compared(audit_log, session, Customer, 1, now(session))
    assert (first[1], update[1], last[1]) == ((), (), ())


def test_what_does_not_lead_to_it(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    run(session, "ALTER TABLE customers DISABLE TRIGGER USER", "UPDATE customers SET name = 'hidden'")
    run(session, "ALTER TABLE customers ENABLE TRIGGER USER")
    when = run(session, "UPDATE customers SET code = 'a'")
    _, update, last = compared(audit_log, session, Customer, 1, when)
    assert update == last
    assert [note.partition(",")[0] for note in update[1]] == [
        "what was recorded of it before does not lead to it",
    ]


def test_a_truncate_ends_it(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    when = run(session, "TRUNCATE customers CASCADE")
    assert rows(compared(audit_log, session, Customer, 1, when), "name") == ["Ann", None]
    run(session, "INSERT INTO customers VALUES (1, 'Ben')")
    *_, last = compared(audit_log, session, Customer, 1, now(session))
    assert last[0]["name"] == "Ben"


def test_a_truncated_partition_ends_its_own_rows(connection: Connection) -> None:
    log = AuditLog(MetaData())
    events = partitioned(log, connection)
    log.install(connection)
    run(connection, "INSERT INTO events VALUES (1, 1), (1, 2)")
    when = run(connection, "TRUNCATE events_1")
    session = Session(connection)
    assert [rows(compared(log, session, events, (1, year), when), "year") for year in (1, 2)] == [[1, None], [2, 2]]
    when = run(connection, "DROP TABLE events_2")
    *_, (row, said) = compared(log, session, events, (1, 2), when)
    assert row == {"id": 1, "year": 2}
    assert ["was truncated since" in note for note in said] == [True]
