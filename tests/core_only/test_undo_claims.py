"""That a transaction was undone is told by what was done, whatever somebody says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import HistoryError
from audit_core.audit_log import scope_of
from audit_core.undo.claims import undone_by
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tests.core_only.shop import audit_log, opened
from tests.core_only.test_undo import commit, held, undo


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def claim(session: Session, undoes: Any, *statements: str) -> int:
    return commit(session, *statements, undoes=undoes)


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO customers VALUES (9, 'Zoe')"],
        ["UPDATE customers SET name = 'Ann' WHERE id = 1"],
        ["UPDATE customers SET name = 'x' WHERE id = 2", "DELETE FROM customers WHERE id = 1"],
    ],
)
def test_a_claim_without_the_deed_blocks_nothing(session: Session, statements: list[str]) -> None:
    """To take both rows back takes an activity against each, of the kind that undoes it."""
    commit(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    done = commit(session, "UPDATE customers SET name = 'wrong'")
    claim(session, done, *statements)
    assert audit_log.plan_undo(session, done).conflicts != [] or undo(session, done)


def test_a_claim_about_itself_or_the_future_is_none(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    done = commit(session, "UPDATE customers SET name = 'x'")
    own = claim(session, done + 1, "UPDATE customers SET name = 'y'")
    assert own == done + 1
    later = claim(session, done + 4, "UPDATE customers SET name = 'z'")
    undo(session, later)
    undo(session, own)
    undo(session, done)
    assert held(session) == {"customers": [(1, "Ann", None)]}


@pytest.mark.parametrize("said", [True, "1", 1.5, [1], {"a": 1}, None, -1])
def test_a_claim_of_a_strange_kind_is_none(session: Session, said: Any) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')")
    claim(session, said, "DELETE FROM customers")
    assert undone_by(scope_of(audit_log), session.connection(), done) is None


def test_what_was_undone_by_hand_counts(session: Session) -> None:
    done = commit(session, "INSERT INTO customers VALUES (1, 'Ann')", "UPDATE customers SET id = 2")
    by = claim(session, done, "UPDATE customers SET id = 1", "DELETE FROM customers")
    with pytest.raises(HistoryError, match=f"was undone by transaction {by} already"):
        audit_log.plan_undo(session, done)


def test_what_was_undone_in_part_can_be_undone_further(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann', 'A'), (2, 'Ben', 'B')")
    done = commit(session, "UPDATE customers SET name = 'wrong'")
    since = commit(session, "UPDATE customers SET name = 'Anna' WHERE id = 1")
    undo(session, done, on_conflict="skip")
    undo(session, since)
    undo(session, done)
    assert held(session) == {"customers": [(1, "Ann", "A"), (2, "Ben", "B")]}


def test_cascades_are_part_of_the_deed(session: Session) -> None:
    commit(session, "INSERT INTO customers VALUES (1, 'Ann')", "INSERT INTO orders VALUES (1, 1, 5, 'OPEN')")
    done = commit(session, "UPDATE customers SET id = 2")
    by = undo(session, done)
    assert undone_by(scope_of(audit_log), session.connection(), done) == by


@pytest.mark.parametrize("length", [2, 3, 5000])
def test_undos_of_undos_of_any_number(session: Session, length: int) -> None:
    """Transaction 1 inserts a row; each of the others claims, and does, the opposite of the one before."""
    native = {"length": length}
    session.execute(
        text(
            "INSERT INTO transaction (native_transaction_id, issued_at, meta)"
            " SELECT n, now(), CASE WHEN n > 1 THEN jsonb_build_object('undoes', n - 1) END"
            " FROM generate_series(1, :length) AS n"
        ),
        native,
    )
    session.execute(
        text(
            "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,"
            " row_key, old_data, changed_data) SELECT n, now(), n, 0, 'public', 'customers',"
            " CASE WHEN n % 2 = 1 THEN 'insert' ELSE 'delete' END, '1', '{}', '{}'"
            " FROM generate_series(1, :length) AS n"
        ),
        native,
    )
    connection = session.connection()
    assert undone_by(scope_of(audit_log), connection, length) is None
    assert undone_by(scope_of(audit_log), connection, length - 1) == length
    assert undone_by(scope_of(audit_log), connection, 1) == (2 if length % 2 == 0 else None)


def test_many_forged_claims_cost_a_look_each(session: Session) -> None:
    done = commit(session, "INSERT INTO customers SELECT n, 'x' FROM generate_series(1, 500) AS n")
    session.execute(
        text(
            "INSERT INTO transaction (native_transaction_id, issued_at, meta)"
            " SELECT n, now(), CAST(:meta AS jsonb) FROM generate_series(1, 5000) AS n"
        ),
        {"meta": json.dumps({"undoes": done})},
    )
    assert undone_by(scope_of(audit_log), session.connection(), done) is None
