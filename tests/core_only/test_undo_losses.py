"""An undo that leaves out what is in conflict changes nothing beside what its plan lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from audit_core import AuditLog
from audit_core.undo import UndoPlan
from audit_core.undo.reversal import Reversal
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, ForeignKey, Identity, Integer, MetaData, Table, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

audit_log = AuditLog(MetaData())


def _table(name: str, *columns: Column[Any]) -> Table:
    key = Column("id", Integer, primary_key=True, autoincrement=False)
    # It tells a row from all others, whatever its key.
    tag = Column("tag", Integer, Identity(always=True))
    return Table(name, audit_log.metadata, key, *columns, tag, info={"versioned": {}})


def _reference(name: str, referred: Column[Any], on_delete: str, on_update: str = "CASCADE") -> Column[Any]:
    return Column(name, ForeignKey(referred, ondelete=on_delete, onupdate=on_update))


PARENTS = _table("parents", Column("size", Integer), Column("code", Integer, unique=True))
CHILDREN = _table(
    "children",
    _reference("parent", PARENTS.c.id, "CASCADE"),
    _reference("other", PARENTS.c.id, "SET NULL"),
    Column("size", Integer),
)
NOTES = _table(
    "notes",
    _reference("child", CHILDREN.c.id, "RESTRICT"),
    _reference("about", CHILDREN.c.id, "CASCADE"),
    _reference("code", PARENTS.c.code, "SET NULL", "SET NULL"),
)

#: A row of a table: the name of the table, and the tag.
Row = tuple[str, int]


@pytest.fixture(scope="module")
def session(module_engine: Engine) -> Iterator[Session]:
    with module_engine.begin() as connection:
        audit_log.metadata.create_all(connection)
        audit_log.install(connection)
    audit_log.attach(module_engine)
    with Session(module_engine) as session:
        yield session
    audit_log.detach(module_engine)


def run(session: Session, statements: list[str]) -> int:
    """Run statements, but for those that a constraint refuses, and return the last transaction of the trail."""
    for statement in statements:
        with suppress(IntegrityError), session.begin_nested():
            session.execute(text(statement))
    session.commit()
    transaction = audit_log.transaction_cls
    return session.scalars(select(transaction.id).order_by(transaction.id.desc()).limit(1)).one()


def held(session: Session) -> dict[Row, dict[str, Any]]:
    rows = {}
    for name, table in audit_log.metadata.tables.items():
        rows |= {(name, row.tag): dict(row._mapping) for row in session.execute(select(table))}
    return rows


def listed(session: Session, plan: UndoPlan) -> tuple[dict[Row, set[str]], set[Row], set[Row]]:
    """Return which columns of which rows the steps of a plan set, which rows they bring back, and which they delete."""
    activity = audit_log.activity_cls
    ids = [each.activity_id for each in plan.steps]
    rows = {
        each.id: (each.table_name, {**(each.old_data or {}), **each.changed_data}["tag"])
        for each in session.scalars(select(activity).where(activity.id.in_(ids)))
    }
    columns: dict[Row, set[str]] = {}
    back, gone = set(), set()
    for step in plan.steps:
        row = rows[step.activity_id]
        columns.setdefault(row, set()).update(step.columns)
        if step.action == "insert":
            back.add(row)
        if step.action == "delete":
            gone.add(row)
    return columns, back, gone


def check_losses(session: Session, plan: UndoPlan, before: dict[Row, dict[str, Any]]) -> None:
    """Compare the tables with what they were before the plan was applied."""
    after = held(session)
    columns, back, gone = listed(session, plan)
    assert before.keys() - after.keys() <= gone
    assert after.keys() - before.keys() <= back
    for row in (before.keys() & after.keys()) - (back & gone):
        changed = {name for name, value in before[row].items() if after[row][name] != value}
        beside = changed - columns.get(row, set())
        assert {name for name in beside if not was_carried_on(row, name, before, after)} == set()


def was_carried_on(row: Row, name: str, before: dict[Row, Any], after: dict[Row, Any]) -> bool:
    """Return whether a reference is to the same row, whose key was set."""
    (referred,) = (each.column for each in audit_log.metadata.tables[row[0]].c[name].foreign_keys)
    found = [
        [other for other, data in rows.items() if other[0] == referred.table.name and data[referred.name] == value]
        for rows, value in ((before, before[row][name]), (after, after[row][name]))
    ]
    return found[0] == found[1] != []


EARLIER = [
    "TRUNCATE parents, children, notes",
    "INSERT INTO parents VALUES (1, 1, 1)",
    "INSERT INTO children VALUES (1, 1, 1, 1), (2, NULL, NULL, 1)",
    "INSERT INTO notes VALUES (1, 2, NULL, 1), (2, NULL, 2, NULL)",
]
#: Of a row there are several changes in one transaction, and some tables have references to it.
CHILD = "UPDATE children SET size = 2 WHERE id = 1"
PARENT = "INSERT INTO parents VALUES (2, 1, 2)"
TO_PARENT, OTHER = "UPDATE children SET parent = 2 WHERE id = 1", "UPDATE children SET other = 2 WHERE id = 1"


@pytest.mark.parametrize(
    ("statements", "later", "conflicts"),
    [
        ([CHILD, PARENT], TO_PARENT, ["parents 2: it cannot go without children 1"]),
        ([PARENT, CHILD], TO_PARENT, ["parents 2: it cannot go without children 1"]),
        ([CHILD, PARENT], OTHER, ["parents 2: it cannot go without children 1"]),
        ([PARENT, CHILD], OTHER, ["parents 2: it cannot go without children 1"]),
        (
            ["UPDATE notes SET code = NULL WHERE id = 1", "UPDATE parents SET code = 2 WHERE id = 1"],
            "UPDATE notes SET code = 2 WHERE id = 1",
            ["notes 1 was changed since: code", "parents 1: it cannot be set back without a change of notes 1"],
        ),
    ],
)
def test_a_row_that_has_an_older_change_stays(
    session: Session, statements: list[str], later: str, conflicts: list[str]
) -> None:
    """So does its reference to a row that the undo would delete, or change."""
    run(session, EARLIER)
    done = run(session, statements)
    run(session, [later])
    before = held(session)
    plan = audit_log.plan_undo(session, done)
    assert sorted(each.message for each in plan.conflicts) == conflicts
    plan.apply("skip")
    check_losses(session, plan, before)
    session.rollback()


#: Rows that are always there: two from before the transaction, one of its own.
NEW = ["INSERT INTO parents VALUES (3, 1, 3)", "INSERT INTO children VALUES (3, 1, NULL, 1)"]
ids = st.integers(1, 3)
maybe = st.sampled_from([1, 2, 3, 3, "NULL"])
references = st.sampled_from(
    ["children SET parent", "children SET other", "notes SET child", "notes SET about", "notes SET code"]
)
STATEMENTS = st.one_of(
    st.builds("INSERT INTO parents VALUES ({}, 1, {})".format, ids, maybe),
    st.builds("INSERT INTO children VALUES ({}, {}, {}, 1)".format, ids, maybe, maybe),
    st.builds("INSERT INTO notes VALUES ({}, {}, {}, {})".format, ids, maybe, maybe, maybe),
    st.builds("UPDATE {} SET size = size + 1 WHERE id <= {}".format, st.sampled_from(["parents", "children"]), ids),
    st.builds("UPDATE {} = {} WHERE id <= {}".format, references, maybe, ids),
    st.builds("UPDATE {} = {} WHERE id = {}".format, references, maybe, ids),
    st.builds("UPDATE parents SET code = {} WHERE id = {}".format, maybe, ids),
    st.builds("UPDATE {} SET id = {} WHERE id = {}".format, st.sampled_from(["parents", "children"]), ids, ids),
    st.builds("DELETE FROM {} WHERE id = {}".format, st.sampled_from(["parents", "children", "notes"]), ids),
)


def test_what_is_left_out_stays(session: Session) -> None:
    @settings(max_examples=60, deadline=None)
    @given(*(st.lists(STATEMENTS, min_size=size - 2, max_size=size) for size in (4, 4, 4)))
    def check(statements: list[str], others: list[str], later: list[str]) -> None:
        run(session, EARLIER)
        done = run(session, [*statements, *NEW, *others])
        run(session, later)
        before = held(session)
        plan = audit_log.plan_undo(session, done)
        planned = plan.steps, plan.conflicts
        plan.apply("skip")
        assert (plan.steps, plan.conflicts) == planned
        check_losses(session, plan, before)
        together = shown(plan), held(session)
        session.rollback()
        with pytest.MonkeyPatch.context() as patch:
            # So no statement is tried with another one.
            patch.setattr(Reversal, "_take_back_some", lambda *_: [])
            plan = audit_log.plan_undo(session, done)
            plan.apply("skip")
            assert (shown(plan), held(session)) == together
        session.rollback()

    check()


def shown(plan: UndoPlan) -> Any:
    """What is done and what is not; what has to wait may come in another order."""
    conflicts = sorted((each.activity_id or 0, each.kind, each.message) for each in plan.conflicts)
    return sorted((each.activity_id, each.action, each.columns) for each in plan.steps), conflicts
