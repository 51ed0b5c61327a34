"""Whatever is done to the tables, the trail tells how they were at every instant, and what happened to each row."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from typing import Any

import pytest
from audit_core import AuditLog
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, Select, Text, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError

from tests.stress.app import Account, Activity, Entry, Event, Note, Slot, audit_log
from tests.stress.conftest import audited
from tests.stress.machine import Machine, Statement

__all__ = ["audited"]

MODELS: list[Any] = [Account, Entry, Note, Slot, Event]

Rows = dict[int, dict[str, Any]]


class Past:
    """The rows of a model at some instant, as a query that is built once: building it takes longer than its answer."""

    def __init__(self, model: Any, log: AuditLog = audit_log, *, live: bool = False) -> None:
        some = dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc)
        self.query: Select[Any] = select(log.as_of(model, some, live=live))
        bound = self.query.compile(dialect=postgresql.dialect()).bind_names
        self._keys = [each.key for each in bound if each.value == some]
        assert self._keys

    def at(self, when: dt.datetime) -> dict[str, dt.datetime]:
        return dict.fromkeys(self._keys, when)


past_of = functools.cache(Past)


class Historian(Machine):
    """Copies the tables after each statement, and asks the trail for the same when it is committed."""

    def __init__(self, engine: Engine) -> None:
        #: The copies by the statement that they were taken after, which a rollback takes away.
        self.copies: dict[int, tuple[dt.datetime, list[Rows], Statement]] = {}
        super().__init__(engine)

    def write(self, how: Any, run: Callable[[], Any], changes: Statement | None = None) -> None:
        before = self.statements[-1][-1:]
        super().write(how, run, changes)
        after = self.statements[-1][-1:]
        if after and (not before or after[0] is not before[0]):
            now = self.connection.scalar(select(func.clock_timestamp()))
            assert now is not None
            self.copies[id(after[0])] = (now, [self.rows(select(model.__table__)) for model in MODELS], after[0])

    def check(self, statements: list[Statement]) -> None:
        for statement in statements:
            when, copies, _ = self.copies[id(statement)]
            for model, copy in zip(MODELS, copies, strict=True):
                past = past_of(model)
                assert self.rows(past.query, past.at(when)) == copy
                if self.can_be_taken_back(model, when):
                    past = past_of(model, live=True)
                    assert self.rows(past.query, past.at(when)) == copy
        for model in MODELS:
            self.check_histories(model)
        self.copies.clear()
        self.note_the_last()

    def rows(self, query: Select[Any], values: dict[str, dt.datetime] | None = None) -> Rows:
        rows = self.connection.execute(query, values).mappings()
        return {row["born"]: {key: row[key] for key in row if not key.startswith("audit_")} for row in rows}

    def can_be_taken_back(self, model: Any, when: dt.datetime) -> bool:
        """Return whether the rows of today and what was recorded since tell how the table was; the database says it."""
        of_all = audit_log.activities(table=model, verb=["truncate", "bypass"]).where(Activity.issued_at > when)
        if self.connection.scalar(of_all.with_only_columns(func.count()).order_by(None)) == 0:
            return True
        past = past_of(model, live=True)
        with pytest.raises(DataError, match="ask without live=True"), self.connection.begin_nested():
            self.connection.execute(past.query, past.at(when))
        return False

    def check_histories(self, model: Any) -> None:
        """Each row has its own history: a key that it had before is part of it, and no other row's."""
        born = func.coalesce(Activity.completed_old_data["born"], Activity.changed_data["born"]).cast(Text)
        of_rows = audit_log.activities(table=model, verb=["insert", "update", "delete"]).where(Activity.id > self.start)
        recorded: dict[str, set[int]] = {}
        for id_, number in self.connection.execute(of_rows.with_only_columns(Activity.id, born)):
            recorded.setdefault(number, set()).add(id_)
        live = self.rows(select(model.__table__))
        for number, row in live.items():
            key = tuple(row[column.key] for column in model.__table__.primary_key)
            history = set(self.connection.scalars(audit_log.history(model, key).with_only_columns(Activity.id)))
            assert recorded[str(number)] <= history
            for other in live.keys() - {number}:
                assert not recorded[str(other)] & history


def test_the_tables_at_every_instant_and_the_history_of_every_row(audited: Engine) -> None:
    run_state_machine_as_test(
        lambda: Historian(audited),
        settings=settings(max_examples=15, stateful_step_count=30, deadline=None),
    )
