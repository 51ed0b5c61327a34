"""The trail tells all that happened to a table: its rows can be rebuilt from it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, insert, update

from tests.stress.app import Account, Slot, audit_log
from tests.stress.replay import ContradictionError, rebuilt, stored
from tests.stress.tangler import Tangler


def test_whatever_is_done_can_be_replayed_and_names_who_did_it(audited: Engine) -> None:
    """After each commit the tables are rebuilt, and each change is compared with what was done by whom."""
    run_state_machine_as_test(
        lambda: Tangler(audited),
        settings=settings(max_examples=30, stateful_step_count=40, deadline=None),
    )


def test_keys_that_change_places_are_told_apart(audited: Engine) -> None:
    with audited.begin() as connection:
        connection.execute(insert(Slot).values([{"position": n, "marker": str(n), "born": n} for n in range(5)]))
        connection.execute(update(Slot).values(position=(Slot.position + 1) % 5))
        rows = rebuilt(connection, audit_log, Slot.__table__)
        assert {key: row["marker"] for key, row in rows.items()} == {"1": "0", "2": "1", "3": "2", "4": "3", "0": "4"}
        assert rows == stored(connection, Slot.__table__)


def test_replay_notices_what_is_not_in_the_trail(audited: Engine) -> None:
    with audited.begin() as connection:
        connection.execute(insert(Account).values(id=1, marker="seen"))
        with audit_log.disable(connection):
            connection.execute(update(Account).values(balance=5))
        assert rebuilt(connection, audit_log, Account.__table__) != stored(connection, Account.__table__)
        connection.execute(update(Account).values(marker="seen, too"))
        with pytest.raises(ContradictionError, match="'1' was"):
            rebuilt(connection, audit_log, Account.__table__)
