"""Whatever is recorded, sealed and erased: verification finds what was tampered with, and nothing else."""

from __future__ import annotations

from typing import Any

from audit_core import Digest, audit_context
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from tests.stress.app import Account, Activity, Note, audit_log

names = st.sampled_from(["a", "ä", '"', "\\", "{x}", "", "\u2028", "1"])
contents = st.recursive(st.none() | st.booleans() | st.integers() | names, st.lists) | st.dictionaries(names, names)


class Sealer(RuleBasedStateMachine):
    """Everything that is done to the trail, on purpose or not, with what verifying has to say of it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        with engine.begin() as connection:
            connection.exec_driver_sql("SET session_replication_role = replica")
            for table in ("activity", "transaction", "activity_seal", "activity_seal_leaf", "activity_commitment"):
                connection.exec_driver_sql(f"TRUNCATE {table}")
            connection.exec_driver_sql("TRUNCATE accounts, notes CASCADE")
        self.expected: set[tuple[str, str, int]] = set()
        self.digests: dict[int, Digest] = {}
        self.sealed_to = 0

    @rule(number=st.integers(1, 5), actor=names, lost=st.booleans())
    def write(self, number: int, actor: str, lost: bool) -> None:
        with Session(self.engine) as session, audit_context(actor_id=actor or None, why=actor):
            row = session.get(Account, number) or Account(id=number, marker=actor, born=number)
            row.marker, row.balance = actor, (row.balance or 0) + 1
            session.add(row)
            session.rollback() if lost else session.commit()

    @rule(name=names, content=contents)
    def note(self, name: str, content: Any) -> None:
        with Session(self.engine) as session, session.begin():
            row = session.get(Note, name) or Note(name=name, marker="m")
            row.content = content
            session.add(row)

    @rule()
    def event(self) -> None:
        with Session(self.engine) as session, session.begin():
            audit_log.record_event(session, "looked", data={"at": "this"})

    @rule()
    def seal(self) -> None:
        for made in audit_log.seal(self.engine):
            self.digests[made.number] = Digest.of(made)
            self.sealed_to = max(self.sealed_to, made.to_id)

    @rule(data=st.data(), columns=st.lists(st.sampled_from(["marker", "balance"]), min_size=1, unique=True))
    def erase(self, data: st.DataObject, columns: list[str]) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.ids() or [0]), unique=True))
        with Session(self.engine) as session, session.begin():
            where = Activity.id.in_([each for each in chosen if not self.is_tampered(each)])
            audit_log.erase(session, Account, columns=columns, where=where, reason="a request")

    @rule(data=st.data(), how=st.sampled_from(["key", "time", "value", "more", "delete", "actor"]))
    def tamper(self, data: st.DataObject, how: str) -> None:
        """Do something to a sealed activity of a row, or to its transaction, with triggers off."""
        with self.engine.connect() as connection:
            found = connection.execute(
                select(Activity.id, Activity.transaction_id).where(
                    Activity.id <= self.sealed_to, Activity.verb.in_(("insert", "update"))
                )
            ).all()
        rows = [row for row in found if not self.is_tampered(row.id)]
        if not rows:
            return
        id_, transaction_id = data.draw(st.sampled_from(rows))
        if how == "actor":
            if ("altered", "transaction", transaction_id) in self.expected:
                return
            self.change(f"UPDATE transaction SET db_user = db_user || 'x' WHERE id = {transaction_id}")
            self.expected.add(("altered", "transaction", transaction_id))
            return
        statement = {
            "key": f"UPDATE activity SET row_key = row_key || '0' WHERE id = {id_}",
            "time": f"UPDATE activity SET issued_at = issued_at + interval '1 us' WHERE id = {id_}",
            "value": f"UPDATE activity SET changed_data = changed_data || '{{\"born\": -1}}' WHERE id = {id_}",
            "more": f"UPDATE activity SET old_data = old_data || '{{\"other\": 1}}' WHERE id = {id_}",
            "delete": f"DELETE FROM activity WHERE id = {id_}",
        }[how]
        self.change(statement)
        self.expected.add(("missing" if how == "delete" else "altered", "activity", id_))

    def teardown(self) -> None:
        with Session(self.engine) as session:
            findings = list(audit_log.verify_seals(session, self.digests))
            sealed = session.scalar(select(func.count()).where(Activity.id > self.sealed_to))
        assert {(each.kind, each.of_table, each.id) for each in findings if each.is_failure} == self.expected
        assert any(each.kind == "unsealed" for each in findings) == bool(sealed)

    def ids(self) -> list[int]:
        with self.engine.connect() as connection:
            return list(connection.scalars(select(Activity.id).order_by(Activity.id)))

    def is_tampered(self, id_: int) -> bool:
        return any((kind, "activity", id_) in self.expected for kind in ("altered", "missing"))

    def change(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(statement))


def test_verification_finds_exactly_what_was_tampered_with(audited: Engine) -> None:
    run_state_machine_as_test(
        lambda: Sealer(audited), settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
