"""Which items of two lists belong together: one that was put in front has not changed all those behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from audit_core.siblings import Budget, dump_json, edits_between

Pair = tuple[int, Any, Any]


def paired(old: Sequence[Any], new: Sequence[Any], absent: Any, budget: Budget) -> Iterator[Pair]:
    """Pair the items that differ, each with its place: in the new list, or in the old one if it is gone.

    :param absent: stands on the side that has no such item.
    """
    edits = edits_between([dump_json(each) for each in old], [dump_json(each) for each in new], budget)
    if edits is None:
        yield from _matched(list(enumerate(old)), list(enumerate(new)), absent, budget)
        return
    at_old = at_new = 0
    for is_same, group in groupby(edits, key=lambda edit: edit[0] == "same"):
        kinds = [kind for kind, _ in group]
        gone, come = (0, 0) if is_same else (kinds.count("deleted"), kinds.count("inserted"))
        if is_same:
            at_old, at_new = at_old + len(kinds), at_new + len(kinds)
            continue
        items = list(enumerate(old))[at_old : at_old + gone], list(enumerate(new))[at_new : at_new + come]
        yield from _matched(*items, absent, budget)
        at_old, at_new = at_old + gone, at_new + come


def _matched(
    gone: Sequence[tuple[int, Any]], come: Sequence[tuple[int, Any]], absent: Any, budget: Budget
) -> Iterator[Pair]:
    """Pair what stands in the place of something else: the shorter run with the part of the longer most like it."""
    shift = _shift([each for _, each in gone], [each for _, each in come], budget)
    before, after = (0, shift) if len(gone) <= len(come) else (shift, 0)
    count = min(len(gone), len(come))
    yield from ((place, item, absent) for place, item in gone[:before])
    yield from ((place, absent, item) for place, item in come[:after])
    for (_, one), (place, other) in zip(gone[before : before + count], come[after : after + count], strict=True):
        yield place, one, other
    yield from ((place, item, absent) for place, item in gone[before + count :])
    yield from ((place, absent, item) for place, item in come[after + count :])


def _shift(gone: Sequence[Any], come: Sequence[Any], budget: Budget) -> int:
    shorter, longer = sorted((gone, come), key=len)
    shifts = range(len(longer) - len(shorter) + 1)
    if len(shifts) == 1 or len(shifts) * len(shorter) > budget.steps:
        return 0
    budget.steps -= len(shifts) * len(shorter)
    return max(shifts, key=lambda shift: sum(map(_likeness, shorter, longer[shift:])))


def _likeness(one: Any, other: Any) -> int:
    """Count the members that two objects share."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return 0
    return sum(1 for key, value in one.items() if key in other and _is_plain_and_same(value, other[key]))


def _is_plain_and_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and not isinstance(one, (dict, list)) and bool(one == other)
