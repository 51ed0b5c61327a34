"""Whatever is done to the tables, a row as an activity left it is the row that is found at that time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from audit_core.siblings import row_as_of, rows_after, scope_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from sqlalchemy import Engine, Integer, any_, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from tests.core_only.test_reading_property import MODELS
from tests.stress.app import Account, Activity, Event, Note, audit_log
from tests.stress.conftest import audited
from tests.stress.machine import How, Machine, Statement, hows, some_ids

__all__ = ["audited"]

#: The activities that are asked for at once.
TOGETHER = 20

scope = scope_of(audit_log)


class Comparer(Machine):
    """Writes behind the trail's back, too, and asks for each activity in both ways when all is done."""

    def write(self, how: Any, run: Callable[[], Any], changes: Statement | None = None) -> None:
        """Keep what is written: of what is taken back nothing can be asked."""
        super().write(replace(how, savepoint="kept"), run, changes)

    # Without a rule they happen to nothing.
    def roll_back(self) -> None:
        super().roll_back()

    def roll_back_to_savepoint(self) -> None:
        super().roll_back_to_savepoint()

    @rule(model=st.sampled_from([Account, Event, Note]), how=hows)
    def write_while_disabled(self, model: Any, how: How) -> None:
        def run() -> None:
            with audit_log.disable(self.connection):
                self.connection.execute(update(model).values(marker=self.marker()))

        self.write(how, run)

    @rule(ids=some_ids, how=hows)
    def write_behind_the_triggers(self, ids: list[int], how: How) -> None:
        def run() -> None:
            self.connection.execute(text("SET LOCAL session_replication_role = replica"))
            is_one = Account.id == any_(literal(ids, ARRAY(Integer)))
            self.connection.execute(update(Account).where(is_one).values(balance=Account.balance + 1))
            self.connection.execute(text("SET LOCAL session_replication_role = origin"))

        self.write(how, run)

    def check(self, statements: list[Statement]) -> None:
        """What was not recorded cannot be compared with what was written."""

    def teardown(self) -> None:
        try:
            self.commit()
            with Session(self.connection) as session:
                for model in MODELS:
                    self.compare(session, model)
        finally:
            self.connection.close()

    def compare(self, session: Session, model: Any) -> None:
        verbs = ["insert", "update", "delete"]
        own = audit_log.activities(table=model, verb=verbs).where(Activity.id > self.start).order_by(None)
        activities = session.scalars(own.order_by(Activity.id)).all()
        now = session.scalars(select(func.clock_timestamp())).one()
        asked = []
        for place, each in enumerate(activities):
            later = [other for other in activities[place + 1 :] if each.row_key in (other.row_key, other.old_row_key)]
            until = later[0].issued_at - dt.timedelta(microseconds=1) if later else now
            asked += [(each, each.issued_at), (each, max(until, each.issued_at))]
        for start in range(0, len(asked), TOGETHER):
            some = asked[start : start + TOGETHER]
            for (each, when), found in zip(some, rows_after(scope, session, model.__table__, some), strict=True):
                key = tuple(each.data[column.name] for column in model.__table__.primary_key)
                wanted, said = row_as_of(scope, session, model.__table__, key, when)
                assert found is not None
                row, notes = found
                assert sorted(notes) == sorted(said)
                assert row == (None if wanted is None else {name: as_json(wanted[name]) for name in each.data})
                assert wanted is None or wanted["audit_activity_id"] == each.id


def as_json(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def test_each_activity_in_turn(audited: Engine) -> None:
    run_state_machine_as_test(
        lambda: Comparer(audited),
        settings=settings(max_examples=12, stateful_step_count=40, deadline=None),
    )
