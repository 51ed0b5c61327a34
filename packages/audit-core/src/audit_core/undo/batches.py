"""Which changes are taken back at once: a statement of its own for each row takes several round trips a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from .recorded import RecordedChange

#: How many changes are tried at once, unless one statement made more.
AT_ONCE = 1000

# What is referenced comes back before what references it, and goes after it.
_RANKS = {"delete": 0, "update": 1, "insert": 2}


class Pace:
    """How many statements are tried at once: half as many where one of them is refused, until it is found."""

    def __init__(self) -> None:
        self.size = AT_ONCE
        #: Among so many of those to come is one that is refused.
        self._suspects = 0

    def refused(self, count: int) -> None:
        """Note that some statements cannot be taken back at once, or that one cannot be taken back."""
        self._suspects = count if count > 1 else 0
        self.size = max(count // 2, 1)

    def passed(self, count: int) -> None:
        """Note that some statements were taken back."""
        self._suspects = max(self._suspects - count, 0)
        self.size = max(self._suspects // 2, 1) if self._suspects else min(self.size * 2, AT_ONCE)


class Waiting:
    """What a constraint does not let through yet."""

    def __init__(
        self, keys: Callable[[RecordedChange], list[Any]], references: Callable[[str, str], Collection[str]]
    ) -> None:
        self._keys_of = keys
        self._references = references
        self._keys: set[Any] = set()
        self._tables: set[str] = set()

    def add(self, statement: list[RecordedChange]) -> None:
        """Add what one statement did."""
        self._keys.update(key for change in statement for key in self._keys_of(change))
        self._tables.add(statement[0].table_name)

    def has_row_of(self, statement: list[RecordedChange]) -> bool:
        """Return whether a change of one of its rows waits."""
        return bool(self._keys) and any(key in self._keys for change in statement for key in self._keys_of(change))

    def references(self, statement: list[RecordedChange]) -> bool:
        """Return whether something waits that may reference one of its rows."""
        return any(self._references(name, statement[0].table_name) for name in self._tables)


def in_turns(
    statements: Sequence[list[RecordedChange]],
    keys: Callable[[RecordedChange], list[Any]],
    order: Callable[[RecordedChange], int],
) -> list[list[RecordedChange]]:
    """Put together what is done to one table, in as many turns as there are changes of one row.

    :param keys: tell rows apart.
    :param order: puts tables after those that they reference.
    """
    turns: list[int] = []
    next_turn: dict[Any, int] = {}
    for statement in statements:
        rows = {key for change in statement for key in keys(change)}
        turn = max((next_turn.get(key, 0) for key in rows), default=0)
        next_turn.update(dict.fromkeys(rows, turn + 1))
        turns.append(turn)
    groups: dict[Any, list[RecordedChange]] = {}
    last = max(turns, default=0)
    for statement, turn in zip(statements, turns, strict=True):
        first = statement[0]
        place = order(first)
        if first.verb == "insert":
            place = -place
            # A row that goes for good does so when all others have been changed that may reference it.
            if all(next_turn[key] == turn + 1 for change in statement for key in keys(change)):
                turn = last
        group = (turn, _RANKS.get(first.verb, 0), place, first.schema, first.table_name, first.verb)
        groups.setdefault(group, []).extend(statement)
    return [groups[group] for group in sorted(groups)]
