"""An undo leaves columns as they are that the application sets by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, HistoryError
from audit_core.options import TableOptions
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, func, select, text
from sqlalchemy.orm import Session, aliased

from tests.core_only.shop import Customer, Line, Order, Unaudited, audit_log, now, opened
from tests.core_only.test_undo import commit, held, last_transaction, undo

CODE = [Customer.code]


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A')")
        yield session


def undo_ignoring(session: Session, what: Any, ignore: list[Any], **options: Any) -> int:
    transaction = audit_log.plan_undo(session, what, ignore=ignore).apply(**options)
    assert transaction is not None
    session.commit()
    return transaction.id


def conflicts(session: Session, what: Any, ignore: list[Any]) -> list[str]:
    return [each.message for each in audit_log.plan_undo(session, what, ignore=ignore).conflicts]


@pytest.mark.parametrize(
    "ignore",
    [
        [Customer.code],
        [aliased(Customer).code],
        [Customer.__table__.c.code],
        ["code"],
        ["customers.code"],
        {"code", "state"},
        (Order.ordered_at, Customer.code),
    ],
    ids=str,
)
def test_an_update_is_taken_back_but_for_what_is_ignored(session: Session, ignore: Any) -> None:
    done = commit(session, "UPDATE customers SET name = 'wrong', code = 'B'")
    commit(session, "UPDATE customers SET code = 'C'")
    assert conflicts(session, done, []) == ["customers 1 was changed since: code"]
    undo_ignoring(session, done, ignore)
    assert held(session) == {"customers": [(1, "Ann", "C")]}


def test_what_is_ignored_is_not_set_back_where_nothing_changed_it_since(session: Session) -> None:
    done = commit(session, "UPDATE customers SET name = 'wrong', code = 'B'")
    (step,) = audit_log.plan_undo(session, done, ignore=CODE).steps
    assert step.columns == ("name",)
    undo_ignoring(session, done, CODE)
    assert held(session) == {"customers": [(1, "Ann", "B")]}


def test_other_columns_are_in_conflict_as_ever(session: Session) -> None:
    done = commit(session, "UPDATE customers SET name = 'wrong', code = 'B'")
    commit(session, "UPDATE customers SET name = 'Anna', code = 'C'")
    assert conflicts(session, done, CODE) == ["customers 1 was changed since: name"]


def test_a_name_means_a_column_of_one_table_or_of_all(session: Session) -> None:
    done = commit(session, "UPDATE customers SET name = 'wrong'")
    commit(session, "UPDATE customers SET name = 'worse'")
    assert conflicts(session, done, ["people.name"]) == ["customers 1 was changed since: name"]
    assert conflicts(session, done, ["name"]) == []


def test_a_row_goes_again_although_what_is_ignored_has_changed(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (2, 'Ben', 'B')")
    commit(session, "UPDATE customers SET code = 'C' WHERE id = 2")
    assert conflicts(session, done, []) == ["customers 2 was changed since: code"]
    undo_ignoring(session, done, CODE)
    assert held(session) == {"customers": [(1, "Ann", "A")]}


def test_a_row_comes_back_with_what_is_ignored(session: Session) -> None:
    done = commit(session, "DELETE FROM customers")
    undo_ignoring(session, done, CODE)
    assert held(session) == {"customers": [(1, "Ann", "A")]}


def test_a_row_that_came_back_may_have_other_values_in_what_is_ignored(session: Session) -> None:
    done = commit(session, "DELETE FROM customers", "INSERT INTO customers VALUES (2, 'Ben')")
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'B')")
    assert conflicts(session, done, []) == ["customers 1 exists again, with other values"]
    undo_ignoring(session, done, CODE)
    assert held(session) == {"customers": [(1, "Ann", "B")]}


def test_masked_columns_can_be_ignored(session: Session) -> None:
    commit(session, "INSERT INTO people VALUES (1, 'Ann', 'brown', '123')")
    done = commit(session, "UPDATE people SET name = 'wrong', ssn = '456'")
    assert conflicts(session, done, []) == ["people 1: the value of ssn is masked"]
    undo_ignoring(session, done, ["ssn"])
    assert held(session)["people"] == [(1, "Ann", "brown", "456", None)]


def test_an_update_of_ignored_columns_alone_has_nothing_to_take_back(session: Session) -> None:
    done = commit(session, "UPDATE customers SET code = 'B'")
    for since in ("UPDATE customers SET code = 'C'", "DELETE FROM customers"):
        commit(session, since)
        plan = audit_log.plan_undo(session, done, ignore=CODE)
        assert (plan.steps, plan.conflicts, plan.apply()) == ([], [], None)


def test_what_was_undone_but_for_ignored_columns_was_undone(session: Session) -> None:
    """An activity that the undo left alone needs none against it, if the same is ignored."""
    commit(session, "INSERT INTO customers VALUES (2, 'Ben', 'X')")
    done = commit(
        session, "UPDATE customers SET code = 'B' WHERE id = 1", "UPDATE customers SET name = 'wrong' WHERE id = 2"
    )
    by = undo_ignoring(session, done, CODE)
    with pytest.raises(HistoryError, match=f"was undone by transaction {by} already"):
        audit_log.plan_undo(session, done, ignore=CODE)
    # What was left out can be undone by whoever does not ignore it.
    assert held(session) == {"customers": [(1, "Ann", "B"), (2, "Ben", "X")]}
    undo(session, done)
    assert held(session) == {"customers": [(1, "Ann", "A"), (2, "Ben", "X")]}


def test_a_plan_that_was_done_meanwhile_is_refused(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (2, 'Ben', 'X')")
    code, name = "UPDATE customers SET code = 'B' WHERE id = 1", "UPDATE customers SET name = 'x' WHERE id = 2"
    done = commit(session, code, name)
    plan = audit_log.plan_undo(session, done, ignore=CODE)
    undo_ignoring(session, done, CODE)
    with pytest.raises(HistoryError, match="already"):
        plan.apply()


def test_an_undo_that_ignored_columns_can_be_undone_likewise(session: Session) -> None:
    done = commit(session, "UPDATE customers SET code = 'B'", "UPDATE customers SET name = 'wrong'")
    for _ in range(3):
        by = undo_ignoring(session, done, CODE)
        assert held(session) == {"customers": [(1, "Ann", "B")]}
        undo_ignoring(session, by, CODE)
        assert held(session) == {"customers": [(1, "wrong", "B")]}


def test_who_only_says_what_was_ignored_has_undone_nothing(session: Session) -> None:
    done = commit(session, "UPDATE customers SET code = 'B'", "UPDATE customers SET name = 'wrong'")
    commit(session, "UPDATE customers SET code = 'C'", undoes=done, ignore=["customers.name", "customers.code"])
    assert held(session) == {"customers": [(1, "wrong", "C")]}
    undo_ignoring(session, done, CODE)
    assert held(session) == {"customers": [(1, "Ann", "C")]}


@pytest.mark.parametrize(
    ("ignore", "message"),
    [
        (["color"], "'color' cannot be ignored: it is not a column of an audited table"),
        (["orders.name"], "'orders.name' cannot be ignored: it is not a column of an audited table"),
        ([Unaudited.id], "'Unaudited.id' cannot be ignored: it is not a column of an audited table"),
        ([Column("code", String)], "'code' cannot be ignored: it is not a column of an audited table"),
        ([func.now()], "cannot be ignored: it is not a column of an audited table"),
        ([7], "'7' cannot be ignored: it is not a column of an audited table"),
        ([Customer], "cannot be ignored: it is not a column of an audited table"),
        ([Customer.id], "'Customer.id' cannot be ignored: it is in a primary key"),
        (["customers.id"], "'customers.id' cannot be ignored: it is in a primary key"),
        (["id"], "'id' cannot be ignored: it is in a primary key"),
        ([Line.number], "'Line.number' cannot be ignored: it is in a primary key"),
        ("code", "ignore is 'code'; make it a list of columns"),
        (Customer.code, "make it a list of columns"),
    ],
    ids=str,
)
def test_what_cannot_be_ignored_is_refused(session: Session, ignore: Any, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        audit_log.plan_undo(session, 1, ignore=ignore)


def test_restore_sets_all_columns(session: Session) -> None:
    log, films = declared(session.connection(), volatile=["changed"])
    session.execute(films.insert().values(id=1, title="Alien", changed="then"))
    session.commit()
    when = now(session)
    session.commit()
    session.execute(text("UPDATE films SET title = 'Aliens', changed = 'now'"))
    session.commit()
    log.restore(session, films, 1, when)
    assert session.execute(select(films)).all() == [(1, "Alien", "then")]


def declared(connection: Connection, schema: str | None = None, **options: Any) -> tuple[AuditLog, Table]:
    """Audit a table that says what is volatile in it."""
    log = AuditLog(MetaData())
    films = Table(
        "films",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("title", String),
        Column("changed", String),
        schema=schema,
        info={"versioned": options},
    )
    log.metadata.create_all(connection)
    log.install(connection)
    return log, films


@pytest.mark.parametrize("schema", [None, "public"])
def test_what_is_volatile_is_ignored_by_itself(session: Session, schema: str | None) -> None:
    log, films = declared(session.connection(), schema, volatile=["changed"])
    insert = "INSERT INTO films VALUES (1, 'Alien', 'then'), (2, 'Brazil', 'then')"
    commit(session, insert)
    done = commit(
        session,
        "UPDATE films SET title = 'wrong', changed = 'now' WHERE id = 1",
        "UPDATE films SET changed = 'now' WHERE id = 2",
    )
    commit(session, "UPDATE films SET changed = 'later'")
    assert log.plan_undo(session, done).conflicts == []
    log.plan_undo(session, done).apply()
    session.commit()
    assert session.execute(select(films)).all() == [(2, "Brazil", "later"), (1, "Alien", "later")]
    with pytest.raises(HistoryError, match=f"was undone by transaction {last_transaction(session)} already"):
        log.plan_undo(session, done)


def test_volatile_columns_are_recorded_and_no_trigger_knows_them(connection: Connection) -> None:
    log, films = declared(connection, volatile=["changed"])
    assert log.check(connection) == []
    connection.execute(films.insert().values(id=1, title="Alien", changed="then"))
    assert connection.scalar(select(log.activity_cls.changed_data)) == {"id": 1, "title": "Alien", "changed": "then"}
    assert TableOptions.read(films) == TableOptions()
    assert (TableOptions.read(films).arguments, TableOptions.read(films).parameters) == ((), {})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("changed", "'volatile' is 'changed'; make it a list of column names"),
        (["color"], "'volatile' names 'color', which is not a column of the table"),
        (["id"], "'volatile' names 'id', which is in the primary key"),
    ],
)
def test_wrong_names_are_refused(connection: Connection, names: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        declared(connection, volatile=names)
