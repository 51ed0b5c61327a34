"""Where transactions and times lie among the ids, as the closed partitions tell."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from audit_core.reading.bounds import FIRST_ID, LAST_ID, ClosedPartitions

NOON = dt.datetime(2031, 12, 24, 12, tzinfo=dt.timezone.utc)


def closed(number: int, **other: Any) -> SimpleNamespace:
    """Describe a partition of a hundred ids and ten transactions, an hour long."""
    return SimpleNamespace(
        **{
            "from_id": number * 100,
            "end_id": number * 100 + 100,
            "first_transaction_id": number * 10 + 1,
            "last_transaction_id": number * 10 + 10,
            "first_issued_at": NOON + dt.timedelta(hours=number),
            "last_issued_at": NOON + dt.timedelta(hours=number, minutes=59),
            "row_count": 100,
            "removed_at": None,
            **other,
        }
    )


#: In no order, as the table has them.
KNOWN = ClosedPartitions([closed(2), closed(0), closed(1)])


@pytest.mark.parametrize(
    ("ids", "bounds"),
    [
        ([5], (FIRST_ID, 100)),
        ([15], (100, 200)),
        ([15, 25], (100, LAST_ID)),
        ([30], (200, LAST_ID)),
        ([31], (300, LAST_ID)),
        ([-1], (FIRST_ID, 0)),
        ([], (FIRST_ID, LAST_ID)),
    ],
)
def test_transactions_lie_in_their_partitions(ids: list[int], bounds: tuple[int, int]) -> None:
    assert KNOWN.of_transactions(ids) == bounds


def test_a_transaction_in_two_partitions_lies_in_both() -> None:
    both = ClosedPartitions([closed(0, last_transaction_id=11), closed(1, first_transaction_id=11), closed(2)])
    assert both.of_transactions([11]) == (FIRST_ID, 200)


def test_a_time_lies_in_its_partition() -> None:
    assert KNOWN.around(NOON + dt.timedelta(hours=1, minutes=30)) == (100, 200)
    assert KNOWN.around(NOON - dt.timedelta(hours=1)) == (FIRST_ID, 0)
    assert KNOWN.around(NOON + dt.timedelta(hours=9)) == (300, LAST_ID)


def test_of_what_is_not_complete_nothing_is_known() -> None:
    unknown = {"first_transaction_id": None, "last_transaction_id": None, "row_count": None}
    incomplete = ClosedPartitions([closed(0, **unknown), closed(1, from_id=None)])
    assert incomplete.of_transactions([5]) == (FIRST_ID, LAST_ID)
    assert incomplete.around(NOON - dt.timedelta(hours=1)) == (FIRST_ID, LAST_ID)
    assert incomplete.of_transactions([25]) == (200, LAST_ID)


def test_what_was_imported_is_in_no_order() -> None:
    """Two imports, of which the second one, with smaller ids, is later, and the application while it was recorded."""
    hours = {hour: NOON + dt.timedelta(hours=hour) for hour in range(-100, 100)}
    imported = {"from_id": -200, "end_id": -100, "first_issued_at": hours[-50], "last_issued_at": hours[-40]}
    older = {"from_id": -100, "end_id": 0, "first_issued_at": hours[-90], "last_issued_at": hours[-80]}
    known = ClosedPartitions([closed(0), closed(-1, **older), closed(-2, **imported)], NOON + dt.timedelta(hours=30))
    assert known.around(hours[-95]) == (FIRST_ID, -200)
    assert known.around(hours[-85]) == (FIRST_ID, 0)
    assert known.around(hours[-60]) == (FIRST_ID, 0)
    assert known.around(hours[-45]) == (FIRST_ID, 0)
    assert known.around(hours[-10]) == (0, 0)
    assert known.around(hours[3]) == (100, 100)
    # A statement takes up to a day.
    assert known.around(hours[10]) == (100, LAST_ID)
    assert not known.are_in_order(FIRST_ID, LAST_ID)
    assert not known.are_in_order(-200, 0)
    assert known.are_in_order(-100, LAST_ID)
    assert known.are_in_order(0, LAST_ID)


def test_those_that_are_gone_are_not_there() -> None:
    assert ClosedPartitions([closed(2), closed(0, removed_at=NOON), closed(1)]).ends == [200, 300]
